//! Recognising a file's format by its first bytes.

use super::{npy, safetensors};
use anyhow::{Result, bail};

/// The number of bytes that are examined.
pub(super) const LENGTH: usize = 4096;

/// The file formats that are supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Npy,
    Zip,
    Safetensors,
    Parquet,
    Text,
}

impl Content {
    /// The name of such a file in error messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Npy => "a .npy, which is one array",
            Self::Zip => "a .npz",
            Self::Safetensors => "a .safetensors",
            Self::Parquet => "a .parquet",
            Self::Text => "a text table",
        }
    }
}

/// The supported formats, for error messages.
pub(super) const READ: &str = ".npy, .npz, .safetensors, .parquet and text tables are read";

/// Other common formats: their first bytes, their names, and how to convert them.
const OTHERS: [(&[u8], &str, &str); 9] = [
    (b"PARE", "an encrypted Parquet file", "save it again without encryption"),
    (b"ARROW1", "a Feather (Arrow) file", "read it in Python and save it with pyarrow.parquet.write_table"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "save one of its data sets with numpy.save"),
    (b"\x1f\x8b", "compressed by gzip", "unpack it with gunzip"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack it with unzstd"),
    (b"\xfd7zXZ\0", "compressed by xz", "unpack it with unxz"),
    (b"BZh", "compressed by bzip2", "unpack it with bunzip2"),
    (b"\xff\xfe", "text in UTF-16", "save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16", "save it as UTF-8"),
];

/// The format of a file that starts with these bytes; an error if it is not supported.
pub(super) fn content(start: &[u8]) -> Result<Content> {
    // This comes first, since the length that a .safetensors starts with may look like another format's signature.
    if safetensors::is_start(start) {
        return Ok(Content::Safetensors);
    }
    if start.starts_with(npy::MAGIC) {
        return Ok(Content::Npy);
    }
    if start.starts_with(b"PAR1") {
        return Ok(Content::Parquet);
    }
    // The first entry of an archive, or the end of one without entries.
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        return Ok(Content::Zip);
    }
    if let Some((_, what, remedy)) = OTHERS.iter().find(|(magic, ..)| start.starts_with(magic)) {
        bail!("is {what}, which is not supported; {remedy}");
    }
    match start.iter().position(|&byte| byte == 0) {
        Some(place) => bail!("is not text: byte {place} is 0; {READ}"),
        None => Ok(Content::Text),
    }
}
