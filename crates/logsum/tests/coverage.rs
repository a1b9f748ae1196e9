//! Checks that every exported operation has tests of special cases and derivatives, an oracle, a bench, and a
//! place in the README.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// An operation, and the words that show its presence: in a file that tests special cases, in one that tests
/// derivatives (`None` if there are none), in one that compares with an oracle, and in the benches.
struct Row {
    name: &'static str,
    edges: (&'static str, &'static str),
    derivatives: Option<(&'static str, &'static str)>,
    oracle: (&'static str, &'static str),
    bench: &'static str,
}

const FAMILY: &str = "tests/mpmath/family.txt";

fn rows() -> Vec<Row> {
    let scalar = |name: &'static str| Row {
        name,
        edges: ("tests/scalar.rs", name),
        derivatives: Some((FAMILY, name)),
        oracle: ("tests/scalar.rs", name),
        bench: name,
    };
    let reduction = |name: &'static str, edges: (&'static str, &'static str)| Row {
        name,
        edges,
        derivatives: Some((FAMILY, name)),
        oracle: (FAMILY, name),
        bench: name,
    };
    let of = |name, file: &'static str, bench| Row {
        name,
        edges: (file, "edges"),
        derivatives: Some((file, "derivatives")),
        oracle: (file, "big("),
        bench,
    };
    let mut rows: Vec<Row> = [
        "logaddexp",
        "logsubexp",
        "log1pexp",
        "log1mexp",
        "logexpm1",
        "log_logistic",
        "logistic",
        "logit",
        "xlogx",
        "xlogy",
    ]
    .map(scalar)
    .into();
    rows.extend([
        reduction("logsumexp", ("tests/conventions.rs", "logsumexp")),
        reduction("logmeanexp", ("tests/moments.rs", "logmeanexp")),
        reduction("logvarexp", ("tests/moments.rs", "logvarexp")),
        reduction("softmax_entropy", ("tests/moments.rs", "softmax_entropy")),
        Row {
            name: "Terms",
            edges: ("tests/terms.rs", "edges_with_weights"),
            derivatives: Some((FAMILY, "terms")),
            oracle: ("tests/terms.rs", "exact("),
            bench: "terms",
        },
        Row {
            name: "softmax",
            edges: ("tests/conventions.rs", "softmax"),
            derivatives: Some(("src/operations/moments.rs", "derivative of [`softmax`]")),
            oracle: ("tests/attack.rs", "softmax"),
            bench: "softmax",
        },
        Row {
            name: "log_softmax",
            edges: ("tests/conventions.rs", "log_softmax"),
            derivatives: None,
            oracle: ("tests/attack.rs", "log_softmax"),
            bench: "log-softmax",
        },
        of("cross_entropy", "tests/cross_entropy.rs", "cross_entropy"),
        of("CrossEntropy", "tests/cross_entropy.rs", "smoothed"),
        of("logcumsumexp", "tests/cumulative.rs", "logcumsumexp"),
        of("Cumulative", "tests/cumulative.rs", "logcumsumexp"),
        Row {
            name: "segment_logsumexp",
            edges: ("tests/segments.rs", "fn edges"),
            derivatives: Some(("tests/segments.rs", "logsumexp_jvp")),
            // Each segment has the bits of its slice, which is compared with the oracle elsewhere.
            oracle: ("tests/segments.rs", "logsumexp_with_gradient"),
            bench: "segment_logsumexp",
        },
        Row {
            name: "Segments",
            edges: ("tests/segments.rs", "fn edges"),
            derivatives: Some(("tests/segments.rs", "logsumexp_jvp")),
            oracle: ("tests/segments.rs", "logsumexp_with_gradient"),
            bench: "segment_logsumexp",
        },
        Row {
            name: "log_matmul",
            edges: ("tests/matmul.rs", "edges"),
            derivatives: Some(("tests/matmul.rs", "vjp")),
            oracle: ("tests/matmul.rs", "big("),
            bench: "log_matmul",
        },
        Row {
            name: "complex_logsumexp",
            edges: ("tests/complex.rs", "INFINITY"),
            derivatives: Some(("tests/complex.rs", "complex_logsumexp_with_gradient")),
            oracle: ("tests/complex.rs", "mpmath/complex.txt"),
            bench: "complex_logsumexp",
        },
    ]);
    rows
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names that `operations` exports, without those that belong to an operation: its derivatives and its
/// arguments.
fn exported() -> BTreeSet<String> {
    const PARTS: [&str; 9] = [
        "Float",
        "each",
        "derivative",
        "second_derivative",
        "Targets",
        "Reduction",
        "NoMass",
        "MatmulShape",
        "logsumexp_and_phase",
    ];
    const ENDINGS: [&str; 6] = ["_with_gradient", "_jvp", "_hvp", "_vjp", "_weighted", "_phase"];
    let text = read("src/operations/mod.rs");
    let exports = text.split("pub use ").skip(1).filter_map(|rest| rest.split(';').next());
    let names = exports.flat_map(|export| {
        let list = export.split("::").nth(1).expect("a module").trim_matches(['{', '}', ' ', '\n']);
        list.split(',').map(|name| name.trim().trim_matches(['{', '}']).trim().to_owned()).collect::<Vec<_>>()
    });
    names
        .filter(|name| !name.is_empty() && !PARTS.contains(&name.as_str()))
        .map(|name| {
            let name = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
            // tests/rows.rs compares functions of many rows with the function of one row.
            name.strip_suffix("_rows").unwrap_or(name).to_owned()
        })
        .collect()
}

#[test]
fn every_operation_is_covered() {
    let (readme, benches) =
        (read("../../README.md"), read("../../benches/compare.py") + &read("../../benches/family.py"));
    let mut missing = Vec::new();
    for row in rows() {
        for (what, (file, words)) in
            [("edges", Some(row.edges)), ("derivatives", row.derivatives), ("oracle", Some(row.oracle))]
                .into_iter()
                .filter_map(|(what, place)| Some((what, place?)))
        {
            if !read(file).contains(words) {
                missing.push(format!("{}: {what}: {file} does not have {words}", row.name));
            }
        }
        if !benches.contains(&format!("\"{}", row.bench)) && !benches.contains(&format!(", {}", row.bench)) {
            missing.push(format!("{}: the benches do not have {}", row.name, row.bench));
        }
        if !readme.contains(row.name) {
            missing.push(format!("{}: not in the README", row.name));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    let covered: BTreeSet<String> = rows().iter().map(|row| row.name.to_owned()).collect();
    assert_eq!(exported(), covered, "what is exported, and what is covered");
}
