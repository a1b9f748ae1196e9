//! Tables of numbers in text: rows by columns, separated by commas, tabs or white space.

use super::Array;
use super::spool::Spool;
use anyhow::{Context, Result, bail, ensure};
use std::io::BufRead;
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
    let mut separator = promised;
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        if source.read_until(b'\n', &mut text)? == 0 {
            break;
        }
        let text = text.strip_prefix(b"\xef\xbb\xbf").filter(|_| line == 1).unwrap_or(&text);
        let blank_or_comment = matches!(text.trim_ascii_start(), [] | [b'#', ..]);
        if !blank_or_comment {
            match *separator.get_or_insert_with(|| Separator::of_line(text)) {
                Separator::Comma => table.delimited(line, text, b',')?,
                Separator::Tab => table.delimited(line, text, b'\t')?,
                Separator::WhiteSpace => {
                    table.row(line, text.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()))?;
                }
            }
        }
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
    fn delimited(&mut self, line: u64, text: &[u8], separator: u8) -> Result<()> {
        if !text.contains(&b'"') {
            return self.row(line, text.split(|&byte| byte == separator).map(<[u8]>::trim_ascii));
        }
        let most = text.iter().filter(|&&byte| byte == separator).count() + 1;
        let (mut unquoted, mut ends) = (vec![0; text.len()], vec![0; most]);
        let mut parser = csv_core::ReaderBuilder::new().delimiter(separator).build();
        let whole_line = [text.trim_ascii_end(), b"\n"].concat();
        let (result, _, _, count) = parser.read_record(&whole_line, &mut unquoted, &mut ends);
        ensure!(result == csv_core::ReadRecordResult::Record, "line {line}: a quotation mark is not closed");
        let starts = std::iter::once(0).chain(ends.iter().copied());
        self.row(line, starts.zip(&ends[..count]).map(|(start, &end)| unquoted[start..end].trim_ascii()))
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
        let columns = match (self.columns, self.header) {
            (Some((columns, _)), _) => columns,
            (None, Some(line)) => bail!("has no numbers, only the header in line {line}"),
            (None, None) => bail!("is empty; it must hold at least one number"),
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
