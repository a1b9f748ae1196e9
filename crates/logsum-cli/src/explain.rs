//! `explain`: the derivation of the gradient, for a few numbers.

use crate::args::{Explain, ExplainFormat, Tongue};
use anyhow::Result;
use logsum_explain::{Explanation, Language, html, json, tex, text};
use std::io::Write;

pub(crate) fn run(args: &Explain) -> Result<()> {
    let index = args.index.map(|index| index.get() - 1);
    let explanation = Explanation::of(&args.numbers, index)?;
    let language = match args.lang {
        Tongue::En => Language::English,
        Tongue::Zh => Language::Chinese,
    };
    let result = match args.format {
        ExplainFormat::Text => text::of(&explanation, language),
        ExplainFormat::Tex => tex::of(&explanation, language),
        ExplainFormat::Html => html::of(&explanation, language),
        ExplainFormat::Json => format!("{:#}\n", json::of(&explanation, language)),
    };
    Ok(anstream::stdout().write_all(result.as_bytes())?)
}
