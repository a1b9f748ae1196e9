//! Text in lines, and lines in fields, separated by commas, tabs or white space; `numeric_table` says what they mean.

use super::numeric_table::{Row, Table, is_spreadsheet_error};
use super::quoting::shown;
use super::{Array, Part};
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, Read};
use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Separator {
    Comma,
    Tab,
    WhiteSpace,
}

impl Separator {
    /// What a file's ending promises, if anything.
    pub(super) fn of_ending(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Comma),
            "tsv" => Some(Self::Tab),
            _ => None,
        }
    }

    fn of_line(line: &[u8]) -> Self {
        match line {
            line if line.contains(&b',') => Self::Comma,
            line if line.contains(&b'\t') => Self::Tab,
            _ => Self::WhiteSpace,
        }
    }

    fn is(self, byte: u8) -> bool {
        match self {
            Self::Comma => byte == b',',
            Self::Tab => byte == b'\t',
            Self::WhiteSpace => byte.is_ascii_whitespace(),
        }
    }
}

/// How much of a line is looked at at once: a row may be longer than memory, a number may not.
const PIECE: usize = 1 << 18;

/// Reads a table, whose lines end in `\n`. Without a promised separator the first line that has content shows it.
pub(super) fn read(mut source: impl BufRead, promised: Option<Separator>, part: &Part) -> Result<Array<f64>> {
    let mut table = Table::new(part);
    let mut separator = promised;
    let mut row = Row::new(1);
    let mut text = Vec::new();
    loop {
        source.by_ref().take((PIECE - text.len()) as u64).read_until(b'\n', &mut text)?;
        if text.is_empty() && row.count == 0 {
            break;
        }
        // The end of a line, or of the file.
        let is_last = text.ends_with(b"\n") || text.len() < PIECE;
        let start = if row.line == 1 && row.count == 0 && text.starts_with(BYTE_ORDER_MARK) { 3 } else { 0 };
        let content = text[start..].trim_ascii_start();
        if row.count == 0 && (content.is_empty() || is_comment(content)) {
            let is_over = is_last || !content.is_empty();
            if is_over && !is_last {
                source.skip_until(b'\n')?;
            }
            text.clear();
            row.line += u64::from(is_over);
            continue;
        }
        let separator = *separator.get_or_insert_with(|| Separator::of_line(&text[start..]));
        let end = if is_last { text.len() } else { last_separator(&row, &text, separator)? };
        fields(&mut table, &mut row, &text[start..end], separator)?;
        text.drain(..text.len().min(end + 1));
        if is_last {
            let next = Row::new(row.line + 1);
            table.end_row(std::mem::replace(&mut row, next))?;
        }
    }
    table.finish()
}

/// Whether a line is one; a spreadsheet's error in its first field is none.
fn is_comment(line: &[u8]) -> bool {
    let field = line.split(|&byte| matches!(byte, b',' | b'\t' | b';' | b' ' | b'\n')).next();
    line.starts_with(b"#") && !field.is_some_and(is_spreadsheet_error)
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Where a piece of a long row can end: not in a number, and not between quotation marks.
fn last_separator(row: &Row, text: &[u8], separator: Separator) -> Result<usize> {
    let mut is_quoted = false;
    let mut last = None;
    for (position, &byte) in text.iter().enumerate() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            _ if !is_quoted && separator.is(byte) => last = Some(position),
            _ => {}
        }
    }
    last.with_context(|| {
        let (line, column) = (row.line, row.count + 1);
        format!(
            "line {line}, column {column}: {} is too long for a number; is this a text file?",
            shown(text)
        )
    })
}

/// The fields of a line, or of a piece of it.
fn fields(table: &mut Table, row: &mut Row, text: &[u8], separator: Separator) -> Result<()> {
    let has_quotes = text.contains(&b'"');
    let byte = match separator {
        Separator::WhiteSpace if has_quotes => return quoted_words(table, row, text),
        Separator::WhiteSpace => {
            let mut fields = text.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
            return fields.try_for_each(|field| table.field(row, field));
        }
        Separator::Comma => b',',
        Separator::Tab => b'\t',
    };
    if !has_quotes {
        return text.split(|&b| b == byte).try_for_each(|field| table.field(row, field.trim_ascii()));
    }
    let most = text.iter().filter(|&&b| b == byte).count() + 1;
    let (mut unquoted, mut ends) = (vec![0; text.len()], vec![0; most]);
    let mut parser = csv_core::ReaderBuilder::new().delimiter(byte).build();
    let record = [text.strip_suffix(b"\n").unwrap_or(text), b"\n"].concat();
    let (result, _, _, count) = parser.read_record(&record, &mut unquoted, &mut ends);
    ensure!(result == csv_core::ReadRecordResult::Record, not_closed(row));
    note_quotes(row, text, count);
    let mut start = 0;
    ends[..count]
        .iter()
        .try_for_each(|&end| table.field(row, unquoted[std::mem::replace(&mut start, end)..end].trim_ascii()))
}

/// Fields between white space, some in quotation marks, as R writes names.
fn quoted_words(table: &mut Table, row: &mut Row, text: &[u8]) -> Result<()> {
    let mut is_quoted = false;
    let words = text.split(|&byte| {
        is_quoted ^= byte == b'"';
        !is_quoted && byte.is_ascii_whitespace()
    });
    let words: Vec<&[u8]> = words.filter(|word| !word.is_empty()).collect();
    ensure!(!is_quoted, not_closed(row));
    note_quotes(row, text, words.len());
    words.into_iter().try_for_each(|word| {
        let inner = word.strip_prefix(b"\"").and_then(|word| word.strip_suffix(b"\""));
        table.field(row, inner.unwrap_or(word))
    })
}

/// Whether the first field is in quotation marks and not all are: fewer marks than two for each field.
fn note_quotes(row: &mut Row, text: &[u8], fields: usize) {
    let quotes = text.iter().filter(|&&byte| byte == b'"').count();
    row.is_first_quoted |=
        row.count == 0 && text.trim_ascii_start().starts_with(b"\"") && quotes < 2 * fields;
}

fn not_closed(row: &Row) -> String {
    format!("line {}: a quotation mark is not closed; a field cannot go on in the next line", row.line)
}
