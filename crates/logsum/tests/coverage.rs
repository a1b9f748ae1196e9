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
            name: "softmax_kl",
            edges: ("tests/softmax_kl.rs", "fn edges"),
            derivatives: Some(("tests/softmax_kl.rs", "softmax_kl_with_gradient")),
            oracle: ("tests/softmax_kl.rs", "exact("),
            bench: "softmax_kl",
        },
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
            // Its Jacobian is the Hessian of log-sum-exp.
            derivatives: Some(("tests/family.rs", "logsumexp_hvp")),
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
        Row {
            name: "token_log_probs",
            edges: ("tests/token_log_probs.rs", "fn edges"),
            derivatives: Some(("tests/token_log_probs.rs", "token_log_probs_with_gradient")),
            oracle: ("tests/token_log_probs.rs", "nearest::<T>("),
            bench: "token_log_probs",
        },
        Row {
            name: "ShardedLogProb",
            edges: ("tests/sharded_log_prob.rs", "fn edges"),
            derivatives: Some(("tests/sharded_log_prob.rs", "token_log_probs_with_gradient")),
            // Of the whole row, which is compared with the oracle elsewhere.
            oracle: ("tests/sharded_log_prob.rs", "token_log_probs_with_gradient"),
            bench: "ShardedLogProb",
        },
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
        // Sums in pieces have no derivatives.
        Row {
            name: "Accumulator",
            edges: ("tests/accumulator.rs", "fn edges"),
            derivatives: None,
            oracle: ("tests/accumulator.rs", "logsumexp(&z)"),
            bench: "Accumulator",
        },
        Row {
            name: "EffectiveSampleSize",
            edges: ("tests/accumulator.rs", "ratios_at_the_edges"),
            derivatives: None,
            oracle: ("tests/accumulator.rs", "big("),
            bench: "EffectiveSampleSize",
        },
        Row {
            name: "WeightedMean",
            edges: ("tests/accumulator.rs", "ratios_at_the_edges"),
            derivatives: None,
            oracle: ("tests/accumulator.rs", "big("),
            bench: "WeightedMean",
        },
        Row {
            name: "log_matmul",
            edges: ("tests/matmul.rs", "edges"),
            derivatives: Some(("tests/matmul.rs", "log_matmul_vjp")),
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
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    code(path, fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
}

/// The text without its comments, if it is Rust.
fn code(path: &str, text: String) -> String {
    if !path.ends_with(".rs") {
        return text;
    }
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Whether the text has these words, not as a part of a longer name; a name may be that of a test and go on.
fn has(text: &str, words: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(words).any(|(start, _)| {
        let (before, after) = (&text[..start], &text[start + words.len()..]);
        let is_test = before.ends_with("fn ");
        !is_part(before.chars().next_back())
            && (is_test || !is_part(after.chars().next()) || words.ends_with('('))
    })
}

#[test]
fn a_comment_or_a_longer_name_is_no_coverage() {
    let has = |text: &str| has(&code("a.rs", text.to_owned()), "logit");
    assert!(has("x = logit(y);") && has("fn logit_at_edges() {"));
    assert!(
        !has("// logit is tested") && !has("f(); // logit(y)") && !has("my_logit(y)") && !has("logits(y)")
    );
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
    const ENDINGS: [&str; 7] =
        ["_with_gradient", "_with_entropy", "_jvp", "_hvp", "_vjp", "_weighted", "_phase"];
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
            if !has(&read(file), words) {
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
