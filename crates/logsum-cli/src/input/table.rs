//! Tables with columns to group by, which are read row by row, as often as needed.

use super::line_ends::LineEnds;
use super::numeric_table::Grouped;
use super::parquet::ParquetTable;
use super::signatures::{self, Content};
use super::text::Separator;
use super::{Part, Precision, Selection, buffered, open_file, spool, start_of, text};
use crate::progress::Progress;
use anyhow::{Context, Result, bail};
use std::fmt;
use std::fs::File;
use std::io::{Cursor, Read, Seek, stdin};
use std::path::Path;

/// A value of a column that rows are grouped by. A word of a text table is an integer if it is written as one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    Integer(i128),
    Bool(bool),
    Text(String),
}

impl Key {
    /// The key for a word of a text table: 7 is an integer, but 07 is a different key.
    pub(super) fn of_word(word: &str) -> Self {
        match word.parse::<i128>() {
            Ok(integer) if integer.to_string() == word => Self::Integer(integer),
            _ => Self::Text(word.to_owned()),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(integer) => write!(f, "{integer}"),
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// The names of a table's columns; their numbers if there is no header.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) keys: Vec<String>,
    pub(crate) numbers: Vec<String>,
}

/// Receives the keys and the numbers of a row.
pub(crate) type TakeRow<'a> = dyn FnMut(&[Key], &[f64]) -> Result<()> + 'a;

/// The table of a file, with columns of keys and columns of numbers.
pub(crate) struct Table<'a> {
    source: Source,
    part: &'a Part,
    by: &'a Selection,
    /// For error messages.
    name: String,
}

enum Source {
    Text(File, Option<Separator>),
    Parquet(ParquetTable),
}

impl<'a> Table<'a> {
    /// The table of a file, or of standard input if the path is `-`. A pipe, which cannot be read twice, is copied
    /// first.
    pub(crate) fn open(path: &Path, part: &'a Part, by: &'a Selection) -> Result<Self> {
        let is_pipe = path == Path::new("-");
        let name = if is_pipe { "standard input".into() } else { path.display().to_string() };
        let source = match is_pipe {
            true => Source::of_pipe(stdin().lock(), None, part, by),
            false => Source::of_path(path, part, by),
        };
        Ok(Self { source: source.with_context(|| name.clone())?, part, by, name })
    }

    /// The type that all the numbers have in common.
    pub(crate) fn precision(&self) -> Precision {
        match &self.source {
            Source::Text(..) => Precision::F64,
            Source::Parquet(table) => table.precision(),
        }
    }

    /// Reads all rows; gives the names of the columns.
    pub(crate) fn read(&self, progress: &Progress, take: &mut TakeRow<'_>) -> Result<Names> {
        match &self.source {
            Source::Text(file, separator) => read_text(file, *separator, self.part, self.by, progress, take),
            Source::Parquet(table) => table.rows(progress, take),
        }
        .with_context(|| self.name.clone())
    }
}

impl Source {
    fn of_path(path: &Path, part: &Part, by: &Selection) -> Result<Self> {
        let mut file = open_file(path)?;
        let separator = Separator::of_ending(path);
        if !file.metadata()?.is_file() {
            return Self::of_pipe(file, separator, part, by);
        }
        let content = content(&start_of(&mut file)?)?;
        Self::new(content, file, separator, part, by)
    }

    /// Copies a pipe, which cannot be read twice, if it is a table.
    fn of_pipe(
        mut pipe: impl Read,
        separator: Option<Separator>,
        part: &Part,
        by: &Selection,
    ) -> Result<Self> {
        let start = start_of(&mut pipe)?;
        let content = content(&start)?;
        let file = spool::copy_to_file(&mut Cursor::new(start).chain(pipe))?;
        Self::new(content, file, separator, part, by)
    }

    fn new(
        content: Content,
        file: File,
        separator: Option<Separator>,
        part: &Part,
        by: &Selection,
    ) -> Result<Self> {
        match content {
            Content::Parquet => ParquetTable::open(file, part, Some(by)).map(Self::Parquet),
            _ => Ok(Self::Text(file, separator)),
        }
    }
}

/// The format of a file that starts with these bytes, if it is a table.
fn content(start: &[u8]) -> Result<Content> {
    match signatures::content(start)? {
        table @ (Content::Text | Content::Parquet) => Ok(table),
        other => bail!("is {}: --by groups the rows of a text table or of a .parquet", other.name()),
    }
}

fn read_text(
    mut file: &File,
    separator: Option<Separator>,
    part: &Part,
    by: &Selection,
    progress: &Progress,
    take: &mut TakeRow<'_>,
) -> Result<Names> {
    file.rewind()?;
    progress.reading(file.metadata()?.len());
    let lines = buffered(LineEnds::new(progress.count_bytes(file)));
    text::rows(lines, separator, part, Grouped { by, take })
}
