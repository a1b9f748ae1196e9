//! The parsing of JSON requests, and the construction of their answers.

use logsum::Terms;
use logsum_explain::{Error, Explanation, Language, json, number};
use serde_json::{Value, json};

/// The answer to `{"z": ["3", "1"], "temperature": "1", "index": 0, "language": "en"}`: the result of [`json::of`]
/// for z divided by the temperature, with the case of number `index` and that of the maximum; `given`, z as it was
/// read; and `tempered`, τ LSE(z/τ) and its gradient. On failure `{"error": "…"}`, with `which` if one number of z
/// is invalid.
pub(crate) fn answer(request: &str) -> String {
    let answer =
        serde_json::from_str(request).map_err(refusal).and_then(|request: Value| explained(&request));
    answer.unwrap_or_else(|refusal| refusal).to_string()
}

fn explained(request: &Value) -> Result<Value, Value> {
    let language = if request["language"] == "zh" { Language::Chinese } else { Language::English };
    let texts = request["z"].as_array().ok_or_else(|| refusal("z is missing"))?;
    let z = numbers(texts, |text| read(text, language))?;
    let temperature = read(&request["temperature"], language).map_err(refusal)?;
    let terms = Terms::new(&z).temperature(temperature).map_err(refusal)?;
    let scaled = numbers(&z, |&z| match z / temperature {
        scaled if scaled.is_infinite() && z.is_finite() => Err(out_of_range(z, language)),
        scaled => Ok(scaled),
    })?;
    let index = request["index"].as_u64().map(|index| index as usize);
    let explanation = match index {
        Some(index) => Explanation::beside_maximum(&scaled, index),
        None => Explanation::of(&scaled, None),
    };
    let mut answer = json::of(&explanation.map_err(refusal)?, language);
    let mut gradient = vec![0.0; z.len()];
    let value = terms.logsumexp_with_gradient(&mut gradient).map_err(refusal)?;
    answer["given"] = json::numbers(&z);
    answer["tempered"] = json!({"value": json::number(value), "gradient": json::numbers(&gradient)});
    Ok(answer)
}

fn refusal(error: impl ToString) -> Value {
    json!({"error": error.to_string()})
}

/// Converts each element to a number, or returns the error of the first that fails.
fn numbers<T>(from: &[T], number: impl Fn(&T) -> Result<f64, String>) -> Result<Vec<f64>, Value> {
    let each = from.iter().enumerate();
    each.map(|(which, from)| number(from).map_err(|error| json!({"error": error, "which": which}))).collect()
}

/// Parses a float from text, or returns the error message in the given language.
fn read(text: &Value, language: Language) -> Result<f64, String> {
    number(text.as_str().unwrap_or_default()).map_err(|error| match (&error, language) {
        (Error::NoNumber(text), Language::Chinese) => format!("“{text}”不是数"),
        (Error::TooLarge(text), Language::Chinese) => format!("“{text}”超出 f64 的范围"),
        _ => error.to_string(),
    })
}

fn out_of_range(z: f64, language: Language) -> String {
    match language {
        Language::English => format!("{z:e}/τ is too large for f64"),
        Language::Chinese => format!("{z:e}/τ 超出 f64 的范围"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(request: &str) -> Value {
        serde_json::from_str(&answer(request)).unwrap()
    }

    #[test]
    fn values_are_the_library_s() {
        let found = ask(r#"{"z": ["3", " 1 ", "−2"], "temperature": "1", "index": 2, "language": "en"}"#);
        assert_eq!(found["value"], logsum::logsumexp(&[3.0, 1.0, -2.0]));
        assert_eq!(found["tempered"]["value"], found["value"]);
        assert_eq!(found["cases"][0]["index"], 2);
        assert_eq!(found["cases"][1]["case"], "maximum");
        let cold = ask(r#"{"z": ["3", "1", "-2"], "temperature": "0.5", "index": 0, "language": "zh"}"#);
        assert_eq!(
            cold["tempered"]["value"],
            Terms::new(&[3.0, 1.0, -2.0]).temperature(0.5).unwrap().logsumexp()
        );
        assert_eq!(cold["z"], json!([6.0, 2.0, -4.0]));
        assert_eq!(cold["given"], json!([3.0, 1.0, -2.0]));
        assert_eq!(cold["cases"][0]["index"], 1);
    }

    #[test]
    fn edges_and_bad_requests() {
        let found = ask(r#"{"z": ["-∞", "-inf"], "temperature": "1", "index": 1}"#);
        assert_eq!((&found["value"], &found["cases"]), (&json!("-inf"), &json!([])));
        assert_eq!(ask(r#"{"z": [], "temperature": "1"}"#)["value"], "-inf");
        assert_eq!(
            ask(r#"{"z": ["5"], "temperature": "2", "index": 0}"#)["cases"].as_array().map(Vec::len),
            Some(1)
        );
        for (request, complaint) in [
            ("", "EOF"),
            ("{}", "z is missing"),
            (r#"{"z": ["a"], "temperature": "1"}"#, "\"a\" is not a number"),
            (r#"{"z": ["1e400"], "temperature": "1"}"#, "\"1e400\" is too large"),
            (r#"{"z": ["1"], "temperature": "0"}"#, "temperature"),
            (r#"{"z": ["1"], "temperature": "1", "index": 3}"#, "there is no number 4"),
        ] {
            let error = ask(request)["error"].as_str().unwrap_or_default().to_string();
            assert!(error.contains(complaint), "{request}: {error}");
        }
    }
    #[test]
    fn the_number_to_blame_is_named() {
        for (request, error, which) in [
            (r#"{"z": ["1", "−x"], "temperature": "1"}"#, "\"−x\" is not a number", json!(1)),
            (r#"{"z": ["∞x"], "temperature": "1", "language": "zh"}"#, "“∞x”不是数", json!(0)),
            (r#"{"z": ["1"], "temperature": "a"}"#, "\"a\" is not a number", Value::Null),
            (r#"{"z": ["inf", "1e308"], "temperature": "0.01"}"#, "1e308/τ is too large for f64", json!(1)),
            (
                r#"{"z": ["-1e308"], "temperature": "0.01", "language": "zh"}"#,
                "-1e308/τ 超出 f64 的范围",
                json!(0),
            ),
        ] {
            let found = ask(request);
            assert_eq!((&found["error"], &found["which"]), (&json!(error), &which), "{request}");
        }
        let found = ask(r#"{"z": ["inf", "1e306"], "temperature": "0.01", "index": 1}"#);
        assert_eq!((&found["error"], &found["given"]), (&Value::Null, &json!(["inf", 1e306])));
    }
}
