//! Elements of every type, archives of arrays, and headers of every age, as NumPy writes them.

mod common;

use common::{Place, npy, npy_with_header, read};
use half::{bf16, f16};
use std::path::Path;

/// Written by NumPy 2.4 and ml_dtypes 0.6:
/// ```python
/// z = np.array([[0.5, -1.25, 3], [2, 2, -700]])
/// np.savez('arrays.npz', scores=z.astype('f4'), labels=np.array([2, -100]), other=np.zeros(2, bool))
/// np.savez_compressed('compressed.npz', z)
/// np.save('bfloat16.npy', z.astype(ml_dtypes.bfloat16))
/// ```
fn fixture(name: &str) -> Vec<u8> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name))
}

const Z: [[f64; 3]; 2] = [[0.5, -1.25, 3.0], [2.0, 2.0, -700.0]];

fn place() -> Place {
    let place = Place::new();
    for name in ["arrays.npz", "compressed.npz", "bfloat16.npy"] {
        place.write(name, fixture(name));
    }
    place
}

/// The whole numbers of a row as bytes of an integer type, in both orders.
macro_rules! integers {
    ($($type:ty, $code:literal),* $(,)?) => {
        [$(
            (concat!("<", $code), [1 as $type, 0, 100].iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>()),
            (concat!(">", $code), [1 as $type, 0, 100].iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<u8>>()),
            (concat!("=", $code), [1 as $type, 0, 100].iter().flat_map(|n| n.to_ne_bytes()).collect::<Vec<u8>>()),
        )*]
    };
}

#[test]
fn integers_of_every_type_are_f64() {
    let place = Place::new();
    let expected = logsum::logsumexp(&[1.0, 0.0, 100.0]);
    let types = integers! {
        i8, "i1", i16, "i2", i32, "i4", i64, "i8", u8, "u1", u16, "u2", u32, "u4", u64, "u8",
    };
    let types = types.into_iter().chain([("|i1", vec![1, 0, 100]), ("|u1", vec![1, 0, 100])]);
    for (descr, bytes) in types {
        place.write("n.npy", npy(descr, false, "(3,)", &bytes));
        assert_eq!(place.run("lse n.npy").numbers(), [expected], "{descr}");
        // As labels: of three rows of scores, the last of which is left out.
        place.write("z.csv", "0,1\n0,1\n0,0\n");
        let found = place.run("cross-entropy z.csv n.npy --ignore 100 --rows").numbers();
        assert_eq!(found, [logsum::log1pexp(-1.0), logsum::log1pexp(1.0), 0.0], "{descr}");
    }
    place.write("n.npy", npy("|b1", false, "(3,)", &[1, 0, 1]));
    assert_eq!(place.run("lse n.npy").numbers(), [logsum::logsumexp(&[1.0, 0.0, 1.0])]);
    place.write("n.npy", npy("<i2", true, "(2, 2)", &[1, 0, 255, 255, 3, 0, 4, 0]));
    assert_eq!(place.run("softmax n.npy --format csv --axis 1").text().lines().count(), 2);
    assert_eq!(
        place.run("lse n.npy --axis 1").numbers(),
        [logsum::logsumexp(&[1.0, 3.0]), logsum::logsumexp(&[-1.0, 4.0])]
    );
}

#[test]
fn an_integer_is_exact_or_a_complaint() {
    let place = Place::new();
    let bytes = |n: i64| npy("<i8", false, "(2,)", &[0, n].map(i64::to_le_bytes).concat());
    for exact in [1 << 53, -(1 << 53), 1 << 60, i64::MIN, (1 << 53) + 2] {
        place.write("n.npy", bytes(exact));
        let pair = [0.0, exact as f64];
        assert_eq!(place.run("lse n.npy").numbers(), [logsum::logsumexp(&pair)], "{exact}");
    }
    for rounded in [(1 << 53) + 1, -(1 << 53) - 1, i64::MAX] {
        place.write("n.npy", bytes(rounded));
        let complaint = format!(
            "n.npy: number 2 in the file: {rounded} is an integer that f64 cannot hold; to have it rounded, save it \
             as f64"
        );
        assert_eq!(place.run("lse n.npy").complaint(), complaint);
    }
    place.write("n.npy", npy(">u8", false, "(1,)", &[255; 8]));
    assert!(place.run("lse n.npy").complaint().contains(": 18446744073709551615 is an integer"));
    place.write("n.npy", npy("|b1", false, "(2,)", &[1, 7]));
    let complaint =
        "n.npy: number 2 in the file: the byte 7 is not a bool, which is 0 or 1; save the array again";
    assert_eq!(place.run("lse n.npy").complaint(), complaint);
}

#[test]
fn narrow_floats_keep_their_type() {
    let place = place();
    let z = Z.map(|row| row.map(f16::from_f64));
    let expected = z.map(|row| logsum::logsumexp(&row));
    let bytes =
        |to_bytes: fn(f16) -> [u8; 2]| z.iter().flatten().flat_map(|&z| to_bytes(z)).collect::<Vec<_>>();
    for (descr, bytes) in [("<f2", bytes(f16::to_le_bytes)), (">f2", bytes(f16::to_be_bytes))] {
        let content = npy(descr, false, "(2, 3)", &bytes);
        place.write("f2.npy", &content);
        let runs = [place.run("lse f2.npy --axis 1"), place.run_with_stdin("lse - --axis 1", &content)];
        for run in runs {
            assert_eq!(
                run.numbers().iter().map(|&x| f16::from_f64(x)).collect::<Vec<_>>(),
                expected,
                "{descr}"
            );
        }
        let out = place.run("lse f2.npy --axis 1 --format npy").stdout;
        let bytes: Vec<u8> = expected.iter().flat_map(|x| x.to_ne_bytes()).collect();
        assert_eq!(out, npy(&descr.replace('>', "<"), false, "(2,)", &bytes));
    }
    let z = Z.map(|row| row.map(bf16::from_f64));
    let expected = z.map(|row| logsum::logsumexp(&row).to_ne_bytes()).concat();
    assert_eq!(
        place.run("lse bfloat16.npy --axis 1 --format npy").stdout,
        npy("<V2", false, "(2,)", &expected)
    );
    // Only the digits that the type has; infinities and NaN as for other types.
    let numbers =
        [0.1, 1e-7, 65504.0, f64::INFINITY, f64::NAN].map(|x| f16::from_f64(x).to_le_bytes()).concat();
    place.write("f2.npy", npy("<f2", false, "(5, 1)", &numbers));
    assert_eq!(place.run("lse f2.npy --axis 1").text(), "0.1\n1e-7\n65500.0\ninf\nnan\n");
    assert_eq!(
        place.run("lse f2.npy --axis 1 --format json").text(),
        "[0.1, 1e-7, 65500.0, \"inf\", \"nan\"]\n"
    );
}

#[test]
fn weights_of_another_type_make_it_f64() {
    let place = place();
    place.write("w.npy", npy("|i1", false, "(3,)", &[1, 255, 2]));
    let weighted = |z: &[f64]| logsum::Terms::new(z).weights(&[1.0, -1.0, 2.0]).unwrap().logsumexp();
    let expected = Z.map(|z| weighted(&z));
    assert_eq!(place.run("lse bfloat16.npy --axis 1 --weights w.npy").numbers(), expected);
    assert_eq!(place.run("lse compressed.npz --axis 1 --weights w.npy").numbers(), expected);
    place.write("ones.npy", npy("<V2", false, "()", &bf16::ONE.to_le_bytes()));
    let narrow = place.run("lse bfloat16.npy --axis 1").text();
    assert_eq!(place.run("lse bfloat16.npy --axis 1 --weights ones.npy").text(), narrow);
}

#[test]
fn arrays_of_an_npz() {
    let place = place();
    let f32s = Z.map(|row| logsum::logsumexp(&row.map(|z| z as f32)).to_string().parse::<f64>().unwrap());
    assert_eq!(place.run("lse arrays.npz --array scores --axis 1").numbers(), f32s);
    let by_pipe = place.run_with_stdin("lse - --array scores --axis 1", &fixture("arrays.npz"));
    assert_eq!(by_pipe.numbers(), f32s);
    // The only array needs no name.
    let f64s = Z.map(|row| logsum::logsumexp(&row));
    for args in ["lse compressed.npz --axis 1", "lse compressed.npz --array arr_0 --axis 1"] {
        assert_eq!(place.run(args).numbers(), f64s);
    }
    let losses =
        "cross-entropy arrays.npz arrays.npz --array scores --label-array labels --ignore -100 --rows";
    let loss = logsum::cross_entropy(&Z[0].map(|z| z as f32), &[2]).unwrap();
    assert_eq!(place.run(losses).numbers(), [loss.to_string().parse().unwrap(), 0.0]);
    place.write("tokens.txt", "0\n1\n");
    let tokens = place.run("token-log-probs compressed.npz arrays.npz --token-array other").numbers();
    assert_eq!(tokens[0], Z[0][0] - f64s[0]);
    let z = Z.concat();
    let weighted = logsum::Terms::new(&z).weights(&z).unwrap().logsumexp();
    let found = place.run("lse compressed.npz --weights arrays.npz --weight-array scores").numbers();
    assert_eq!(found, [weighted]);
    let complaint = |args: &str, words: &str| assert_eq!(place.run(args).complaint(), words);
    complaint(
        "lse arrays.npz",
        "arrays.npz: holds 3 arrays: \"scores\", \"labels\", \"other\"; choose one with --array NAME",
    );
    complaint(
        "lse arrays.npz --array x",
        "arrays.npz: has no array \"x\"; --array can be \"scores\", \"labels\", \"other\"",
    );
    complaint(
        "cross-entropy compressed.npz arrays.npz",
        "arrays.npz: holds 3 arrays: \"scores\", \"labels\", \"other\"; choose one with --label-array NAME",
    );
    complaint(
        "cross-entropy arrays.npz arrays.npz",
        "arrays.npz: cannot be both the scores and the labels; give --array and --label-array to choose parts of it",
    );
    complaint(
        "lse bfloat16.npy --array x",
        "bfloat16.npy: is a .npy, which is one array: leave out --array, which chooses an array of a .npz or .safetensors",
    );
    complaint(
        "lse tokens.txt --array x",
        "tokens.txt: is a text table: leave out --array, which chooses an array of a .npz or .safetensors",
    );
    complaint(
        "lse arrays.npz --columns 1",
        "arrays.npz: is a .npz: leave out --columns, which chooses columns of a table",
    );
}

#[test]
fn archives_that_are_broken_or_none() {
    let place = Place::new();
    let whole = fixture("arrays.npz");
    let complaint = |content: &[u8], words: &str| {
        place.write("a.npz", content);
        for run in
            [place.run("lse a.npz --array scores"), place.run_with_stdin("lse - --array scores", content)]
        {
            assert!(run.complaint().contains(words), "{run:?}");
        }
    };
    complaint(&whole[..whole.len() / 2], "is a damaged .zip; save it again with numpy.savez");
    // A byte of a number: the archive's checksum shows it.
    let mut changed = whole.clone();
    let number = whole.windows(4).position(|bytes| bytes == (-1.25f32).to_le_bytes()).unwrap();
    changed[number] ^= 1;
    complaint(&changed, "array \"scores\" is damaged; save the file again with numpy.savez");
    let mut header = whole.clone();
    header[whole.windows(6).position(|bytes| bytes == b"\x93NUMPY").unwrap()] = 0;
    complaint(&header, "array \"scores\": is not a .npy (byte 0); save the array again with numpy.save");
    complaint(
        b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        "is a .zip without arrays (.npy files), so not a .npz",
    );
    complaint(b"PK\x03\x04", "is a damaged .zip");
    // In the table of contents of an archive of one array.
    let whole = fixture("compressed.npz");
    let entry = whole.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    let changed = |offset: usize, byte: u8| {
        let mut changed = whole.clone();
        changed[entry + offset] = byte;
        place.write("c.npz", changed);
        let found = place.run("lse c.npz");
        found.complaint().strip_prefix("c.npz: ").expect("the file").to_owned()
    };
    assert_eq!(changed(8, 1), "is encrypted; save it again with numpy.savez");
    assert!(
        changed(10, 14)
            .starts_with("array \"arr_0\" is compressed in a way that NumPy does not use; save it again")
    );
}

#[test]
fn headers_of_python_2_and_of_every_version() {
    let place = Place::new();
    let bytes: Vec<u8> = Z.iter().flatten().flat_map(|z| z.to_le_bytes()).collect();
    let expected = Z.map(|row| logsum::logsumexp(&row)).to_vec();
    let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (2L, 3L), }";
    place.write("py2.npy", npy_with_header(header, &bytes));
    for version in [2, 3] {
        let header = format!("{:<115}\n", "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }");
        let size = (header.len() as u32).to_le_bytes();
        let content = [b"\x93NUMPY", &[version, 0][..], &size, header.as_bytes(), &bytes].concat();
        place.write(&format!("v{version}.npy"), content);
    }
    for name in place.names() {
        assert_eq!(place.run(&format!("lse {name} --axis 1")).numbers(), expected, "{name}");
    }
    place.write(
        "long.npy",
        npy_with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (6L,), }", &bytes),
    );
    assert_eq!(place.run("lse long.npy").numbers(), [logsum::logsumexp(&Z.concat())]);
    // An L is accepted only after a number, as Python 2 wrote it.
    place
        .write("l.npy", npy_with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (L,), }", &bytes));
    assert!(place.run("lse l.npy").complaint().contains("it is not a Python dictionary"));
}

#[test]
fn types_that_are_not_read() {
    let place = Place::new();
    let remedy = "f16, bf16, f32, f64, integers and bools are read: save it as array.astype('f8')";
    for (descr, remedy) in [
        ("<c16", "complex numbers are not supported: save array.real"),
        ("<f16", remedy),
        ("|O", remedy),
        ("<U3", remedy),
        ("|V2", remedy),
        ("f8", remedy),
        ("", remedy),
        ("é", remedy),
    ] {
        place.write("z.npy", npy(descr, false, "(1,)", &[0; 16]));
        let complaint = format!("z.npy: holds elements of type {descr:?}; {remedy}");
        assert_eq!(place.run("lse z.npy").complaint(), complaint);
    }
}
