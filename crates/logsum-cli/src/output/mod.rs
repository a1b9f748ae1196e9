//! Writing results to a file or to standard output.
//!
//! A file takes its place when it is complete: a run that fails leaves what was there.

mod groups;
mod interrupt;
mod new_file;
mod table;
mod text;

pub(crate) use groups::GroupTable;

use crate::args::{Destination, Format};
use crate::input::Number;
use anyhow::{Context, Error, Result, bail};
use ndarray::ArrayD;
use new_file::{NewFile, folder_of};
use same_file::Handle;
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Where and in which format a result is written.
pub(crate) struct Target {
    place: Place,
    format: Format,
    /// For messages.
    name: String,
}

enum Place {
    Stdout,
    /// The new file, and the path where it will be.
    File(NewFile, PathBuf),
    /// A device or a pipe, which cannot be replaced.
    Special(File),
}

impl Target {
    pub(crate) fn new(destination: &Destination, input: &Path) -> Result<Self> {
        let Some(path) = &destination.output else {
            let default = if io::stdout().is_terminal() { Format::Table } else { Format::Plain };
            let format = destination.format.unwrap_or(default);
            if format == Format::Npy && io::stdout().is_terminal() {
                bail!("standard output: a .npy is not for a terminal; give -o OUT or a pipe");
            }
            return Ok(Self { place: Place::Stdout, format, name: "standard output".into() });
        };
        let name = path.display().to_string();
        let format = match destination.format {
            Some(format) => format,
            None => format_of_ending(path).with_context(|| {
                format!(
                    "{name}: the file extension names no format; use .npy, .csv or .json, or give --format"
                )
            })?,
        };
        let place = Place::new(path, input).with_context(|| name.clone())?;
        Ok(Self { place, format, name })
    }

    /// The same for a table with a header.
    pub(crate) fn for_groups(mut self) -> Result<Self> {
        match self.format {
            Format::Npy => {
                bail!("{}: a .npy has no place for keys; write groups as .csv or .json", self.name)
            }
            Format::Plain => self.format = Format::Csv,
            _ => {}
        }
        Ok(self)
    }

    /// Writes a value for each group.
    pub(crate) fn write_groups<T: Number>(self, groups: &GroupTable<T>) -> Result<()> {
        let Self { place, format, name } = self;
        let mut out = BufWriter::with_capacity(1 << 16, place);
        let written = match format {
            Format::Json => groups.json(&mut out),
            Format::Table => write_table(&mut out, &groups.table()).map_err(Error::new),
            _ => groups.csv(&mut out),
        };
        written.with_context(|| name.clone())?;
        finish(out, name)
    }

    /// A writer of a result of this shape, which comes in parts along its first axis.
    pub(crate) fn writer<T>(self, shape: Vec<usize>) -> Result<Writer<T>> {
        let Self { place, format, name } = self;
        let rank = shape.len();
        if format == Format::Csv && rank > 2 {
            bail!("{name}: a .csv has at most 2 dimensions, the result has {rank}; write .npy or .json");
        }
        let out = BufWriter::with_capacity(1 << 16, place);
        Ok(Writer { out, format, name, shape, is_begun: false, written: 0, table: Vec::new() })
    }
}

fn format_of_ending(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "npy" => Some(Format::Npy),
        "csv" => Some(Format::Csv),
        "json" => Some(Format::Json),
        _ => None,
    }
}

impl Place {
    fn new(path: &Path, input: &Path) -> Result<Self> {
        let mut permissions = None;
        match fs::metadata(path) {
            // Standard output under any name, such as /dev/stdout; what other programs wrote there is kept.
            Ok(_) if is_same(Handle::stdout(), path) => return Ok(Self::Stdout),
            Ok(found) if found.is_dir() => bail!("is a folder; name a file in it"),
            Ok(found) => {
                let input = if input == Path::new("-") { Handle::stdin() } else { Handle::from_path(input) };
                if found.is_file() && is_same(input, path) {
                    bail!("is the input itself; give the result another name");
                }
                // A file without permission to write must not be replaced.
                let file = File::options().write(true).open(path).map_err(cannot_be_written)?;
                if !found.is_file() {
                    return Ok(Self::Special(file));
                }
                permissions = Some(found.permissions());
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(cannot_be_written(error));
            }
            Err(_) if matches!(path.as_os_str().as_encoded_bytes(), [] | [.., b'/']) => {
                bail!("is not the name of a file");
            }
            Err(_) => {}
        }
        let path = follow(path)?;
        let folder = folder_of(&path);
        if !folder.is_dir() {
            bail!("there is no folder {}", folder.display());
        }
        let file = NewFile::in_folder(folder).map_err(cannot_be_written)?;
        if let Some(permissions) = permissions {
            file.as_file().set_permissions(permissions)?;
        }
        Ok(Self::File(file, path))
    }
}

impl Place {
    /// The new file takes the place of the old one.
    fn finish(self) -> Result<()> {
        match self {
            Self::File(file, path) => file.persist(&path)?,
            mut other => other.flush()?,
        }
        Ok(())
    }
}

/// Whether the path leads to this file.
fn is_same(file: io::Result<Handle>, path: &Path) -> bool {
    file.is_ok_and(|file| Handle::from_path(path).is_ok_and(|other| file == other))
}

/// The file that the symbolic links of a path lead to; it need not exist.
fn follow(path: &Path) -> Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..40 {
        let Ok(target) = fs::read_link(&path) else { return Ok(path) };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    bail!("its symbolic links form a loop");
}

fn cannot_be_written(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied => anyhow::anyhow!("no permission to write there"),
        _ => Error::new(error).context("cannot be written"),
    }
}

impl Write for Place {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout => io::stdout().write(bytes),
            Self::File(file, _) => file.as_file().write(bytes),
            Self::Special(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().flush(),
            Self::File(file, _) => file.as_file().flush(),
            Self::Special(file) => file.flush(),
        }
    }
}

/// Writes one result, part by part.
pub(crate) struct Writer<T> {
    out: BufWriter<Place>,
    format: Format,
    name: String,
    /// Of the whole result.
    shape: Vec<usize>,
    is_begun: bool,
    /// Numbers written so far.
    written: usize,
    /// The numbers of a table: its columns are as wide as their widest number, so it is written only at the end.
    table: Vec<T>,
}

impl<T: Number> Writer<T> {
    pub(crate) fn write(&mut self, part: &ArrayD<T>) -> Result<()> {
        self.write_numbers(part).with_context(|| self.name.clone())
    }

    fn write_numbers(&mut self, part: &ArrayD<T>) -> Result<()> {
        let shape = &self.shape;
        if !std::mem::replace(&mut self.is_begun, true) && self.format == Format::Npy {
            write_npy_header::<T>(&mut self.out, shape)?;
        }
        let numbers = part.iter().enumerate().map(|(index, &number)| (self.written + index, number));
        match self.format {
            Format::Npy => {
                for (_, number) in numbers {
                    self.out.write_all(bytemuck::bytes_of(&number))?;
                }
            }
            Format::Table => self.table.extend(numbers.map(|(_, number)| number)),
            Format::Json => text::json(&mut self.out, shape, numbers)?,
            Format::Csv => text::rows(&mut self.out, shape, numbers, ',')?,
            Format::Plain => text::rows(&mut self.out, shape, numbers, ' ')?,
        }
        self.written += part.len();
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<()> {
        let end = match self.format {
            Format::Table => write_table(&mut self.out, &table::render(&self.shape, &self.table)),
            Format::Json => text::json_end(&mut self.out, &self.shape),
            _ => Ok(()),
        };
        end.with_context(|| self.name.clone())?;
        finish(self.out, self.name)
    }
}

/// Writes text with colours; without them to a file.
fn write_table(out: &mut BufWriter<Place>, text: &str) -> io::Result<()> {
    match out.get_ref() {
        Place::Stdout => anstream::stdout().write_all(text.as_bytes()),
        _ => out.write_all(anstream::adapter::strip_str(text).to_string().as_bytes()),
    }
}

/// Completes a file, which then takes its place.
fn finish(out: BufWriter<Place>, name: String) -> Result<()> {
    let place = out.into_inner().map_err(|error| Error::new(error.into_error()).context(name.clone()))?;
    place.finish().with_context(|| name)
}

/// Where the state of a sum goes.
pub(crate) struct StateFile {
    place: Place,
    name: String,
}

impl StateFile {
    pub(crate) fn new(path: &Path, input: &Path) -> Result<Self> {
        let name = path.display().to_string();
        Ok(Self { place: Place::new(path, input).with_context(|| name.clone())?, name })
    }

    pub(crate) fn write(self, bytes: &[u8]) -> Result<()> {
        let Self { mut place, name } = self;
        place.write_all(bytes).with_context(|| name.clone())?;
        place.finish().with_context(|| name)
    }
}

/// Writes a result at once.
pub(crate) fn write<T: Number>(result: &ArrayD<T>, target: Target) -> Result<()> {
    let mut writer = target.writer(result.shape().to_vec())?;
    writer.write(result)?;
    writer.finish()
}

/// NumPy's header, version 1.0: padded so that the numbers start at a multiple of 64 bytes.
fn write_npy_header<T: Number>(out: &mut impl Write, shape: &[usize]) -> io::Result<()> {
    let lengths: Vec<String> = shape.iter().map(usize::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    let shape = lengths.join(", ") + comma;
    let mut header = format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({shape}), }}", T::DESCR);
    const BEFORE: usize = 10;
    let total = (BEFORE + header.len() + 1).next_multiple_of(64);
    header.extend(std::iter::repeat_n(' ', total - BEFORE - header.len() - 1));
    header.push('\n');
    out.write_all(b"\x93NUMPY\x01\x00")?;
    out.write_all(&(header.len() as u16).to_le_bytes())?;
    out.write_all(header.as_bytes())
}
