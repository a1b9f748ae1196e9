//! Tables of numbers in text: rows by columns, separated by commas, tabs or white space.

use super::Array;
use super::spool::Spool;
use anyhow::{Context, Result, bail, ensure};
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

/// Reads a table. Without a promised separator the first line that has content shows it.
pub(super) fn read(mut source: impl BufRead, promised: Option<Separator>) -> Result<Array<f64>> {
    let mut table = Table { numbers: Spool::new(), columns: None, header: None };
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
        if row.count == 0 && matches!(content, [] | [b'#', ..]) {
            let is_over = is_last || !content.is_empty();
            if is_over && !is_last {
                source.skip_until(b'\n')?;
            }
            text.clear();
            row.line += u64::from(is_over);
            continue;
        }
        let separator = *separator.get_or_insert_with(|| Separator::of_line(&text[start..]));
        let end = if is_last { text.len() } else { row.last_separator(&text, separator)? };
        table.fields(&mut row, &text[start..end], separator)?;
        text.drain(..text.len().min(end + 1));
        if is_last {
            let next = Row::new(row.line + 1);
            table.end_row(std::mem::replace(&mut row, next))?;
        }
    }
    table.finish()
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A row that is being read.
struct Row {
    line: u64,
    /// Fields so far.
    count: usize,
    /// The first field, if it is a word and the row is to be a header.
    word: Option<String>,
}

impl Row {
    fn new(line: u64) -> Self {
        Self { line, count: 0, word: None }
    }

    /// Where a piece of a long row can end: not in a number, and not between quotation marks.
    fn last_separator(&self, text: &[u8], separator: Separator) -> Result<usize> {
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
            let (line, column) = (self.line, self.count + 1);
            format!(
                "line {line}, column {column}: {} is too long for a number; is this a text file?",
                shown(text)
            )
        })
    }
}

struct Table {
    numbers: Spool<f64>,
    /// How many numbers the first row has, and the line it is on.
    columns: Option<(usize, u64)>,
    /// The header, if there is one, and its first word.
    header: Option<(u64, String)>,
}

impl Table {
    fn fields(&mut self, row: &mut Row, text: &[u8], separator: Separator) -> Result<()> {
        let byte = match separator {
            Separator::WhiteSpace => {
                let mut fields = text.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
                return fields.try_for_each(|field| self.field(row, field));
            }
            Separator::Comma => b',',
            Separator::Tab => b'\t',
        };
        if !text.contains(&b'"') {
            return text.split(|&b| b == byte).try_for_each(|field| self.field(row, field.trim_ascii()));
        }
        let most = text.iter().filter(|&&b| b == byte).count() + 1;
        let (mut unquoted, mut ends) = (vec![0; text.len()], vec![0; most]);
        let mut parser = csv_core::ReaderBuilder::new().delimiter(byte).build();
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let record = [text.strip_suffix(b"\r").unwrap_or(text), b"\n"].concat();
        let (result, _, _, count) = parser.read_record(&record, &mut unquoted, &mut ends);
        let is_closed = result == csv_core::ReadRecordResult::Record;
        ensure!(is_closed, "line {}: a quotation mark is not closed", row.line);
        let mut start = 0;
        ends[..count].iter().try_for_each(|&end| {
            self.field(row, unquoted[std::mem::replace(&mut start, end)..end].trim_ascii())
        })
    }

    fn field(&mut self, row: &mut Row, field: &[u8]) -> Result<()> {
        row.count += 1;
        let (line, column) = (row.line, row.count);
        let is_first = self.columns.is_none() && self.header.is_none();
        let value = match (number(field), &row.word) {
            (Some(_), Some(word)) => bail!(not_a_number(line, 1, word, true)),
            (Some(value), None) => value,
            (None, None) if is_first && column == 1 => {
                row.word = Some(shown(field));
                return Ok(());
            }
            (None, Some(_)) => return Ok(()),
            (None, None) => bail!(not_a_number(line, column, &shown(field), is_first)),
        };
        let overflows = value.is_infinite() && field.iter().any(u8::is_ascii_digit);
        ensure!(!overflows, "line {line}, column {column}: {} is beyond the largest f64", shown(field));
        self.numbers.push(value)
    }

    fn end_row(&mut self, row: Row) -> Result<()> {
        let Row { line, count, word } = row;
        match (word, self.columns) {
            (Some(word), _) => self.header = Some((line, word)),
            (None, None) => self.columns = Some((count, line)),
            (None, Some((columns, first))) => ensure!(
                count == columns,
                "line {line} has {count} numbers, it must have {columns} as line {first} has"
            ),
        }
        Ok(())
    }

    fn finish(self) -> Result<Array<f64>> {
        let columns = match (self.columns, self.header) {
            (Some((columns, _)), _) => columns,
            (None, Some((line, word))) => {
                bail!("has no numbers: line {line}, which starts with {word}, was taken for a header")
            }
            (None, None) => bail!("is empty; it must hold at least one number"),
        };
        let shape = vec![self.numbers.count() / columns, columns];
        Ok(Array { numbers: self.numbers.finish()?, shape, fortran_order: false })
    }
}

fn number(field: &[u8]) -> Option<f64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// What to say of a field, which comes in quotes.
fn not_a_number(line: u64, column: usize, field: &str, is_first: bool) -> String {
    let what = if field == "\"\"" { "the field is empty".into() } else { format!("{field} is not a number") };
    let hint = if is_first { " (a header line has words only)" } else { "" };
    format!("line {line}, column {column}: {what}{hint}")
}

/// The field in quotes, cut where it is long.
fn shown(field: &[u8]) -> String {
    // Four bytes are a character at most.
    let text = String::from_utf8_lossy(&field[..field.len().min(100)]);
    let mut start: String = text.chars().take(24).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    format!("{start:?}")
}
