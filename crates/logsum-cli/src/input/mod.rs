//! Numbers from a file or a pipe, as an ndarray view.
//!
//! A `.npy` in this machine's own byte order is memory-mapped. Everything else (text, the other byte order, a pipe)
//! is decoded once into a spool, which moves to an unnamed temporary file when it grows. The rest of the program
//! only sees views, and never holds an input larger than a few dozen megabytes in memory.

mod map;
mod npy;
mod spool;
mod text;

use crate::progress::Progress;
use anyhow::{Context, Result, bail};
use bytemuck::Pod;
use logsum::Float;
use memmap2::Mmap;
use ndarray::{ArrayViewD, IxDyn, ShapeBuilder};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// A number as it lies in files.
pub(crate) trait Number: Float + Pod + Into<f64> {
    const DESCR: &'static str;

    /// The number whose bytes are these in the other order.
    fn swapped(self) -> Self;

    /// None for an infinity or a NaN.
    fn to_finite(self) -> Option<Self> {
        Into::<f64>::into(self).is_finite().then_some(self)
    }
}

impl Number for f32 {
    const DESCR: &'static str = if cfg!(target_endian = "little") { "<f4" } else { ">f4" };

    fn swapped(self) -> Self {
        Self::from_bits(self.to_bits().swap_bytes())
    }
}

impl Number for f64 {
    const DESCR: &'static str = if cfg!(target_endian = "little") { "<f8" } else { ">f8" };

    fn swapped(self) -> Self {
        Self::from_bits(self.to_bits().swap_bytes())
    }
}

/// An array of numbers, wherever they are.
pub(crate) enum Input {
    F32(Array<f32>),
    F64(Array<f64>),
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
pub(crate) fn read(path: &Path, progress: &Progress) -> Result<Input> {
    if path == Path::new("-") {
        return stream(io::stdin().lock(), None, progress).context("standard input");
    }
    open(path, progress).with_context(|| path.display().to_string())
}

fn open(path: &Path, progress: &Progress) -> Result<Input> {
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
        if let Some(input) = npy::mapped(&mut file)? {
            return Ok(input);
        }
    }
    stream(file, text::Separator::of_ending(path), progress)
}

/// Reads what is not mapped, from its start to its end.
fn stream(mut source: impl Read, separator: Option<text::Separator>, progress: &Progress) -> Result<Input> {
    let mut start = Vec::new();
    source.by_ref().take(npy::MAGIC.len() as u64).read_to_end(&mut start)?;
    let is_npy = start == npy::MAGIC;
    let source = progress.count_bytes(io::Cursor::new(start).chain(source));
    let source = BufReader::with_capacity(1 << 18, source);
    if is_npy { npy::decoded(source) } else { text::read(source, separator).map(Input::F64) }
}
