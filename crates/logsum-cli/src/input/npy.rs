//! NumPy's file format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use super::spool::Spool;
use super::{Array, Input, Number, Storage, map};
use anyhow::{Context, Result, bail, ensure};
use num_bigint::BigInt;
use py_literal::Value;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// Headers hold a type, an order and a shape; NumPy itself refuses those above 10 000 bytes by default.
const LONGEST_HEADER: usize = 10_000;

/// How deeply brackets nest in a header; the parser's time grows exponentially with it.
const DEEPEST: usize = 8;

struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
    /// Where the numbers start.
    offset: usize,
}

/// A file that is a .npy: mapped if its bytes are in this machine's order, else decoded.
pub(super) fn mapped(file: &mut File) -> Result<Option<Input>> {
    let mut start = Vec::new();
    file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut start)?;
    file.seek(SeekFrom::Start(0))?;
    if start != MAGIC {
        return Ok(None);
    }
    let header = Header::read(&mut *file)?;
    let found = file.metadata()?.len();
    let input = match header.descr.as_str() {
        <f32 as Number>::DESCR => header.map(file, found).map(Input::F32)?,
        <f64 as Number>::DESCR => header.map(file, found).map(Input::F64)?,
        _ => header.decode_any(std::io::BufReader::new(file))?,
    };
    Ok(Some(input))
}

/// A .npy from a pipe.
pub(super) fn decoded(mut source: impl Read) -> Result<Input> {
    Header::read(&mut source)?.decode_any(source)
}

impl Header {
    fn read(mut source: impl Read) -> Result<Self> {
        let mut start = [0; 8];
        fill(&mut source, &mut start, 0)?;
        let [.., major, minor] = start;
        let size_bytes = match (major, minor) {
            (1, 0) => 2,
            (2 | 3, 0) => 4,
            _ => bail!(
                "is a .npy of the unknown version {major}.{minor} (byte 6); versions 1.0, 2.0 and 3.0 are read"
            ),
        };
        let mut size = [0; 4];
        fill(&mut source, &mut size[..size_bytes], 8)?;
        let size = u32::from_le_bytes(size) as usize;
        let offset = 8 + size_bytes;
        ensure!(
            size <= LONGEST_HEADER,
            "has a .npy header of {size} bytes (byte 8), more than the {LONGEST_HEADER} that any array of numbers needs"
        );
        let mut text = vec![0; size];
        fill(&mut source, &mut text, offset)?;
        let text = String::from_utf8_lossy(&text);
        let (descr, fortran_order, shape) = interpret(&text).with_context(|| {
            format!("has a broken .npy header (byte {offset}); save the array again with numpy.save")
        })?;
        Ok(Self { descr, fortran_order, shape, offset: offset + size })
    }

    /// How many numbers of `size` bytes the shape asks for; the same in bytes fits into memory addresses.
    fn count(&self, size: usize) -> Result<usize> {
        let count = match self.shape.contains(&0) {
            true => Some(0),
            false => self.shape.iter().try_fold(1_usize, |count, &length| count.checked_mul(length)),
        };
        let addressable =
            |count: &usize| count.checked_mul(size).is_some_and(|bytes| bytes <= isize::MAX as usize);
        // ndarray multiplies the lengths that are not 0, too.
        let lengths = self.shape.iter().filter(|&&length| length > 0);
        let extent = lengths.copied().try_fold(1_usize, usize::checked_mul);
        match (count.filter(addressable), extent.filter(addressable)) {
            (Some(count), Some(_)) => Ok(count),
            _ => bail!("has the shape {:?} in its .npy header, which no memory can hold", self.shape),
        }
    }

    fn check_size(&self, expected: u64, found: u64) -> Result<()> {
        let shape = &self.shape;
        if found < expected {
            bail!(
                "is cut off: shape {shape:?} of type {} needs {expected} bytes after the header, {found} are there",
                self.descr
            );
        }
        let extra = found - expected;
        ensure!(
            extra == 0,
            "has {extra} bytes after the numbers of its shape {shape:?} (byte {})",
            self.offset as u64 + expected
        );
        Ok(())
    }

    fn map<T: Number>(self, file: &mut File, file_size: u64) -> Result<Array<T>> {
        let count = self.count(size_of::<T>())?;
        self.check_size((count * size_of::<T>()) as u64, file_size - self.offset as u64)?;
        let is_aligned = self.offset.is_multiple_of(align_of::<T>());
        if !is_aligned || count == 0 {
            return self.decode(file);
        }
        let numbers = Storage::Mapped(map::map(file)?, self.offset);
        Ok(Array { numbers, shape: self.shape, fortran_order: self.fortran_order })
    }

    fn decode_any(self, source: impl Read) -> Result<Input> {
        match self.descr.as_str() {
            ">f4" | "<f4" => self.decode(source).map(Input::F32),
            ">f8" | "<f8" => self.decode(source).map(Input::F64),
            _ => bail!(
                "holds numbers of type {:?}; f32 and f64 are read: save it as array.astype('f8')",
                self.descr
            ),
        }
    }

    fn decode<T: Number>(self, mut source: impl Read) -> Result<Array<T>> {
        let count = self.count(size_of::<T>())?;
        let is_foreign = self.descr != T::DESCR;
        let mut spool = Spool::new();
        let mut block = [T::zeroed(); 4096];
        let mut bytes_found = 0;
        while spool.count() < count {
            let block = &mut block[..(count - spool.count()).min(4096)];
            let bytes = bytemuck::cast_slice_mut(block);
            let filled = read_full(&mut source, bytes)?;
            bytes_found += filled as u64;
            if filled < bytes.len() {
                self.check_size((count * size_of::<T>()) as u64, bytes_found)?;
            }
            block
                .iter()
                .try_for_each(|&number| spool.push(if is_foreign { number.swapped() } else { number }))?;
        }
        let rest = std::io::copy(&mut source, &mut std::io::sink())?;
        self.check_size(bytes_found, bytes_found + rest)?;
        Ok(Array { numbers: spool.finish()?, shape: self.shape, fortran_order: self.fortran_order })
    }
}

/// Reads until the buffer is full or the source ends.
fn read_full(source: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(filled)
}

fn fill(source: &mut impl Read, buffer: &mut [u8], offset: usize) -> Result<()> {
    let filled = read_full(source, buffer)?;
    let (end, missing) = (offset + filled, buffer.len() - filled);
    ensure!(missing == 0, "is cut off at byte {end}: {missing} more bytes of the .npy header are missing");
    Ok(())
}

/// The header's text is a Python dictionary.
fn interpret(text: &str) -> Result<(String, bool, Vec<usize>)> {
    ensure!(depth(text) <= DEEPEST, "its brackets are nested too deeply");
    let Value::Dict(entries) = text.trim().parse::<Value>().ok().context("it is no Python dictionary")?
    else {
        bail!("it is no Python dictionary");
    };
    let entry = |key: &str| {
        let is_it = |found: &Value| matches!(found, Value::String(found) if found == key);
        let found = entries.iter().find(|(found, _)| is_it(found)).map(|(_, value)| value);
        found.with_context(|| format!("it lacks '{key}'"))
    };
    let descr = match entry("descr")? {
        Value::String(descr) => descr.replace('=', if cfg!(target_endian = "little") { "<" } else { ">" }),
        structured => structured.to_string(),
    };
    let Value::Boolean(fortran_order) = entry("fortran_order")? else {
        bail!("its 'fortran_order' is no bool")
    };
    let Value::Tuple(shape) = entry("shape")? else { bail!("its 'shape' is no tuple") };
    let length = |value: &Value| match value {
        Value::Integer(length) if *length >= BigInt::ZERO => usize::try_from(length.clone())
            .ok()
            .with_context(|| format!("its 'shape' has the length {length}")),
        other => bail!("its 'shape' has the length {other}"),
    };
    let shape = shape.iter().map(length).collect::<Result<_>>()?;
    Ok((descr, *fortran_order, shape))
}

fn depth(text: &str) -> usize {
    let mut depth = 0_usize;
    let depths = text.chars().map(|c| {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth
    });
    depths.max().unwrap_or(0)
}
