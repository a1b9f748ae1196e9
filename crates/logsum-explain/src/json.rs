//! Explanations for programs.

use crate::derivation::Case;
use crate::explanation::{Derivation, Explanation, Setting};
use crate::tex;
use crate::words::Language;
use serde_json::{Value, json};

/// The whole explanation as JSON, with formulas in TeX and as text. Numbers that JSON cannot represent are strings:
/// "inf", "-inf" or "nan". Indices count from 0.
pub fn of(explanation: &Explanation, language: Language) -> Value {
    let words = language.words();
    let setting = match explanation.setting() {
        Setting::Finite(places) => json!({"kind": "finite", "maxima": places}),
        Setting::NoMass => json!({"kind": "no mass"}),
        Setting::Infinite(count) => json!({"kind": "infinite", "count": count}),
        Setting::NotANumber => json!({"kind": "nan"}),
    };
    let [naive, shifted, correct] = explanation.attempts().map(|attempt| {
        json!({"value": number(attempt.value), "digits": number(attempt.digits), "nearest": attempt.is_nearest})
    });
    let derivations =
        explanation.derivations().iter().map(|derivation| self::derivation(derivation, language));
    json!({
        "language": words.tag,
        "z": numbers(explanation.numbers()),
        "setting": setting,
        "remark": language.remark(explanation),
        "steps": tex::steps(explanation),
        "value": number(explanation.value()),
        "gradient": numbers(explanation.gradient()),
        "attempts": {"naive": naive, "shifted": shifted, "correct": correct},
        "cases": derivations.collect::<Value>(),
        "conclusion": language.conclusion(explanation),
    })
}

fn derivation(derivation: &Derivation, language: Language) -> Value {
    let lines = derivation.lines.iter().map(|line| {
        let [tex, numbers, value] = line.tex();
        let [text, numbers_text, value_text] = line.text();
        json!({
            "tex": tex,
            "tex_numbers": numbers,
            "tex_value": value,
            "text": text,
            "text_numbers": numbers_text,
            "text_value": value_text,
            "reason": language.reason(line.reason),
        })
    });
    json!({
        "case": match derivation.case { Case::Other => "other", Case::Maximum => "maximum" },
        "index": derivation.index,
        "title": language.case(derivation),
        "lines": lines.collect::<Value>(),
        "checked": language.checked(derivation),
        "digits": number(derivation.digits),
        "bits": derivation.bits,
    })
}

/// Numbers as [`number`] writes them.
pub fn numbers(numbers: &[f64]) -> Value {
    numbers.iter().map(|&x| number(x)).collect()
}

/// A number, or "inf", "-inf", "nan".
pub fn number(x: f64) -> Value {
    if x.is_finite() { json!(x) } else { json!(format!("{x}").to_lowercase()) }
}
