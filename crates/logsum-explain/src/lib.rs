//! Why the gradient of log-sum-exp is the softmax, and how the maximum drops out of it: the derivation, step by step,
//! with numbers put in.
//!
//! [`Explanation::of`] works out both cases, that of the maximum itself and that of any other number. Before it returns
//! them, it compares each line with the one above it in arbitrary precision; there, derivatives are computed as
//! difference quotients, independently of the rules that the derivation uses. [`text`], [`tex`], [`html`] and [`json`]
//! write an explanation in the languages of [`Language`].
//!
//! ```
//! use logsum_explain::{Explanation, Language, text};
//! let explanation = Explanation::of(&[3.0, 1.0, -2.0], None)?;
//! assert_eq!(explanation.value(), 3.1328452337275756);
//! assert!(text::of(&explanation, Language::English).contains("∂LSE/∂zᵢ"));
//! # Ok::<(), logsum_explain::Error>(())
//! ```

mod derivation;
mod explanation;
mod expression;
mod notation;
mod precise;
mod words;

pub mod html;
pub mod json;
pub mod tex;
pub mod text;

pub use derivation::Case;
pub use explanation::{Attempt, Derivation, Error, Explanation, Line, Setting, number};
pub use words::Language;
