//! NumPy's file format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use super::spool::Spool;
use super::{Array, Input, Number, Storage, map};
use anyhow::{Context, Result, bail, ensure};
use half::{bf16, f16};
use num_bigint::BigInt;
use py_literal::Value;
use std::fs::File;
use std::io::Read;

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

/// A .npy: mapped if its bytes are floats in this machine's order, else decoded.
pub(super) fn mapped(file: &mut File) -> Result<Input> {
    let header = Header::read(&mut *file)?;
    let found = file.metadata()?.len();
    let input = match header.descr.as_str() {
        <f16 as Number>::DESCR => header.map(file, found)?.map(Input::F16),
        <bf16 as Number>::DESCR => header.map(file, found)?.map(Input::Bf16),
        <f32 as Number>::DESCR => header.map(file, found)?.map(Input::F32),
        <f64 as Number>::DESCR => header.map(file, found)?.map(Input::F64),
        _ => None,
    };
    match input {
        Some(input) => Ok(input),
        None => header.decode_any(std::io::BufReader::new(file)),
    }
}

/// A .npy from a pipe or from an archive.
pub(super) fn decoded(mut source: impl Read) -> Result<Input> {
    Header::read(&mut source)?.decode_any(source)
}

impl Header {
    fn read(mut source: impl Read) -> Result<Self> {
        let mut start = [0; 8];
        fill(&mut source, &mut start, 0)?;
        ensure!(start.starts_with(MAGIC), "is no .npy (byte 0); save the array again with numpy.save");
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

    /// The numbers where they are in the file; none if memory would not have them at addresses that suit them.
    fn map<T: Number>(&self, file: &File, file_size: u64) -> Result<Option<Array<T>>> {
        let count = self.count(size_of::<T>())?;
        self.check_size((count * size_of::<T>()) as u64, file_size - self.offset as u64)?;
        let is_aligned = self.offset.is_multiple_of(align_of::<T>());
        if !is_aligned || count == 0 {
            return Ok(None);
        }
        let numbers = Storage::Mapped(map::map(file)?, self.offset);
        Ok(Some(Array { numbers, shape: self.shape.clone(), fortran_order: self.fortran_order }))
    }

    fn decode_any(self, source: impl Read) -> Result<Input> {
        let descr = self.descr.as_str();
        let Some((order, code)) = descr.split_at_checked(1).filter(|(order, _)| "<>|".contains(order)) else {
            bail!(not_read(descr));
        };
        Ok(match code {
            "f2" => Input::F16(self.decode(source, |bytes| Ok(f16::from_le_bytes(bytes)))?),
            // Other types of two bytes that NumPy does not know have no byte order.
            "V2" if order != "|" => Input::Bf16(self.decode(source, |bytes| Ok(bf16::from_le_bytes(bytes)))?),
            "f4" => Input::F32(self.decode(source, |bytes| Ok(f32::from_le_bytes(bytes)))?),
            _ => Input::F64(match code {
                "f8" => self.decode(source, |bytes| Ok(f64::from_le_bytes(bytes)))?,
                "b1" => self.decode(source, |[byte]| truth(byte))?,
                "i1" => self.decode(source, |bytes| Ok(i8::from_le_bytes(bytes).into()))?,
                "i2" => self.decode(source, |bytes| Ok(i16::from_le_bytes(bytes).into()))?,
                "i4" => self.decode(source, |bytes| Ok(i32::from_le_bytes(bytes).into()))?,
                "i8" => self.decode(source, |bytes| exact(i64::from_le_bytes(bytes).into()))?,
                "u1" => self.decode(source, |bytes| Ok(u8::from_le_bytes(bytes).into()))?,
                "u2" => self.decode(source, |bytes| Ok(u16::from_le_bytes(bytes).into()))?,
                "u4" => self.decode(source, |bytes| Ok(u32::from_le_bytes(bytes).into()))?,
                "u8" => self.decode(source, |bytes| exact(u64::from_le_bytes(bytes).into()))?,
                _ => bail!(not_read(descr)),
            }),
        })
    }

    /// Reads numbers of N bytes, which are given with the lowest first.
    fn decode<T: Number, const N: usize>(
        self,
        mut source: impl Read,
        number: impl Fn([u8; N]) -> Result<T>,
    ) -> Result<Array<T>> {
        const BLOCK: usize = 4096;
        let count = self.count(N.max(size_of::<T>()))?;
        let is_big_endian = self.descr.starts_with('>');
        let mut spool = Spool::new();
        let mut block = [[0; N]; BLOCK];
        let mut bytes_found = 0;
        while spool.count() < count {
            let block = &mut block[..(count - spool.count()).min(BLOCK)];
            let bytes = block.as_flattened_mut();
            let filled = read_full(&mut source, bytes)?;
            bytes_found += filled as u64;
            if filled < bytes.len() {
                self.check_size((count * N) as u64, bytes_found)?;
            }
            if is_big_endian {
                block.iter_mut().for_each(|bytes| bytes.reverse());
            }
            for &bytes in block.iter() {
                spool.push(
                    number(bytes).with_context(|| format!("number {} in the file", spool.count() + 1))?,
                )?;
            }
        }
        let rest = std::io::copy(&mut source, &mut std::io::sink())?;
        self.check_size(bytes_found, bytes_found + rest)?;
        Ok(Array { numbers: spool.finish()?, shape: self.shape, fortran_order: self.fortran_order })
    }
}

fn truth(byte: u8) -> Result<f64> {
    ensure!(byte < 2, "the byte {byte} is no bool, which is 0 or 1; save the array again with numpy.save");
    Ok(byte.into())
}

/// An integer as f64, where that does not round it: results are those of the numbers that were given.
fn exact(integer: i128) -> Result<f64> {
    let number = integer as f64;
    ensure!(
        number as i128 == integer,
        "{integer} is an integer that f64 cannot hold; to have it rounded, save array.astype('f8')"
    );
    Ok(number)
}

fn not_read(descr: &str) -> String {
    let remedy = match descr.trim_start_matches(['<', '>', '|']).chars().next() {
        Some('c') => "complex numbers are not read: save array.real",
        Some('[') => "records are not read: save one of their fields, array['name']",
        _ => "f16, bf16, f32, f64, integers and bools are read: save it as array.astype('f8')",
    };
    format!("holds elements of type {descr:?}; {remedy}")
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
    let text = without_long_suffixes(text.trim());
    let Value::Dict(entries) = text.parse::<Value>().ok().context("it is no Python dictionary")? else {
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

/// Python 2 wrote 3L for what Python 3 writes as 3.
fn without_long_suffixes(text: &str) -> String {
    let (mut before, mut quote) = (' ', None);
    let mut is_kept = |c: char| {
        let is_suffix = c == 'L' && quote.is_none() && before.is_ascii_digit();
        match quote {
            None if matches!(c, '\'' | '"') => quote = Some(c),
            Some(open) if open == c => quote = None,
            _ => {}
        }
        before = c;
        !is_suffix
    };
    text.chars().filter(|&c| is_kept(c)).collect()
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
