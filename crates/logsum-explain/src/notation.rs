//! Formulas as text and as TeX.

use crate::explanation::Steps;
use crate::expression::{Expression, Name, Which};
use crate::precise::{Decimal, Real, real, short, shortest};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notation {
    Text,
    Tex,
}

/// How tightly the outermost operation of a formula binds, which decides where brackets are needed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Bond {
    Sum,
    Product,
    Atom,
}

impl Notation {
    fn pick<'a>(self, text: &'a str, tex: &'a str) -> &'a str {
        match self {
            Self::Text => text,
            Self::Tex => tex,
        }
    }

    pub(crate) fn formula(self, expression: &Expression) -> String {
        self.with_bond(expression, Bond::Sum)
    }

    fn with_bond(self, expression: &Expression, needed: Bond) -> String {
        let (bond, formula) = self.loose(expression);
        if bond >= needed { formula } else { self.in_brackets(&formula) }
    }

    fn in_brackets(self, formula: &str) -> String {
        match self {
            Self::Text => format!("({formula})"),
            Self::Tex => format!(r"\left({formula}\right)"),
        }
    }

    fn loose(self, expression: &Expression) -> (Bond, String) {
        match expression {
            Expression::Name(name) => (Bond::Atom, self.name(*name)),
            Expression::Whole(x) => self.decimal(&shortest(f64::from(*x))),
            Expression::Value(x) => self.decimal(&short(x)),
            Expression::Slope(of, by) => (Bond::Atom, self.slope(*of, *by)),
            Expression::IsI => (Bond::Atom, "[k = i]".into()),
            Expression::Dots => (Bond::Atom, self.pick("…", r"\cdots").into()),
            Expression::SumOfAll(term) => (Bond::Product, self.sum(self.pick("Σₖ", r"\sum_k"), term)),
            Expression::SumOfOthers(term) => {
                (Bond::Product, self.sum(self.pick("Σₖ≠ᵢ", r"\sum_{k \neq i}"), term))
            }
            Expression::Plus(terms) => (Bond::Sum, self.plus(terms)),
            Expression::Times(factors) => (Bond::Product, self.times(factors)),
            Expression::Over(above, below) => match self {
                Self::Text => {
                    let [above, below] = [above, below].map(|part| match &**part {
                        Expression::SumOfAll(_) | Expression::SumOfOthers(_) => self.formula(part),
                        _ => self.with_bond(part, Bond::Atom),
                    });
                    (Bond::Product, format!("{above}/{below}"))
                }
                Self::Tex => {
                    (Bond::Atom, format!(r"\frac{{{}}}{{{}}}", self.formula(above), self.formula(below)))
                }
            },
            Expression::Negative(x) => {
                (Bond::Sum, format!("{}{}", self.minus(), self.with_bond(x, Bond::Product)))
            }
        }
    }

    fn minus(self) -> &'static str {
        match self {
            Self::Text => "−",
            Self::Tex => "-",
        }
    }

    fn sum(self, sign: &str, term: &Expression) -> String {
        format!("{sign} {}", self.with_bond(term, Bond::Atom))
    }

    fn plus(self, terms: &[Expression]) -> String {
        let mut formula = String::new();
        for (place, term) in terms.iter().enumerate() {
            let (bond, term) = self.loose(term);
            match term.strip_prefix(self.minus()) {
                Some(rest) if place > 0 => formula += &format!(" {} {rest}", self.minus()),
                _ if place == 0 => formula = term,
                _ if bond == Bond::Sum => formula += &format!(" + {}", self.in_brackets(&term)),
                _ => formula += &format!(" + {term}"),
            }
        }
        formula
    }

    fn times(self, factors: &[Expression]) -> String {
        let factors: Vec<_> = factors.iter().map(|factor| self.with_bond(factor, Bond::Product)).collect();
        factors.join(self.pick(" · ", r" \cdot "))
    }

    fn slope(self, of: Name, by: Name) -> String {
        let [of, by] = [of, by].map(|name| match name {
            Name::Log | Name::Max if self == Self::Text => format!("({})", self.name(name)),
            _ => self.name(name),
        });
        match self {
            Self::Text => format!("∂{of}/∂{by}"),
            Self::Tex => format!(r"\frac{{\partial {of}}}{{\partial {by}}}"),
        }
    }

    pub(crate) fn name(self, name: Name) -> String {
        let index = |which| match (which, self) {
            (Which::I, Self::Text) => "ᵢ",
            (Which::K, Self::Text) => "ₖ",
            (Which::I, Self::Tex) => "_i",
            (Which::K, Self::Tex) => "_k",
        };
        match name {
            Name::Lse => self.pick("LSE", r"\mathrm{LSE}").into(),
            Name::Log => self.pick("log S", r"\log S").into(),
            Name::Sum => "S".into(),
            Name::Max => self.pick("max z", r"\max z").into(),
            Name::Number(which) => format!("z{}", index(which)),
            Name::Shifted(which) => format!("{}{}", self.pick("ẑ", r"\hat z"), index(which)),
            Name::Power(which) => match self {
                Self::Text => format!("e^ẑ{}", index(which)),
                Self::Tex => format!(r"e^{{\hat z{}}}", index(which)),
            },
        }
    }

    fn decimal(self, number: &Decimal) -> (Bond, String) {
        let Decimal { is_negative, digits, exponent } = number;
        let sign = if *is_negative { self.minus() } else { "" };
        let bond = if *is_negative { Bond::Sum } else { Bond::Atom };
        match (self, exponent) {
            (_, 0) => (bond, format!("{sign}{digits}")),
            (Self::Text, _) => (bond, format!("{sign}{digits}e{exponent}")),
            (Self::Tex, _) => (bond.min(Bond::Product), format!(r"{sign}{digits} \times 10^{{{exponent}}}")),
        }
    }

    /// A float with all the digits that it needs.
    pub(crate) fn float(self, x: f64) -> String {
        if x.is_nan() {
            return self.pick("NaN", r"\mathrm{NaN}").into();
        }
        if x.is_infinite() {
            return format!("{}{}", if x < 0.0 { self.minus() } else { "" }, self.pick("∞", r"\infty"));
        }
        self.decimal(&shortest(x)).1
    }

    /// x + y, where y is written already.
    pub(crate) fn sum_of(self, x: &Expression, y: &str) -> String {
        let sign = if y.starts_with(self.minus()) { "" } else { "+ " };
        let spaced = y.strip_prefix(self.minus()).map(|y| format!("{} {y}", self.minus()));
        format!("{} {sign}{}", self.formula(x), spaced.as_deref().unwrap_or(y))
    }

    /// z with a subscript, which is `index` counted from 1.
    pub(crate) fn number(self, index: usize) -> String {
        let subscript = |digit: char| digit.to_digit(10).and_then(|digit| char::from_u32(0x2080 + digit));
        match self {
            Self::Text => {
                format!("z{}", (index + 1).to_string().chars().filter_map(subscript).collect::<String>())
            }
            Self::Tex => format!("z_{{{}}}", index + 1),
        }
    }

    /// Numbers in brackets, each formatted by `write`; if there are many, those in the middle are left out.
    pub(crate) fn tuple<T>(self, numbers: &[T], write: impl Fn(&T) -> String) -> String {
        const SHOWN: usize = 8;
        let mut shown: Vec<String> = numbers.iter().take(SHOWN).map(&write).collect();
        if numbers.len() > SHOWN {
            shown[SHOWN - 2] = self.pick("…", r"\dots").into();
            shown[SHOWN - 1] = write(&numbers[numbers.len() - 1]);
        }
        format!("({})", shown.join(", "))
    }

    /// The numbers z, each with all its digits.
    pub(crate) fn numbers(self, numbers: &[f64]) -> String {
        self.tuple(numbers, |&x| self.float(x))
    }

    /// The gradient, each element with five digits.
    pub(crate) fn gradient(self, gradient: &[f64]) -> String {
        self.tuple(gradient, |&x| if x.is_finite() { self.short(&real(x, 64)) } else { self.float(x) })
    }

    /// ẑ, after the sign = or ≈ that says whether these digits are exact, and e^ẑ; each with five digits.
    pub(crate) fn shifted_and_powers(self, steps: &Steps) -> [String; 2] {
        let equals = if steps.is_exact { "=" } else { self.pick("≈", r"\approx") };
        let shifted =
            |x: &Option<Real>| x.as_ref().map_or_else(|| self.float(f64::NEG_INFINITY), |x| self.short(x));
        [
            format!("{equals} {}", self.tuple(&steps.shifted, shifted)),
            self.tuple(&steps.powers, |x| self.short(x)),
        ]
    }

    fn short(self, x: &Real) -> String {
        self.decimal(&short(x)).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derivation::{Case, lines};
    use crate::expression::Point;

    fn formulas(case: Case, notation: Notation) -> Vec<String> {
        lines(case).iter().map(|(line, _)| notation.formula(line)).collect()
    }

    #[test]
    fn both_cases_as_text() {
        let expected = [
            "∂LSE/∂zᵢ",
            "∂LSE/∂(log S) · ∂(log S)/∂zᵢ + ∂LSE/∂(max z) · ∂(max z)/∂zᵢ",
            "1 · ∂(log S)/∂S · ∂S/∂zᵢ + 1 · 0",
            "1/S · Σₖ (∂e^ẑₖ/∂ẑₖ · ∂ẑₖ/∂zᵢ)",
            "1/S · Σₖ (e^ẑₖ · ∂ẑₖ/∂zᵢ)",
            "1/S · Σₖ (e^ẑₖ · [k = i])",
            "e^ẑᵢ/S",
        ];
        assert_eq!(formulas(Case::Other, Notation::Text), expected);
        let expected = [
            "∂LSE/∂zᵢ",
            "∂LSE/∂(log S) · ∂(log S)/∂zᵢ + ∂LSE/∂(max z) · ∂(max z)/∂zᵢ",
            "1 · ∂(log S)/∂S · ∂S/∂zᵢ + 1 · 1",
            "1/S · Σₖ (∂e^ẑₖ/∂ẑₖ · ∂ẑₖ/∂zᵢ) + 1",
            "1/S · Σₖ (e^ẑₖ · ∂ẑₖ/∂zᵢ) + 1",
            "1/S · (e^ẑᵢ · 0 + Σₖ≠ᵢ (e^ẑₖ · (−1))) + 1",
            "(−Σₖ≠ᵢ e^ẑₖ)/S + Σₖ e^ẑₖ/S",
            "e^ẑᵢ/S",
        ];
        assert_eq!(formulas(Case::Maximum, Notation::Text), expected);
    }

    #[test]
    fn numbers_put_in() {
        let at = Point::new(&[3.0, 1.0, -2.0], 0, 0);
        let put_in = |line: usize| Notation::Text.formula(&at.put_in(&lines(Case::Maximum)[line].0, 0));
        assert_eq!(put_in(1), "1 · (−0.1244) + 1 · 1");
        assert_eq!(put_in(4), "1/1.1421 · (1 · 0 + 0.13534 · (−1) + 0.0067379 · (−1)) + 1");
        assert_eq!(put_in(5), put_in(4));
        assert_eq!(put_in(6), "(−(0.13534 + 0.0067379))/1.1421 + (1 + 0.13534 + 0.0067379)/1.1421");
        assert_eq!(put_in(7), "1/1.1421");
    }

    #[test]
    fn tex() {
        assert_eq!(
            formulas(Case::Other, Notation::Tex)[5],
            r"\frac{1}{S} \cdot \sum_k \left(e^{\hat z_k} \cdot [k = i]\right)"
        );
        assert_eq!(Notation::Tex.float(-1.5e-9), r"-1.5 \times 10^{-9}");
        assert_eq!(Notation::Tex.float(f64::NEG_INFINITY), r"-\infty");
        assert_eq!(Notation::Text.number(11), "z₁₂");
    }
}
