//! Columns of text tables: those that are chosen, and those that must not be taken for numbers.

mod common;

use common::Place;

/// As CmdStan writes its draws, comments in the middle and at the end.
const CMDSTAN: &str = "\
# stan_version_major = 2
# model = eight_schools
#   num_samples = 3
lp__,accept_stat__,log_lik.1,log_lik.2,tau
# Adaptation terminated
# Step size = 0.8
# Diagonal elements of inverse mass matrix:
# 1.5, 2.5
-7.5,0.99,-1.5,-2.5,3
-8.5,0.9,-1,-2,4
-9.5,0.95,-1.25,-inf,5
# 
#  Elapsed Time: 0.01 seconds (Warm-up)
";

fn lse(columns: &[&[f64]]) -> Vec<f64> {
    columns.iter().map(|column| logsum::logsumexp(column)).collect()
}

#[test]
fn draws_of_a_warm_up_are_refused() {
    let place = Place::new();
    let warm = CMDSTAN.replace(
        "lp__,accept_stat__,log_lik.1,log_lik.2,tau\n",
        "lp__,accept_stat__,log_lik.1,log_lik.2,tau\n-900,0.1,-500,-500,9\n",
    );
    place.write("warm.csv", &warm);
    let run = place.run("lse warm.csv --columns log_lik.*");
    let message = run.complaint();
    assert!(message.contains("line 6 says that CmdStan's warm-up ends here"), "{message}");
    assert!(message.contains("from line 5 on") && message.contains("save_warmup"), "{message}");
}

#[test]
fn columns_by_name_pattern_number_and_range() {
    let place = Place::new();
    place.write("fit.csv", CMDSTAN);
    let [lp, accept, one, two, tau] = [
        &[-7.5, -8.5, -9.5][..],
        &[0.99, 0.9, 0.95],
        &[-1.5, -1.0, -1.25],
        &[-2.5, -2.0, f64::NEG_INFINITY],
        &[3.0, 4.0, 5.0],
    ];
    for (columns, expected) in [
        ("log_lik.*", &[one, two][..]),
        ("log_lik.2,lp__", &[two, lp]),
        ("*_*", &[lp, accept, one, two]),
        ("*.1,t*", &[one, tau]),
        ("l*2", &[two]),
        ("*", &[lp, accept, one, two, tau]),
        ("3-4", &[one, two]),
        ("5,1-2", &[tau, lp, accept]),
        ("4-", &[two, tau]),
        ("tau,1", &[tau, lp]),
        ("-inf*,tau", &[]),
    ] {
        let run = place.run(&format!("lse fit.csv --columns={columns} --axis 0"));
        match expected {
            [] => assert!(run.complaint().contains("no column is called \"-inf*\""), "{run:?}"),
            _ => assert_eq!(run.numbers(), lse(expected), "{columns}"),
        }
        let run = place.run_with_stdin(&format!("lse - --columns={columns} --axis 0"), CMDSTAN.as_bytes());
        assert_eq!(run.code == Some(0), !expected.is_empty(), "{columns} by pipe");
    }
    // Commas in brackets are part of a name, and words in other columns are no obstacle.
    place.write("names.csv", "who,\"f[1,2]\",\"f[2,1]\",g\nann,1,2,x\nbob,3,NA,y\n");
    assert_eq!(place.run("lse names.csv --columns f[1,2] --axis 0").numbers(), lse(&[&[1.0, 3.0]]));
    assert_eq!(place.run("lse names.csv --columns 2").numbers(), lse(&[&[1.0, 3.0]]));
    // Without a header, by number; the first column is words.
    place.write("bare.txt", "ann 1.5 2\nbob 3 4\n");
    assert_eq!(place.run("lse bare.txt --columns 2- --axis 0").numbers(), lse(&[&[1.5, 3.0], &[2.0, 4.0]]));
}

#[test]
fn columns_of_labels_tokens_and_weights() {
    let place = Place::new();
    place.write("all.csv", "id,a,b,class,w\nx,0,1,1,2\ny,0,2,0,3\nz,0,0,-1,4\n");
    let rows = [logsum::log1pexp(-1.0), logsum::log1pexp(2.0), 0.0];
    let args = "cross-entropy all.csv all.csv --columns a,b --label-columns class --ignore -1 --rows";
    assert_eq!(place.run(args).numbers(), rows);
    place.write("classes.csv", "image,class\nx.png,1\ny.png,0\nz.png,1\n");
    let tokens = place.run("token-log-probs all.csv classes.csv --columns a,b --token-columns 2").numbers();
    assert_eq!(tokens[..2], [-rows[0], -rows[1]]);
    let weighted = place.run("lse all.csv --columns b --weights all.csv --weight-columns w").numbers();
    assert_eq!(
        weighted,
        [logsum::Terms::new(&[1.0, 2.0, 0.0]).weights(&[2.0, 3.0, 4.0]).unwrap().logsumexp()]
    );
    let complaint = |args: &str, words: &str| assert_eq!(place.run(args).complaint(), words);
    complaint(
        "cross-entropy all.csv all.csv --columns a,b --label-columns a,b",
        "all.csv: cannot be both the scores and the labels; give --columns and --label-columns to choose parts of it",
    );
    // If all columns were the scores, the labels would be among them.
    complaint(
        "cross-entropy all.csv all.csv --label-columns class",
        "all.csv: cannot be both the scores and the labels; give --columns and --label-columns to choose parts of it",
    );
    complaint(
        "cross-entropy all.csv all.csv --columns a,b --label-columns 4-",
        "all.csv: has the shape [3, 2], but there is one label for each row: choose a column",
    );
    complaint(
        "cross-entropy all.csv classes.csv --columns a,b",
        "classes.csv: line 2, column 1: \"x.png\" is not a number; if it is a row's name, leave it out with \
         --label-columns 2-",
    );
}

#[test]
fn row_names_are_never_summed_unasked() {
    let place = Place::new();
    let unnamed = "as over the row names that pandas and R write: leave the column out with --columns 2-";
    let first_quoted = "only the first field is in quotation marks, as row names are: leave it out with --columns 2-, \
                        or read it with --columns 1-";
    let one_more = "line 2 has 3 fields, but line 1 has 2 names; the first may be the row's name: leave it out with \
                    --columns 2-";
    for (name, content, complaint) in [
        ("pandas.csv", ",a,b\n0,0.5,1.5\n1,2.5,3.5\n", format!("line 1, column 1: the field is empty, {unnamed}")),
        ("unnamed.csv", ",0,1\n0,0.5,1.5\n1,2.5,3.5\n", format!("line 1, column 1: the field is empty, {unnamed}")),
        (
            "again.csv",
            "Unnamed: 0,a,b\n0,0.5,1.5\n1,2.5,3.5\n",
            format!("line 1, column 1: \"Unnamed: 0\", {unnamed}"),
        ),
        (
            "write.csv",
            "\"\",\"a\",\"b\"\n\"1\",0.5,1.5\n\"2\",2.5,3.5\n",
            format!("line 1, column 1: the field is empty, {unnamed}"),
        ),
        ("table.txt", "\"a\" \"b\"\n\"1\" 0.5 1.5\n\"2\" 2.5 3.5\n", format!("line 2: {first_quoted}")),
        ("unquoted.txt", "a b\n1 0.5 1.5\n2 2.5 3.5\n", one_more.into()),
        ("bare.csv", "\"1\",0.5,1.5\n\"2\",2.5,3.5\n", format!("line 1: {first_quoted}")),
        (
            "words.csv",
            "who,a,b\n\"ann, b\",0.5,1.5\nbob,2.5,3.5\n",
            "line 2, column 1: \"ann, b\" is not a number; if it is a row's name, leave it out with \
             --columns 2-"
                .into(),
        ),
        (
            "no_header.csv",
            "ann,0.5,1.5\nbob,2.5,3.5\n",
            "line 1, column 1: \"ann\" is not a number (a header line has words only); if it is a row's name, leave it \
             out with --columns 2-"
                .into(),
        ),
    ] {
        place.write(name, content);
        assert_eq!(place.run(&format!("lse {name} --axis 0")).complaint(), format!("{name}: {complaint}"));
        // The remedy that the message names.
        let found = place.run(&format!("lse {name} --axis 0 --columns 2-")).numbers();
        assert_eq!(found, lse(&[&[0.5, 2.5], &[1.5, 3.5]]), "{name}");
        // `*` selects the columns that have names.
        let run = place.run(&format!("lse {name} --axis 0 --columns *"));
        match name {
            "pandas.csv" | "unnamed.csv" | "again.csv" | "write.csv" => assert_eq!(run.numbers(), found, "{name}"),
            _ => assert!(!run.complaint().is_empty(), "{name}"),
        }
    }
    // Row names that are asked for are read as numbers.
    let both = place.run("lse pandas.csv --axis 0 --columns 1-2").numbers();
    assert_eq!(both, lse(&[&[0.0, 1.0], &[0.5, 2.5]]));
    // A table with every field in quotation marks has no row names.
    place.write("all.csv", "\"1\",\"2\"\n\"3\",\"4\"\n");
    assert_eq!(place.run("lse all.csv --axis 0").numbers(), lse(&[&[1.0, 3.0], &[2.0, 4.0]]));
    // In the middle of a row that is read in pieces, too.
    let long = format!("\"1\"{}\n", ",0.25".repeat(100_000));
    place.write("long.csv", &long);
    assert!(place.run("lse long.csv").complaint().contains(first_quoted));
}

#[test]
fn missing_numbers_are_complaints_and_infinities_are_numbers() {
    let place = Place::new();
    let words = "is a missing number; write nan for a result that is nan, or -inf for a term of 0";
    for missing in ["NA", "N/A", "<NA>", "NULL", "null", "None", "\"NA\""] {
        let shown = missing.trim_matches('"');
        for (content, complaint) in [
            (format!("a,b\n1,2\n3,{missing}\n"), format!("t.csv: line 3, column 2: {shown:?} {words}")),
            (format!("{missing},1\n2,3\n"), format!("t.csv: line 1, column 1: {shown:?} {words}")),
            // Not a header, which would be left out.
            (format!("{missing}\n2\n"), format!("t.csv: line 1, column 1: {shown:?} {words}")),
            (format!("a,b\n{missing},2\n"), format!("t.csv: line 2, column 1: {shown:?} {words}")),
        ] {
            place.write("t.csv", content);
            assert_eq!(place.run("lse t.csv").complaint(), complaint);
            assert_eq!(place.run("lse t.csv --columns 1-").complaint(), complaint);
        }
    }
    place.write("t.csv", "NA,b\nnan,-Inf\ninf,2\n");
    assert_eq!(place.run("lse t.csv --columns * --axis 0").text(), "nan\n2.0\n");
}

#[test]
fn selections_that_fit_no_column() {
    let place = Place::new();
    place.write("t.csv", "# note\na,b,c\n1,2,3\n4,5\n").write("bare.csv", "1,2,3\n");
    place.write("years.csv", "who,2019,2020\nann,0.5,1.5\n");
    let complaint = |args: &str, words: &str| assert_eq!(place.run(args).complaint(), words, "{args}");
    complaint(
        "lse t.csv --columns a,x*",
        "t.csv: --columns: line 2: no column is called \"x*\"; there are \"a\", \"b\", \"c\"",
    );
    complaint("lse t.csv --columns 2-9", "t.csv: --columns: line 3: there is no column 9, only 3");
    complaint("lse t.csv --columns 7-", "t.csv: --columns: line 3: there is no column 7, only 3");
    complaint("lse t.csv --columns a,*", "t.csv: --columns: line 2: column 1 is chosen twice");
    place.write("two.csv", "a,b,a\n1,2,3\n");
    complaint(
        "lse two.csv --columns b,a",
        "two.csv: --columns: line 1: columns 1 and 3 are both called \"a\"; choose by number",
    );
    for columns in ["a*", "1,3", "b,3", "b"] {
        place.run(&format!("lse two.csv --columns {columns}")).numbers();
    }
    complaint("lse t.csv --columns b", "t.csv: line 4 has 2 fields, it must have 3 as line 3 has");
    complaint(
        "lse bare.csv --columns a",
        "bare.csv: --columns: line 1 has no names; choose columns by their numbers, from 1",
    );
    // A header of numbers is not taken for a row.
    complaint(
        "lse years.csv --columns 2-",
        "years.csv: --columns: line 1 may be a header whose names are numbers; if it is, choose columns by name, else \
         put a header of words above it",
    );
    assert_eq!(place.run("lse years.csv --columns 20* --axis 0").numbers(), [0.5, 1.5]);
    // Nor is one of its names, where a word beside it is above a number.
    place.write("year.csv", "who,2019\n1,0.5\n");
    complaint(
        "lse year.csv --columns 2",
        "year.csv: --columns: line 1 may be a header whose names are numbers; if it is, choose columns by name, else \
         put a header of words above it",
    );
    place.write("year.csv", "\"who\",\"2019\"\n1,0.5\n");
    assert_eq!(place.run("lse year.csv --columns 2").numbers(), [0.5]);
    place.write("year.csv", "who,NA\n1,0.5\n");
    assert!(
        place
            .run("lse year.csv --columns 2")
            .complaint()
            .contains("line 1, column 2: \"NA\" is a missing number")
    );
    place.write("year.csv", "ann,5\nbob,6\n");
    assert_eq!(place.run("lse year.csv --columns 2 --axis 1").numbers(), [5.0, 6.0]);
    let many: String = (1..=10).map(|i| format!("name{i},")).collect();
    place.write("many.csv", format!("{many}last\n"));
    let found = place.run("lse many.csv --columns x").complaint().to_owned();
    assert!(found.ends_with("\"name7\", \"name8\" and 3 more"), "{found}");
    for (columns, words) in [
        ("0", "columns are counted from 1"),
        ("-1", "a range is two numbers, as 2-5, or 2- for all from 2 on"),
        ("1-2-3", "a range is two numbers"),
        ("99999999999999999999", "a range is two numbers"),
        ("5-2", "5-2 goes backwards; write 2-5"),
        ("a,,b", "a column is missing beside a comma"),
    ] {
        let run = place.run(&format!("lse t.csv --columns {columns}"));
        assert!(run.code == Some(2) && run.stderr.contains(words), "{columns}: {run:?}");
    }
}

/// What is misspelt in the first row is no name, nor is a spreadsheet's error a comment: no row is lost.
#[test]
fn a_misspelt_number_is_no_header() {
    let place = Place::new();
    let misspelt = [
        "-nan(ind)",
        "nan(ind)",
        "1.#INF",
        "−1",
        "1.5D+00",
        ".",
        "\\N",
        "?",
        "-",
        "--",
        "*",
        "$1",
        "50%",
        "1+2j",
        "#NUM!",
        "#N/A",
    ];
    for word in misspelt {
        for (text, options) in [
            (format!("{word}\n1\n"), ""),
            (format!("{word},5\n1,2\n"), ""),
            (format!("{word},5\n1,2\n"), " --columns 1"),
        ] {
            place.write("w.csv", &text);
            let run = place.run(&format!("lse w.csv{options}"));
            let complaint = run.complaint();
            assert!(complaint.contains("line 1, column 1: "), "{word}{options}: {complaint}");
        }
    }
    place.write("q.csv", "lp\n1\n#NUM!\n2\n");
    assert!(place.run("lse q.csv").complaint().contains("line 3, column 1: \"#NUM!\" is a missing number"));
    place.write("w.csv", "bad,5\n1,2\n");
    assert!(
        place.run("lse w.csv --columns 1").complaint().contains("line 1, column 1: \"bad\" is not a number")
    );
    // A column that is asked for by name may have any name, and a name may start with a dot.
    place.write("s.csv", "5%,50%\n1,2\n3,4\n");
    assert_eq!(place.run("lse s.csv --columns 50% --axis 0").numbers(), lse(&[&[2.0, 4.0]]));
    place.write("d.csv", ".chain,.draw\n1,2\n");
    assert_eq!(place.run("lse d.csv --axis 0").numbers(), [1.0, 2.0]);
}

/// As R writes the names of a matrix: in quotation marks, and numbers in none.
#[test]
fn quoted_numbers_over_unquoted_ones_are_a_header() {
    let place = Place::new();
    let of_columns = lse(&[&[5.0, 7.0], &[6.0, 8.0]]);
    let row_names = "only the first field is in quotation marks, as row names are: leave it out with --columns 2-, or read \
                     it with --columns 1-";
    for (name, text) in [
        ("t.csv", "\"1\",\"2\"\n5,6\n7,8\n"),
        ("t.tsv", "\"2019\"\t\"2020\"\r\n5\t6\r\n7\t\"8\"\r\n"),
        ("t.txt", "# c\n\"1\" \"-2.5\"\n5 6\n\"7\" \"8\"\n"),
    ] {
        place.write(name, text);
        for options in ["", " --columns 1-2", " --columns 1-"] {
            let found = place.run(&format!("lse {name} --axis 0{options}")).numbers();
            assert_eq!(found, of_columns, "{name}{options}");
        }
        assert_eq!(
            place.run(&format!("lse {name} --axis 0 --columns 2,1")).numbers(),
            [of_columns[1], of_columns[0]]
        );
    }
    // Names may be beside numbers.
    place.write("t.csv", "\"1\",\"x\"\n5,6\n7,8\n");
    assert_eq!(place.run("lse t.csv --axis 0 --columns 1").numbers(), of_columns[..1]);
    // With row names, as R has them.
    place.write("t.txt", "\"1\" \"2\"\n\"1\" 5 6\n\"2\" 7 8\n");
    assert_eq!(place.run("lse t.txt").complaint(), format!("t.txt: line 2: {row_names}"));
    assert_eq!(place.run("lse t.txt --axis 0 --columns 2-").numbers(), of_columns);
    place.write("t.txt", "\"1\" \"2\"\n1 5 6\n");
    let complaint = "t.txt: line 2 has 3 fields, but line 1 has 2 names; the first may be the row's name: leave it out with \
                     --columns 2-";
    assert_eq!(place.run("lse t.txt").complaint(), complaint);
    // A first row in quotation marks is data unless the next row has none; so is one of nan and inf.
    for (text, rows) in
        [("\"1\",\"2\"\n", 1), ("\"1\",\"2\"\n\"5\",\"6\"\n7,8\n", 3), ("\"nan\",\"-inf\"\n5,6\n", 2)]
    {
        place.write("t.csv", text);
        for options in ["", " --columns 1-", " --columns 2"] {
            assert_eq!(
                place.run(&format!("lse t.csv --axis 1{options}")).numbers().len(),
                rows,
                "{text}{options}"
            );
        }
    }
    place.write("t.csv", "\"\"\n5\n");
    let complaint = "t.csv: line 1, column 1: the field is empty";
    assert_eq!(place.run("lse t.csv --columns 1").complaint(), complaint);
    // Also if the header is longer than a piece of the file.
    let names: String = (0..40_000).map(|i| format!("\"{i}\",")).collect();
    place.write("t.csv", format!("{names}\"1\"\n{}5\n", "5,".repeat(40_000)));
    assert_eq!(place.run("lse t.csv --axis 0").numbers(), [5.0; 40_001]);
}

/// What some program writes for a number that is special or not there is no name in a first row.
#[test]
fn a_special_value_is_no_header() {
    let place = Place::new();
    let missing = "is a missing number; write nan for a result that is nan, or -inf for a term of 0";
    let special = "is not a number; write nan, inf or -inf";
    let complaints = [
        // YAML, C, Julia, Mathematica, WebAssembly, .NET, instruments.
        (".inf .nan .NaN .Inf NaN(ind) NaN(0x8) nan:0x4 qNaN SNaN NaNQ Inf32 Indeterminate infty", special),
        ("ComplexInfinity NaN[] (nan) OVRFLW Overflow", special),
        // Databases, languages, instruments.
        ("NaT nil missing Nothing undefined Undetermined n.a. n/a [NULL] (null) <null> N.D. masked", missing),
        // Spreadsheets, also of other languages.
        ("Err:502 #SPILL! #ERROR! #ZAHL! #NAME? #NV #N/D #ÜBERLAUF!", missing),
        // SAS, Stata, limits of detection.
        (".a .Z ._ <LOD >x ~x ∞ −inf", ""),
    ];
    for (words, complaint) in complaints {
        for word in words.split(' ') {
            for (text, line) in [
                (format!("{word}\n0\n1\n"), 1),
                (format!("{word},{word}\n0,1\n"), 1),
                (format!("0\n{word}\n"), 2),
            ] {
                place.write("t.csv", &text);
                for options in ["", " --columns 1"] {
                    let run = place.run(&format!("lse t.csv{options}"));
                    let found = run.complaint();
                    let start = format!("t.csv: line {line}, column 1: {word:?} {complaint}");
                    assert!(found.starts_with(&start), "{word}{options}: {found}");
                }
            }
        }
        // Columns are asked for by name, and there are no names.
        place.write("t.txt", format!("{words}\n"));
        if !complaint.is_empty() && !words.contains('#') {
            let found = place.run("lse t.txt --columns *").complaint().to_owned();
            assert!(found.contains("line 1 has no names"), "{found}");
        }
    }
    for name in [
        "na_rate",
        "infimum",
        "nan_count",
        "(Intercept)",
        "[x]",
        "$price",
        "%CPU",
        "|x|",
        ".chain",
        "_",
        "Δ",
        "Nd3",
    ] {
        place.write("t.csv", format!("{name}\n1\n"));
        let expected = name.contains(char::is_alphabetic);
        assert_eq!(place.run("lse t.csv").code == Some(0), expected, "{name}");
    }
    // A header in Latin-1.
    place.write("t.csv", b"\xe9t\xe9\n1\n");
    assert_eq!(place.run("lse t.csv").numbers(), [1.0]);
    // A comment that contains something like `#NAME!` is still a comment.
    place.write("t.csv", "#!/usr/bin/x\n# NOTE!\n#?\n#####\n1\n");
    assert_eq!(place.run("lse t.csv").numbers(), [1.0]);
}

#[test]
fn names_that_are_numbers() {
    let place = Place::new();
    let (zero, one) = (lse(&[&[10.0, 11.0]]), lse(&[&[20.0, 21.0]]));
    for (name, table) in
        [("quoted.csv", "\"0\",\"1\"\n10,20\n11,21\n"), ("quoted.txt", "\"0\" \"1\"\n10 20\n11 21\n")]
    {
        place.write(name, table);
    }
    for name in ["quoted.csv", "quoted.txt"] {
        let run = place.run(&format!("lse {name} --columns 1"));
        let complaint = "column 2 is called \"1\": write '\"1\"' to choose it, or 1-1 for column 1";
        assert!(run.complaint().ends_with(complaint), "{run:?}");
        assert_eq!(place.run(&format!("lse {name} --columns \"1\"")).numbers(), one);
        assert_eq!(place.run(&format!("lse {name} --columns \"0\"")).numbers(), zero);
        assert_eq!(place.run(&format!("lse {name} --columns 1-1")).numbers(), zero);
        // No column has this name: it is a number.
        assert_eq!(place.run(&format!("lse {name} --columns 2")).numbers(), one);
    }
    // Where each column's name is its number, there is no ambiguity.
    place.write("own.csv", "\"1\",\"2\"\n10,20\n11,21\n");
    assert_eq!(place.run("lse own.csv --columns 2").numbers(), one);
    // Numbers in the first row are not names.
    place.write("bare.csv", "2,1\n4,3\n");
    assert_eq!(place.run("lse bare.csv --columns 1").numbers(), lse(&[&[2.0, 4.0]]));
    // Unless they were asked for.
    place.write("years.csv", "2020,2021\n1,2\n3,4\n");
    assert_eq!(place.run("lse years.csv --columns \"2021\"").numbers(), lse(&[&[2.0, 4.0]]));
    assert!(place.run("lse years.csv --columns \"2022\"").complaint().contains("line 1 has no names"));
    // Commas between marks are part of a name.
    place.write("commas.csv", "\"a,b\",c\n1,2\n3,4\n");
    assert_eq!(place.run("lse commas.csv --columns \"a,b\"").numbers(), lse(&[&[1.0, 3.0]]));
}
