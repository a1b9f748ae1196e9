//! What can go wrong: one line that says what, where, and what to do; nothing lost, nothing half-written.

mod common;

use common::{Place, Run, npy, npy_with_header, read};
use std::fs;
use std::process::Stdio;

#[test]
fn text_that_is_no_table_of_numbers() {
    for (name, content, complaint) in [
        ("t.csv", "1,2\n3,x4\n", "t.csv: line 2, column 2: \"x4\" is not a number"),
        ("t.csv", "a,b\n1,2\n3\n", "t.csv: line 3 has 1 numbers, it must have 2 as line 2 has"),
        ("t.csv", "1,2\n\n# note\n3,4,5\n", "t.csv: line 4 has 3 numbers, it must have 2 as line 1 has"),
        ("t.csv", "1,2\n3,\n", "t.csv: line 2, column 2: the field is empty"),
        (
            "t.csv",
            "1,b\n3,4\n",
            "t.csv: line 1, column 2: \"b\" is not a number (a header line has words only)",
        ),
        ("t.csv", "1,2\nx,y\n", "t.csv: line 2, column 1: \"x\" is not a number"),
        (
            "t.csv",
            "a,b\nc,d\n1,2\n",
            "t.csv: line 2, column 1: \"c\" is not a number; if it is a row's name, leave it out with --columns 2-",
        ),
        ("t.csv", "a,b\n", "t.csv: has no numbers: line 1, which starts with \"a\", was taken for a header"),
        ("t.csv", "", "t.csv: is empty; it must hold at least one number"),
        ("t.csv", "\n\n# nothing\n", "t.csv: is empty; it must hold at least one number"),
        ("t.csv", "1,1e999\n", "t.csv: line 1, column 2: \"1e999\" is beyond the largest f64"),
        ("t.txt", "1 2\n3 4 5\n", "t.txt: line 2 has 3 numbers, it must have 2 as line 1 has"),
        ("t.txt", "1 2\n3 four\n", "t.txt: line 2, column 2: \"four\" is not a number"),
        ("t.txt", "\n1 2\n\n3 \u{1b}[31m\n", "t.txt: line 4, column 2: \"\\u{1b}[31m\" is not a number"),
        (
            "t.csv",
            "1,\"2\n",
            "t.csv: line 1: a quotation mark is not closed; a field cannot go on in the next line",
        ),
        (
            "t.txt",
            "1 \"2 3\n",
            "t.txt: line 1: a quotation mark is not closed; a field cannot go on in the next line",
        ),
        // Text after a closing quotation mark is an error.
        ("t.csv", "1,2\n\"1\"2,3\n", "t.csv: line 2, column 1: \"\\\"1\\\"2\" is not a number"),
        ("t.csv", "1,2\n3,\"4\" \"5\"\n", "t.csv: line 2, column 2: \"\\\"4\\\" \\\"5\\\"\" is not a number"),
        ("t.csv", "1,\"2\"\r\n\r\n3,\"4,5\"\r\n", "t.csv: line 3, column 2: \"4,5\" is not a number"),
        ("t.tsv", "1\t2\n3\t\n", "t.tsv: line 2, column 2: the field is empty"),
        // A line of tabs is a row of empty fields, and after a tab # does not begin a comment.
        ("t.tsv", "1\t2\n\t\n3\t4\n", "t.tsv: line 2, column 1: the field is empty"),
        ("t.tsv", "1\t2\n \t#x\n3\t4\n", "t.tsv: line 2, column 1: the field is empty"),
        ("t.tsv", "a\n1\n\t\n", "t.tsv: line 3, column 1: the field is empty"),
        ("t.csv", "1,2\n,,\n", "t.csv: line 2, column 1: the field is empty"),
        ("t.tsv", "1\t2\n\"3\"\t\n", "t.tsv: line 2, column 2: the field is empty"),
        (
            "t.csv",
            "a,1\n3,4\n",
            "t.csv: line 1, column 1: \"a\" is not a number (a header line has words only); if it is a row's name, leave it \
             out with --columns 2-",
        ),
        (
            "t.csv",
            "1;2\n",
            "t.csv: line 1, column 1: \"1;2\" is not a number; fields are separated by commas, tabs or white space",
        ),
        (
            "t.csv",
            "1;2\n3;4\n",
            "t.csv: line 1, column 1: \"1;2\" is not a number; fields are separated by commas, tabs or white space",
        ),
        (
            "t.csv",
            "a,b,c\n1,2\n",
            "t.csv: line 2 has 2 fields, but line 1 has 3 names; choose columns by their numbers, as in --columns 1-",
        ),
        (
            "t.txt",
            "1\nabcdefghijklmnopqrstuvwxyz0123456789\n",
            "t.txt: line 2, column 1: \"abcdefghijklmnopqrstuvwx…\" is not a number",
        ),
    ] {
        let place = Place::new();
        place.write(name, content);
        assert_eq!(place.run(&format!("lse {name}")).complaint(), complaint);
        let by_pipe = place.run_with_stdin("lse -", content.as_bytes());
        if name != "t.tsv" {
            assert_eq!(by_pipe.complaint(), complaint.replace(name, "standard input"));
        }
    }
    let place = Place::new();
    place.write("t.tsv", "a\tb\n1\t2\n\t\n");
    let complaint = "t.tsv: line 3, column 2: the field is empty";
    assert_eq!(place.run("lse t.tsv --columns 2").complaint(), complaint);
    // Lines of blanks that are not the separator are blank lines.
    for (name, text) in [
        ("t.txt", " 1 2\n \t\n\t# c\n3 4\n"),
        ("t.csv", "1,2\n \t\n\t# c\n3,4\n"),
        ("t.tsv", "1\t2\n  \n # c\n3\t4\n"),
    ] {
        place.write(name, text);
        assert_eq!(place.run(&format!("lse {name} --axis 1")).numbers().len(), 2, "{name}");
    }
    place.write("latin1.csv", b"1,2\n3,\xe9\n");
    assert_eq!(
        place.run("lse latin1.csv").complaint(),
        "latin1.csv: line 2, column 2: \"\u{fffd}\" is not a number"
    );
}

/// As of a .npy; but decimals are rounded, and so is what other programs write for a large f64.
#[test]
fn an_integer_in_text_is_exact_or_a_complaint() {
    let place = Place::new();
    for rounded in [
        "9007199254740993",
        "-9007199254740993",
        "+09007199254740993",
        "18446744073709551615",
        "123456789012345678901",
    ] {
        for options in ["", " --columns 2"] {
            place.write("t.csv", format!("{rounded},0\n0,{rounded}\n").replacen(rounded, "0", 1));
            let complaint = format!(
                "t.csv: line 2, column 2: {rounded:?} is an integer that f64 cannot hold; to have it rounded, write it with a \
                 point"
            );
            assert_eq!(place.run(&format!("lse t.csv{options}")).complaint(), complaint);
        }
    }
    let power = 2f64.powi(200);
    for held in [
        "9007199254740992",
        "9007199254740994",
        "-9223372036854775808",
        // 2^64 as JavaScript has it, and as C; 1e23, which is no f64, and a large power of 2.
        "18446744073709552000",
        "18446744073709551616",
        "100000000000000000000000",
        &format!("{power:.0}"),
        &format!("{power}"),
        // Decimals.
        "9007199254740993.0",
        "9007199254740993e0",
        "9007199254740993.",
        "0.12345678901234567890123",
    ] {
        let found = place.run_with_stdin("lse -", held.as_bytes()).numbers();
        assert_eq!(found, [held.parse::<f64>().unwrap()], "{held}");
    }
    // In a column that is not read it is no error.
    place.write("ids.csv", "id,z\n9007199254740993,1\n");
    assert_eq!(place.run("lse ids.csv --columns z").numbers(), [1.0]);
}

#[cfg(unix)]
#[test]
fn what_has_no_end_is_no_table() {
    let place = Place::new();
    let complaint =
        "/dev/zero: is not text: byte 0 is 0; .npy, .npz, .safetensors, .parquet and text tables are read";
    assert_eq!(place.run("lse /dev/zero").complaint(), complaint);
    place.write("long.txt", "1 ".repeat(10) + &"x".repeat(1_000_000));
    let start = "x".repeat(24);
    assert_eq!(
        place.run("lse long.txt").complaint(),
        format!("long.txt: line 1, column 11: \"{start}…\" is too long for a number; is this a text file?")
    );
}

#[test]
fn binary_files_are_called_what_they_are() {
    let place = Place::new();
    for (start, complaint) in [
        (
            &b"PARE\x15\x04"[..],
            "is an encrypted Parquet file, which is not supported; save it again without encryption"
                .to_owned(),
        ),
        (
            b"ARROW1\0\0",
            "is a Feather (Arrow) file, which is not supported; read it in Python and save it with \
             pyarrow.parquet.write_table"
                .into(),
        ),
        (
            b"\x89HDF\r\n\x1a\n\0",
            "is an HDF5 file, which is not supported; save one of its data sets with numpy.save".into(),
        ),
        (b"\x1f\x8b\x08", "is compressed by gzip, which is not supported; unpack it with gunzip".into()),
        (
            b"\x28\xb5\x2f\xfd\x04",
            "is compressed by zstd, which is not supported; unpack it with unzstd".into(),
        ),
        (b"\xfd7zXZ\0", "is compressed by xz, which is not supported; unpack it with unxz".into()),
        (b"BZh91AY", "is compressed by bzip2, which is not supported; unpack it with bunzip2".into()),
        (b"\xff\xfe1\0,\0", "is text in UTF-16, which is not supported; save it as UTF-8".into()),
        (b"\xfe\xff\x001\0,", "is text in UTF-16, which is not supported; save it as UTF-8".into()),
        (
            b"\"abc\0",
            "is not text: byte 4 is 0; .npy, .npz, .safetensors, .parquet and text tables are read".into(),
        ),
    ] {
        // The message stays the same if there is a quotation mark somewhere in the file.
        let content = [start, b"\"\n1,2\n"].concat();
        place.write("t.csv", &content);
        assert_eq!(place.run("lse t.csv").complaint(), format!("t.csv: {complaint}"));
        let by_pipe = place.run_with_stdin("lse -", &content);
        assert_eq!(by_pipe.complaint(), format!("standard input: {complaint}"));
    }
}

#[test]
fn long_rows_are_checked_to_their_end() {
    let place = Place::new();
    // Several pieces long.
    let zeros = "0,".repeat(500_000);
    place.write("t.csv", format!("{zeros}0\n{zeros}x\n"));
    assert_eq!(place.run("lse t.csv").complaint(), "t.csv: line 2, column 500001: \"x\" is not a number");
    place.write("t.csv", format!("{zeros}0\n{zeros}\n"));
    assert_eq!(place.run("lse t.csv").complaint(), "t.csv: line 2, column 500001: the field is empty");
    place.write("t.csv", format!("{zeros}0\n{zeros}0,0\n"));
    assert_eq!(
        place.run("lse t.csv").complaint(),
        "t.csv: line 2 has 500002 numbers, it must have 500001 as line 1 has"
    );
    let words = "\"a, b\",".repeat(200_000);
    place.write("t.csv", format!("{words}1\n"));
    assert_eq!(
        place.run("lse t.csv").complaint(),
        "t.csv: line 1, column 1: \"a, b\" is not a number (a header line has words only); if it is a row's name, leave it \
         out with --columns 2-"
    );
}

#[test]
fn npy_files_that_are_broken_or_foreign() {
    let numbers = [0; 24];
    let whole = npy("<f8", false, "(3,)", &numbers);
    let start = whole.len() - 24;
    let header = |header: &str| npy_with_header(header, &numbers);
    for (content, complaint) in [
        (whole[..start + 20].to_vec(), "is cut off: shape [3] of type <f8 needs 24 bytes after the header, 20 are there".to_string()),
        ([&whole[..], b"\n"].concat(), format!("has 1 bytes after the numbers of its shape [3] (byte {})", start + 24)),
        (whole[..50].to_vec(), format!("is cut off at byte 50: {} more bytes of the .npy header are missing", start - 50)),
        (whole[..7].to_vec(), "is cut off at byte 7: 1 more bytes of the .npy header are missing".into()),
        (whole[..9].to_vec(), "is cut off at byte 9: 1 more bytes of the .npy header are missing".into()),
        (b"\x93NUMPY\x09\x00abc".to_vec(), "is a .npy of the unknown version 9.0 (byte 6); versions 1.0, 2.0 and 3.0 are read".into()),
        (npy("<i4", false, "(7,)", &numbers), "is cut off: shape [7] of type <i4 needs 28 bytes after the header, 24 are there".into()),
        (npy(">f2", false, "(11,)", &numbers), "has 2 bytes after the numbers of its shape [11]".into()),
        (npy("<i1", false, "(9223372036854775807,)", &numbers), "has the shape [9223372036854775807] in its header, which is too large for memory".into()),
        (header("{'descr': '<f8', 'shape': (3,)}"), "has a broken .npy header (byte 10); save the array again with numpy.save: it lacks 'fortran_order'".into()),
        (header("{'descr': '<f8', 'fortran_order': 0, 'shape': (3,)}"), "has a broken .npy header (byte 10); save the array again with numpy.save: its 'fortran_order' is not a bool".into()),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (-3,)}"), "has a broken .npy header (byte 10); save the array again with numpy.save: its 'shape' has the length -3".into()),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': 3}"), "has a broken .npy header (byte 10); save the array again with numpy.save: its 'shape' is not a tuple".into()),
        (header("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (3,), }"), "holds elements of type \"[('a', '<f8')]\"; records are not supported: save one of their fields, array['name']".into()),
        (header("import os"), "has a broken .npy header (byte 10); save the array again with numpy.save: it is not a Python dictionary".into()),
        (header(&"(".repeat(5000)), "has a broken .npy header (byte 10); save the array again with numpy.save: its brackets are nested too deeply".into()),
        (header(&"{".repeat(8)), "has a broken .npy header (byte 10); save the array again with numpy.save: it is not a Python dictionary".into()),
        (npy("<f8", false, "(1000000000000000000,)", &numbers), "is cut off".into()),
        (npy("<f8", false, "(99999999999999999999,)", &numbers), "its 'shape' has the length 99999999999999999999".into()),
        (npy("<f8", false, "(4294967296, 4294967296)", &numbers), "has the shape [4294967296, 4294967296] in its header, which is too large for memory".into()),
        (npy("<f8", false, "(0, 4294967296, 4294967296)", b""), "has the shape [0, 4294967296, 4294967296] in its header, which is too large for memory".into()),
        ([b"\x93NUMPY\x02\x00\xff\xff\xff\xff", &numbers[..]].concat(), "has a .npy header of 4294967295 bytes (byte 8), more than the 10000 that any array of numbers needs".into()),
    ] {
        let place = Place::new();
        place.write("z.npy", &content);
        for (run, name) in [(place.run("lse z.npy"), "z.npy"), (place.run_with_stdin("lse -", &content), "standard input")] {
            let found = run.complaint();
            assert!(found.starts_with(&format!("{name}: ")) && found.contains(&complaint), "{found}\nnot: {complaint}");
        }
    }
}

#[test]
fn places_that_cannot_be_read_or_written() {
    let place = Place::new();
    place.write("z.txt", "1 2\n3 4\n");
    fs::create_dir(place.path("folder")).unwrap();
    for (args, complaint) in [
        ("lse none.npy", "none.npy: there is no such file"),
        ("lse folder", "folder: is a folder; name a file of numbers in it"),
        (
            "lse z.txt --axis 2",
            "z.txt: axis 2 is out of range: the array has rank 2, its axes are 0 to 1 or -2 to -1",
        ),
        ("softmax z.txt --axis 0,-2", "z.txt: axis 0 is given twice"),
        ("lse z.txt -o folder --format npy", "folder: is a folder; name a file in it"),
        ("lse z.txt -o nowhere/out.npy", "nowhere/out.npy: there is no folder nowhere"),
        (
            "lse z.txt -o out.xlsx",
            "out.xlsx: the file extension names no format; use .npy, .csv or .json, or give --format",
        ),
        (
            "lse z.txt -o out",
            "out: the file extension names no format; use .npy, .csv or .json, or give --format",
        ),
        ("softmax z.txt -o z.txt --format csv", "z.txt: is the input itself; give the result another name"),
        (
            "grad z.txt -o ./folder/../z.txt",
            "./folder/../z.txt: the file extension names no format; use .npy, .csv or .json, or give --format",
        ),
    ] {
        assert_eq!(place.run(args).complaint(), complaint, "{args}");
    }
    place.write("cube.npy", npy("<f8", false, "(1, 1, 1)", &[0; 8]));
    let complaint = "cube.csv: a .csv has at most 2 dimensions, the result has 3; write .npy or .json";
    assert_eq!(place.run("softmax cube.npy -o cube.csv").complaint(), complaint);
    assert_eq!(place.names(), ["cube.npy", "folder", "z.txt"]);
}

#[cfg(unix)]
#[test]
fn the_input_is_never_written_over_through_any_link() {
    let place = Place::new();
    let content = npy("<f8", false, "(1,)", &[0; 8]);
    place.write("z.npy", &content);
    std::os::unix::fs::symlink("z.npy", place.path("soft.npy")).unwrap();
    fs::hard_link(place.path("z.npy"), place.path("hard.npy")).unwrap();
    for args in [
        "softmax z.npy -o soft.npy",
        "softmax soft.npy -o z.npy",
        "softmax z.npy -o hard.npy",
        "grad hard.npy -o soft.npy",
    ] {
        assert!(
            place.run(args).complaint().ends_with("is the input itself; give the result another name"),
            "{args}"
        );
    }
    let by_redirection =
        place.command("softmax - -o z.npy").stdin(fs::File::open(place.path("z.npy")).unwrap()).output();
    let run: Run = by_redirection.unwrap().into();
    assert!(run.complaint().contains("is the input itself"));
    assert_eq!(read(&place.path("z.npy")), content);
}

#[cfg(unix)]
#[test]
fn a_link_is_followed_and_permissions_stay() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.write("z.txt", "0 0\n").write("target.csv", "old");
    std::os::unix::fs::symlink("target.csv", place.path("link.csv")).unwrap();
    fs::set_permissions(place.path("target.csv"), fs::Permissions::from_mode(0o640)).unwrap();
    place.run("softmax z.txt -o link.csv").text();
    assert_eq!(read(&place.path("target.csv")), b"0.5,0.5\n");
    assert!(fs::symlink_metadata(place.path("link.csv")).unwrap().is_symlink());
    assert_eq!(fs::metadata(place.path("target.csv")).unwrap().permissions().mode() & 0o777, 0o640);
    // A new file has the permissions that any new file has here.
    place.run("softmax z.txt -o new.csv").text();
    fs::write(place.path("any"), "").unwrap();
    let mode = |name: &str| fs::metadata(place.path(name)).unwrap().permissions().mode();
    assert_eq!(mode("new.csv"), mode("any"));
    // A device is written to, not replaced.
    place.run("softmax z.txt -o /dev/null --format npy").text();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[cfg(unix)]
#[test]
fn links_to_nothing_and_in_a_circle() {
    let place = Place::new();
    place.write("z.txt", "0 0\n");
    fs::create_dir(place.path("folder")).unwrap();
    std::os::unix::fs::symlink("folder/next.csv", place.path("link.csv")).unwrap();
    std::os::unix::fs::symlink("target.csv", place.path("folder/next.csv")).unwrap();
    place.run("softmax z.txt -o link.csv").text();
    assert_eq!(read(&place.path("folder/target.csv")), b"0.5,0.5\n");
    assert!(fs::symlink_metadata(place.path("link.csv")).unwrap().is_symlink());
    std::os::unix::fs::symlink("circle.csv", place.path("circle.csv")).unwrap();
    assert_eq!(
        place.run("softmax z.txt -o circle.csv").complaint(),
        "circle.csv: its symbolic links form a loop"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn standard_output_by_name_is_not_replaced() {
    let place = Place::new();
    place.write("z.txt", "0 0\n").write("log.csv", "before\n");
    // A link like /dev/stdout; a defect would replace the link.
    std::os::unix::fs::symlink("/proc/self/fd/1", place.path("out.csv")).unwrap();
    assert_eq!(place.run("softmax z.txt -o out.csv").text(), "0.5,0.5\n");
    let log = fs::File::options().append(true).open(place.path("log.csv")).unwrap();
    let status = place.command("softmax z.txt -o out.csv").stdout(log).status().unwrap();
    assert!(status.success());
    assert_eq!(read(&place.path("log.csv")), b"before\n0.5,0.5\n");
    assert!(fs::symlink_metadata(place.path("out.csv")).unwrap().is_symlink());
    assert_eq!(place.names(), ["log.csv", "out.csv", "z.txt"]);
}

#[cfg(target_os = "linux")]
#[test]
fn what_may_not_be_read_or_written() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let place = Place::new();
    place.write("z.txt", "0 0\n").write("secret.txt", "0 0\n").write("fixed.csv", "old");
    fs::create_dir(place.path("closed")).unwrap();
    for (name, mode) in [("secret.txt", 0), ("fixed.csv", 0o444), ("closed", 0o555)] {
        fs::set_permissions(place.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let run = |args: &str| {
        let mut command = place.command(args);
        if fs::File::open(place.path("secret.txt")).is_ok() {
            // The superuser may do anything: it runs a copy, which others can reach, as the user nobody.
            const NOBODY: u32 = 65534;
            let copy = place.path("copy");
            // By another process: one that a test beside this starts would keep the copy open for writing, and so busy.
            let cp = std::process::Command::new("cp").arg(command.get_program()).arg(&copy).status();
            assert!(cp.unwrap().success());
            fs::set_permissions(place.path("."), fs::Permissions::from_mode(0o777)).unwrap();
            let mut as_nobody = std::process::Command::new(copy);
            as_nobody.current_dir(place.path(".")).args(command.get_args()).uid(NOBODY).gid(NOBODY);
            command = as_nobody;
        }
        Run::from(command.stdin(std::process::Stdio::null()).output().unwrap())
    };
    assert_eq!(run("lse secret.txt").complaint(), "secret.txt: no permission to read it");
    for out in ["fixed.csv", "closed/out.csv"] {
        let found = run(&format!("softmax z.txt -o {out}"));
        assert_eq!(found.complaint(), format!("{out}: no permission to write there"));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_without_room_is_a_complaint() {
    let place = Place::new();
    place.write("z.txt", "0 0\n");
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let run: Run = place.command("lse z.txt").stdout(full).output().unwrap().into();
    assert_eq!(run.complaint(), "standard output: No space left on device (os error 28)");
}

#[test]
fn results_that_no_memory_can_hold() {
    let place = Place::new();
    place.write("tall.npy", npy("<f8", false, "(1000000000000000000, 0)", b""));
    place.write("wide.npy", npy("<f8", false, "(0, 1000000000000000000)", b""));
    for args in ["lse tall.npy --axis 1", "lse wide.npy --axis 0"] {
        let name = args.split(' ').nth(1).unwrap();
        assert_eq!(
            place.run(args).complaint(),
            format!(
                "{name}: the result has the shape [1000000000000000000]: there is no memory for 1000000000000000000 numbers"
            )
        );
    }
    assert_eq!(place.run("lse tall.npy").text(), "-inf\n");
    // A very long output is written only as long as somebody reads it.
    let mut child = place.command("softmax tall.npy --format json").stdout(Stdio::piped()).spawn().unwrap();
    let mut start = [0; 6];
    std::io::Read::read_exact(&mut child.stdout.take().unwrap(), &mut start).unwrap();
    assert_eq!(&start, b"[[], [");
    assert!(child.wait().unwrap().success());
}

#[test]
fn values_that_cannot_be_printed_cost_no_gradient() {
    let place = Place::new();
    place.write("z.npy", npy("<f8", false, "(1, 1, 1, 1)", &[0; 8])).write("out.npy", "precious");
    assert_eq!(
        place.run("grad z.npy --axis -1 --format csv -o out.npy").complaint(),
        "standard output: a .csv has at most 2 dimensions, the result has 3; write .npy or .json"
    );
    assert_eq!(read(&place.path("out.npy")), b"precious");
}

#[test]
fn a_failed_run_leaves_what_was_there() {
    let place = Place::new();
    place.write("bad.txt", "1 2\n3 x\n").write("out.npy", "precious");
    place.run("softmax bad.txt -o out.npy").complaint();
    assert_eq!(read(&place.path("out.npy")), b"precious");
    assert_eq!(place.names(), ["bad.txt", "out.npy"]);
}

/// Ctrl-C, and what nothing can hear.
#[cfg(target_os = "linux")]
#[test]
fn a_run_ended_by_a_signal_leaves_what_was_there() {
    use std::os::unix::process::ExitStatusExt;
    for signal in [2, 9] {
        let place = Place::new();
        place.write("out.npy", "precious");
        // It waits for its input while its output is open already. What a shell runs in the background ignores Ctrl-C,
        // as do its children, unless they are started like this.
        let mut child = std::process::Command::new("env")
            .args(["--default-signal=INT", env!("CARGO_BIN_EXE_logsum"), "softmax", "-", "-o", "out.npy"])
            .current_dir(place.path("."))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        // To wait for it would close its input: it must end by the signal.
        let _input = child.stdin.take();
        let folder = std::fs::canonicalize(place.path(".")).unwrap();
        let is_open = |file: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_link(file.unwrap().path()).is_ok_and(|path| path.starts_with(&folder))
        };
        while !std::fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap().any(is_open) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        // Where the file has a name, the handler that removes it is set right after.
        std::thread::sleep(std::time::Duration::from_millis(200));
        let kill = std::process::Command::new("kill")
            .args([&format!("-{signal}"), &child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
        let status = child.wait().unwrap();
        assert!(status.signal() == Some(signal) || status.code() == Some(130), "{status}");
        assert_eq!(read(&place.path("out.npy")), b"precious");
        assert_eq!(place.names(), ["out.npy"]);
    }
}

#[test]
fn bad_usage_exits_with_2() {
    let place = Place::new();
    place.write("z.txt", "1 2\n");
    for args in [
        "",
        "lse",
        "lse z.txt --axis one",
        "lse z.txt --format xml",
        "grad z.txt",
        "mean z.txt",
        "softmax z.txt --keepdims",
    ] {
        let run = place.run(args);
        assert_eq!(run.code, Some(2), "{args}: {run:?}");
        assert!(!run.stderr.is_empty() && run.stdout.is_empty(), "{args}: {run:?}");
    }
    for (args, complaint) in [
        ("lse z.txt --axis 0,x", "an axis is a whole number, as 0, 1 or -1"),
        ("lse z.txt --axis 1.5", "an axis is a whole number, as 0, 1 or -1"),
        ("cross-entropy z.txt l.txt --ignore 1.5", "a label is a whole number, at most 9007199254740992"),
        (
            "cross-entropy z.txt l.txt --ignore -9007199254740993",
            "a label is a whole number, at most 9007199254740992",
        ),
        ("explain 1 2 --index -3", "an index is a whole number from 1 on"),
        ("explain 1 2 --index 0", "an index is a whole number from 1 on"),
        ("lse z.txt --weight-columns 1", "--weights <WEIGHTS>"),
    ] {
        let run = place.run(args);
        assert!(run.code == Some(2) && run.stderr.contains(complaint), "{args}: {run:?}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let place = Place::new();
    let numbers: Vec<u8> = (0..1_000_000).flat_map(|i| f64::from(i).to_le_bytes()).collect();
    place.write("z.npy", npy("<f8", false, "(1000000,)", &numbers));
    for args in [
        "softmax z.npy",
        "softmax z.npy --format json",
        "softmax z.npy --format npy",
        "softmax z.npy --format csv",
    ] {
        let mut child = place.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let run: Run = child.wait_with_output().unwrap().into();
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{args}");
    }
}

#[test]
fn pipes_are_plain_and_silent() {
    let place = Place::new();
    place.write("z.txt", "1 2\n3 x\n").write("good.txt", "0 1\n");
    let run = place.run("lse z.txt");
    assert!(!run.stderr.contains('\u{1b}'), "{run:?}");
    let table = place.run("softmax good.txt --format table").text();
    assert!(!table.contains('\u{1b}') && table.lines().count() == 2, "{table}");
    let mut forced = place.command("lse z.txt");
    let forced: Run = forced.env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").output().unwrap().into();
    assert!(!forced.stderr.contains('\u{1b}'), "NO_COLOR wins: {forced:?}");
}

#[test]
fn help_completions_and_manual_page() {
    let place = Place::new();
    for args in ["--help", "lse --help", "grad --help", "softmax --help", "log-softmax --help"] {
        assert!(place.run(args).text().contains("Examples:"), "{args}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(place.run(&format!("completions {shell}")).text().contains("log-softmax"), "{shell}");
    }
    assert!(place.run("man").text().contains(".TH logsum 1"));
    let version = place.run("--version").text();
    assert!(version.starts_with(concat!("logsum ", env!("CARGO_PKG_VERSION"), "\n")), "{version}");
    assert!(version.contains("SIMD level: ") && version.contains("portable"), "{version}");
    assert_eq!(place.run("-V").text(), concat!("logsum ", env!("CARGO_PKG_VERSION"), "\n"));
}
