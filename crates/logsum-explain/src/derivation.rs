//! The derivation of ∂LSE/∂z_i, line by line, in its two cases.

use crate::expression::{Expression, LEAST, Name, Point, Which};
use crate::precise::{digits_in_common, real};
use Expression::{IsI, Negative, Over, Plus, Slope, SumOfAll, SumOfOthers, Times, Whole};
use Which::{I, K};

/// The two cases of the derivation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// i ≠ j: another number is the maximum.
    Other,
    /// i = j: z_i is the maximum.
    Maximum,
}

/// Why a line equals the one above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Question,
    TwoPaths,
    MaximumElsewhere,
    MaximumItself,
    LogarithmAndSum,
    Exponential,
    OnlyItself,
    OneTerm,
    AgainstTheOthers,
    CommonDenominator,
    OthersCancel,
}

pub(crate) type Lines = Vec<(Expression, Reason)>;

/// ∂LSE/∂z_i, transformed line by line: each line equals the one above it.
pub(crate) fn lines(case: Case) -> Lines {
    let name = Expression::Name;
    let power = || name(Name::Power(K));
    let one_over_sum = || Over(Whole(1).into(), name(Name::Sum).into());
    let shifted_by_number = || Slope(Name::Shifted(K), Name::Number(I));
    let log_by_sum_by_number =
        || vec![Whole(1), Slope(Name::Log, Name::Sum), Slope(Name::Sum, Name::Number(I))];
    let terms = |term: Expression| Times(vec![one_over_sum(), SumOfAll(term.into())]);
    let chain = |path_of_maximum| {
        let of_maximum = Times(vec![Whole(1), Whole(path_of_maximum)]);
        Plus(vec![Times(log_by_sum_by_number()), of_maximum])
    };
    let share = || Over(name(Name::Power(I)).into(), name(Name::Sum).into());
    let through_exponent = Times(vec![Slope(Name::Power(K), Name::Shifted(K)), shifted_by_number()]);
    let through_shift = Times(vec![power(), shifted_by_number()]);
    let mut lines = vec![
        (Slope(Name::Lse, Name::Number(I)), Reason::Question),
        (
            Plus(vec![
                Times(vec![Slope(Name::Lse, Name::Log), Slope(Name::Log, Name::Number(I))]),
                Times(vec![Slope(Name::Lse, Name::Max), Slope(Name::Max, Name::Number(I))]),
            ]),
            Reason::TwoPaths,
        ),
    ];
    match case {
        Case::Other => lines.extend([
            (chain(0), Reason::MaximumElsewhere),
            (terms(through_exponent), Reason::LogarithmAndSum),
            (terms(through_shift), Reason::Exponential),
            (terms(Times(vec![power(), IsI])), Reason::OnlyItself),
            (share(), Reason::OneTerm),
        ]),
        Case::Maximum => {
            let others = Times(vec![power(), Whole(-1)]);
            let apart = Plus(vec![Times(vec![name(Name::Power(I)), Whole(0)]), SumOfOthers(others.into())]);
            let minus_others = Negative(SumOfOthers(power().into()).into());
            lines.extend([
                (chain(1), Reason::MaximumItself),
                (Plus(vec![terms(through_exponent), Whole(1)]), Reason::LogarithmAndSum),
                (Plus(vec![terms(through_shift), Whole(1)]), Reason::Exponential),
                (Plus(vec![Times(vec![one_over_sum(), apart]), Whole(1)]), Reason::AgainstTheOthers),
                (
                    Plus(vec![
                        Over(minus_others.into(), name(Name::Sum).into()),
                        Over(SumOfAll(power().into()).into(), name(Name::Sum).into()),
                    ]),
                    Reason::CommonDenominator,
                ),
                (share(), Reason::OthersCancel),
            ]);
        }
    }
    lines
}

/// Two lines that are equal must agree to this many digits.
pub(crate) const DIGITS: f64 = 45.0;

/// The number of digits to which every line agrees with the one above it, relative to the larger value or to e^-800;
/// the first line that does not agree is the error.
pub(crate) fn check(lines: &Lines, at: &Point) -> Result<f64, usize> {
    let least = real(-LEAST, at.bits).exp();
    let values: Vec<_> = lines.iter().map(|(line, _)| at.value(line, 0)).collect();
    let mut fewest = f64::INFINITY;
    for (i, pair) in values.windows(2).enumerate() {
        let digits = digits_in_common(&pair[0], &pair[1], &least);
        // A NaN means that the lines do not agree.
        if digits.is_nan() || digits < DIGITS {
            return Err(i + 1);
        }
        fewest = fewest.min(digits);
    }
    Ok(fewest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::precise::short;

    const POINTS: [(&[f64], usize, usize); 12] = [
        (&[0.0, -800.0, -700.0], 1, 0),
        (&[1e308, -1e308], 1, 0),
        (&[0.0, -3000.0, -1e9], 1, 0),
        (&[f64::NEG_INFINITY, 1.0], 0, 1),
        (&[3.0, 1.0, -2.0], 1, 0),
        (&[3.0, 1.0, -2.0], 0, 0),
        (&[1000.0, 1001.0, 1002.0], 0, 2),
        (&[0.0, -700.0], 1, 0),
        (&[5.0], 0, 0),
        (&[2.0, 2.0, 2.0], 1, 0),
        (&[1e300, -1e300, 0.5], 0, 0),
        (&[-1e-300, 1e-300, 0.0], 1, 1),
    ];

    #[test]
    fn every_line_equals_the_one_above() {
        for (z, i, j) in POINTS {
            let case = if i == j { Case::Maximum } else { Case::Other };
            let digits = check(&lines(case), &Point::new(z, i, j));
            assert!(digits.is_ok_and(|digits| digits > DIGITS), "{z:?} {i}: {digits:?}");
        }
    }

    /// Two neighbouring lines are printed with the same value, and no more digits are claimed than there are bits.
    #[test]
    fn lines_look_equal() {
        for (z, i, j) in
            POINTS.into_iter().chain([(&[0.0, -1e6][..], 1, 0), (&[976.3, -157.97, -768.9], 1, 0)])
        {
            let (lines, at) = (lines(if i == j { Case::Maximum } else { Case::Other }), Point::new(z, i, j));
            let shown: Vec<_> = lines.iter().map(|(line, _)| short(&at.value(line, 0))).collect();
            assert!(shown.windows(2).all(|pair| pair[0] == pair[1]), "{z:?} {i}: {shown:?}");
            let digits = check(&lines, &at).unwrap();
            assert!(
                digits.is_infinite() || digits < at.bits as f64 * std::f64::consts::LOG10_2,
                "{z:?}: {digits}"
            );
        }
    }

    /// Each line in turn is made wrong, in several ways.
    #[test]
    fn a_broken_line_is_found() {
        for (z, i, j) in [POINTS[4], POINTS[5], POINTS[6]] {
            let case = if i == j { Case::Maximum } else { Case::Other };
            let (right, at) = (lines(case), Point::new(z, i, j));
            for broken in 0..right.len() {
                for wrong in [
                    Plus(vec![
                        right[broken].0.clone(),
                        Over(Whole(1).into(), Expression::Value(real(1e40, at.bits)).into()),
                    ]),
                    Negative(right[broken].0.clone().into()),
                    Times(vec![right[broken].0.clone(), Slope(Name::Lse, Name::Number(I))]),
                ] {
                    let mut lines = right.clone();
                    lines[broken].0 = wrong;
                    assert_eq!(check(&lines, &at), Err(broken.max(1)), "{z:?}, line {broken}");
                }
            }
        }
    }

    /// The usual mistake: the maximum is taken for a constant in the case where it is z_i.
    #[test]
    fn the_path_through_the_maximum_matters() {
        let at = Point::new(&[3.0, 1.0, -2.0], 0, 0);
        assert_eq!(check(&lines(Case::Other), &at), Err(2));
        let at = Point::new(&[3.0, 1.0, -2.0], 1, 0);
        assert_eq!(check(&lines(Case::Maximum), &at), Err(2));
    }
}
