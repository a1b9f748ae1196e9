//! Numbers from a file or a pipe, as an ndarray view.
//!
//! A `.npy` or `.safetensors` of floats in this machine's own byte order is memory-mapped. Everything else (text,
//! `.npz`, `.parquet`, integers, the other byte order, a pipe) is decoded once into a spool, which moves to an unnamed
//! temporary file when it grows. The rest of the program only sees views, and never holds an input larger than a few
//! dozen megabytes in memory. Grouped input (`table`) is not kept at all: it is read row by row.

mod archive;
mod element;
mod line_ends;
mod map;
mod npy;
mod npz;
mod numeric_table;
mod parquet;
mod quoting;
mod raw;
mod safetensors;
mod selection;
mod signatures;
mod spool;
mod table;
mod text;

pub(crate) use element::Number;
pub(crate) use selection::Selection;
pub(crate) use spool::Spool;
pub(crate) use table::{Key, Table};

use crate::progress::Progress;
use anyhow::{Context, Result, bail, ensure};
use half::{bf16, f16};
use line_ends::LineEnds;
use memmap2::Mmap;
use ndarray::{ArrayViewD, CowArray, IxDyn, ShapeBuilder};
use parquet::ParquetTable;
use signatures::Content;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

/// The types of floats that tables have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precision {
    F16,
    F32,
    F64,
}

/// An array of numbers, wherever they are.
pub(crate) enum Input {
    F16(Array<f16>),
    Bf16(Array<bf16>),
    F32(Array<f32>),
    F64(Array<f64>),
}

impl Input {
    /// The numbers as f64, which represents those of all other types exactly.
    pub(crate) fn in_f64(&self) -> Result<CowArray<'_, f64, IxDyn>> {
        Ok(match self {
            Self::F16(array) => array.view()?.mapv(f64::from).into(),
            Self::Bf16(array) => array.view()?.mapv(f64::from).into(),
            Self::F32(array) => array.view()?.mapv(f64::from).into(),
            Self::F64(array) => array.view()?.into(),
        })
    }
}

/// Which of a file's numbers are read.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// An array of a `.npz` or `.safetensors`.
    pub(crate) array: Option<String>,
    /// Columns of a text table or of a `.parquet`.
    pub(crate) columns: Option<Selection>,
    /// The prefix of the options that choose these two.
    pub(crate) prefix: &'static str,
}

impl Part {
    pub(crate) fn is_chosen(&self) -> bool {
        self.array.is_some() || self.columns.is_some()
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (&self.array, &self.columns) == (&other.array, &other.columns)
    }

    pub(crate) fn option(&self, name: &str) -> String {
        format!("--{}{name}", self.prefix)
    }

    /// An error if a file of this format cannot have the chosen parts.
    fn check(&self, content: Content) -> Result<()> {
        let what = content.name();
        let (array, columns) = (self.option("array"), self.option("columns"));
        let has_array = matches!(content, Content::Zip | Content::Safetensors);
        ensure!(
            self.array.is_none() || has_array,
            "is {what}: leave out {array}, which chooses an array of a .npz or .safetensors"
        );
        let has_columns = matches!(content, Content::Parquet | Content::Text);
        ensure!(
            self.columns.is_none() || has_columns,
            "is {what}: leave out {columns}, which chooses columns of a table"
        );
        Ok(())
    }
}

pub(crate) struct Array<T> {
    numbers: Storage<T>,
    shape: Vec<usize>,
    fortran_order: bool,
}

enum Storage<T> {
    Memory(Vec<T>),
    /// The numbers start at the offset, which is aligned for them.
    Mapped(Mmap, usize),
}

impl<T: Number> Array<T> {
    pub(crate) fn view(&self) -> Result<ArrayViewD<'_, T>> {
        let count: usize = self.shape.iter().product();
        let numbers = match &self.numbers {
            Storage::Memory(numbers) => &numbers[..],
            Storage::Mapped(map, offset) => bytemuck::cast_slice(&map[*offset..][..count * size_of::<T>()]),
        };
        let shape = IxDyn(&self.shape).set_f(self.fortran_order);
        Ok(ArrayViewD::from_shape(shape, numbers)?)
    }
}

/// Reads the numbers of a file, or of standard input if the path is `-`.
pub(crate) fn read(path: &Path, part: &Part, progress: &Progress) -> Result<Input> {
    if path == Path::new("-") {
        return stream(io::stdin().lock(), None, part, progress).context("standard input");
    }
    open(path, part, progress).with_context(|| path.display().to_string())
}

fn open(path: &Path, part: &Part, progress: &Progress) -> Result<Input> {
    let mut file = open_file(path)?;
    if file.metadata()?.is_file() {
        let content = content_of(&mut file)?;
        part.check(content)?;
        progress.reading(file.metadata()?.len());
        match content {
            Content::Npy => return npy::of_file(&mut file),
            Content::Zip | Content::Safetensors | Content::Parquet => {
                return seekable(content, file, part, progress);
            }
            Content::Text => {}
        }
    }
    stream(file, text::Separator::of_ending(path), part, progress)
}

fn open_file(path: &Path) -> Result<File> {
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow::anyhow!("there is no such file"),
        io::ErrorKind::PermissionDenied => anyhow::anyhow!("no permission to read it"),
        _ => anyhow::Error::new(error).context("cannot be opened"),
    })?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        bail!("is a folder; name a file of numbers in it");
    }
    if metadata.is_file() && metadata.len() == 0 {
        bail!("is empty; it must hold at least one number");
    }
    Ok(file)
}

/// The format of the file, which is then back at its start.
fn content_of(file: &mut File) -> Result<Content> {
    let content = signatures::content(&start_of(file)?)?;
    file.rewind()?;
    Ok(content)
}

fn start_of(source: &mut impl Read) -> Result<Vec<u8>> {
    let mut start = Vec::new();
    source.take(signatures::LENGTH as u64).read_to_end(&mut start)?;
    Ok(start)
}

/// Reads a file in one of the formats that need random access.
fn seekable(content: Content, mut file: File, part: &Part, progress: &Progress) -> Result<Input> {
    let (name, option) = (part.array.as_deref(), part.option("array"));
    match content {
        Content::Zip => npz::read(BufReader::new(file), name, &option, progress),
        Content::Safetensors => safetensors::read(&mut file, name, &option),
        _ => {
            let table = ParquetTable::open(file, part, None)?;
            Ok(match table.precision() {
                Precision::F16 => Input::F16(table.array(progress)?),
                Precision::F32 => Input::F32(table.array(progress)?),
                Precision::F64 => Input::F64(table.array(progress)?),
            })
        }
    }
}

/// Reads a file or pipe that is not mapped, from its start to its end.
fn stream(
    mut source: impl Read,
    separator: Option<text::Separator>,
    part: &Part,
    progress: &Progress,
) -> Result<Input> {
    let start = start_of(&mut source)?;
    let content = signatures::content(&start)?;
    part.check(content)?;
    let mut source = progress.count_bytes(io::Cursor::new(start).chain(source));
    match content {
        Content::Npy => npy::decoded(buffered(source)),
        // These need a file: their tables of contents are at the end, or their arrays are to be mapped.
        Content::Zip | Content::Safetensors | Content::Parquet => {
            seekable(content, spool::copy_to_file(&mut source)?, part, progress)
        }
        Content::Text => {
            let lines = buffered(LineEnds::new(source));
            text::read(lines, separator, part).map(Input::F64)
        }
    }
}

fn buffered<R: Read>(source: R) -> BufReader<R> {
    BufReader::with_capacity(1 << 18, source)
}
