//! NumPy's archives of arrays: .npy files in a .zip, compressed or not.

use super::signatures::READ;
use super::{Input, archive, npy};
use crate::progress::Progress;
use anyhow::{Error, Result, ensure};
use std::io::{self, BufReader, ErrorKind, Read, Seek};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

/// The array of this name, or the only one; `option` is the command's option that chooses a name.
pub(super) fn read(
    source: impl Read + Seek,
    name: Option<&str>,
    option: &str,
    progress: &Progress,
) -> Result<Input> {
    let mut zip = ZipArchive::new(source).map_err(complaint)?;
    let (mut names, mut entries) = (Vec::new(), Vec::new());
    for (index, file) in zip.file_names().enumerate() {
        // A name that is not text cannot be given on the command line either.
        if let Some(array) = file.ok().as_deref().and_then(|file| file.strip_suffix(".npy")) {
            names.push(array.to_owned());
            entries.push(index);
        }
    }
    ensure!(!names.is_empty(), "is a .zip without arrays (.npy files), so not a .npz; {READ}");
    let place = archive::place(&names, name, option)?;
    let (index, name) = (entries[place], &names[place]);
    let entry = zip.by_index(index).map_err(complaint)?;
    ensure!(
        matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated),
        "array {name:?} is compressed in a way that NumPy does not use; save it again with numpy.savez_compressed"
    );
    progress.reading(entry.size());
    let numbers = BufReader::with_capacity(1 << 18, progress.count_bytes(entry));
    npy::decoded(numbers).map_err(|error| {
        let is_damaged = error.downcast_ref().is_some_and(is_of_damage);
        let what = if is_damaged { " is damaged; save the file again with numpy.savez" } else { "" };
        error.context(format!("array {name:?}{what}"))
    })
}

/// Whether an error means damaged data, such as a wrong checksum or an invalid compressed stream.
fn is_of_damage(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof)
}

fn complaint(error: ZipError) -> Error {
    match error {
        ZipError::InvalidPassword | ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => {
            Error::msg("is encrypted; save it again with numpy.savez")
        }
        error => Error::new(error).context("is a damaged .zip; save it again with numpy.savez"),
    }
}
