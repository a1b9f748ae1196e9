//! Tables of Apache Parquet, as pyarrow writes them.

mod common;

use common::{Place, Run, npy, read};
use half::f16;
use std::path::Path;

/// Written by pyarrow 26:
/// ```python
/// z = [0.5, -1.25, 3, 2, 2, -700]
/// table = pa.table({
///     'chain': pa.array([2, 1, 10, 1, 2, 10], 'i4'), 'site': ['b', 'a', 'ä, "x"', 'a', 'b', 'a'],
///     'warm': [True, False, False, False, True, False], 'log_w': z, 'z4': pa.array(z, 'f4'),
///     'z2': pa.array(np.array(z, 'f2')), 'u1': pa.array([1, 255, 0, 3, 4, 5], 'u1'),
///     'u4': pa.array([1, 2**32 - 1, 0, 3, 4, 5], 'u4'), 'u8': pa.array([1, 2**63, 0, 3, 4, 5], 'u8'),
///     'large': pa.array([1, 2**53 + 1, 0, 3, 4, 5], 'i8'), 'gaps': [0.5, None, 3, 2, 2, -700],
///     'key_gaps': pa.array([1, 1, 1, None, 1, 1], 'i8'), 'price': pa.array([1, 2, 3, 4, 5, 6], pa.decimal128(9, 2)),
///     'when': pa.array([1, 2, 3, 4, 5, 6], pa.timestamp('ns')), 'list': [[1.0, 2.0], [], [3.0], [], [], []],
///     'point': [{'x': 1.0, 'y': 2.0}] * 6})
/// pq.write_table(table, 'types.parquet', row_group_size=4)
/// draws = table.select(['chain', 'site', 'warm', 'log_w'])
/// for codec in ['none', 'snappy', 'gzip', 'zstd', 'lz4', 'brotli']:
///     version = '2.0' if codec == 'gzip' else '1.0'
///     pq.write_table(draws, f'{codec}.parquet', compression=codec, data_page_version=version)
/// pq.write_table(draws, 'checksum.parquet', compression='none', write_page_checksum=True)
/// pq.write_table(draws.slice(0, 0), 'no_rows.parquet')
/// pq.write_table(pa.table({'a': [1.0, 2.0], '__index_level_0__': [7, 8]}), 'index.parquet')
/// twice = pa.Table.from_arrays([table['log_w'], table['z4'], table['log_w']], ['a', 'b', 'a'])
/// split = {'a': 'BYTE_STREAM_SPLIT', 'b': 'BYTE_STREAM_SPLIT'}
/// pq.write_table(twice, 'twice.parquet', use_dictionary=False, column_encoding=split)
/// ```
fn fixture(name: &str) -> Vec<u8> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name))
}

const Z: [f64; 6] = [0.5, -1.25, 3.0, 2.0, 2.0, -700.0];

fn place(names: &[&str]) -> Place {
    let place = Place::new();
    for name in names {
        place.write(name, fixture(name));
    }
    place
}

#[test]
fn every_codec_gives_the_same_numbers() {
    let place = place(&["none.parquet", "snappy.parquet", "gzip.parquet", "zstd.parquet", "lz4.parquet"]);
    for name in place.names() {
        let found = place.run(&format!("lse {name} --column log_w")).numbers();
        assert_eq!(found, [logsum::logsumexp(&Z)], "{name}");
        let found = place.run_with_stdin("lse - --columns 4", &fixture(&name)).numbers();
        assert_eq!(found, [logsum::logsumexp(&Z)], "{name} by pipe");
        // Its first bytes count, not its name.
        place.write("t.csv", fixture(&name));
        assert_eq!(place.run("lse t.csv --columns log_*").numbers(), found, "{name}");
    }
}

#[test]
fn floats_keep_their_type_if_all_have_it() {
    let place = place(&["types.parquet"]);
    let npy_of = |args: &str| place.run(&format!("{args} --format npy")).stdout;
    let f32s: Vec<f32> = Z.iter().map(|&z| z as f32).collect();
    let f16s: Vec<f16> = Z.iter().map(|&z| f16::from_f64(z)).collect();
    let value = logsum::logsumexp(&f32s).to_le_bytes();
    assert_eq!(npy_of("lse types.parquet --columns z4"), npy("<f4", false, "()", &value));
    let value = logsum::logsumexp(&f16s).to_le_bytes();
    assert_eq!(npy_of("lse types.parquet --columns z2"), npy("<f2", false, "()", &value));
    let value = logsum::logsumexp(&[Z, Z].concat()).to_le_bytes();
    assert_eq!(npy_of("lse types.parquet --columns z4,log_w"), npy("<f8", false, "()", &value));
    let value = logsum::logsumexp(&[Z, Z].concat()).to_le_bytes();
    assert_eq!(npy_of("lse types.parquet --columns z4,z2"), npy("<f8", false, "()", &value));
}

#[test]
fn integers_and_bools_are_f64_and_exact() {
    let place = place(&["types.parquet"]);
    for (column, expected) in [
        ("chain", [2.0, 1.0, 10.0, 1.0, 2.0, 10.0]),
        ("warm", [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
        ("u1", [1.0, 255.0, 0.0, 3.0, 4.0, 5.0]),
        ("u4", [1.0, 4_294_967_295.0, 0.0, 3.0, 4.0, 5.0]),
        ("u8", [1.0, 9_223_372_036_854_775_808.0, 0.0, 3.0, 4.0, 5.0]),
    ] {
        let found = place.run(&format!("lse types.parquet --columns {column} --axis 1")).numbers();
        assert_eq!(found, expected, "{column}");
    }
    assert_eq!(
        place.run("lse types.parquet --columns large").complaint(),
        "types.parquet: row 2, column \"large\": 9007199254740993 is an integer that f64 cannot hold; to have it \
         rounded, save it as f64"
    );
}

#[test]
fn columns_are_those_of_a_matrix() {
    let place = place(&["types.parquet", "twice.parquet"]);
    let columns = |args: &str| place.run(&format!("lse types.parquet {args}")).numbers();
    let [z, u1] = [logsum::logsumexp(&Z), logsum::logsumexp(&[1.0, 255.0, 0.0, 3.0, 4.0, 5.0])];
    assert_eq!(columns("--columns log_w,u1 --axis 0"), [z, u1]);
    assert_eq!(columns("--columns u1,4 --axis 0"), [u1, z]);
    let rows = Z.iter().zip([1.0, 255.0, 0.0, 3.0, 4.0, 5.0]).map(|(&z, u)| logsum::logsumexp(&[z, u]));
    assert_eq!(columns("--columns log_w,u1 --axis 1"), rows.collect::<Vec<_>>());
    // Every operation works on it, and columns of two tables may be one's numbers and weights.
    let softmax = place.run("softmax types.parquet --columns log_w,z4 --axis 0 --format csv").text();
    assert_eq!(softmax.lines().count(), 6);
    let weighted = logsum::Terms::new(&Z).weights(&[2.0, 1.0, 10.0, 1.0, 2.0, 10.0]).unwrap().logsumexp();
    let args = "lse types.parquet --columns log_w --weights types.parquet --weight-columns chain";
    assert_eq!(place.run(args).numbers(), [weighted]);
    place.run("grad twice.parquet --axis 0 -o gradient.npy").numbers();
    // All columns, though two of them have one name.
    assert_eq!(place.run("lse twice.parquet --axis 0").numbers(), [z; 3]);
    place.run("lse types.parquet --columns log_w --state z.lse").numbers();
    assert_eq!(place.run("merge z.lse").numbers(), [z]);
}

#[test]
fn complaints_name_the_column() {
    let place = place(&["types.parquet", "twice.parquet", "none.parquet", "brotli.parquet"]);
    let missing = "is a missing number; write nan for a result that is nan, or -inf for a term of 0";
    for (args, words) in [
        ("types.parquet --columns gaps", format!("row 2, column \"gaps\": NULL {missing}")),
        ("types.parquet --columns log_w,key_gaps", format!("row 4, column \"key_gaps\": NULL {missing}")),
        ("types.parquet --columns site", "column \"site\" holds text, not numbers".into()),
        (
            "none.parquet",
            "column \"site\" holds text, not numbers; choose columns of numbers with --columns".into(),
        ),
        (
            "types.parquet --columns price",
            "column \"price\" holds decimals, which are not supported; save it as float64".into(),
        ),
        (
            "types.parquet --columns when",
            "column \"when\" holds dates or times, which are not supported; save it as float64".into(),
        ),
        ("types.parquet --columns list", "column \"list\" is nested: it holds lists or structs".into()),
        ("types.parquet --columns point", "column \"point\" is nested: it holds lists or structs".into()),
        (
            "twice.parquet --columns a",
            "--columns: columns 1 and 3 are both called \"a\"; choose by number".into(),
        ),
        (
            "twice.parquet --columns x",
            "--columns: no column is called \"x\"; there are \"a\", \"b\", \"a\"".into(),
        ),
        ("twice.parquet --columns 4", "--columns: there is no column 4, only 3".into()),
        (
            "twice.parquet --array a",
            "is a .parquet: leave out --array, which chooses an array of a .npz or .safetensors".into(),
        ),
        (
            "brotli.parquet --columns log_w",
            "column \"log_w\" is compressed by Brotli, which is not supported; save it with zstd or snappy"
                .into(),
        ),
    ] {
        let name = args.split(' ').next().unwrap();
        assert_eq!(place.run(&format!("lse {args}")).complaint(), format!("{name}: {words}"));
    }
    // The same column twice is not two inputs.
    let complaint = place.run("cross-entropy twice.parquet twice.parquet");
    assert!(complaint.complaint().contains("give --columns and --label-columns to choose parts of it"));
}

/// What is not meant to be summed is not summed without a word.
#[test]
fn row_names_of_pandas_are_read_only_if_chosen() {
    let place = place(&["index.parquet"]);
    assert_eq!(
        place.run("lse index.parquet").complaint(),
        "index.parquet: column \"__index_level_0__\" has the row names that pandas writes: choose others with --columns"
    );
    let expected = [logsum::logsumexp(&[1.0, 2.0])];
    for columns in ["*", "a", "1"] {
        assert_eq!(place.run(&format!("lse index.parquet --columns {columns}")).numbers(), expected);
    }
    assert_eq!(place.run("lse index.parquet --columns 1- --axis 0").numbers().len(), 2);
    let by = place.run("lse index.parquet --column a --by __index_level_0__").text();
    assert_eq!(by, "__index_level_0__,logsumexp\n7,1.0\n8,2.0\n");
}

#[test]
fn no_rows_are_nothing() {
    let place = place(&["no_rows.parquet"]);
    assert_eq!(place.run("lse no_rows.parquet --columns log_w").text(), "-inf\n");
    assert_eq!(place.run("lse no_rows.parquet --columns log_w,chain --axis 0").text(), "-inf\n-inf\n");
}

fn is_one_line_or_an_answer(run: &Run) {
    if run.code == Some(0) {
        run.text();
    } else {
        run.complaint();
    }
}

#[test]
fn files_that_are_broken() {
    let place = Place::new();
    let whole = fixture("zstd.parquet");
    let complaint = |content: &[u8], words: &str| {
        place.write("t.parquet", content);
        for run in [
            place.run("lse t.parquet --columns log_w"),
            place.run_with_stdin("lse - --columns log_w", content),
        ] {
            assert!(run.complaint().contains(words), "{run:?}, not {words}");
        }
    };
    let damaged = "is a damaged .parquet; save it again";
    for length in [4, 8, 11, 12, 100, whole.len() / 2, whole.len() - 1] {
        complaint(&whole[..length], damaged);
    }
    complaint(&[&whole[..], b"\n"].concat(), damaged);
    // The length of the footer, and the signature after it.
    let end = whole.len();
    for length in [0_u32, 1, 7, 10_000_000, u32::MAX, u32::MAX / 2] {
        let mut changed = whole.clone();
        changed[end - 8..end - 4].copy_from_slice(&length.to_le_bytes());
        complaint(&changed, damaged);
    }
    complaint(&[&whole[..end - 4], b"PARE"].concat(), "is a damaged .parquet; save it again: ");
    complaint(b"PAR1PAR1", damaged);
    // A byte of a number, where there are checksums.
    let mut changed = fixture("checksum.parquet");
    let number = changed.windows(8).position(|bytes| bytes == (-1.25f64).to_le_bytes()).unwrap();
    changed[number] ^= 1;
    complaint(&changed, damaged);
}

/// Whatever byte is wrong, there is one line, or an answer.
#[test]
fn a_changed_byte_is_no_panic() {
    let place = Place::new();
    for (name, step) in [("none.parquet", 1), ("gzip.parquet", 3), ("zstd.parquet", 5)] {
        let whole = fixture(name);
        for byte in (0..whole.len()).step_by(step) {
            let mut changed = whole.clone();
            changed[byte] ^= [0x01, 0x80, 0xff, 0x10][byte % 4];
            place.write("t.parquet", changed);
            is_one_line_or_an_answer(&place.run("lse t.parquet --columns 1,4 --by site"));
        }
    }
}
