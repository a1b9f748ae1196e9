//! Numbers in any notation, and the derivation with them: no line of it contradicts another.
use logsum_explain::{Error, Explanation, Language, html, json, number, tex, text};

/// Explains the numbers among the words, in both languages and all formats.
pub fn explain(data: &[u8]) {
    let Ok(words) = str::from_utf8(data) else { return };
    let numbers: Vec<f64> = words.split_whitespace().take(6).filter_map(|word| number(word).ok()).collect();
    match Explanation::of(&numbers, None) {
        Ok(explanation) => {
            for language in [Language::English, Language::Chinese] {
                text::of(&explanation, language);
                tex::of(&explanation, language);
                html::of(&explanation, language);
                json::of(&explanation, language);
            }
        }
        Err(Error::Broken { .. }) => panic!("a line of the derivation is not equal to the next"),
        Err(_) => {}
    }
}
