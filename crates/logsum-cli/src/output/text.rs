//! Numbers as text that reads back to the same bits.

use crate::input::Number;
use std::io::{self, Write};

/// The numbers of the last axis on one line; those of a vector on a line each; a blank line between matrices.
pub(super) fn rows<T: Number>(
    out: &mut impl Write,
    shape: &[usize],
    numbers: impl Iterator<Item = (usize, T)>,
    separator: char,
) -> io::Result<()> {
    let [columns, rows] = match shape {
        [.., rows, columns] => [*columns, *rows],
        _ => [1, usize::MAX],
    };
    for (index, number) in numbers {
        if index > 0 && index.is_multiple_of(columns) && (index / columns).is_multiple_of(rows) {
            writeln!(out)?;
        }
        out.write_all(number.shortest().as_bytes())?;
        match (index + 1).is_multiple_of(columns) {
            true => writeln!(out)?,
            false => write!(out, "{separator}")?,
        }
    }
    Ok(())
}

/// Nested lists. JSON has no infinities and no NaN: these are strings, which `float` in Python reads.
pub(super) fn json<T: Number>(
    out: &mut impl Write,
    shape: &[usize],
    numbers: impl Iterator<Item = (usize, T)>,
) -> io::Result<()> {
    // How many numbers each list holds, the outermost first.
    let sizes: Vec<usize> = (0..shape.len()).map(|axis| shape[axis..].iter().product()).collect();
    for (index, number) in numbers {
        let opened = sizes.iter().filter(|&&size| index.is_multiple_of(size)).count();
        let closed = sizes.iter().filter(|&&size| (index + 1).is_multiple_of(size)).count();
        if index > 0 {
            // Rows of a matrix begin on lines of their own.
            out.write_all(if opened > 0 { b",\n" } else { b", " })?;
        }
        out.write_all("[".repeat(opened).as_bytes())?;
        match number.to_finite() {
            Some(number) => out.write_all(number.shortest().as_bytes())?,
            None => write!(out, "\"{}\"", number.shortest())?,
        }
        out.write_all("]".repeat(closed).as_bytes())?;
    }
    Ok(())
}

/// The end of the line, and the lists that an array without numbers still has.
pub(super) fn json_end(out: &mut impl Write, shape: &[usize]) -> io::Result<()> {
    fn empty(out: &mut impl Write, shape: &[usize]) -> io::Result<()> {
        let Some((&length, rest)) = shape.split_first() else { return Ok(()) };
        out.write_all(b"[")?;
        for index in 0..length {
            out.write_all(if index > 0 { b", " } else { b"" })?;
            empty(out, rest)?;
        }
        out.write_all(b"]")
    }
    if shape.contains(&0) {
        empty(out, shape)?;
    }
    writeln!(out)
}
