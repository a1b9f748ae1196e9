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
}

/// Reads a table. Without a promised separator the first line that has content shows it.
pub(super) fn read(mut source: impl BufRead, promised: Option<Separator>) -> Result<Array<f64>> {
    let mut table = Table { numbers: Spool::new(), columns: None, header: None };
    let mut lines = Vec::new();
    let mut number = 0;
    let separator = loop {
        let start = lines.len();
        if source.read_until(b'\n', &mut lines)? == 0 {
            bail!("is empty; it must hold at least one number");
        }
        number += 1;
        let line = &lines[start..];
        if !line.trim_ascii().is_empty() && !line.trim_ascii_start().starts_with(b"#") {
            break promised.unwrap_or(Separator::of_line(line));
        }
        lines.clear();
    };
    // The line that was looked at is read again, with its number.
    let source = std::io::Cursor::new(lines).chain(source);
    match separator {
        Separator::Comma => table.delimited(source, b',', number)?,
        Separator::Tab => table.delimited(source, b'\t', number)?,
        Separator::WhiteSpace => table.spaced(source, number)?,
    }
    table.finish()
}

struct Table {
    numbers: Spool<f64>,
    /// How many numbers the first row has, and the line it is on.
    columns: Option<(usize, u64)>,
    /// The line that was taken for a header.
    header: Option<u64>,
}

impl Table {
    /// `first` is the number of the source's first line.
    fn delimited(&mut self, source: impl Read, separator: u8, first: u64) -> Result<()> {
        let mut rows = csv::ReaderBuilder::new()
            .delimiter(separator)
            .has_headers(false)
            .flexible(true)
            .comment(Some(b'#'))
            .trim(csv::Trim::All)
            .from_reader(source);
        let mut row = csv::ByteRecord::new();
        while rows.read_byte_record(&mut row)? {
            let line = row.position().map_or(0, csv::Position::line) + first - 1;
            // A line of blanks is one empty field.
            if row.len() > 1 || row.get(0).is_some_and(|field| !field.is_empty()) {
                self.row(line, row.iter())?;
            }
        }
        Ok(())
    }

    fn spaced(&mut self, mut source: impl BufRead, first: u64) -> Result<()> {
        let mut text = Vec::new();
        for line in first.. {
            text.clear();
            if source.read_until(b'\n', &mut text)? == 0 {
                break;
            }
            let text = text.strip_prefix(b"\xef\xbb\xbf").filter(|_| line == 1).unwrap_or(&text).trim_ascii();
            if !text.is_empty() && !text.starts_with(b"#") {
                let fields = text.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
                self.row(line, fields)?;
            }
        }
        Ok(())
    }

    fn row<'a>(&mut self, line: u64, fields: impl Iterator<Item = &'a [u8]> + Clone) -> Result<()> {
        let is_first = self.columns.is_none() && self.header.is_none();
        if is_first && fields.clone().all(|field| number(field).is_none()) {
            self.header = Some(line);
            return Ok(());
        }
        let mut count = 0;
        for (column, field) in fields.enumerate() {
            let value = number(field).with_context(|| not_a_number(line, column + 1, field, is_first))?;
            let overflows = value.is_infinite() && field.iter().any(u8::is_ascii_digit);
            ensure!(
                !overflows,
                "line {line}, column {}: {} is beyond the largest f64",
                column + 1,
                shown(field)
            );
            self.numbers.push(value)?;
            count += 1;
        }
        match self.columns {
            None => self.columns = Some((count, line)),
            Some((columns, first)) => ensure!(
                count == columns,
                "line {line} has {count} numbers, it must have {columns} as line {first} has"
            ),
        }
        Ok(())
    }

    fn finish(self) -> Result<Array<f64>> {
        let Some((columns, _)) = self.columns else {
            let line = self.header.unwrap_or(1);
            bail!("has no numbers, only the header in line {line}");
        };
        let shape = vec![self.numbers.count() / columns, columns];
        Ok(Array { numbers: self.numbers.finish()?, shape, fortran_order: false })
    }
}

fn number(field: &[u8]) -> Option<f64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn not_a_number(line: u64, column: usize, field: &[u8], is_first: bool) -> String {
    let what = if field.is_empty() {
        "the field is empty".into()
    } else {
        format!("{} is not a number", shown(field))
    };
    let hint = if is_first { " (a header line has words only)" } else { "" };
    format!("line {line}, column {column}: {what}{hint}")
}

/// The field in quotes, cut where it is long.
fn shown(field: &[u8]) -> String {
    let text = String::from_utf8_lossy(field);
    let mut start: String = text.chars().take(24).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    format!("{start:?}")
}
