//! Every way in and every way out.

mod common;

use common::{Place, assert_close, lse, npy, read};
use logsum::LogSumExp;
use ndarray::{Array2, ArrayD, Axis, arr0};
use ndarray_npy::ReadNpyExt;

/// 3 rows, 4 columns; exact in f32.
const Z: [[f64; 4]; 3] =
    [[1.5, -2.25, 0.0, 3.75], [100.5, 100.5, -8.0, 99.0], [-700.0, -701.5, -699.25, -720.0]];

fn rows() -> Vec<f64> {
    Z.iter().map(|row| lse(row)).collect()
}

fn bytes<const N: usize>(order: impl Iterator<Item = f64>, bytes: impl Fn(f64) -> [u8; N]) -> Vec<u8> {
    order.flat_map(bytes).collect()
}

fn c_order() -> impl Iterator<Item = f64> {
    Z.into_iter().flatten()
}

fn fortran_order() -> impl Iterator<Item = f64> {
    (0..4).flat_map(|column| Z.map(|row| row[column]))
}

fn text(separator: &str) -> String {
    Z.map(|row| row.map(|z| z.to_string()).join(separator) + "\n").concat()
}

#[test]
fn every_input_gives_the_same_numbers() {
    let place = Place::new();
    place.write("le8.npy", npy("<f8", false, "(3, 4)", &bytes(c_order(), f64::to_le_bytes)));
    place.write("be8.npy", npy(">f8", false, "(3, 4)", &bytes(c_order(), f64::to_be_bytes)));
    place.write("fortran.npy", npy("<f8", true, "(3, 4)", &bytes(fortran_order(), f64::to_le_bytes)));
    place.write("fortran_be.npy", npy(">f8", true, "(3, 4)", &bytes(fortran_order(), f64::to_be_bytes)));
    place.write("native.npy", npy("=f8", false, "(3, 4)", &bytes(c_order(), f64::to_ne_bytes)));
    // A header that leaves the numbers at an odd address.
    let header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4)}  \n";
    let start = [b"\x93NUMPY\x01\x00", &[header.len() as u8, 0][..], header].concat();
    assert!(!start.len().is_multiple_of(8));
    place.write("odd.npy", [start, bytes(c_order(), f64::to_le_bytes)].concat());
    // Version 2.0: a header size of four bytes.
    let header = format!("{:<115}\n", "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }");
    let start = [b"\x93NUMPY\x02\x00", &(header.len() as u32).to_le_bytes()[..], header.as_bytes()].concat();
    place.write("version2.npy", [start, bytes(c_order(), f64::to_le_bytes)].concat());
    place.write("t.csv", text(","));
    place.write("header.csv", format!("a,b,\"c, d\",e\n{}", text(", ")));
    place.write("crlf.csv", format!("\u{feff}a,b,c,d\n{}", text(",")).replace('\n', "\r\n"));
    place.write("quoted.csv", Z.map(|row| row.map(|z| format!("\"{z}\"")).join(",") + "\n").concat());
    place.write("t.tsv", text("\t"));
    place.write("t.txt", text("  "));
    place.write(
        "comments.dat",
        format!("# made by hand\n\n{}\n# the end\n", text(" \t ").replace("99\n", "99\n\n")),
    );
    place.write("header.txt", format!("alpha beta gamma delta\n{}", text(" ")));
    place.write("named_wrongly.csv", npy("<f8", false, "(3, 4)", &bytes(c_order(), f64::to_le_bytes)));
    place.write("no_last_newline.txt", text(" ").trim_end());
    let expected = place.run("lse le8.npy --axis -1").numbers();
    assert_close(&expected, &rows(), 1e-15);
    for name in place.names() {
        assert_eq!(place.run(&format!("lse {name} --axis 1")).numbers(), expected, "{name}");
        assert_eq!(
            place.run_with_stdin("lse - --axis=-1", &read(&place.path(&name))).numbers(),
            expected,
            "{name} by pipe"
        );
    }
    for (descr, bytes) in [
        ("<f4", bytes(c_order(), |z| (z as f32).to_le_bytes())),
        (">f4", bytes(c_order(), |z| (z as f32).to_be_bytes())),
    ] {
        place.write("f4.npy", npy(descr, false, "(3, 4)", &bytes));
        let rounded: Vec<f64> = expected.iter().map(|&x| f64::from(x as f32)).collect();
        let found = place.run("lse f4.npy --axis 1 --format json").text();
        let found: Vec<f32> = serde_json::from_str(&found).unwrap();
        assert_eq!(found.into_iter().map(f64::from).collect::<Vec<_>>(), rounded, "{descr}");
    }
}

fn place_with_array() -> Place {
    let place = Place::new();
    place.write("z.npy", npy("<f8", false, "(3, 4)", &bytes(c_order(), f64::to_le_bytes)));
    place.write("z4.npy", npy("<f4", false, "(3, 4)", &bytes(c_order(), |z| (z as f32).to_le_bytes())));
    place.write("cube.npy", npy("<f8", false, "(2, 2, 3)", &bytes(c_order(), f64::to_le_bytes)));
    place
}

fn array(place: &Place, name: &str) -> ArrayD<f64> {
    ArrayD::read_npy(&read(&place.path(name))[..]).expect("an f64 array")
}

#[test]
fn every_output_reads_back_the_same() {
    let place = place_with_array();
    let z = Array2::from(Z.to_vec());
    let p = z.softmax(1).unwrap();
    assert_eq!(place.run("softmax z.npy --axis 1").numbers(), p.iter().copied().collect::<Vec<_>>());
    assert_eq!(place.run("softmax z.npy --axis 1 -o p.npy").text(), "");
    assert_eq!(array(&place, "p.npy"), p.clone().into_dyn());
    place.run("softmax z.npy --axis 1 -o p.csv").text();
    place.run("softmax z.npy --axis 1 -o p.json").text();
    place.run("softmax z.npy --axis 1 -o plain.txt --format csv").text();
    let nested: Vec<Vec<f64>> = serde_json::from_slice(&read(&place.path("p.json"))).unwrap();
    assert_eq!(nested.concat(), p.iter().copied().collect::<Vec<_>>());
    let csv = String::from_utf8(read(&place.path("p.csv"))).unwrap();
    assert_eq!(csv.lines().count(), 3);
    assert_eq!(
        csv.split([',', '\n']).filter(|x| !x.is_empty()).map(|x| x.parse().unwrap()).collect::<Vec<f64>>(),
        nested.concat()
    );
    assert_eq!(csv.as_bytes(), read(&place.path("plain.txt")));
    let piped = place.run("softmax z.npy --axis 1 --format npy");
    assert_eq!(piped.stdout, read(&place.path("p.npy")));
    let offset = piped.stdout.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    assert!(offset.is_multiple_of(64), "numbers start at {offset}");
    // Through a file and back: log-softmax of the file equals that of the array.
    place.run("log-softmax p.csv --axis 1 -o q.npy").text();
    assert_eq!(array(&place, "q.npy"), p.log_softmax(1).unwrap().into_dyn());
}

#[test]
fn results_have_the_type_and_shape_that_numpy_gives() {
    let place = place_with_array();
    for (args, shape) in [
        ("lse cube.npy", &[][..]),
        ("lse cube.npy --keepdims", &[1, 1, 1]),
        ("lse cube.npy --axis 0", &[2, 3]),
        ("lse cube.npy --axis -1", &[2, 2]),
        ("lse cube.npy --axis 0,-1", &[2]),
        ("lse cube.npy --axis=-1,0 --keepdims", &[1, 2, 1]),
        ("lse cube.npy --axis 0 --axis 1", &[3]),
        ("softmax cube.npy --axis 1", &[2, 2, 3]),
        ("log-softmax cube.npy", &[2, 2, 3]),
        ("grad cube.npy --axis 2", &[2, 2, 3]),
    ] {
        place.run(&format!("{args} -o out.npy"));
        assert_eq!(array(&place, "out.npy").shape(), shape, "{args}");
    }
    place.run("softmax z4.npy -o f4.npy").text();
    assert_eq!(ArrayD::<f32>::read_npy(&read(&place.path("f4.npy"))[..]).unwrap().shape(), [3, 4]);
    assert_eq!(place.run("lse cube.npy --axis 1 --format json").text().matches('[').count(), 3);
    assert_eq!(
        place.run("softmax cube.npy --axis 1").text().lines().filter(|line| line.is_empty()).count(),
        1
    );
}

#[test]
fn grad_writes_the_gradient_and_prints_the_values() {
    let place = place_with_array();
    let run = place.run("grad z.npy --axis 1 -o gradient.npy");
    assert_close(&run.numbers(), &rows(), 1e-15);
    let gradient = array(&place, "gradient.npy");
    for (row, z) in gradient.axis_iter(Axis(0)).zip(Z) {
        let lse = lse(&z);
        assert_close(&row.iter().copied().collect::<Vec<_>>(), &z.map(|z| (z - lse).exp()), 1e-12);
    }
    let json = place.run("grad z.npy --axis 1 -o gradient.csv --format json").text();
    assert_eq!(serde_json::from_str::<Vec<f64>>(&json).unwrap(), run.numbers());
}

#[test]
fn infinities_nan_and_nothing() {
    let place = Place::new();
    place.write("t.csv", "x,y\n-inf,-Infinity\ninf,0\nNaN,1\n+1e2,.5\n");
    let text = place.run("lse t.csv --axis 1").text();
    assert_eq!(text.lines().take(3).collect::<Vec<_>>(), ["-inf", "inf", "nan"]);
    let json = place.run("lse t.csv --axis 1 --format json").text();
    assert!(json.starts_with("[\"-inf\", \"inf\", \"nan\", 100.0"), "{json}");
    assert_eq!(place.run("softmax t.csv --axis 1").text().lines().next(), Some("0.0 0.0"));
    place.write("empty.npy", npy("<f8", false, "(2, 0)", b""));
    assert_eq!(place.run("lse empty.npy --axis 1").text(), "-inf\n-inf\n");
    assert_eq!(place.run("lse empty.npy").text(), "-inf\n");
    assert_eq!(place.run("lse empty.npy --axis 0").text(), "");
    assert_eq!(place.run("softmax empty.npy --format json").text(), "[[], []]\n");
    place.write("scalar.npy", npy("<f8", false, "()", &2.5f64.to_le_bytes()));
    assert_eq!(place.run("lse scalar.npy").text(), "2.5\n");
    let zero: ArrayD<f64> =
        ArrayD::read_npy(&place.run("softmax scalar.npy --format npy").stdout[..]).unwrap();
    assert_eq!(zero, arr0(1.0).into_dyn());
}

#[test]
fn numbers_print_in_their_shortest_form() {
    let place = Place::new();
    place.write("t.txt", "1e300\n5e-324\n0.1\n1e-7\n123456789.125\n-0.0\n");
    let text = place.run("lse t.txt --axis 1").text();
    assert_eq!(text, "1e300\n5e-324\n0.1\n1e-7\n123456789.125\n0.0\n");
    assert_eq!(place.run_with_stdin("lse -", b"0 -40").text(), "4.248354255291589e-18\n");
}

#[test]
fn many_pieces_are_one_result() {
    // More than one piece of a million numbers, with a part at the end.
    let (rows, columns) = (5000, 450);
    let z = Array2::from_shape_fn((rows, columns), |(i, j)| ((i * 31 + j * 17) % 1000) as f32 / 64.0);
    let place = Place::new();
    let bytes: Vec<u8> = z.iter().flat_map(|z| z.to_le_bytes()).collect();
    place.write("z.npy", npy("<f4", false, &format!("({rows}, {columns})"), &bytes));
    let expected = z.logsumexp(1).unwrap();
    place.run("lse z.npy --axis 1 -o lse.npy").text();
    assert_eq!(ArrayD::<f32>::read_npy(&read(&place.path("lse.npy"))[..]).unwrap(), expected);
    place.run("softmax z.npy --axis 1 -o p.npy").text();
    let p = ArrayD::<f32>::read_npy(&read(&place.path("p.npy"))[..]).unwrap();
    assert_eq!(p, z.softmax(1).unwrap().into_dyn());
    let json = place.run("lse z.npy --axis 1 --format json").text();
    assert_eq!(
        serde_json::from_str::<Vec<f32>>(&json).unwrap(),
        expected.iter().copied().collect::<Vec<_>>()
    );
    let all = place.run("lse z.npy").numbers();
    let expected = logsum::logsumexp(z.as_slice().unwrap());
    assert_eq!(all, [expected.to_string().parse::<f64>().unwrap()]);
}

#[test]
fn rows_longer_than_a_piece() {
    let place = Place::new();
    let numbers: Vec<f64> = (0..120_000).map(|i| f64::from(i * 31 % 997) / 128.0).collect();
    let words: Vec<String> = (0..120_000).map(|i| format!("\"name, {i}\"")).collect();
    let text = |separator: &str| numbers.iter().map(f64::to_string).collect::<Vec<_>>().join(separator);
    let comment = "# ".repeat(200_000);
    let blank = " ".repeat(600_000);
    place.write("one.csv", text(","));
    place.write("header.csv", format!("\u{feff}{comment}\n{}\n{}\r\n{blank}", words.join(","), text(",")));
    place.write("one.txt", format!("{blank}{}{blank}\n{blank}\n", text("  ")));
    place.write("column.txt", text("\n"));
    for name in ["one.csv", "header.csv", "one.txt"] {
        let copy = place.run(&format!("lse {name} --axis 0")).numbers();
        assert_eq!(copy, numbers, "{name}");
        assert_close(&place.run(&format!("lse {name} --axis 1")).numbers(), &[lse(&numbers)], 1e-13);
    }
    assert_eq!(place.run("lse column.txt --axis 1").numbers(), numbers);
}

#[test]
fn quotation_marks_around_fields_and_in_them() {
    let place = Place::new();
    for text in [
        "\"a, b\",\"c \"\"d\"\"\"\n1,2\n",
        "\"a\", \"b\"\n\"1\" , \" 2\"\n",
        // A quotation mark encloses a field only at the start of the field.
        "a 5\",b 6\"\n1,2\n",
        "\"a b\" c\"d\n1 \"2\"\n",
    ] {
        let found = place.run_with_stdin("lse - --axis 0", text.as_bytes()).numbers();
        assert_eq!(found, [1.0, 2.0], "{text:?}");
    }
    place.write("t.csv", "\"a, b\",\"c \"\"d\"\"\"\n1,2\n");
    let found = place.run_with_stdin("lse - --columns *\"* --axis 0", &read(&place.path("t.csv"))).numbers();
    assert_eq!(found, [2.0]);
}

/// A lone CR ends a line, as on old Macs: also beside quotation marks, and after a comment.
#[test]
fn every_line_end_ends_a_line() {
    let place = Place::new();
    let rows = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]].map(|row| logsum::logsumexp(&row));
    for (name, text) in [
        ("t.csv", "# c\n1,2\n3,4\n\n5,6\n"),
        ("t.csv", "\"1\",\"2\"\n\"3\",\"4\"\n\"5\",\"6\"\n"),
        ("t.csv", "\"a\",\"b\"\n1,2\n3,4\n5,6"),
        ("t.tsv", "a\tb\n1\t2\n3\t\"4\"\n5\t6\n"),
        ("t.txt", "# c\na b\n1 2\n3 4\n# c\n5 6\n"),
    ] {
        // The third text mixes two kinds of line ends.
        for text in [text.replace('\n', "\r"), text.replace('\n', "\r\n"), text.replacen('\n', "\r", 2)] {
            place.write(name, &text);
            assert_eq!(place.run(&format!("lse {name} --axis 1")).numbers(), rows, "{text:?}");
        }
    }
    let complaint = |text: &str, complaint: &str| {
        place.write("t.csv", text);
        assert_eq!(place.run("lse t.csv").complaint(), format!("t.csv: {complaint}"));
    };
    complaint("\"1\",\"2\"\r3,bogus\n\"5\",\"6\"\n", "line 2, column 2: \"bogus\" is not a number");
    complaint("1,\"2\r\"\n", "line 1: a quotation mark is not closed; a field cannot go on in the next line");
    // Where the first read of the file ends, between the two bytes of an end.
    let comment = "#".repeat(4095);
    complaint(&format!("{comment}\r\n1\r\n\r\nx\r\n"), "line 4, column 1: \"x\" is not a number");
}

#[test]
fn a_long_text_goes_through_a_temporary_file() {
    // Nine million numbers are 72 MiB of f64, more than is kept in memory.
    let place = Place::new();
    let row = "0 1 2 3 4 5 6 7 8\n";
    let text = row.repeat(1_000_000);
    place.write("long.txt", &text);
    let mut command = place.command("lse long.txt");
    std::fs::create_dir(place.path("tmp")).unwrap();
    let output = command.env("TMPDIR", place.path("tmp")).output().unwrap();
    let found: f64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    let one = lse(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    assert_close(&[found], &[one + 1e6f64.ln()], 1e-15);
    assert_eq!(std::fs::read_dir(place.path("tmp")).unwrap().count(), 0);
    let complaint = place.command("lse long.txt").env("TMPDIR", place.path("none")).output().unwrap();
    let complaint = String::from_utf8(complaint.stderr).unwrap();
    assert!(
        complaint.contains("set TMPDIR to a folder with more") && complaint.lines().count() == 1,
        "{complaint}"
    );
}
