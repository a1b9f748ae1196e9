//! Numbers from a file or a pipe, as an ndarray view.
//!
//! A `.npy` of floats in this machine's own byte order is memory-mapped. Everything else (text, `.npz`, integers, the
//! other byte order, a pipe) is decoded once into a spool, which moves to an unnamed temporary file when it grows. The
//! rest of the program only sees views, and never holds an input larger than a few dozen megabytes in memory.

mod element;
mod line_ends;
mod map;
mod npy;
mod npz;
mod numeric_table;
mod quoting;
mod selection;
mod signatures;
mod spool;
mod text;

pub(crate) use element::Number;
pub(crate) use selection::Selection;

use crate::progress::Progress;
use anyhow::{Context, Result, bail, ensure};
use half::{bf16, f16};
use line_ends::LineEnds;
use memmap2::Mmap;
use ndarray::{ArrayViewD, CowArray, IxDyn, ShapeBuilder};
use signatures::Content;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

/// An array of numbers, wherever they are.
pub(crate) enum Input {
    F16(Array<f16>),
    Bf16(Array<bf16>),
    F32(Array<f32>),
    F64(Array<f64>),
}

impl Input {
    /// The numbers as f64, which has all of those of the other types.
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
    /// An array of a `.npz`.
    pub(crate) array: Option<String>,
    /// Columns of a text table.
    pub(crate) columns: Option<Selection>,
    /// Before the names of the options that say these two.
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

    /// A complaint if such a file does not have such parts.
    fn check(&self, content: Content) -> Result<()> {
        let what = match content {
            Content::Npy => "a .npy, which is one array",
            Content::Zip => "a .npz",
            Content::Text => "a text table",
        };
        let (array, columns) = (self.option("array"), self.option("columns"));
        let has_array = self.array.is_none() || content == Content::Zip;
        ensure!(has_array, "is {what}: leave out {array}, which chooses an array of a .npz");
        let has_columns = self.columns.is_none() || content == Content::Text;
        ensure!(has_columns, "is {what}: leave out {columns}, which chooses columns of a text table");
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
    let mut file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow::anyhow!("there is no such file"),
        io::ErrorKind::PermissionDenied => anyhow::anyhow!("no permission to read it"),
        _ => anyhow::Error::new(error).context("cannot be opened"),
    })?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        bail!("is a folder; name a file of numbers in it");
    }
    if metadata.is_file() {
        if metadata.len() == 0 {
            bail!("is empty; it must hold at least one number");
        }
        progress.reading(metadata.len());
        let content = signatures::content(&start_of(&mut file)?)?;
        file.rewind()?;
        part.check(content)?;
        match content {
            Content::Npy => return npy::mapped(&mut file),
            Content::Zip => return npz(BufReader::new(file), part, progress),
            Content::Text => {}
        }
    }
    stream(file, text::Separator::of_ending(path), part, progress)
}

fn start_of(source: &mut impl Read) -> Result<Vec<u8>> {
    let mut start = Vec::new();
    source.take(signatures::LENGTH as u64).read_to_end(&mut start)?;
    Ok(start)
}

fn npz(source: impl Read + Seek, part: &Part, progress: &Progress) -> Result<Input> {
    npz::read(source, part.array.as_deref(), &part.option("array"), progress)
}

/// Reads what is not mapped, from its start to its end.
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
        // Its table of contents is at its end.
        Content::Zip => npz(BufReader::new(spool::copy_to_file(&mut source)?), part, progress),
        Content::Text => {
            let lines = buffered(LineEnds::new(source));
            text::read(lines, separator, part).map(Input::F64)
        }
    }
}

fn buffered<R: Read>(source: R) -> BufReader<R> {
    BufReader::with_capacity(1 << 18, source)
}
