//! Files of tensors: <https://huggingface.co/docs/safetensors>. A header in JSON, then the tensors' bytes.

use super::raw::{Element, RawArray, read_full};
use super::{Input, archive};
use anyhow::{Context, Result, bail, ensure};
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use std::fs::File;
use std::io::Seek;

/// The number of bytes of the header's length.
const LENGTH_BYTES: usize = 8;

/// The longest header that the format allows.
const LONGEST_HEADER: u64 = 100_000_000;

const AGAIN: &str = "save the tensors again with safetensors";

/// Whether a file that starts with these bytes is a .safetensors: the length of a header, and its first bracket.
pub(super) fn is_start(start: &[u8]) -> bool {
    start.get(4..=LENGTH_BYTES) == Some(b"\0\0\0\0{")
}

/// The tensor of this name, or the only one; `option` is the command's option that chooses a name.
pub(super) fn read(file: &mut File, name: Option<&str>, option: &str) -> Result<Input> {
    file.rewind()?;
    let mut length = [0; LENGTH_BYTES];
    read_full(file, &mut length)?;
    let length = u64::from_le_bytes(length);
    ensure!(
        length <= LONGEST_HEADER,
        "has a .safetensors header of {length} bytes (byte 0), more than the {LONGEST_HEADER} that there may be"
    );
    let mut header = vec![0; length as usize];
    let found = read_full(file, &mut header)?;
    let missing = header.len() - found;
    ensure!(missing == 0, "is cut off: {missing} more bytes of the .safetensors header are missing; {AGAIN}");
    let metadata: Metadata = serde_json::from_slice(&header)
        .with_context(|| format!("has a broken .safetensors header (byte {LENGTH_BYTES}); {AGAIN}"))?;
    let start = LENGTH_BYTES + header.len();
    let (expected, found) = (metadata.data_len() as u64, file.metadata()?.len().saturating_sub(start as u64));
    ensure!(
        expected == found,
        "has {found} bytes after its .safetensors header, which asks for {expected}; {AGAIN}"
    );
    let names = metadata.offset_keys();
    ensure!(!names.is_empty(), "is a .safetensors without arrays");
    let name = &names[archive::place(&names, name, option)?];
    let tensor = metadata.info(name).with_context(|| format!("has no array {name:?}"))?;
    let (begin, end) = tensor.data_offsets;
    let array = RawArray {
        element: element(tensor.dtype).with_context(|| format!("array {name:?}"))?,
        type_name: tensor.dtype.to_string(),
        is_big_endian: false,
        fortran_order: false,
        shape: tensor.shape.clone(),
        offset: start + begin,
    };
    array.of_file(file, (end - begin) as u64).with_context(|| format!("array {name:?}"))
}

fn element(dtype: Dtype) -> Result<Element> {
    Ok(match dtype {
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        Dtype::BOOL => Element::Bool,
        Dtype::I8 => Element::I8,
        Dtype::I16 => Element::I16,
        Dtype::I32 => Element::I32,
        Dtype::I64 => Element::I64,
        Dtype::U8 => Element::U8,
        Dtype::U16 => Element::U16,
        Dtype::U32 => Element::U32,
        Dtype::U64 => Element::U64,
        other => bail!(
            "holds elements of type {other}; f16, bf16, f32, f64, integers and bools are read: save it as one of them"
        ),
    })
}
