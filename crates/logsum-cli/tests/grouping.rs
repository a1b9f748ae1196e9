//! `lse --by`: a value for each group of rows.

mod common;

use common::{Place, npy, read};
use parquet::column::writer::ColumnWriter;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// `types.parquet` and others are described in tests/parquet.rs.
fn place(fixtures: &[&str]) -> Place {
    let place = Place::new();
    for name in fixtures {
        place.write(name, read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)));
    }
    place
}

/// A .parquet of keys and numbers, with so many rows in a group.
fn parquet(rows: &[(i32, f64)], in_group: usize) -> Vec<u8> {
    let schema = parse_message_type("message table { required int32 k; required double z; }").unwrap();
    let properties = Arc::new(WriterProperties::builder().build());
    let mut file = SerializedFileWriter::new(Vec::new(), Arc::new(schema), properties).unwrap();
    for rows in rows.chunks(in_group) {
        let mut group = file.next_row_group().unwrap();
        while let Some(mut column) = group.next_column().unwrap() {
            match column.untyped() {
                ColumnWriter::Int32ColumnWriter(writer) => {
                    let keys: Vec<i32> = rows.iter().map(|row| row.0).collect();
                    writer.write_batch(&keys, None, None).unwrap();
                }
                ColumnWriter::DoubleColumnWriter(writer) => {
                    let numbers: Vec<f64> = rows.iter().map(|row| row.1).collect();
                    writer.write_batch(&numbers, None, None).unwrap();
                }
                _ => unreachable!("no such column"),
            }
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    file.into_inner().unwrap()
}

fn csv(rows: &[(i32, f64)]) -> String {
    rows.iter().fold("k,z\n".to_owned(), |text, (key, z)| text + &format!("{key},{z:?}\n"))
}

/// What the command must print.
fn expected(rows: &[(i32, f64)], name: &str, value: fn(&[f64]) -> f64) -> String {
    let mut groups: BTreeMap<i32, Vec<f64>> = BTreeMap::new();
    rows.iter().for_each(|&(key, z)| groups.entry(key).or_default().push(z));
    groups.iter().fold(format!("k,{name}\n"), |text, (key, z)| text + &format!("{key},{:?}\n", value(z)))
}

#[test]
fn each_group_has_the_value_of_its_numbers_in_any_order() {
    let place = Place::new();
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(76);
    let mut rows: Vec<(i32, f64)> =
        (0..20_000).map(|_| (random.random_range(-50..50), random.random_range(-800.0..20.0))).collect();
    // Groups whose sums are nearly 1: no state can settle their logarithms.
    rows.extend((0..1000).map(|_| (100, -(1000_f64.ln()))));
    rows.extend([
        (101, 0.0),
        (101, -40.0),
        (102, 0.0),
        (102, -700.0),
        (103, -0.5),
        (103, -0.9327521295671886),
    ]);
    rows.extend([(104, f64::INFINITY), (104, 1.0), (105, f64::NEG_INFINITY), (106, 5e-324)]);
    for (op, name, value) in [
        ("sum", "logsumexp", logsum::logsumexp as fn(&[f64]) -> f64),
        ("mean", "logmeanexp", logsum::logmeanexp),
    ] {
        let expected = expected(&rows, name, value);
        for in_group in [1_000_000, 777, 8192] {
            rows.shuffle(&mut random);
            place.write("t.parquet", parquet(&rows, in_group)).write("t.csv", csv(&rows));
            for input in ["t.parquet", "t.csv"] {
                let args = format!("--column z --by k --op {op}");
                assert_eq!(place.run(&format!("lse {input} {args}")).text(), expected, "{input}");
                let by_pipe = place.run_with_stdin(&format!("lse - {args}"), &read(&place.path(input)));
                assert_eq!(by_pipe.text(), expected, "{input} by pipe");
            }
        }
    }
}

/// Ten million numbers whose values are settled by reading them again, some groups at a time.
#[test]
fn large_groups_near_0() {
    let place = Place::new();
    let z = -(2.5e6_f64.ln());
    let rows: Vec<(i32, f64)> = (0..10_000_000).map(|row| (row % 4, z)).collect();
    place.write("t.parquet", parquet(&rows, 1 << 20));
    let value = logsum::logsumexp(&vec![z; 2_500_000]);
    let expected = (0..4).fold("k,logsumexp\n".to_owned(), |text, key| text + &format!("{key},{value:?}\n"));
    assert_eq!(place.run("lse t.parquet --column z --by k").text(), expected);
}

#[test]
fn keys_of_every_type_and_their_order() {
    let place = place(&["types.parquet"]);
    let run = |args: &str| place.run(&format!("lse types.parquet --columns {args}")).text();
    let of = |z: &[f64]| format!("{:?}", logsum::logsumexp(z));
    let [two, one, ten] = [of(&[0.5, 2.0]), of(&[-1.25, 2.0]), of(&[3.0, -700.0])];
    assert_eq!(run("log_w --by chain"), format!("chain,logsumexp\n1,{one}\n2,{two}\n10,{ten}\n"));
    let a = of(&[-1.25, 2.0, -700.0]);
    assert_eq!(run("log_w --by site"), format!("site,logsumexp\na,{a}\nb,{two}\n\"ä, \"\"x\"\"\",3.0\n"));
    let cold = of(&[-1.25, 3.0, 2.0, -700.0]);
    assert_eq!(run("log_w --by warm"), format!("warm,logsumexp\nfalse,{cold}\ntrue,{two}\n"));
    assert_eq!(
        run("log_w --by u8").lines().last(),
        Some("9223372036854775808,-1.25"),
        "unsigned, though there is no such integer with a sign"
    );
    assert_eq!(run("log_w --by large").lines().last(), Some("9007199254740993,-1.25"));
    let both = "chain,site,logsumexp\n";
    let expected = format!("{both}1,a,{one}\n2,b,{two}\n10,a,-700.0\n10,\"ä, \"\"x\"\"\",3.0\n");
    assert_eq!(run("log_w --by chain,site"), expected);
    // With several columns, each has a value of its own.
    let [warm, cool] = [of(&[1.0, 4.0]), of(&[255.0, 0.0, 3.0, 5.0])];
    let expected = format!("warm,logsumexp(log_w),logsumexp(u1)\nfalse,{cold},{cool}\ntrue,{two},{warm}\n");
    assert_eq!(run("log_w,u1 --by warm"), expected);
    assert_eq!(run("u1 --by warm --op mean").lines().next(), Some("warm,logmeanexp"));
    // The result has the type of the numbers.
    let narrow = |z: &[f64]| logsum::logsumexp(&z.iter().map(|&z| z as f32).collect::<Vec<_>>());
    assert!(run("z4 --by warm").ends_with(&format!("true,{:?}\n", narrow(&[0.5, 2.0]))));
    let halves = [0.5, 2.0].map(half::f16::from_f64);
    let found = run("z2 --by warm");
    let found = found.trim_end().rsplit(',').next().unwrap().parse().map(half::f16::from_f64);
    assert_eq!(found, Ok(logsum::logsumexp(&halves)));
}

#[test]
fn words_of_a_text_table_are_keys() {
    let place = Place::new();
    let complete = |text: &str, args: &str, expected: &str| {
        place.write("t.csv", text);
        assert_eq!(place.run(&format!("lse t.csv {args}")).text(), expected, "{text:?} {args}");
    };
    // Keys are sorted by value if all are numbers, integers or not.
    complete("k,z\n2,1\n10,2\n-1,3\n", "--column z --by k", "k,logsumexp\n-1,3.0\n2,1.0\n10,2.0\n");
    complete("k,z\n2.5,1\n10,2\n-1,3\n", "--column z --by k", "k,logsumexp\n-1,3.0\n2.5,1.0\n10,2.0\n");
    complete("k,z\n2,1\n10,2\nx,3\n", "--column z --by k", "k,logsumexp\n10,2.0\n2,1.0\nx,3.0\n");
    // Two words are two keys, and NA is a word: Namibia's.
    complete("k,z\n1,1\n01,2\nNA,3\n", "--column z --by k", "k,logsumexp\n01,2.0\n1,1.0\nNA,3.0\n");
    complete(
        "k,z\n\"a, b\",1\n\"a \"\"b\",2\n",
        "--column z --by k",
        "k,logsumexp\n\"a \"\"b\",2.0\n\"a, b\",1.0\n",
    );
    // Columns by number, with a header and without, before and after the numbers.
    complete("k,z\nx,1\ny,2\n", "--column 2 --by 1", "k,logsumexp\nx,1.0\ny,2.0\n");
    complete("z,k\n1,x\n2,y\n", "--column 1 --by 2", "k,logsumexp\nx,1.0\ny,2.0\n");
    complete("x,1\ny,2\n", "--column 2 --by 1", "1,logsumexp\nx,1.0\ny,2.0\n");
    complete(
        "1.5,x,7\n2,y,7\n",
        "--columns 1,3 --by 2",
        "2,logsumexp(1),logsumexp(3)\nx,1.5,7.0\ny,2.0,7.0\n",
    );
    complete("z,k\n1,x\n2,y\n", "--column 1 --by k", "k,logsumexp\nx,1.0\ny,2.0\n");
    place.write("t.txt", "# a comment\nann 1.5\nbob 2\n\nann 1.5\n");
    let expected = format!("1,logsumexp\nann,{:?}\nbob,2.0\n", logsum::logsumexp(&[1.5, 1.5]));
    assert_eq!(place.run("lse t.txt --column 2 --by 1").text(), expected);
}

#[test]
fn formats_of_the_table() {
    let place = place(&["types.parquet", "no_rows.parquet"]);
    let expected = [logsum::logsumexp(&[0.5, 2.0]), logsum::logsumexp(&[-1.25, 3.0, 2.0, -700.0])];
    let json = place.run("lse types.parquet --column log_w --by warm --format json").text();
    assert_eq!(
        json,
        format!(
            "[{{\"warm\": false, \"logsumexp\": {:?}}},\n{{\"warm\": true, \"logsumexp\": {:?}}}]\n",
            expected[1], expected[0]
        )
    );
    let json = place.run("lse types.parquet --column log_w --by site,chain --format json").text();
    let rows: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert_eq!((rows.len(), &rows[0]["chain"], &rows[3]["site"]), (4, &1.into(), &"ä, \"x\"".into()));
    place.write("t.csv", "k,z\n1,inf\n2,-inf\nx,nan\n");
    let json = place.run("lse t.csv --column z --by k --format json").text();
    let rows: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&rows[0]["k"], &rows[0]["logsumexp"], &rows[2]["logsumexp"]),
        (&"1".into(), &"inf".into(), &"nan".into())
    );
    let table = place.run("lse types.parquet --column log_w --by chain --format table").text();
    assert!(
        table.lines().all(|line| line.chars().count() == table.lines().next().unwrap().chars().count()),
        "{table}"
    );
    place.write("many.csv", (0..1000).fold("k,z\n".to_owned(), |text, k| text + &format!("{k},0\n")));
    let table = place.run("lse many.csv --column z --by k --format table").text();
    assert_eq!((table.lines().count(), table.lines().last().unwrap().trim_start()), (42, "999        0.0"));
    // Control characters do not reach the terminal.
    place.write("t.csv", "k,z\n\u{1b}[31m,1\n");
    let table = place.run("lse t.csv --column z --by k --format table").text();
    assert!(!table.contains('\u{1b}'), "{table}");
    place.run("lse types.parquet --column log_w --by chain -o out.csv").text();
    let printed = place.run("lse types.parquet --column log_w --by chain").text();
    assert_eq!(read(&place.path("out.csv")), printed.as_bytes());
    // The command can read its own output.
    assert_eq!(place.run("lse out.csv --column logsumexp --axis 1").numbers()[2], 3.0);
    let nothing = "lse no_rows.parquet --column log_w --by chain";
    assert_eq!(place.run(nothing).text(), "chain,logsumexp\n");
    assert_eq!(place.run(&format!("{nothing} --format json")).text(), "[]\n");
    assert_eq!(place.run(&format!("{nothing} --format table")).text(), "chain  logsumexp\n");
}

#[test]
fn complaints() {
    let place = place(&["types.parquet", "twice.parquet", "zstd.parquet", "tensors.safetensors"]);
    place
        .write("t.csv", "k,z\n1,2\n,3\n")
        .write("na.csv", "k,z\n1,2\n2,NA\n")
        .write("same.csv", "k,z\n1,2\n");
    place.write("latin1.csv", b"k,z\n\xe9,2\n\xe8,3\n").write("z.npy", npy("<f8", false, "(1,)", &[0; 8]));
    let whole = read(&place.path("zstd.parquet"));
    place.write("cut.parquet", &whole[..whole.len() / 2]).write("logsumexp.csv", "logsumexp,z\n1,2\n");
    let lists = "is nested: it holds lists or structs";
    for (args, words) in [
        (
            "types.parquet --column log_w --by key_gaps",
            "types.parquet: row 4, column \"key_gaps\": NULL is not a key; give the row a value, or leave it out".to_owned(),
        ),
        (
            "types.parquet --column gaps --by chain",
            "types.parquet: row 2, column \"gaps\": NULL is a missing number; write nan for a result that is nan, or -inf \
             for a term of 0"
                .into(),
        ),
        (
            "types.parquet --column log_w --by z4",
            "types.parquet: --by: column \"z4\" holds floats; keys are integers, strings or bools".into(),
        ),
        ("types.parquet --column log_w --by list", format!("types.parquet: --by: column \"list\" {lists}")),
        ("types.parquet --column point --by chain", format!("types.parquet: column \"point\" {lists}")),
        (
            "types.parquet --columns 1- --by chain",
            "types.parquet: --by: column \"chain\" cannot be both a key and a number".into(),
        ),
        (
            "twice.parquet --column b --by a",
            "twice.parquet: --by: columns 1 and 3 are both called \"a\"; choose by number".into(),
        ),
        ("t.csv --column z --by k", "t.csv: line 3, column 1: the field is empty, which is not a key".into()),
        (
            "na.csv --column z --by k",
            "na.csv: line 3, column 2: \"NA\" is a missing number; write nan for a result that is nan, or -inf for a term \
             of 0"
                .into(),
        ),
        ("t.csv --column z --by z", "t.csv: --by: line 1: column 2 cannot be both a key and a number".into()),
        (
            "t.csv --column z --by x",
            "t.csv: --by: line 1: no column is called \"x\"; there are \"k\", \"z\"".into(),
        ),
        (
            "latin1.csv --column z --by k",
            "latin1.csv: line 2, column 1: \"\u{fffd}\" is not in UTF-8; save the file as UTF-8".into(),
        ),
        (
            "z.npy --column z --by k",
            "z.npy: is a .npy, which is one array: --by groups the rows of a text table or of a .parquet".into(),
        ),
        (
            "tensors.safetensors --column z --by k",
            "tensors.safetensors: is a .safetensors: --by groups the rows of a text table or of a .parquet".into(),
        ),
        ("none.csv --column z --by k", "none.csv: there is no such file".into()),
        ("t.csv --column z --by k --op variance", "--by: --op can be sum or mean".into()),
        (
            "t.csv --column z --by k -o out.npy",
            "out.npy: a .npy has no place for keys; write groups as .csv or .json".into(),
        ),
        (
            "t.csv --column z --by k --format npy",
            "standard output: a .npy has no place for keys; write groups as .csv or .json".into(),
        ),
        ("same.csv --column z --by k -o same.csv", "same.csv: is the input itself; give the result another name".into()),
        (
            "logsumexp.csv --column z --by logsumexp --format json",
            "standard output: two columns are called \"logsumexp\", which an object of JSON cannot have; write .csv".into(),
        ),
    ] {
        assert_eq!(place.run(&format!("lse {args}")).complaint(), words);
    }
    assert!(
        place.run("lse cut.parquet --column log_w --by chain").complaint().contains("is a damaged .parquet")
    );
    for (args, words) in [
        ("t.csv --by k", "--columns <COLUMNS>"),
        ("t.csv --column z --by k --axis 0", "cannot be used with"),
        ("t.csv --column z --by k --weights t.csv", "cannot be used with"),
        ("t.csv --column z --by k --state s.lse", "cannot be used with"),
        ("t.csv --column z --by k --keepdims", "cannot be used with"),
        ("t.csv --column z --by k,,z", "a column is missing beside a comma"),
    ] {
        let run = place.run(&format!("lse {args}"));
        assert!(run.code == Some(2) && run.stderr.contains(words), "{args}: {run:?}");
    }
    // A run that fails leaves what was there.
    place.write("out.csv", "precious");
    place.run("lse na.csv --column z --by k -o out.csv").complaint();
    assert_eq!(read(&place.path("out.csv")), b"precious");
}

#[test]
fn blanks_between_quotation_marks_belong_to_a_key() {
    let place = Place::new();
    for table in ["g,z\n\"a\",1\n\"a \",2\n a ,3\n\" a\",4\n", "\"a\",1\n\"a \",2\n a ,3\n\" a\",4\n"] {
        place.write("keys.csv", table);
        let text = place.run("lse keys.csv --by 1 --columns 2 --format csv").text();
        let rows: Vec<&str> = text.lines().skip(1).collect();
        let both = logsum::logsumexp(&[1.0, 3.0]);
        assert_eq!(rows, [" a,4.0", &format!("a,{both}"), "a ,2.0"], "{text}");
    }
}
