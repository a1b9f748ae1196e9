//! NumPy's file format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use super::Input;
use super::raw::{Element, RawArray, read_full};
use anyhow::{Context, Result, bail, ensure};
use num_bigint::BigInt;
use py_literal::Value;
use std::fs::File;
use std::io::Read;

pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// The longest header, which holds a type, an order and a shape; NumPy itself refuses longer ones by default.
const LONGEST_HEADER: usize = 10_000;

/// The deepest nesting of brackets in a header; the parser's time grows exponentially with it.
const DEEPEST: usize = 8;

/// A .npy: mapped if its bytes are floats in this machine's byte order, otherwise decoded.
pub(super) fn of_file(file: &mut File) -> Result<Input> {
    let array = header(&mut *file)?;
    let bytes = file.metadata()?.len().saturating_sub(array.offset as u64);
    array.of_file(file, bytes)
}

/// A .npy from a pipe or from an archive.
pub(super) fn decoded(mut source: impl Read) -> Result<Input> {
    header(&mut source)?.decoded(source)
}

/// The array that a header describes.
fn header(mut source: impl Read) -> Result<RawArray> {
    let mut start = [0; 8];
    fill(&mut source, &mut start, 0)?;
    ensure!(start.starts_with(MAGIC), "is not a .npy (byte 0); save the array again with numpy.save");
    let [.., major, minor] = start;
    let size_bytes = match (major, minor) {
        (1, 0) => 2,
        (2 | 3, 0) => 4,
        _ => bail!(
            "is a .npy of the unknown version {major}.{minor} (byte 6); versions 1.0, 2.0 and 3.0 are read"
        ),
    };
    let mut size = [0; 4];
    fill(&mut source, &mut size[..size_bytes], 8)?;
    let size = u32::from_le_bytes(size) as usize;
    let offset = 8 + size_bytes;
    ensure!(
        size <= LONGEST_HEADER,
        "has a .npy header of {size} bytes (byte 8), more than the {LONGEST_HEADER} that any array of numbers needs"
    );
    let mut text = vec![0; size];
    fill(&mut source, &mut text, offset)?;
    let text = String::from_utf8_lossy(&text);
    let (descr, fortran_order, shape) = interpret(&text).with_context(|| {
        format!("has a broken .npy header (byte {offset}); save the array again with numpy.save")
    })?;
    let (order, code) = descr
        .split_at_checked(1)
        .filter(|(order, _)| "<>|".contains(order))
        .with_context(|| not_read(&descr))?;
    let element = match code {
        "f2" => Element::F16,
        // As ml_dtypes saves bf16. Other types of two bytes that NumPy does not know have no byte order.
        "V2" if order != "|" => Element::Bf16,
        "f4" => Element::F32,
        "f8" => Element::F64,
        "b1" => Element::Bool,
        "i1" => Element::I8,
        "i2" => Element::I16,
        "i4" => Element::I32,
        "i8" => Element::I64,
        "u1" => Element::U8,
        "u2" => Element::U16,
        "u4" => Element::U32,
        "u8" => Element::U64,
        _ => bail!(not_read(&descr)),
    };
    let is_big_endian = order == ">";
    Ok(RawArray { element, type_name: descr, is_big_endian, fortran_order, shape, offset: offset + size })
}

fn not_read(descr: &str) -> String {
    let remedy = match descr.trim_start_matches(['<', '>', '|']).chars().next() {
        Some('c') => "complex numbers are not supported: save array.real",
        Some('[') => "records are not supported: save one of their fields, array['name']",
        _ => "f16, bf16, f32, f64, integers and bools are read: save it as array.astype('f8')",
    };
    format!("holds elements of type {descr:?}; {remedy}")
}

fn fill(source: &mut impl Read, buffer: &mut [u8], offset: usize) -> Result<()> {
    let filled = read_full(source, buffer)?;
    let (end, missing) = (offset + filled, buffer.len() - filled);
    ensure!(missing == 0, "is cut off at byte {end}: {missing} more bytes of the .npy header are missing");
    Ok(())
}

/// The header's text is a Python dictionary.
fn interpret(text: &str) -> Result<(String, bool, Vec<usize>)> {
    ensure!(depth(text) <= DEEPEST, "its brackets are nested too deeply");
    let text = without_long_suffixes(text.trim());
    let Value::Dict(entries) = text.parse::<Value>().ok().context("it is not a Python dictionary")? else {
        bail!("it is not a Python dictionary");
    };
    let entry = |key: &str| {
        let is_it = |found: &Value| matches!(found, Value::String(found) if found == key);
        let found = entries.iter().find(|(found, _)| is_it(found)).map(|(_, value)| value);
        found.with_context(|| format!("it lacks '{key}'"))
    };
    let descr = match entry("descr")? {
        Value::String(descr) => descr.replace('=', if cfg!(target_endian = "little") { "<" } else { ">" }),
        structured => structured.to_string(),
    };
    let Value::Boolean(fortran_order) = entry("fortran_order")? else {
        bail!("its 'fortran_order' is not a bool")
    };
    let Value::Tuple(shape) = entry("shape")? else { bail!("its 'shape' is not a tuple") };
    let length = |value: &Value| match value {
        Value::Integer(length) if *length >= BigInt::ZERO => usize::try_from(length.clone())
            .ok()
            .with_context(|| format!("its 'shape' has the length {length}")),
        other => bail!("its 'shape' has the length {other}"),
    };
    let shape = shape.iter().map(length).collect::<Result<_>>()?;
    Ok((descr, *fortran_order, shape))
}

/// Python 2 wrote 3L for what Python 3 writes as 3.
fn without_long_suffixes(text: &str) -> String {
    let (mut before, mut quote) = (' ', None);
    let mut is_kept = |c: char| {
        let is_suffix = c == 'L' && quote.is_none() && before.is_ascii_digit();
        match quote {
            None if matches!(c, '\'' | '"') => quote = Some(c),
            Some(open) if open == c => quote = None,
            _ => {}
        }
        before = c;
        !is_suffix
    };
    text.chars().filter(|&c| is_kept(c)).collect()
}

fn depth(text: &str) -> usize {
    let mut depth = 0_usize;
    let depths = text.chars().map(|c| {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth
    });
    depths.max().unwrap_or(0)
}
