//! Arrays whose elements are stored in a file one after the other, of any type and in either byte order.

use super::spool::Spool;
use super::{Array, Input, Number, Storage, map};
use anyhow::{Context, Result, bail, ensure};
use half::{bf16, f16};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};

/// The type of the elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    F16,
    Bf16,
    F32,
    F64,
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
}

impl Element {
    fn size(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }
}

/// An array as it is stored in a file.
pub(super) struct RawArray {
    pub(super) element: Element,
    /// The file's name for the type.
    pub(super) type_name: String,
    pub(super) is_big_endian: bool,
    pub(super) fortran_order: bool,
    pub(super) shape: Vec<usize>,
    /// Where the elements start in the file.
    pub(super) offset: usize,
}

impl RawArray {
    /// The array of a file in which it occupies the given number of bytes: mapped if these are numbers as this machine
    /// stores them in memory, otherwise decoded.
    pub(super) fn of_file(self, file: &mut File, bytes: u64) -> Result<Input> {
        self.check_size((self.count()? * self.element.size()) as u64, bytes)?;
        if !self.lies_as_in_memory() {
            file.seek(SeekFrom::Start(self.offset as u64))?;
            return self.decoded(BufReader::new(file).take(bytes));
        }
        let map = map::map(file)?;
        Ok(match self.element {
            Element::F16 => Input::F16(self.mapped(map)),
            Element::Bf16 => Input::Bf16(self.mapped(map)),
            Element::F32 => Input::F32(self.mapped(map)),
            _ => Input::F64(self.mapped(map)),
        })
    }

    /// Whether the elements are floats in this machine's byte order, at aligned addresses.
    fn lies_as_in_memory(&self) -> bool {
        let is_float = matches!(self.element, Element::F16 | Element::Bf16 | Element::F32 | Element::F64);
        let is_native = self.is_big_endian == cfg!(target_endian = "big");
        // An array without elements cannot be mapped.
        is_float && is_native && self.offset.is_multiple_of(self.element.size()) && !self.shape.contains(&0)
    }

    fn mapped<T: Number>(self, map: memmap2::Mmap) -> Array<T> {
        let numbers = Storage::Mapped(map, self.offset);
        Array { numbers, shape: self.shape, fortran_order: self.fortran_order }
    }

    /// The array whose elements are all that the source contains.
    pub(super) fn decoded(self, source: impl Read) -> Result<Input> {
        Ok(match self.element {
            Element::F16 => Input::F16(self.decode(source, |bytes| Ok(f16::from_le_bytes(bytes)))?),
            Element::Bf16 => Input::Bf16(self.decode(source, |bytes| Ok(bf16::from_le_bytes(bytes)))?),
            Element::F32 => Input::F32(self.decode(source, |bytes| Ok(f32::from_le_bytes(bytes)))?),
            element => Input::F64(match element {
                Element::Bool => self.decode(source, |[byte]| truth(byte))?,
                Element::I8 => self.decode(source, |bytes| Ok(i8::from_le_bytes(bytes).into()))?,
                Element::I16 => self.decode(source, |bytes| Ok(i16::from_le_bytes(bytes).into()))?,
                Element::I32 => self.decode(source, |bytes| Ok(i32::from_le_bytes(bytes).into()))?,
                Element::I64 => self.decode(source, |bytes| exact(i64::from_le_bytes(bytes).into()))?,
                Element::U8 => self.decode(source, |bytes| Ok(u8::from_le_bytes(bytes).into()))?,
                Element::U16 => self.decode(source, |bytes| Ok(u16::from_le_bytes(bytes).into()))?,
                Element::U32 => self.decode(source, |bytes| Ok(u32::from_le_bytes(bytes).into()))?,
                Element::U64 => self.decode(source, |bytes| exact(u64::from_le_bytes(bytes).into()))?,
                _ => self.decode(source, |bytes| Ok(f64::from_le_bytes(bytes)))?,
            }),
        })
    }

    /// Reads elements of N bytes each; they are passed on with the lowest byte first.
    fn decode<T: Number, const N: usize>(
        self,
        mut source: impl Read,
        number: impl Fn([u8; N]) -> Result<T>,
    ) -> Result<Array<T>> {
        const BLOCK: usize = 4096;
        let count = self.count()?;
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
            if self.is_big_endian {
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

    /// The number of elements of the shape; an error if they do not fit into the address space, as stored or as f64.
    fn count(&self) -> Result<usize> {
        let count = match self.shape.contains(&0) {
            true => Some(0),
            false => self.shape.iter().try_fold(1_usize, |count, &length| count.checked_mul(length)),
        };
        let addressable = |count: &usize| {
            count.checked_mul(size_of::<f64>()).is_some_and(|bytes| bytes <= isize::MAX as usize)
        };
        // ndarray also requires that the product of the nonzero lengths fits.
        let lengths = self.shape.iter().filter(|&&length| length > 0);
        let extent = lengths.copied().try_fold(1_usize, usize::checked_mul);
        match (count.filter(addressable), extent.filter(addressable)) {
            (Some(count), Some(_)) => Ok(count),
            _ => bail!("has the shape {:?} in its header, which is too large for memory", self.shape),
        }
    }

    fn check_size(&self, expected: u64, found: u64) -> Result<()> {
        let shape = &self.shape;
        if found < expected {
            bail!(
                "is cut off: shape {shape:?} of type {} needs {expected} bytes after the header, {found} are there",
                self.type_name
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
}

fn truth(byte: u8) -> Result<f64> {
    ensure!(byte < 2, "the byte {byte} is not a bool, which is 0 or 1; save the array again");
    Ok(byte.into())
}

/// An integer as f64; an error if that would round it, since results must be those of the given numbers.
pub(super) fn exact(integer: i128) -> Result<f64> {
    let number = integer as f64;
    ensure!(
        number as i128 == integer,
        "{integer} is an integer that f64 cannot hold; to have it rounded, save it as f64"
    );
    Ok(number)
}

/// Reads until the buffer is full or the source ends.
pub(super) fn read_full(source: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(filled)
}
