//! What a file is, by its first bytes.

use super::npy;
use anyhow::{Result, bail};

/// How many bytes of a file are looked at.
pub(super) const LENGTH: usize = 4096;

/// The kinds of files that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Npy,
    Zip,
    Text,
}

/// Files that people have, what they are, and how their numbers get here.
const OTHERS: [(&[u8], &str, &str); 9] = [
    (b"PAR1", "a Parquet file", FROM_A_FRAME),
    (b"ARROW1", "a Feather (Arrow) file", FROM_A_FRAME),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "save one of its data sets with numpy.save"),
    (b"\x1f\x8b", "compressed by gzip", "unpack it with gunzip"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack it with unzstd"),
    (b"\xfd7zXZ\0", "compressed by xz", "unpack it with unxz"),
    (b"BZh", "compressed by bzip2", "unpack it with bunzip2"),
    (b"\xff\xfe", "text in UTF-16", "save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16", "save it as UTF-8"),
];

const FROM_A_FRAME: &str = "read it in Python and save its numbers with numpy.save";

/// What a file that starts with these bytes is; a complaint if it is nothing that is read.
pub(super) fn content(start: &[u8]) -> Result<Content> {
    if start.starts_with(npy::MAGIC) {
        return Ok(Content::Npy);
    }
    // The first entry of an archive, or the end of one without entries.
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        return Ok(Content::Zip);
    }
    if let Some((_, what, remedy)) = OTHERS.iter().find(|(magic, ..)| start.starts_with(magic)) {
        bail!("is {what}, which is not read; {remedy}");
    }
    match start.iter().position(|&byte| byte == 0) {
        Some(place) => bail!("is no text: byte {place} is 0; .npy, .npz and text tables are read"),
        None => Ok(Content::Text),
    }
}
