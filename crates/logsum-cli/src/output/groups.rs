//! A table of groups: the keys of each, and its values.

use super::table::{DIM, ROWS, cut};
use crate::input::{Key, Number};
use anstyle::Style;
use anyhow::{Result, ensure};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::Write;

/// Groups in the order in which they are written.
pub(crate) struct GroupTable<T> {
    /// The names of the columns, those of the keys first.
    pub(crate) names: Vec<String>,
    pub(crate) rows: Vec<(Vec<Key>, Vec<T>)>,
}

impl<T: Number> GroupTable<T> {
    /// A header and a line for each group.
    pub(super) fn csv(&self, out: &mut impl Write) -> Result<()> {
        let mut lines = csv::Writer::from_writer(out);
        lines.write_record(&self.names)?;
        for row in 0..self.rows.len() {
            lines.write_record(self.cells(row))?;
        }
        Ok(lines.flush()?)
    }

    /// A list of objects. The keys of a column are written as numbers, or as bools, if all of them are.
    pub(super) fn json(&self, out: &mut impl Write) -> Result<()> {
        for (place, name) in self.names.iter().enumerate() {
            let is_new = !self.names[..place].contains(name);
            ensure!(
                is_new,
                "two columns are called {name:?}, which an object of JSON cannot have; write .csv"
            );
        }
        let key_columns = self.rows.first().map_or(0, |(keys, _)| keys.len());
        let are_bare: Vec<bool> = (0..key_columns).map(|column| self.is_bare(column)).collect();
        let names: Vec<String> = self.names.iter().map(|name| string(name)).collect();
        out.write_all(b"[")?;
        for row in 0..self.rows.len() {
            out.write_all(if row > 0 { b",\n{" } else { b"{" })?;
            let numbers = self.rows[row].1.iter().map(|number| number.to_finite().is_some());
            let bare = are_bare.iter().copied().chain(numbers);
            for (column, (cell, is_bare)) in self.cells(row).zip(bare).enumerate() {
                let comma = if column > 0 { ", " } else { "" };
                let cell = if is_bare { cell } else { string(&cell) };
                write!(out, "{comma}{}: {cell}", names[column])?;
            }
            out.write_all(b"}")?;
        }
        Ok(out.write_all(b"]\n")?)
    }

    /// For reading: aligned, with the middle left out if it is long.
    pub(super) fn table(&self) -> String {
        let shown = cut(self.rows.len(), ROWS);
        let header: Vec<String> = self.names.iter().map(|name| printable(name)).collect();
        let lines: Vec<Vec<String>> = shown
            .iter()
            .map(|row| match row {
                Some(row) => self.cells(*row).map(|cell| printable(&cell)).collect(),
                None => vec!["⋮".into(); header.len()],
            })
            .collect();
        let width = |column: usize| {
            let cells = lines.iter().chain([&header]).map(|line| line[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..header.len()).map(width).collect();
        let mut text = String::new();
        let mut write_line = |line: &[String], style: Style| {
            for (column, cell) in line.iter().enumerate() {
                let (gap, width) = (if column > 0 { "  " } else { "" }, widths[column]);
                write!(text, "{gap}{style}{cell:>width$}{style:#}").unwrap_or_default();
            }
            text.push('\n');
        };
        write_line(&header, DIM);
        for (line, row) in lines.iter().zip(&shown) {
            write_line(line, if row.is_some() { Style::new() } else { DIM });
        }
        text
    }

    /// Whether no key of a column needs quotation marks in JSON.
    fn is_bare(&self, column: usize) -> bool {
        let mut keys = self.rows.iter().map(|(keys, _)| &keys[column]);
        keys.clone().all(|key| matches!(key, Key::Integer(_))) || keys.all(|key| matches!(key, Key::Bool(_)))
    }

    /// The text of a row, keys first.
    fn cells(&self, row: usize) -> impl Iterator<Item = String> + '_ {
        let (keys, values) = &self.rows[row];
        keys.iter().map(Key::to_string).chain(values.iter().map(|value| value.shortest()))
    }
}

fn string(text: &str) -> String {
    Value::from(text).to_string()
}

/// The text on one line, without control characters.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
