//! NumPy's archives of arrays: .npy files in a .zip, compressed or not.

use super::{Input, npy};
use crate::progress::Progress;
use anyhow::{Error, Result, bail};
use std::io::{self, BufReader, Read, Seek};
use zip::ZipArchive;
use zip::result::ZipError;

/// Names that a complaint lists at most.
const LISTED: usize = 10;

/// The array of this name, or the only one; `option` is what chooses a name.
pub(super) fn read(
    source: impl Read + Seek,
    name: Option<&str>,
    option: &str,
    progress: &Progress,
) -> Result<Input> {
    let mut archive = ZipArchive::new(source).map_err(complaint)?;
    let mut arrays = Vec::new();
    for (index, file) in archive.file_names().enumerate() {
        // A name that is no text can't be given on the command line either.
        if let Some(array) = file.ok().as_deref().and_then(|file| file.strip_suffix(".npy")) {
            arrays.push((index, array.to_owned()));
        }
    }
    let (index, name) = match (name, &arrays[..]) {
        (_, []) => {
            bail!("is a .zip without arrays (.npy files), so no .npz; .npy, .npz and text tables are read")
        }
        (None, [only]) => only.clone(),
        (None, _) => {
            bail!("holds {} arrays: {}; choose one with {option} NAME", arrays.len(), listed(&arrays))
        }
        (Some(name), _) => match arrays.iter().find(|(_, array)| array == name) {
            Some(found) => found.clone(),
            None => bail!("has no array {name:?}; {option} can be {}", listed(&arrays)),
        },
    };
    let entry = archive.by_index(index).map_err(complaint)?;
    progress.reading(entry.size());
    let numbers = BufReader::with_capacity(1 << 18, progress.count_bytes(entry));
    npy::decoded(numbers).map_err(|error| match error.is::<io::Error>() {
        true => error.context(format!("array {name:?} is damaged; save the file again with numpy.savez")),
        false => error.context(format!("array {name:?}")),
    })
}

fn listed(arrays: &[(usize, String)]) -> String {
    let names: Vec<&str> = arrays.iter().take(LISTED).map(|(_, name)| name.as_str()).collect();
    let more =
        if arrays.len() > LISTED { format!(" and {} more", arrays.len() - LISTED) } else { String::new() };
    names.join(", ") + &more
}

fn complaint(error: ZipError) -> Error {
    match error {
        ZipError::InvalidPassword | ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => {
            Error::msg("is encrypted; save it again with numpy.savez")
        }
        ZipError::CompressionMethodNotSupported(_) => Error::msg(
            "is compressed in a way that NumPy does not use; save it again with numpy.savez_compressed",
        ),
        error => Error::new(error).context("is a damaged .zip; save it again with numpy.savez"),
    }
}
