//! Runs the command in a folder of its own.
#![allow(dead_code, reason = "each test uses its part")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A folder with files, in which the command runs.
pub struct Place {
    folder: TempDir,
}

/// What a run gave.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Run {
    pub fn text(&self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{self:?}");
        String::from_utf8(self.stdout.clone()).expect("text")
    }

    /// The numbers of a run that went well, in order.
    pub fn numbers(&self) -> Vec<f64> {
        self.text().split_whitespace().map(|word| word.parse().expect("a number")).collect()
    }

    /// The one line that a failing run says.
    pub fn complaint(&self) -> &str {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert!(self.stdout.is_empty(), "{self:?}");
        let line = self.stderr.strip_suffix('\n').expect("a line");
        assert!(!line.contains('\n'), "more than one line: {line}");
        line.strip_prefix("logsum: ").expect("the command's name")
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let stderr = String::from_utf8(output.stderr).expect("text");
        Self { code: output.status.code(), stdout: output.stdout, stderr }
    }
}

impl Place {
    pub fn new() -> Self {
        Self { folder: TempDir::new().expect("a folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path(name), content).expect("a file");
        self
    }

    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("the folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
        names.sort();
        names
    }

    pub fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logsum"));
        command.current_dir(self.folder.path()).args(args.split_whitespace());
        command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
        command
    }

    pub fn run(&self, args: &str) -> Run {
        self.command(args).stdin(Stdio::null()).output().expect("it runs").into()
    }

    pub fn run_with_stdin(&self, args: &str, stdin: &[u8]) -> Run {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let mut pipe = child.stdin.take().expect("a pipe");
        let stdin = stdin.to_vec();
        // It may stop reading when it has seen enough.
        let writer = std::thread::spawn(move || pipe.write_all(&stdin).is_ok());
        let output = child.wait_with_output().expect("it ends");
        writer.join().expect("the writer ends");
        output.into()
    }
}

/// A .npy of version 1.0 as NumPy writes it, with any header.
pub fn npy(descr: &str, fortran_order: bool, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let order = if fortran_order { "True" } else { "False" };
    npy_with_header(&format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}"), bytes)
}

pub fn npy_with_header(header: &str, bytes: &[u8]) -> Vec<u8> {
    let width = (header.len() + 11).next_multiple_of(64) - 11;
    let padded = format!("{header:<width$}\n");
    let size = u16::try_from(padded.len()).expect("a short header").to_le_bytes();
    [b"\x93NUMPY\x01\x00", &size[..], padded.as_bytes(), bytes].concat()
}

/// log Σ e^z by the shifted formula: right to a few ulps for numbers like those here.
pub fn lse(z: &[f64]) -> f64 {
    let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + z.iter().map(|z| (z - max).exp()).sum::<f64>().ln()
}

pub fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= tolerance * expected.abs().max(1.0), "{found} {expected}");
    }
}

pub fn read(path: &Path) -> Vec<u8> {
    fs::read(path).expect("the file")
}
