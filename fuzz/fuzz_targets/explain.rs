//! Numbers in any notation, and the derivation with them: no line of it contradicts another.
#![no_main]

use libfuzzer_sys::fuzz_target;
use logsum_explain::{Error, Explanation, Language, html, json, number, tex, text};

fuzz_target!(|words: &str| {
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
});
