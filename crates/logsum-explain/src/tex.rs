//! Explanations as documents for LaTeX: the English ones are for pdflatex, the Chinese ones for xelatex with the
//! package ctex.

use crate::explanation::Explanation;
use crate::notation::Notation;
use crate::words::Language;

/// The explanation as a complete document.
pub fn of(explanation: &Explanation, language: Language) -> String {
    let words = language.words();
    let class = match language {
        Language::English => "\\documentclass[fleqn]{article}\n\\usepackage[utf8]{inputenc}",
        Language::Chinese => "\\documentclass[fleqn]{ctexart}",
    };
    let mut tex = format!(
        "{class}\n\\usepackage{{amsmath}}\n\\usepackage[landscape,margin=2cm]{{geometry}}\n\\allowdisplaybreaks\n\
         \\begin{{document}}\n\\section*{{{}}}\n",
        words.title
    );
    tex += &format!("\\subsection*{{{}}}\n", words.steps);
    tex += &display(&steps(explanation));
    if let Some(remark) = language.remark(explanation) {
        tex += &format!("{}\n\n", prose(&remark));
    }
    tex += &format!(
        "\\begin{{center}}\\begin{{tabular}}{{llll}}\n{} & & {} & {} \\\\ \\hline\n",
        words.formula, words.value, words.digits
    );
    for ((formula, name), attempt) in language.attempts(Notation::Tex).iter().zip(explanation.attempts()) {
        let (value, digits) = (Notation::Tex.float(attempt.value), words.count(attempt.digits));
        tex += &format!("${formula}$ & {name} & ${value}$ & {digits} \\\\\n");
    }
    tex += "\\end{tabular}\\end{center}\n";
    for derivation in explanation.derivations() {
        tex += &format!("\\subsection*{{{}}}\n", prose(&language.case(derivation)));
        let rows: Vec<_> = derivation
            .lines
            .iter()
            .map(|line| {
                let [formula, numbers, value] = line.tex();
                let reason = prose(language.reason(line.reason));
                // The result of a long line is on the next one.
                let then = if numbers.len() > 150 { "\\\\\n  &\\quad" } else { "" };
                let result =
                    if numbers == value { value } else { format!(r"{numbers} {then} \approx {value}") };
                [formula, result, reason]
            })
            .collect();
        let mut lines = String::new();
        for (i, [formula, numbers, reason]) in rows.iter().enumerate() {
            let equals = if i == 0 { "" } else { "=" };
            let reason =
                if reason.is_empty() { String::new() } else { format!("\\qquad \\text{{{reason}}}") };
            lines += &format!("  &{equals} {formula} {reason}\\\\\n  &\\quad \\approx {numbers} \\\\\n");
        }
        tex += &format!("\\begin{{align*}}\n{}\\end{{align*}}\n", lines.trim_end().trim_end_matches(r" \\"));
        tex += &format!("{}\n\n", prose(&language.checked(derivation)));
    }
    if let Some(conclusion) = language.conclusion(explanation) {
        tex += &format!("{}\n\n", prose(&conclusion));
    }
    tex += &format!("\\subsection*{{{}}}\n", words.gradient);
    let gradient = Notation::Tex.gradient(explanation.gradient());
    tex += &display(&[format!(r"\frac{{\partial\, \mathrm{{LSE}}}}{{\partial z}} &\approx {gradient}")]);
    tex += "\\end{document}\n";
    tex
}

/// The steps to the value, each with an & where they are aligned.
pub(crate) fn steps(explanation: &Explanation) -> Vec<String> {
    let notation = Notation::Tex;
    let mut steps = vec![format!("z &= {}", notation.numbers(explanation.numbers()))];
    if let Some(found) = &explanation.steps {
        let max = notation.float(found.max);
        let [shifted, powers] = notation.shifted_and_powers(found);
        let (sum, value) = (notation.sum_of(&found.log, &max), notation.float(explanation.value()));
        steps.extend([
            format!(r"\max z &= z_j = {max}, \quad j = {}", found.j + 1),
            format!(r"\hat z_k &= z_k - \max z {shifted}"),
            format!(r"e^{{\hat z_k}} &\approx {powers}"),
            format!(r"S &= \sum_k e^{{\hat z_k}} \approx {}", notation.formula(&found.sum)),
            format!(r"\mathrm{{LSE}} &= \log S + \max z \approx {sum} \approx {value}"),
        ]);
    }
    steps
}

fn display(lines: &[String]) -> String {
    format!("\\begin{{align*}}\n  {}\n\\end{{align*}}\n", lines.join(" \\\\\n  "))
}

/// Formulas in prose, and their TeX; a formula that begins with another one must come before it.
const FORMULAS: [(&str, &str); 24] = [
    ("e^zᵢ/Σₖ e^zₖ", r"e^{z_i}/\sum_k e^{z_k}"),
    ("e^max z", r"e^{\max z}"),
    ("[k = i]", "[k = i]"),
    ("k = i", "k = i"),
    ("e^ẑᵢ/S", r"e^{\hat z_i}/S"),
    ("e^ẑᵢ", r"e^{\hat z_i}"),
    ("e^z/Σ", r"e^z/\Sigma"),
    ("e^ẑ", r"e^{\hat z}"),
    ("e^z", "e^z"),
    ("ẑᵢ", r"\hat z_i"),
    ("ẑₖ", r"\hat z_k"),
    ("zᵢ", "z_i"),
    ("zⱼ", "z_j"),
    ("max z", r"\max z"),
    ("e^-800", "e^{-800}"),
    ("i ≠ j", r"i \neq j"),
    ("i = j", "i = j"),
    ("i =", "i ="),
    ("log 0 = −∞", r"\log 0 = -\infty"),
    ("+∞", r"+\infty"),
    ("−∞", r"-\infty"),
    ("∞/∞", r"\infty/\infty"),
    ("∂", r"\partial"),
    ("…", r"\dots"),
];

/// Prose in TeX: formulas in math mode, and special characters escaped.
fn prose(text: &str) -> String {
    let mut tex = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some((formula, in_tex)) = FORMULAS.iter().find(|(formula, _)| rest.starts_with(formula)) {
            tex += &format!("${in_tex}$");
            rest = &rest[formula.len()..];
            continue;
        }
        match c {
            'z' if rest[1..].starts_with(|c| matches!(c, '₀'..='₉')) => tex += "$z$",
            '₀'..='₉' => tex += &format!("$_{}$", c as u32 - '₀' as u32),
            '%' | '&' | '#' | '_' | '$' | '{' | '}' => tex += &format!("\\{c}"),
            _ => tex.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    tex
}
