//! Text split into lines, and lines into fields separated by commas, tabs or white space; `numeric_table` interprets
//! them.

use super::numeric_table::{Grouped, Row, Table, is_spreadsheet_error};
use super::quoting::shown;
use super::table::Names;
use super::{Array, Part};
use anyhow::{Context, Result, ensure};
use std::borrow::Cow;
use std::io::{BufRead, Read};
use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Separator {
    Comma,
    Tab,
    WhiteSpace,
}

impl Separator {
    /// The separator that a file's extension implies, if any.
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

    /// Whether this byte is ignored before the first field of a line. A tab is not if tabs are the separators: there it
    /// ends an empty field.
    fn is_blank(self, byte: u8) -> bool {
        byte.is_ascii_whitespace() && (self == Self::WhiteSpace || !self.is(byte))
    }
}

/// The number of bytes of a line that are processed at once: a row may be longer than memory, a number may not.
const PIECE: usize = 1 << 18;

/// Reads a table, whose lines end in `\n`. If no separator is given, the first line with content determines it.
pub(super) fn read(source: impl BufRead, promised: Option<Separator>, part: &Part) -> Result<Array<f64>> {
    let mut table = Table::new(part, None);
    read_into(&mut table, source, promised)?;
    table.finish()
}

/// Reads a table row by row; gives the names of the columns.
pub(super) fn rows<'a>(
    source: impl BufRead,
    promised: Option<Separator>,
    part: &'a Part,
    grouped: Grouped<'a>,
) -> Result<Names> {
    let mut table = Table::new(part, Some(grouped));
    read_into(&mut table, source, promised)?;
    table.finish_rows()
}

fn read_into(table: &mut Table<'_>, mut source: impl BufRead, promised: Option<Separator>) -> Result<()> {
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
        let line = &text[start..];
        let of_line = separator.unwrap_or_else(|| Separator::of_line(line));
        let blanks = line.iter().take_while(|&&byte| of_line.is_blank(byte)).count();
        let content = &line[blanks..];
        if row.count == 0 && (content.is_empty() || is_comment(content)) {
            if content.starts_with(END_OF_WARM_UP) {
                table.end_of_warm_up(row.line)?;
            }
            let is_over = is_last || !content.is_empty();
            if is_over && !is_last {
                source.skip_until(b'\n')?;
            }
            text.clear();
            row.line += u64::from(is_over);
            continue;
        }
        let separator = *separator.insert(of_line);
        let end = if is_last { text.len() } else { last_separator(&row, &text, separator)? };
        fields(table, &mut row, &text[start..end], separator)?;
        text.drain(..text.len().min(end + 1));
        if is_last {
            let next = Row::new(row.line + 1);
            table.end_row(std::mem::replace(&mut row, next))?;
        }
    }
    Ok(())
}

/// Whether a line is a comment. An error value of a spreadsheet in the first field, such as #N/A, is not one.
fn is_comment(line: &[u8]) -> bool {
    let field = line.split(|&byte| matches!(byte, b',' | b'\t' | b';' | b' ' | b'\n')).next();
    line.starts_with(b"#") && !field.is_some_and(is_spreadsheet_error)
}

/// The line that CmdStan writes after the draws of its warm-up, if it saves these.
const END_OF_WARM_UP: &[u8] = b"# Adaptation terminated";

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Where a piece of a long row can end: not within a number, and not inside quotation marks.
fn last_separator(row: &Row, text: &[u8], separator: Separator) -> Result<usize> {
    let mut ends = FieldEnds::new(separator);
    let mut last = None;
    for (place, &byte) in text.iter().enumerate() {
        if ends.is_at(byte) {
            last = Some(place);
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
fn fields(table: &mut Table<'_>, row: &mut Row, text: &[u8], separator: Separator) -> Result<()> {
    let field = |field: &[u8]| match field.trim_ascii() {
        [] if separator == Separator::WhiteSpace => Ok(()),
        field => match without_marks(field) {
            Some(inner) => table.field(row, &inner, true),
            None => table.field(row, field, false),
        },
    };
    if !text.contains(&b'"') {
        return text.split(|&byte| separator.is(byte)).try_for_each(field);
    }
    let mut ends = FieldEnds::new(separator);
    let fields: Vec<&[u8]> = text.split(|&byte| ends.is_at(byte)).collect();
    ensure!(
        ends.place != Place::Quoted,
        "line {}: a quotation mark is not closed; a field cannot go on in the next line",
        row.line
    );
    fields.into_iter().try_for_each(field)
}

/// Distinguishes the separators that end fields from those inside quotation marks.
struct FieldEnds {
    separator: Separator,
    place: Place,
}

/// The state of the field before a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Only blanks so far: only here can an opening quotation mark stand.
    Start,
    Quoted,
    /// After a quotation mark that closes the field, unless another follows: two stand for one in the text.
    Closed,
    Unquoted,
}

impl FieldEnds {
    fn new(separator: Separator) -> Self {
        Self { separator, place: Place::Start }
    }

    /// Whether a field ends at this byte. Bytes must be passed in order.
    fn is_at(&mut self, byte: u8) -> bool {
        let is_end = self.place != Place::Quoted && self.separator.is(byte);
        self.place = match (self.place, byte) {
            (Place::Quoted, b'"') => Place::Closed,
            (Place::Quoted, _) | (Place::Start | Place::Closed, b'"') => Place::Quoted,
            (Place::Start, b' ') => Place::Start,
            _ if is_end => Place::Start,
            _ => Place::Unquoted,
        };
        is_end
    }
}

/// The text inside the quotation marks of a field that starts and ends with one.
fn without_marks(field: &[u8]) -> Option<Cow<'_, [u8]>> {
    let inner = field.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if !inner.contains(&b'"') {
        return Some(inner.into());
    }
    let text = String::from_utf8_lossy(inner);
    let parts: Vec<&str> = text.split("\"\"").collect();
    parts.iter().all(|part| !part.contains('"')).then(|| parts.join("\"").into_bytes().into())
}
