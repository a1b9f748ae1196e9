//! The one place that maps files into memory.

use memmap2::Mmap;
use std::fs::File;
use std::io;

/// The bytes of a file, for reading.
#[expect(unsafe_code, reason = "a mapping's bytes change if somebody writes to the file meanwhile")]
pub(super) fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the mapping is private and never written, and its bytes are only ever read as floats, for which every
    // bit pattern is a value: a file that another process overwrites meanwhile gives other numbers. That it is not
    // made shorter meanwhile no program can ensure; the kernel then ends this one.
    unsafe { Mmap::map(file) }
}
