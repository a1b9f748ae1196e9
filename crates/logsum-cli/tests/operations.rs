//! Weights, other operations, and losses, by the command.

mod common;

use common::{Place, npy};

fn place() -> Place {
    let place = Place::new();
    place.write("z.csv", "0,1,2\n3,3,-700\n").write("w.csv", "1,0,-2\n").write("labels.txt", "2\n0\n");
    place
        .write("bad.csv", "1,2\n")
        .write("half.txt", "0.5\n1\n")
        .write("three.txt", "2\n3\n")
        .write("one.txt", "2\n");
    place
}

#[test]
fn operations_are_the_library_s() {
    let place = place();
    let rows = [[0.0, 1.0, 2.0], [3.0, 3.0, -700.0]];
    let of = |f: fn(&[f64]) -> f64| rows.map(|row| f(&row)).to_vec();
    assert_eq!(place.run("lse z.csv --axis 1 --op mean").numbers(), of(logsum::logmeanexp));
    assert_eq!(place.run("lse z.csv --axis 1 --op variance").numbers(), of(|z| logsum::logvarexp(z, 0)));
    assert_eq!(place.run("lse z.csv --axis 1 --op entropy").numbers(), of(logsum::softmax_entropy));
    assert_eq!(place.run("lse z.csv --axis 1 --op sum").numbers(), of(logsum::logsumexp));
}

#[test]
fn weights_broadcast() {
    let place = place();
    let weighted = |z: &[f64], w: &[f64]| logsum::Terms::new(z).weights(w).unwrap().logsumexp();
    let found = place.run("lse z.csv --axis 1 --weights w.csv").numbers();
    assert!(found[0].is_nan() && found[1] == weighted(&[3.0, 3.0, -700.0], &[1.0, 0.0, -2.0]));
    assert_eq!(place.run("grad z.csv --axis 1 --weights w.csv -o g.csv").numbers().len(), 2);
    let gradient = std::fs::read_to_string(place.path("g.csv")).unwrap();
    assert!(gradient.lines().nth(1).is_some_and(|line| line.starts_with("1.0,0.0,-9.8176")), "{gradient}");
    // f32 numbers with f64 weights are summed in f64.
    let bytes: Vec<u8> = [0f32, 1.0, 2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    place.write("z4.npy", npy("<f4", false, "(3,)", &bytes)).write("v.csv", "0.1,0.2,0.3\n");
    assert_eq!(
        place.run("lse z4.npy --weights z4.npy").complaint(),
        "z4.npy: cannot be both the numbers and their weights"
    );
    let complaint = place.run("lse z4.npy --weights v.csv");
    assert_eq!(complaint.complaint(), "v.csv: has the shape [1, 3], which does not broadcast to [3]");
    let complaint = place.run("lse z.csv --weights bad.csv");
    assert_eq!(complaint.complaint(), "bad.csv: has the shape [1, 2], which does not broadcast to [2, 3]");
    assert!(!place.run("lse z.csv --weights none.csv").stderr.is_empty());
}

#[test]
fn cross_entropy_of_scores_and_labels() {
    let place = place();
    let scores = [0.0, 1.0, 2.0, 3.0, 3.0, -700.0];
    assert_eq!(
        place.run("cross-entropy z.csv labels.txt").numbers(),
        [logsum::cross_entropy(&scores, &[2, 0]).unwrap()]
    );
    let rows = place.run("cross-entropy z.csv labels.txt --rows").numbers();
    assert_eq!(rows[1], std::f64::consts::LN_2);
    assert_eq!(place.run("cross-entropy z.csv three.txt --ignore 3").numbers(), [rows[0]]);
    let complaint = |args: &str, words: &str| assert_eq!(place.run(args).complaint(), words);
    complaint(
        "cross-entropy z.csv three.txt",
        "three.txt: label 2 of the file is 3, it must be below 3, the number of scores in a row",
    );
    complaint(
        "cross-entropy z.csv half.txt",
        "half.txt: label 1 of the file is 0.5, it must be a whole number from 0 on",
    );
    // An error names a negative label; --ignore leaves it out.
    place.write("negative.txt", "-4\n0\n");
    complaint(
        "cross-entropy z.csv negative.txt",
        "negative.txt: label 1 of the file is -4, it must be a whole number from 0 on; --ignore leaves out \
         rows of a label",
    );
    place.write("huge.txt", "0\n1e300\n");
    complaint(
        "cross-entropy z.csv huge.txt",
        "huge.txt: label 2 of the file is 1e300, it must be a whole number from 0 on",
    );
    for ignore in ["--ignore -4", "--ignore=-4"] {
        assert_eq!(place.run(&format!("cross-entropy z.csv negative.txt {ignore}")).numbers(), [rows[1]]);
    }
    assert_eq!(place.run("cross-entropy z.csv negative.txt --ignore -4 --rows").numbers(), [0.0, rows[1]]);
    complaint(
        "cross-entropy z.csv one.txt",
        "one.txt: must have a label for each row of scores, but has 1 for 2",
    );
    complaint("cross-entropy - -", "standard input: cannot be both the scores and the labels");
    complaint(
        "cross-entropy z.csv z.csv",
        "z.csv: cannot be both the scores and the labels; give --columns and --label-columns to choose parts of it",
    );
}

#[test]
fn log_probabilities_of_tokens() {
    let place = place();
    let rows = place.run("cross-entropy z.csv labels.txt --rows").numbers();
    let log_p = place.run("token-log-probs z.csv labels.txt").numbers();
    assert_eq!(log_p, rows.iter().map(|loss| -loss).collect::<Vec<_>>());
    assert_eq!(log_p[1], -std::f64::consts::LN_2);
    let complaint = |args: &str, words: &str| assert_eq!(place.run(args).complaint(), words);
    complaint(
        "token-log-probs z.csv three.txt",
        "three.txt: token 2 of the file is 3, it must be below 3, the number of scores in a row",
    );
    complaint(
        "token-log-probs z.csv half.txt",
        "half.txt: token 1 of the file is 0.5, it must be a whole number from 0 on",
    );
    complaint(
        "token-log-probs z.csv one.txt",
        "one.txt: must have a token for each row of scores, but has 1 for 2",
    );
    complaint(
        "token-log-probs z.csv z.csv",
        "z.csv: cannot be both the scores and the tokens; give --columns and --token-columns to choose parts of it",
    );
}
