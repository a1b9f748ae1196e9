//! `explain`: what it says, in each format and language.

mod common;

use common::Place;
use serde_json::Value;

fn run(arguments: &str) -> String {
    Place::new().run(&format!("explain {arguments}")).text()
}

fn json(arguments: &str) -> Value {
    serde_json::from_str(&run(&format!("{arguments} --format json"))).unwrap()
}

#[test]
fn both_cases_with_numbers() {
    let text = run("3 1 -2");
    for line in [
        "  z     = (3, 1, −2)",
        "  max z = z₁ = 3, j = 1",
        "  LSE   = log S + max z ≈ 0.13285 + 3 ≈ 3.1328452337275756",
        "Case i ≠ j, for i = 2: another number is the maximum",
        "    ≈ 1 · 0.8756 · 0.13534 + 1 · 0 ≈ 0.1185",
        "Case i = j = 1: zᵢ is the maximum itself",
        "    ≈ 1 · (−0.1244) + 1 · 1 ≈ 0.8756",
        "  ∂LSE/∂z ≈ (0.8756, 0.1185, 0.0058998)",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no colours in a pipe");
    let one = run("3 1 -2 --index 3");
    assert!(one.contains("for i = 3") && !one.contains("Case i = j"), "{one}");
    assert!(run("--lang zh 3 1 -2").contains("情形 i = j = 1：zᵢ 就是最大值"));
}

#[test]
fn values_are_the_library_s() {
    for z in [
        vec![3.0, 1.0, -2.0],
        vec![1000.0, 1001.0, 1002.0],
        vec![0.0, -40.0],
        vec![5.0],
        vec![-5e-9, 1e-300, -800.0],
    ] {
        let numbers: Vec<_> = z.iter().map(f64::to_string).collect();
        let found = json(&numbers.join(" "));
        let mut gradient = vec![0.0; z.len()];
        let value = logsum::logsumexp_with_gradient(&z, &mut gradient).unwrap();
        assert_eq!(found["value"], value);
        assert_eq!(found["gradient"], Value::from(gradient));
        assert_eq!(found["attempts"]["correct"]["nearest"], true);
        let cases = found["cases"].as_array().unwrap();
        assert_eq!(cases.len(), z.len().min(2));
        assert!(cases.iter().all(|case| case["digits"] == "inf" || case["digits"].as_f64().unwrap() > 45.0));
    }
}

#[test]
fn the_naive_formula_overflows_beside_it() {
    let found = json("1000 1001 1002");
    assert_eq!(found["attempts"]["naive"]["value"], "inf");
    assert_eq!(found["attempts"]["naive"]["digits"], 0.0);
    let found = json("0 -40");
    assert_eq!([&found["attempts"]["naive"]["digits"], &found["attempts"]["shifted"]["digits"]], [0.0, 0.0]);
    assert!(found["attempts"]["correct"]["digits"].as_f64().unwrap() > 15.9);
}

#[test]
fn conventions_are_explained() {
    for (numbers, word) in [
        ("2 2 -inf", "tie for the maximum"),
        ("inf 1", "limit of the gradient"),
        ("0 -1e6", "the nearest number of f64 is 0"),
        ("-inf -Infinity", "There is no mass"),
        ("inf 1 +inf", "1/2 at each +∞"),
        ("nan 1", "There is a NaN"),
    ] {
        let text = run(numbers);
        assert!(text.contains(word), "{text}");
    }
    assert_eq!(json("−inf -∞")["gradient"], Value::from(vec![0.0, 0.0]));
    assert_eq!(json("−inf −inf")["conclusion"], Value::Null);
}

#[test]
fn nothing_is_called_equal_that_is_rounded() {
    let text = run("123456.789 123456.5");
    for line in [
        "  z     = (123456.789, 123456.5)",
        "  ẑₖ    = zₖ − max z ≈ (0, −0.289)",
        "  LSE   = log S + max z ≈ 0.55905 + 123456.789 ≈ 123457.34805117451",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(run("1e308 -1e308").contains("ẑₖ    = zₖ − max z ≈ (0, −2e308)"));
    // The term of i, and that of the maximum, are never left out of a sum.
    let long = run("1 2 3 4 5 6 7 8 9");
    assert!(
        long.contains("0.00033546 · 0 + 0.00091188 · 0 + 0.0024788 · 0 + … + 0.36788 · 1 + 1 · 0"),
        "{long}"
    );
    // Far below the maximum everything is 0, in every line.
    let deep = json("0 -1e6");
    let lines = deep["cases"][0]["lines"].as_array().unwrap();
    assert!(lines.iter().all(|line| line["text_value"] == "0"), "{lines:?}");
    assert!(deep["cases"][0]["checked"].as_str().unwrap().contains("e^-800"));
}

#[test]
fn documents_stand_alone() {
    for (language, class) in
        [("en", r"\documentclass[fleqn]{article}"), ("zh", r"\documentclass[fleqn]{ctexart}")]
    {
        let tex = run(&format!("3 1 -2 --format tex --lang {language}"));
        assert!(tex.starts_with(class) && tex.ends_with("\\end{document}\n"), "{tex}");
        assert_eq!(tex.matches(r"\begin{").count(), tex.matches(r"\end{").count());
        assert_eq!(tex.matches('{').count(), tex.matches('}').count());
        let html = run(&format!("3 1 -2 --format html --lang {language}"));
        assert!(html.contains(&format!("<html lang=\"{language}\">")) && html.ends_with("</html>\n"));
        assert!(!html.contains("src=") && !html.contains("href=") && !html.contains("merror"), "{html}");
        assert_eq!(html.matches("<math").count(), html.matches("</math>").count());
    }
}

#[test]
fn bad_requests() {
    let place = Place::new();
    assert_eq!(
        place.run("explain 1 2 --index 3").complaint(),
        "there is no number 3: the index must be from 1 to 2"
    );
    for arguments in [
        "explain",
        "explain 1 x",
        "explain 1 --5",
        "explain 1 −-5",
        "explain 1 1e309",
        "explain 1 --index 0",
        "explain 1 --lang fr",
        "explain 1 --format pdf",
    ] {
        assert_eq!(place.run(arguments).code, Some(2), "{arguments}");
    }
}
