//! Sums in parts, by the command.

mod common;

use common::{Place, npy};
use std::fs;

#[test]
fn parts_give_the_whole() {
    let place = Place::new();
    place.write("all.csv", "0,1,2\n3,3,-700\n").write("a.csv", "3\n1\n-700\n").write("b.csv", "2,3,0\n");
    let whole = place.run("lse all.csv").text();
    assert_eq!(place.run("lse all.csv --state all.lse").text(), whole);
    assert_eq!(place.run("lse a.csv --state a.lse").numbers().len(), 1);
    place.run("lse b.csv --state b.lse").text();
    assert_eq!(place.run("merge b.lse a.lse --state ab.lse").text(), whole);
    let state = |name: &str| fs::read(place.path(name)).unwrap();
    assert_eq!(state("ab.lse"), state("all.lse"));
    assert_eq!(state("all.lse").len(), 112);
    assert_eq!(place.run("merge ab.lse --op mean").text(), place.run("lse all.csv --op mean").text());
    // The output may be one of the inputs.
    place.run("merge a.lse b.lse --state a.lse").text();
    assert_eq!(state("a.lse"), state("all.lse"));
    assert_eq!(place.run("merge a.lse --format json").text().trim(), whole.trim());
    // A state may come from a pipe, as the first input or not.
    assert_eq!(place.run_with_stdin("merge -", &state("all.lse")).text(), whole);
    place.run("lse a.csv --state a.lse").text();
    assert_eq!(place.run_with_stdin("merge b.lse -", &state("a.lse")).text(), whole);
}

#[test]
fn weights_and_types() {
    let place = Place::new();
    place.write("z.csv", "0\n1\n").write("w.csv", "3\n-1\n").write("z1.csv", "0\n").write("w1.csv", "3\n");
    let whole = place.run("lse z.csv --weights w.csv --state z.lse").text();
    assert_eq!(place.run("merge z.lse").text(), whole);
    let bytes: Vec<u8> = [0f32, 1.0, 2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    place.write("z4.npy", npy("<f4", false, "(3,)", &bytes));
    let narrow = place.run("lse z4.npy --state z4.lse").text();
    assert_eq!(place.run("merge z4.lse").text(), narrow);
    let complaint = place.run("merge z.lse z4.lse");
    assert_eq!(
        complaint.complaint(),
        "z4.lse: these bytes are not a state: the state is of f32, another format"
    );
}

#[test]
fn complaints() {
    let place = Place::new();
    place
        .write("z.csv", "0\n1\n")
        .write("short", "LSE1")
        .write("long", vec![0; 200])
        .write("zeros", vec![0; 112]);
    for (command, words) in [
        ("merge short", "short: is not the state of a sum: a state has 112 bytes, not 4"),
        ("merge long", "long: is not the state of a sum: a state has 112 bytes, not more"),
        ("merge zeros", "zeros: is not the state of a sum"),
        ("lse z.csv --state z.csv", "z.csv: is the input itself; give the result another name"),
        ("lse z.csv --state none/z.lse", "none/z.lse: there is no folder none"),
    ] {
        assert_eq!(place.run(command).complaint(), words, "{command}");
    }
    assert!(place.run("merge none").complaint().starts_with("none: "));
    let usage = place.run("lse z.csv --axis 0 --state s.lse");
    assert!(usage.stderr.contains("cannot be used with"), "{usage:?}");
    assert!(!place.path("s.lse").exists());
    for command in ["lse z.csv --state -", "lse z.csv -o -", "merge short --state -"] {
        let usage = place.run(command);
        assert!(usage.stderr.contains("a file must be named here, not standard output"), "{usage:?}");
        assert!(!place.path("-").exists());
    }
    // Nothing is left of a run that fails.
    assert!(
        place.run("merge z.csv short --state out.lse").code == Some(2) && !place.path("out.lse").exists()
    );
}
