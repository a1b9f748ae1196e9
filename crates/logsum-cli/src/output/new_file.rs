//! A new file that takes its place when it is complete.
//!
//! Until then it has no name where the system allows that, so that nothing unfinished is left however the run ends,
//! even by SIGKILL. Elsewhere it has a name in the same folder, which Ctrl-C removes.

use super::interrupt;
use std::fs::File;
use std::io;
use std::path::Path;
use tempfile::{Builder, NamedTempFile};

pub(super) enum NewFile {
    #[cfg(target_os = "linux")]
    Unnamed(File),
    Named(NamedTempFile),
}

impl NewFile {
    pub(super) fn in_folder(folder: &Path) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Some(file) = unnamed::in_folder(folder) {
            return Ok(Self::Unnamed(file));
        }
        let mut builder = builder();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // less the umask, as usual
        let file = builder.tempfile_in(folder)?;
        interrupt::remove_when_interrupted(file.path());
        Ok(Self::Named(file))
    }

    pub(super) fn as_file(&self) -> &File {
        match self {
            #[cfg(target_os = "linux")]
            Self::Unnamed(file) => file,
            Self::Named(file) => file.as_file(),
        }
    }

    /// Moves the file to this path, in the folder in which it was made.
    pub(super) fn persist(self, path: &Path) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Unnamed(file) => {
                unnamed::named(&file, path)?.persist(path).map(drop).map_err(|error| error.error)
            }
            Self::Named(file) => file.persist(path).map(drop).map_err(|error| error.error),
        }
    }
}

pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// A builder of files with the names that new files have.
fn builder() -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    builder.prefix(".logsum-");
    builder
}

#[cfg(target_os = "linux")]
mod unnamed {
    use super::{builder, folder_of};
    use rustix::fs::{AtFlags, CWD, Mode, OFlags};
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::path::Path;
    use tempfile::NamedTempFile;

    /// None where the file system has no such files, or where there is no way to give them a name later.
    pub(super) fn in_folder(folder: &Path) -> Option<File> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(folder, flags, Mode::from_raw_mode(0o666)).ok()?);
        Path::new(&place(&file)).exists().then_some(file)
    }

    /// Gives the file a name of its own beside the path, since a link cannot replace what is there.
    pub(super) fn named(file: &File, path: &Path) -> io::Result<NamedTempFile<()>> {
        builder().make_in(folder_of(path), |name| {
            Ok(rustix::fs::linkat(CWD, place(file), CWD, name, AtFlags::SYMLINK_FOLLOW)?)
        })
    }

    /// The path at which the system shows the open file.
    fn place(file: &File) -> String {
        format!("/proc/self/fd/{}", file.as_raw_fd())
    }
}
