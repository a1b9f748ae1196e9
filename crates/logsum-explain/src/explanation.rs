//! The content of an explanation: the steps to the value, the results of three ways to compute it, and the derivation
//! with numbers.

use crate::derivation::{Case, Reason, check, lines};
use crate::expression::{Expression, Name, Point};
use crate::notation::Notation;
use crate::precise::{Real, digits_in_common, is_short, real};
use std::fmt;

/// The derivation of the gradient of log Σ e^z, worked out for some numbers.
#[derive(Debug, Clone)]
pub struct Explanation {
    z: Vec<f64>,
    setting: Setting,
    gradient: Vec<f64>,
    attempts: [Attempt; 3],
    derivations: Vec<Derivation>,
    /// Present if the maximum is finite.
    pub(crate) steps: Option<Steps>,
}

/// The way to the value.
#[derive(Debug, Clone)]
pub(crate) struct Steps {
    pub(crate) j: usize,
    pub(crate) max: f64,
    /// None for −∞.
    pub(crate) shifted: Vec<Option<Real>>,
    pub(crate) powers: Vec<Real>,
    /// Whether the digits shown for `shifted` are exact.
    pub(crate) is_exact: bool,
    pub(crate) sum: Expression,
    pub(crate) log: Expression,
}

impl Steps {
    fn new(z: &[f64], j: usize, at: &Point) -> Self {
        let (shifted, powers) = at.shifted_and_powers(z);
        let is_exact = shifted.iter().flatten().all(|x| is_short(x, at.bits));
        let [sum, log] = [Name::Sum, Name::Log].map(|name| at.put_in(&Expression::Name(name), 0));
        Self { j, max: z[j], shifted, powers, is_exact, sum, log }
    }
}

/// The kind of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// The maximum is finite. The indices, counted from 0, at which it occurs: several at a tie.
    Finite(Vec<usize>),
    /// All numbers are −∞, or there are none.
    NoMass,
    /// This many numbers are +∞, and none is NaN.
    Infinite(usize),
    /// There is a NaN.
    NotANumber,
}

/// One way to compute the value in f64.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attempt {
    /// The result.
    pub value: f64,
    /// −log₁₀ of its relative error, at least 0; infinite if there is no error.
    pub digits: f64,
    /// Whether it is the float nearest to the exact value.
    pub is_nearest: bool,
}

/// One case of the derivation, for one of the numbers.
#[derive(Debug, Clone)]
pub struct Derivation {
    /// The case.
    pub case: Case,
    /// The index i, counted from 0, of the number z_i with respect to which LSE is differentiated.
    pub index: usize,
    /// The lines; each equals the one above it.
    pub lines: Vec<Line>,
    /// Any two neighbouring lines agree at least to this many digits.
    pub digits: f64,
    /// The number of bits in the arithmetic of this comparison.
    pub bits: usize,
    /// Whether the number equals the one that stands for the maximum.
    pub is_tied: bool,
    /// Whether some e^ẑ was replaced by 0, because it is below e^-800.
    pub leaves_out: bool,
}

/// A line of the derivation.
#[derive(Debug, Clone)]
pub struct Line {
    formula: Expression,
    numbers: Expression,
    value: Expression,
    pub(crate) reason: Reason,
}

impl Line {
    /// The formula, the formula with numbers put in, and its value, as text.
    pub fn text(&self) -> [String; 3] {
        self.parts(Notation::Text)
    }

    /// The same in TeX.
    pub fn tex(&self) -> [String; 3] {
        self.parts(Notation::Tex)
    }

    fn parts(&self, notation: Notation) -> [String; 3] {
        [&self.formula, &self.numbers, &self.value].map(|part| notation.formula(part))
    }
}

/// Why there is no explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A text is not a number.
    NoNumber(String),
    /// A number is beyond the greatest f64, and not written as an infinity.
    TooLarge(String),
    /// There is no number of this index, counted from 1.
    NoSuchNumber {
        /// The index that was asked for.
        index: usize,
        /// How many numbers there are.
        count: usize,
    },
    /// A line does not equal the one above it: the derivation is wrong.
    Broken {
        /// The case.
        case: Case,
        /// The line, counted from 0.
        line: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNumber(text) => write!(f, "\"{text}\" is not a number"),
            Self::TooLarge(text) => write!(f, "\"{text}\" is too large for an f64"),
            Self::NoSuchNumber { index, count } => {
                write!(f, "there is no number {index}: the index must be from 1 to {count}")
            }
            Self::Broken { case, line } => {
                let case = if *case == Case::Maximum { "i = j" } else { "i ≠ j" };
                let line = line + 1;
                write!(
                    f,
                    "line {line} of the case {case} does not equal the line above it: please report this"
                )
            }
        }
    }
}

impl std::error::Error for Error {}

/// Parses a number as people type it and as explanations print it: also with the sign −, and ∞ or inf.
///
/// ```
/// use logsum_explain::number;
/// assert_eq!(number("−2.5"), Ok(-2.5));
/// assert_eq!(number("∞"), Ok(f64::INFINITY));
/// ```
///
/// # Errors
/// [`Error::NoNumber`] and [`Error::TooLarge`].
pub fn number(text: &str) -> Result<f64, Error> {
    let text = text.trim();
    let plain = text.replace('−', "-").replace('∞', "inf");
    match plain.parse::<f64>() {
        Err(_) => Err(Error::NoNumber(text.into())),
        Ok(x) if x.is_infinite() && plain.contains(|c: char| c.is_ascii_digit()) => {
            Err(Error::TooLarge(text.into()))
        }
        Ok(x) => Ok(x),
    }
}

impl Explanation {
    /// The explanation of the derivative with respect to number `index`, counted from 0. Without an index it has both
    /// cases: the derivatives with respect to the greatest other number and to the maximum.
    ///
    /// # Errors
    /// [`Error::NoSuchNumber`]; and [`Error::Broken`] if two lines of the derivation are not equal, which would
    /// be a defect.
    pub fn of(z: &[f64], index: Option<usize>) -> Result<Self, Error> {
        Self::new(z, |j| match index {
            Some(index) => vec![index],
            None => {
                let others = (0..z.len()).filter(|&k| k != j);
                let greatest = others.max_by(|&a, &b| z[a].total_cmp(&z[b]).then(b.cmp(&a)));
                greatest.into_iter().chain([j]).collect()
            }
        })
    }

    /// The explanation of both cases: the derivatives with respect to number `index` and to the maximum. If that number
    /// is the maximum, it is [`Explanation::of`] without an index.
    ///
    /// # Errors
    /// Those of [`Explanation::of`].
    pub fn beside_maximum(z: &[f64], index: usize) -> Result<Self, Error> {
        match Setting::of(z) {
            Setting::Finite(places) if places[0] == index => Self::of(z, None),
            _ => Self::new(z, |j| vec![index, j]),
        }
    }

    /// The explanation of the derivatives with respect to the numbers that `indices` returns for the index of the
    /// maximum.
    fn new(z: &[f64], indices: impl Fn(usize) -> Vec<usize>) -> Result<Self, Error> {
        if let Some(index) = indices(0).into_iter().find(|&index| index >= z.len().max(1)) {
            return Err(Error::NoSuchNumber { index: index + 1, count: z.len() });
        }
        let setting = Setting::of(z);
        let mut gradient = vec![0.0; z.len()];
        // This cannot fail: the lengths are equal.
        let value = logsum::logsumexp_with_gradient(z, &mut gradient).unwrap_or(f64::NAN);
        let mut attempts = [naive(z), shifted(z), value].map(|attempt| {
            let is_nearest = attempt.to_bits() == value.to_bits() || attempt.is_nan() && value.is_nan();
            Attempt { value: attempt, digits: if is_nearest { f64::INFINITY } else { 0.0 }, is_nearest }
        });
        let (mut derivations, mut steps) = (Vec::new(), None);
        if let Setting::Finite(greatest) = &setting {
            let j = greatest[0];
            for i in indices(j) {
                let (case, at) = (if i == j { Case::Maximum } else { Case::Other }, Point::new(z, i, j));
                derivations.push(Derivation::new(case, &at, z, z[i] == z[j])?);
                if steps.is_none() {
                    for attempt in &mut attempts {
                        let has_digits = attempt.value.is_finite() && !underflows(z, value);
                        attempt.digits = if has_digits { correct_digits(attempt.value, &at) } else { 0.0 };
                    }
                    steps = Some(Steps::new(z, j, &at));
                }
            }
        }
        Ok(Self { z: z.to_vec(), setting, gradient, attempts, derivations, steps })
    }

    /// The numbers.
    pub fn numbers(&self) -> &[f64] {
        &self.z
    }

    /// The kind of the input.
    pub fn setting(&self) -> &Setting {
        &self.setting
    }

    /// log Σ e^z, correctly rounded.
    pub fn value(&self) -> f64 {
        self.attempts[2].value
    }

    /// Whether the value is rounded to 0 although the exact value is not 0.
    pub fn underflows(&self) -> bool {
        underflows(&self.z, self.value())
    }

    /// The derivatives with respect to each number, correctly rounded: the softmax.
    pub fn gradient(&self) -> &[f64] {
        &self.gradient
    }

    /// Three ways to compute log Σ e^z: by the formula as written; with the maximum taken out; correctly rounded.
    pub fn attempts(&self) -> &[Attempt; 3] {
        &self.attempts
    }

    /// The derivations of the cases, each of them checked.
    pub fn derivations(&self) -> &[Derivation] {
        &self.derivations
    }
}

impl Setting {
    fn of(z: &[f64]) -> Self {
        if z.iter().any(|z| z.is_nan()) {
            return Self::NotANumber;
        }
        let max = z.iter().fold(f64::NEG_INFINITY, |max, &z| max.max(z));
        let places: Vec<usize> = (0..z.len()).filter(|&k| z[k] == max).collect();
        match max {
            f64::INFINITY => Self::Infinite(places.len()),
            f64::NEG_INFINITY => Self::NoMass,
            _ => Self::Finite(places),
        }
    }
}

impl Derivation {
    fn new(case: Case, at: &Point, z: &[f64], is_tied: bool) -> Result<Self, Error> {
        let lines = lines(case);
        let digits = check(&lines, at).map_err(|line| Error::Broken { case, line })?;
        let lines = lines.into_iter().map(|(formula, reason)| Line {
            numbers: at.put_in(&formula, 0),
            value: Expression::Value(at.value(&formula, 0)),
            formula,
            reason,
        });
        let leaves_out = at.leaves_out(z);
        Ok(Self { case, index: at.i, lines: lines.collect(), digits, bits: at.bits, is_tied, leaves_out })
    }
}

fn underflows(z: &[f64], value: f64) -> bool {
    value == 0.0 && z.iter().filter(|z| z.is_finite()).count() > 1
}

/// log Σ e^z by the formula as written.
fn naive(z: &[f64]) -> f64 {
    z.iter().map(|z| z.exp()).sum::<f64>().ln()
}

/// log Σ e^z with the maximum taken out.
fn shifted(z: &[f64]) -> f64 {
    let max = z.iter().fold(f64::NEG_INFINITY, |max, &z| max.max(z));
    max + z.iter().map(|z| (z - max).exp()).sum::<f64>().ln()
}

fn correct_digits(value: f64, at: &Point) -> f64 {
    let exact = at.value(&Expression::Name(Name::Lse), 0);
    digits_in_common(&real(value, at.bits), &exact, &real(0.0, at.bits)).max(0.0)
}
