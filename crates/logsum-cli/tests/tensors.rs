//! Files of tensors, as the package safetensors writes them.

mod common;

use common::{Place, read};
use half::{bf16, f16};
use std::path::Path;

/// Written by safetensors 0.8 for Python and ml_dtypes 0.6:
/// ```python
/// z = np.array([[0.5, -1.25, 3], [2, 2, -700]])
/// safetensors.numpy.save_file({'scores': z.astype('f4'), 'half': z.astype('f2'), 'labels': np.array([2, -100]),
///                              'mask': np.array([True, False])}, 'tensors.safetensors')
/// safetensors.numpy.save_file({'z': z.astype(ml_dtypes.bfloat16)}, 'bfloat16.safetensors')
/// ```
fn fixture(name: &str) -> Vec<u8> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name))
}

const Z: [[f64; 3]; 2] = [[0.5, -1.25, 3.0], [2.0, 2.0, -700.0]];

fn place() -> Place {
    let place = Place::new();
    for name in ["tensors.safetensors", "bfloat16.safetensors"] {
        place.write(name, fixture(name));
    }
    place
}

/// A file with this header.
fn file(header: &str, bytes: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), bytes].concat()
}

/// A file of one tensor.
fn tensor(dtype: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let end = bytes.len();
    file(&format!("{{\"x\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[0,{end}]}}}}"), bytes)
}

#[test]
fn floats_keep_their_type() {
    let place = place();
    let numbers = |args: &str, file: &str| {
        let found = place.run(&format!("lse {file} {args}")).numbers();
        assert_eq!(place.run_with_stdin(&format!("lse - {args}"), &fixture(file)).numbers(), found);
        found
    };
    let f32s = Z.map(|row| logsum::logsumexp(&row.map(|z| z as f32)).to_string().parse::<f64>().unwrap());
    assert_eq!(numbers("--array scores --axis 1", "tensors.safetensors"), f32s);
    let f16s = Z.map(|row| logsum::logsumexp(&row.map(f16::from_f64)));
    let found = numbers("--array half --axis -1", "tensors.safetensors");
    assert_eq!(found.into_iter().map(f16::from_f64).collect::<Vec<_>>(), f16s);
    // The only tensor needs no name.
    let bf16s = Z.map(|row| logsum::logsumexp(&row.map(bf16::from_f64)).to_ne_bytes()).concat();
    for args in ["", " --array z"] {
        let found = place.run(&format!("lse bfloat16.safetensors --axis 1 --format npy{args}")).stdout;
        assert_eq!(found, common::npy("<V2", false, "(2,)", &bf16s));
    }
    // Also where the numbers are at an odd address.
    let bytes = Z.concat().iter().flat_map(|z| z.to_le_bytes()).collect::<Vec<u8>>();
    for (blanks, alignment) in (0..8).map(|blanks| (" ".repeat(blanks), blanks)) {
        let header =
            format!("{{\"x\":{{\"dtype\":\"F64\",\"shape\":[2,3],\"data_offsets\":[0,48]}}}}{blanks}");
        place.write("odd.safetensors", file(&header, &bytes));
        let found = place.run("lse odd.safetensors --axis 1").numbers();
        assert_eq!(found, Z.map(|row| logsum::logsumexp(&row)), "{alignment}");
    }
}

#[test]
fn integers_and_bools_are_f64() {
    let place = place();
    let expected = logsum::logsumexp(&[1.0, 0.0, 100.0]);
    macro_rules! of_type {
        ($type:ty, $name:literal) => {
            let bytes: Vec<u8> = [1 as $type, 0, 100].iter().flat_map(|n| n.to_le_bytes()).collect();
            place.write("n.safetensors", tensor($name, "[3]", &bytes));
            assert_eq!(place.run("lse n.safetensors").numbers(), [expected], $name);
        };
    }
    of_type!(i8, "I8");
    of_type!(i16, "I16");
    of_type!(i32, "I32");
    of_type!(i64, "I64");
    of_type!(u8, "U8");
    of_type!(u16, "U16");
    of_type!(u32, "U32");
    of_type!(u64, "U64");
    let truths = place.run("lse tensors.safetensors --array mask").numbers();
    assert_eq!(truths, [logsum::logsumexp(&[1.0, 0.0])]);
    let losses = "cross-entropy tensors.safetensors tensors.safetensors --array scores --label-array labels --ignore \
                  -100 --rows";
    let loss = logsum::cross_entropy(&Z[0].map(|z| z as f32), &[2]).unwrap();
    assert_eq!(place.run(losses).numbers(), [loss.to_string().parse().unwrap(), 0.0]);
    place
        .write("n.safetensors", tensor("I64", "[2]", &[0, (1 << 53) + 1_i64].map(i64::to_le_bytes).concat()));
    assert_eq!(
        place.run("lse n.safetensors").complaint(),
        "n.safetensors: array \"x\": number 2 in the file: 9007199254740993 is an integer that f64 cannot hold; to \
         have it rounded, save it as f64"
    );
    place.write("n.safetensors", tensor("F64", "[2,0]", b""));
    assert_eq!(place.run("lse n.safetensors --axis 1").text(), "-inf\n-inf\n");
    place.write("n.safetensors", tensor("F32", "[]", &2.5f32.to_le_bytes()));
    assert_eq!(place.run("lse n.safetensors").text(), "2.5\n");
}

#[test]
fn the_choice_of_a_tensor() {
    let place = place();
    let complaint = |args: &str, words: &str| assert_eq!(place.run(args).complaint(), words);
    complaint(
        "lse tensors.safetensors",
        "tensors.safetensors: holds 4 arrays: \"labels\", \"scores\", \"half\", \"mask\"; choose one with --array NAME",
    );
    complaint(
        "lse tensors.safetensors --array x",
        "tensors.safetensors: has no array \"x\"; --array can be \"labels\", \"scores\", \"half\", \"mask\"",
    );
    complaint(
        "lse bfloat16.safetensors --weights tensors.safetensors",
        "tensors.safetensors: holds 4 arrays: \"labels\", \"scores\", \"half\", \"mask\"; choose one with --weight-array \
         NAME",
    );
    complaint(
        "lse tensors.safetensors --columns 1",
        "tensors.safetensors: is a .safetensors: leave out --columns, which chooses columns of a table",
    );
    complaint(
        "cross-entropy tensors.safetensors tensors.safetensors",
        "tensors.safetensors: cannot be both the scores and the labels; give --array and --label-array to choose parts of it",
    );
}

#[test]
fn files_that_are_broken() {
    let place = Place::new();
    let whole = fixture("tensors.safetensors");
    let complaint = |content: &[u8], words: &str| {
        place.write("t.safetensors", content);
        for run in [
            place.run("lse t.safetensors --array scores"),
            place.run_with_stdin("lse - --array scores", content),
        ] {
            assert!(run.complaint().contains(words), "{run:?}, not {words}");
        }
    };
    let again = "save the tensors again with safetensors";
    complaint(&whole[..whole.len() - 1], "bytes after its .safetensors header, which asks for");
    complaint(&[&whole[..], b"\0"].concat(), "bytes after its .safetensors header, which asks for");
    complaint(&whole[..100], &format!("more bytes of the .safetensors header are missing; {again}"));
    let header = |header: &str, words: &str| complaint(&file(header, &[0; 8]), words);
    let broken = format!("has a broken .safetensors header (byte 8); {again}");
    header("{\"x\":", &broken);
    header("{}}", &broken);
    header(&"{\"x\":".repeat(50_000), &broken);
    header("{\"scores\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,8]}}", &broken);
    header("{\"scores\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[8,0]}}", &broken);
    header("{\"scores\":{\"dtype\":\"F64\",\"shape\":[-1],\"data_offsets\":[0,8]}}", &broken);
    header("{\"scores\":{\"dtype\":\"F99\",\"shape\":[1],\"data_offsets\":[0,8]}}", &broken);
    header(
        "{\"scores\":{\"dtype\":\"F64\",\"shape\":[4294967296,4294967296,4294967296],\"data_offsets\":[0,8]}}",
        &broken,
    );
    let one = "{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}";
    header(&format!("{{\"scores\":{one},\"labels\":{one}}}"), &broken);
    header(
        "{\"scores\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,16]}}",
        "has 8 bytes after its .safetensors header, which asks for 16",
    );
    let nothing =
        "{\"scores\":{\"dtype\":\"F64\",\"shape\":[4294967296,0,4294967295],\"data_offsets\":[0,0]}}";
    complaint(&file(nothing, b""), "which is too large for memory");
    complaint(&file("{}", b""), "is a .safetensors without arrays");
    complaint(
        &[&100_000_001_u64.to_le_bytes()[..], b"{\"x\":"].concat(),
        "has a .safetensors header of 100000001 bytes (byte 0), more than the 100000000 that there may be",
    );
    complaint(&[&99_999_999_u64.to_le_bytes()[..], b"{\"x\":"].concat(), "is cut off: 99999994 more bytes");
    for (dtype, shape) in [("F8_E4M3", "[8]"), ("C64", "[1]"), ("F4", "[16]")] {
        let header =
            format!("{{\"scores\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[0,8]}}}}");
        complaint(
            &file(&header, &[0; 8]),
            &format!(
                "array \"scores\": holds elements of type {dtype}; f16, bf16, f32, f64, integers and bools are read"
            ),
        );
    }
}

/// Whatever byte is wrong, there is one line, or an answer.
#[test]
fn a_changed_byte_is_no_panic() {
    let place = Place::new();
    let whole = fixture("bfloat16.safetensors");
    for byte in 0..whole.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[byte] ^= change;
            place.write("t.safetensors", changed);
            let run = place.run("lse t.safetensors");
            if run.code == Some(0) {
                run.text();
            } else {
                run.complaint();
            }
        }
    }
}
