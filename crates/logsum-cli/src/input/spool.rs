//! A growing sequence of numbers: in memory while it is short, then in an unnamed temporary file.

use super::{Array, Number, Storage, map};
use anyhow::{Context, Result};
use std::env;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::PathBuf;

/// Bytes kept in memory.
const MEMORY: usize = 64 << 20;

pub(crate) struct Spool<T> {
    recent: Vec<T>,
    /// The earlier numbers, and how many there are.
    file: Option<File>,
    count: usize,
}

impl<T: Number> Spool<T> {
    pub(crate) fn new() -> Self {
        Self { recent: Vec::new(), file: None, count: 0 }
    }

    pub(crate) fn push(&mut self, number: T) -> Result<()> {
        self.recent.push(number);
        self.count += 1;
        if self.recent.len() * size_of::<T>() >= MEMORY { self.spill() } else { Ok(()) }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn finish(mut self) -> Result<Storage<T>> {
        if self.file.is_none() {
            return Ok(Storage::Memory(self.recent));
        }
        self.spill()?;
        let file = self.file.expect("checked above");
        Ok(Storage::Mapped(map::map(&file)?, 0))
    }

    /// The numbers as a vector.
    pub(crate) fn into_array(self) -> Result<Array<T>> {
        let shape = vec![self.count];
        Ok(Array { numbers: self.finish()?, shape, fortran_order: false })
    }

    fn spill(&mut self) -> Result<()> {
        let folder = folder();
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&folder).with_context(|| in_folder(&folder))?),
        };
        file.write_all(bytemuck::cast_slice(&self.recent)).with_context(|| in_folder(&folder))?;
        self.recent.clear();
        Ok(())
    }
}

/// Copies a pipe into a temporary file that can be read in any order, positioned at its start.
pub(super) fn copy_to_file(source: &mut impl Read) -> Result<File> {
    let folder = folder();
    let mut file = tempfile::tempfile_in(&folder).with_context(|| in_folder(&folder))?;
    std::io::copy(source, &mut file).with_context(|| in_folder(&folder))?;
    file.rewind()?;
    Ok(file)
}

fn in_folder(folder: &std::path::Path) -> String {
    format!("no room for a temporary file in {}; set TMPDIR to a folder with more", folder.display())
}

/// The folder for large temporary files: /tmp is often kept in memory.
fn folder() -> PathBuf {
    let large = PathBuf::from("/var/tmp");
    if env::var_os("TMPDIR").is_none() && large.is_dir() { large } else { env::temp_dir() }
}
