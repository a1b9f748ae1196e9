//! The command on a file of any bytes, with any of its options: an answer or an error, and the file is as it was.
//!
//! The first eight bytes choose the kind of file, the operation and six words after it; the others are the file.
use std::ffi::OsString;
use std::fs;
use std::sync::LazyLock;
use tempfile::TempDir;

const SUFFIXES: [&str; 9] = ["npy", "npz", "safetensors", "parquet", "csv", "tsv", "txt", "lse", "json"];

const OPERATIONS: [&str; 8] =
    ["lse", "softmax", "log-softmax", "grad", "cross-entropy", "token-log-probs", "merge", "lse --op mean"];

/// `@` stands for the file, `>` for one to be written.
const WORDS: [&str; 28] = [
    "",
    "--axis",
    "0",
    "1",
    "-1",
    "--keepdims",
    "--op",
    "var",
    "--ddof",
    "--columns",
    "--array",
    "a",
    "z",
    "1-2",
    "--by",
    "--format",
    "json",
    "csv",
    "text",
    "npy",
    "-o",
    ">",
    "--state",
    "--weights",
    "@",
    "--reduction",
    "sum",
    "--ignore",
];

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("there is room"));

/// Runs the command on a file of these bytes.
pub fn command(data: &[u8]) {
    let Some((choice, content)) = data.split_first_chunk::<8>() else { return };
    let file = FOLDER.path().join("input").with_extension(SUFFIXES[usize::from(choice[0]) % SUFFIXES.len()]);
    fs::write(&file, content).expect("it is written");
    let operation = OPERATIONS[usize::from(choice[1]) % OPERATIONS.len()];
    let mut arguments: Vec<OsString> =
        ["logsum"].into_iter().chain(operation.split(' ')).map(Into::into).collect();
    arguments.push(file.clone().into());
    for &byte in &choice[2..] {
        match WORDS[usize::from(byte) % WORDS.len()] {
            "" => {}
            "@" => arguments.push(file.clone().into()),
            ">" => arguments.push(FOLDER.path().join("output.npy").into()),
            word => arguments.push(word.into()),
        }
    }
    let _ = logsum_cli::run(arguments);
    assert!(fs::read(&file).expect("it is still there") == content, "the file has changed");
}
