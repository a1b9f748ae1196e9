//! Explanations as pages: a single file, with formulas in MathML, which browsers render themselves.

use crate::explanation::Explanation;
use crate::notation::Notation;
use crate::tex;
use crate::words::Language;
use pulldown_latex::config::{DisplayMode, RenderConfig};
use pulldown_latex::{Parser, Storage, push_mathml};

/// The explanation as a complete, self-contained page.
pub fn of(explanation: &Explanation, language: Language) -> String {
    let words = language.words();
    let mut body = format!("<h1>{}</h1>\n<h2>{}</h2>\n", words.title, words.steps);
    for step in tex::steps(explanation) {
        body += &math(&step.replace('&', ""), DisplayMode::Block);
    }
    if let Some(remark) = language.remark(explanation) {
        body += &format!("<p class=\"remark\">{}</p>\n", escaped(&remark));
    }
    body += &format!(
        "<table>\n<tr><th colspan=\"2\">{}</th><th>{}</th><th>{}</th></tr>\n",
        words.formula, words.value, words.digits
    );
    for ((formula, name), attempt) in language.attempts(Notation::Tex).iter().zip(explanation.attempts()) {
        let class = if attempt.is_nearest { "good" } else { "bad" };
        body += &format!(
            "<tr class=\"{class}\"><td>{}</td><td>{name}</td><td>{}</td><td>{}</td></tr>\n",
            math(formula, DisplayMode::Inline),
            Notation::Text.float(attempt.value),
            words.count(attempt.digits)
        );
    }
    body += "</table>\n";
    for derivation in explanation.derivations() {
        body += &format!("<h2>{}</h2>\n<ol class=\"lines\">\n", escaped(&language.case(derivation)));
        for (i, line) in derivation.lines.iter().enumerate() {
            let [formula, numbers, value] = line.tex();
            let equals = if i == 0 { "" } else { "= " };
            let result = if numbers == value { value } else { format!(r"{numbers} \approx {value}") };
            body += &format!(
                "<li>{}<span class=\"reason\">{}</span><div class=\"numbers\">{}</div></li>\n",
                math(&format!("{equals}{formula}"), DisplayMode::Block),
                escaped(language.reason(line.reason)),
                math(&format!(r"\approx {result}"), DisplayMode::Block)
            );
        }
        body += &format!("</ol>\n<p class=\"checked\">✓ {}</p>\n", escaped(&language.checked(derivation)));
    }
    if let Some(conclusion) = language.conclusion(explanation) {
        body += &format!("<p>{}</p>\n", escaped(&conclusion));
    }
    let gradient = Notation::Tex.gradient(explanation.gradient());
    body += &format!("<h2>{}</h2>\n", words.gradient);
    body += &math(
        &format!(r"\frac{{\partial \mathrm{{LSE}}}}{{\partial z}} \approx {gradient}"),
        DisplayMode::Block,
    );
    format!(
        "<!doctype html>\n<html lang=\"{}\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <style>{STYLE}</style>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n",
        words.tag, words.title
    )
}

const STYLE: &str = "
:root { color-scheme: light dark }
body { margin: 0; font: 1rem/1.6 system-ui, sans-serif }
main { max-width: 52rem; margin: auto; padding: 1rem }
math { font-size: 1.05em }
math[display=block] { width: fit-content; max-width: 100%; margin: 0; padding: .15rem 0; overflow-x: auto; overflow-y: hidden }
table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { text-align: left; padding: .25rem .75rem; border-bottom: 1px solid #8884 }
td:nth-child(3), td:nth-child(4) { font-variant-numeric: tabular-nums }
.good td:nth-child(n + 3) { color: light-dark(#116329, #7ee787) }
.bad td:nth-child(n + 3) { color: light-dark(#b3261e, #ff9d94) }
ol.lines { list-style: none; padding: 0 }
ol.lines li { padding: .4rem 0; border-bottom: 1px solid #8882 }
.reason, .numbers, .checked { color: light-dark(#57606a, #9aa4af); font-size: .92em }
.numbers { overflow-x: auto }
";

/// TeX as MathML.
fn math(tex: &str, display_mode: DisplayMode) -> String {
    let storage = Storage::new();
    let mut mathml = String::new();
    let config = RenderConfig { display_mode, ..RenderConfig::default() };
    // Writing to a string does not fail.
    push_mathml(&mut mathml, Parser::new(tex, &storage), config).unwrap_or_default();
    mathml
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
