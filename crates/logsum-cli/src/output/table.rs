//! A table for reading: aligned, with indices, and with the middle left out if it would not fit.

use crate::input::Number;
use anstyle::Style;
use std::fmt::Write;

/// Rows and matrices shown before the middle is left out, half of them at each end.
pub(super) const ROWS: usize = 40;
const MATRICES: usize = 6;

pub(super) const DIM: Style = Style::new().dimmed();

pub(super) fn render<T: Number>(shape: &[usize], numbers: &[T]) -> String {
    let mut text = String::new();
    match *shape {
        [] => numbers.iter().for_each(|number| writeln!(text, "{}", number.shortest()).unwrap_or_default()),
        _ if numbers.is_empty() => {
            writeln!(text, "{DIM}nothing: an array of shape {shape:?}{DIM:#}").unwrap_or_default()
        }
        [rows] => matrix(&mut text, rows, 1, numbers, Number::shortest, false),
        [.., rows, columns] => {
            let outer = &shape[..shape.len() - 2];
            let count = outer.iter().product();
            for (position, shown) in cut(count, MATRICES).into_iter().enumerate() {
                if position > 0 {
                    text.push('\n');
                }
                let Some(index) = shown else {
                    writeln!(text, "{DIM}⋮{DIM:#}").unwrap_or_default();
                    continue;
                };
                if !outer.is_empty() {
                    writeln!(text, "{DIM}{}{DIM:#}", title(outer, index)).unwrap_or_default();
                }
                let numbers = &numbers[index * rows * columns..][..rows * columns];
                matrix(&mut text, rows, columns, numbers, six_digits, true);
            }
        }
    }
    text
}

/// Which of `count` things are shown: all, or the first and last with a gap (none) between.
pub(super) fn cut(count: usize, most: usize) -> Vec<Option<usize>> {
    if count <= most {
        return (0..count).map(Some).collect();
    }
    let half = most / 2;
    (0..half).map(Some).chain([None]).chain((count - half..count).map(Some)).collect()
}

/// `[2, 0, ·, ·]`, the place of a matrix in an array.
fn title(outer: &[usize], mut index: usize) -> String {
    let mut places: Vec<String> = Vec::new();
    for length in outer.iter().rev() {
        places.insert(0, (index % length).to_string());
        index /= length;
    }
    format!("[{}, ·, ·]", places.join(", "))
}

/// Six significant digits, without trailing zeros.
fn six_digits<T: Number>(number: T) -> String {
    // A narrow type gets no more digits than it has.
    let x: f64 = number.shortest().parse().unwrap_or(number.into());
    if !x.is_finite() || x == 0.0 {
        return format!("{number}");
    }
    let scientific = format!("{x:.5e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |digits: &str| match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => digits.to_owned(),
    };
    match exponent {
        -5..=9 => trim(&format!("{x:.*}", usize::try_from(5 - exponent).unwrap_or(0))),
        _ => format!("{}e{exponent}", trim(digits)),
    }
}

fn matrix<T: Number>(
    text: &mut String,
    rows: usize,
    columns: usize,
    numbers: &[T],
    format: impl Fn(T) -> String,
    with_header: bool,
) {
    let shown_rows = cut(rows, ROWS);
    let width_of = |column: usize| {
        let cells =
            shown_rows.iter().flatten().map(|row| format(numbers[row * columns + column]).chars().count());
        cells.chain([column.to_string().len()]).max().unwrap_or(0)
    };
    let index_width = rows.saturating_sub(1).to_string().len();
    let terminal = terminal_size::terminal_size().map_or(100, |(width, _)| usize::from(width.0));
    // As many columns as fit, if they were all as wide as the widest of the first and last few.
    let sample = (0..columns).filter(|&column| column < 20 || column + 20 >= columns);
    let widest = sample.map(width_of).max().unwrap_or(1);
    let fitting = (terminal.saturating_sub(index_width + 3) / (widest + 2)).max(2);
    let shown_columns: Vec<(Option<usize>, usize)> =
        cut(columns, fitting).into_iter().map(|column| (column, column.map_or(1, width_of))).collect();

    let mut line = |index: String, cell: &dyn Fn(usize) -> String, style: Style| {
        write!(text, "{DIM}{index:>index_width$}{DIM:#}").unwrap_or_default();
        for &(column, width) in &shown_columns {
            let cell = column.map_or("…".into(), cell);
            write!(text, "  {style}{cell:>width$}{style:#}").unwrap_or_default();
        }
        text.push('\n');
    };
    if with_header {
        line(String::new(), &|column| column.to_string(), DIM);
    }
    for row in shown_rows {
        match row {
            Some(row) => {
                line(row.to_string(), &|column| format(numbers[row * columns + column]), Style::new())
            }
            None => line("⋮".into(), &|_| "⋮".into(), DIM),
        }
    }
}
