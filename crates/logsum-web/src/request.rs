//! Requests and their answers.

use logsum::Temperature;
use logsum_explain::{Explanation, Language, json};
use serde_json::{Value, json};

/// The answer to `{"z": ["3", "1"], "temperature": "1", "index": 0, "language": "en"}`: what [`json::of`] says of z divided by the
/// temperature, with the case of number `index` and that of the maximum; and `tempered`, τ LSE(z/τ) and its gradient.
/// Or `{"error": "…"}`.
pub(crate) fn answer(request: &str) -> String {
    let answer = serde_json::from_str(request)
        .map_err(|error| error.to_string())
        .and_then(|request: Value| explained(&request))
        .unwrap_or_else(|error| json!({"error": error}));
    answer.to_string()
}

fn explained(request: &Value) -> Result<Value, String> {
    let z = request["z"].as_array().ok_or("z is missing")?;
    let z: Vec<f64> = z.iter().map(number).collect::<Result<_, _>>()?;
    let temperature = number(&request["temperature"])?;
    let tempered = Temperature::new(temperature).map_err(|error| error.to_string())?;
    let language = if request["language"] == "zh" { Language::Chinese } else { Language::English };
    let index = request["index"].as_u64().map(|index| index as usize);
    let scaled: Vec<f64> = z.iter().map(|z| z / temperature).collect();
    let explanation = match index {
        Some(index) => Explanation::beside_maximum(&scaled, index),
        None => Explanation::of(&scaled, None),
    };
    let mut answer = json::of(&explanation.map_err(|error| error.to_string())?, language);
    let mut gradient = vec![0.0; z.len()];
    let value = match temperature {
        1.0 => logsum::logsumexp_with_gradient(&z, &mut gradient),
        _ => tempered.logsumexp_with_gradient(&z, &mut gradient).map(|(value, _)| value),
    };
    let value = value.map_err(|error| error.to_string())?;
    answer["tempered"] = json!({"value": json::number(value), "gradient": json::numbers(&gradient)});
    Ok(answer)
}

/// A float, as text.
fn number(text: &Value) -> Result<f64, String> {
    let text = text.as_str().unwrap_or_default().trim().replace('−', "-").replace('∞', "inf");
    text.parse().map_err(|_| format!("\"{text}\" is no number"))
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
        assert_eq!(cold["tempered"]["value"], Temperature::new(0.5).unwrap().logsumexp(&[3.0, 1.0, -2.0]));
        assert_eq!(cold["z"], json!([6.0, 2.0, -4.0]));
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
            (r#"{"z": ["a"], "temperature": "1"}"#, "\"a\" is no number"),
            (r#"{"z": ["1"], "temperature": "0"}"#, "temperature"),
            (r#"{"z": ["1"], "temperature": "1", "index": 3}"#, "there is no number 4"),
        ] {
            let error = ask(request)["error"].as_str().unwrap_or_default().to_string();
            assert!(error.contains(complaint), "{request}: {error}");
        }
    }
}
