//! The one place that maps files into memory.

use memmap2::Mmap;
use std::fs::File;
use std::io;

/// The bytes of a file, for reading.
#[expect(unsafe_code, reason = "a mapping's bytes change if somebody writes to the file meanwhile")]
pub(super) fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the mapping is private and never written, and its bytes are only ever read as floats, for which every
    // bit pattern is a value: if another process overwrites the file meanwhile, the numbers change. No program can
    // ensure that the file is not shortened meanwhile; the kernel then ends this process.
    unsafe { Mmap::map(file) }
}
