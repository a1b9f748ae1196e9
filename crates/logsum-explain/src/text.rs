//! Explanations for a terminal.

use crate::explanation::{Derivation, Explanation};
use crate::notation::Notation;
use crate::words::Language;
use anstyle::{AnsiColor, Style};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
const BAD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));

/// The explanation as text, with a terminal's escape codes for bold type and colours.
pub fn of(explanation: &Explanation, language: Language) -> String {
    let words = language.words();
    let notation = Notation::Text;
    let mut text = format!("{BOLD}{}{BOLD:#}\n\n", words.title);
    let mut line = |line: String| text += &format!("{line}\n");
    line(format!("  z     = {}", notation.numbers(explanation.numbers())));
    if let Some(steps) = &explanation.steps {
        let (j, max) = (steps.j, notation.float(steps.max));
        let [shifted, powers] = notation.shifted_and_powers(steps);
        line(format!("  max z = {} = {max}, j = {}", notation.number(j), j + 1));
        line(format!("  ẑₖ    = zₖ − max z {shifted}"));
        line(format!("  e^ẑₖ  ≈ {powers}"));
        line(format!("  S     = Σₖ e^ẑₖ ≈ {}", notation.formula(&steps.sum)));
        let (sum, value) = (notation.sum_of(&steps.log, &max), notation.float(explanation.value()));
        line(format!("  LSE   = log S + max z ≈ {sum} ≈ {value}"));
    }
    line(String::new());
    if let Some(remark) = language.remark(explanation) {
        line(format!("{}\n", wrapped(&remark, 0)));
    }
    for row in attempts(explanation, language) {
        line(format!("  {row}"));
    }
    line(String::new());
    for derivation in explanation.derivations() {
        line(format!("{BOLD}{}{BOLD:#}\n", language.case(derivation)));
        for row in lines(derivation, language) {
            line(row);
        }
        line(format!("\n  {GOOD}✓{GOOD:#} {DIM}{}{DIM:#}\n", wrapped(&language.checked(derivation), 4)));
    }
    if let Some(conclusion) = language.conclusion(explanation) {
        line(format!("{}\n", wrapped(&conclusion, 0)));
    }
    line(format!("{BOLD}{}{BOLD:#}\n", words.gradient));
    line(format!("  ∂LSE/∂z ≈ {}", notation.gradient(explanation.gradient())));
    text
}

/// The ways to compute the value, in columns.
fn attempts(explanation: &Explanation, language: Language) -> Vec<String> {
    let words = language.words();
    let mut rows = vec![[words.formula.into(), words.value.into(), words.digits.into()]];
    for ((formula, name), attempt) in language.attempts(Notation::Text).iter().zip(explanation.attempts()) {
        let value = Notation::Text.float(attempt.value);
        rows.push([format!("{formula}  {name}"), value, words.count(attempt.digits)]);
    }
    let widths = [0, 1].map(|column| rows.iter().map(|row| columns(&row[column])).max().unwrap_or(0) + 3);
    let styles = explanation.attempts().map(|attempt| if attempt.is_nearest { GOOD } else { BAD });
    let styles = [DIM].into_iter().chain(styles);
    let rows = rows.iter().zip(styles).map(|([name, value, digits], style)| {
        let pad = |text: &str, width: usize| " ".repeat(width - columns(text));
        format!("{name}{}{style}{value}{}{digits}{style:#}", pad(name, widths[0]), pad(value, widths[1]))
    });
    rows.collect()
}

/// Each formula, its numbers below it, and why it is equal.
fn lines(derivation: &Derivation, language: Language) -> Vec<String> {
    let formulas: Vec<[String; 3]> = derivation.lines.iter().map(crate::Line::text).collect();
    let width = formulas.iter().map(|[formula, ..]| columns(formula)).max().unwrap_or(0) + 3;
    let rows =
        formulas.iter().zip(&derivation.lines).enumerate().map(|(i, ([formula, numbers, value], line))| {
            if i == 0 {
                return format!("    {formula} ≈ {value}");
            }
            let reason = language.reason(line.reason);
            let pad = " ".repeat(width - columns(formula));
            let result = if numbers == value { String::new() } else { format!(" ≈ {value}") };
            format!("  = {formula}{pad}{DIM}{reason}{DIM:#}\n    {DIM}≈ {numbers}{result}{DIM:#}")
        });
    rows.collect()
}

/// How many columns of a terminal a text occupies: a Chinese character occupies two.
fn columns(text: &str) -> usize {
    text.chars().map(|c| if is_wide(c) { 2 } else { 1 }).sum()
}

fn is_wide(c: char) -> bool {
    matches!(c, '\u{3000}'..='\u{9fff}' | '\u{ff00}'..='\u{ff60}')
}

/// The text in lines of at most eighty columns, broken at spaces or between Chinese characters; all lines but the first
/// are indented by `indent` spaces.
fn wrapped(text: &str, indent: usize) -> String {
    const WIDTH: usize = 80;
    let mut lines = vec![String::new()];
    let mut word = String::new();
    let mut finish = |word: &mut String| {
        let line = &mut lines[0];
        let used = columns(line.rsplit('\n').next().unwrap_or_default());
        if used > 0 && used + columns(word.trim_end()) > WIDTH - indent {
            line.truncate(line.trim_end().len());
            line.push('\n');
        }
        line.push_str(word);
        word.clear();
    };
    for c in text.chars() {
        // A punctuation mark stays with the character before it.
        if is_wide(c) && !matches!(c, '，' | '。' | '：' | '；' | '）') {
            finish(&mut word);
        }
        word.push(c);
        if c == ' ' {
            finish(&mut word);
        }
    }
    finish(&mut word);
    lines.remove(0).trim_end().replace('\n', &format!("\n{:indent$}", ""))
}
