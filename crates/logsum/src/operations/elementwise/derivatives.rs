//! The derivatives of the functions of one number or two; [`derivative`](super::derivative) states their bounds.

use crate::arithmetic::double_double::{DoubleDouble, two_product, two_sum};
use crate::arithmetic::exp::{self, UNSCALE};
use crate::formats::Format;
use crate::kernels::Each;
use crate::kernels::block::Store;
use crate::operations::elementwise::functions::{
    Log1mExp, Log1pExp, LogAddExp, LogExpm1, LogLogistic, LogSubExp, Logistic, Logit, XLogX, XLogY, at,
    log_of_any,
};
use crate::operations::row_reduction::partial_and_each;
use crate::simd::{scalar_tasks, task};

/// The derivatives of a function. A function of one number returns its derivative in every element.
pub(super) trait Derivatives<T> {
    /// ∂/∂a, ∂/∂b.
    fn slopes(self, a: T, b: T) -> [T; 2];

    /// ∂²/∂a², ∂²/∂a∂b, ∂²/∂b².
    fn curvatures(self, a: T, b: T) -> [T; 3];
}

impl<T: Format> Derivatives<T> for LogAddExp {
    fn slopes(self, a: T, b: T) -> [T; 2] {
        let mut p = [T::default(); 2];
        partial_and_each(Each::Share, &[a, b], &mut p, &mut Vec::new(), Store::Caches);
        p
    }

    fn curvatures(self, a: T, b: T) -> [T; 3] {
        let (a, b) = (a.widen(), b.widen());
        let product = match a == b {
            true if a == f64::NEG_INFINITY => 0.0,
            true => 0.25,
            false => bell(a, b),
        };
        [product, -product, product].map(T::narrow)
    }
}

impl<T: Format> Derivatives<T> for LogSubExp {
    fn slopes(self, a: T, b: T) -> [T; 2] {
        let odds = odds(a, b);
        [(odds + 1.0).hi, -odds.hi].map(T::narrow)
    }

    fn curvatures(self, a: T, b: T) -> [T; 3] {
        let product = odds_product(odds(a, b));
        [-product, product, -product].map(T::narrow)
    }
}

impl<T: Format> Derivatives<T> for XLogY {
    fn slopes(self, x: T, y: T) -> [T; 2] {
        // −0 is 0.
        let (x, y) = (x.widen(), y.widen() + 0.0);
        let by_y = if x == 0.0 && !y.is_nan() { 0.0 } else { x / y };
        let is_nan = x.is_nan() || y < 0.0 && x != 0.0;
        [log_of_any(y), by_y].map(|slope| T::narrow(if is_nan { f64::NAN } else { slope }))
    }

    fn curvatures(self, x: T, y: T) -> [T; 3] {
        // −0 is 0.
        let (x, y) = (x.widen(), y.widen() + 0.0);
        let twice_by_y = if x == 0.0 && !y.is_nan() { 0.0 } else { -(x / y) / y };
        let is_nan = x.is_nan() || y.is_nan() || y < 0.0 && x != 0.0;
        [0.0, 1.0 / y, twice_by_y].map(|second| T::narrow(if is_nan { f64::NAN } else { second }))
    }
}

impl<T: Format> Derivatives<T> for Log1pExp {
    fn slopes(self, x: T, _: T) -> [T; 2] {
        [at(Logistic, x, x); 2]
    }

    fn curvatures(self, x: T, _: T) -> [T; 3] {
        [T::narrow(bell(x.widen(), 0.0)); 3]
    }
}

impl<T: Format> Derivatives<T> for Log1mExp {
    fn slopes(self, x: T, _: T) -> [T; 2] {
        [T::narrow(-odds(T::default(), x).hi); 2]
    }

    fn curvatures(self, x: T, _: T) -> [T; 3] {
        [T::narrow(-odds_product(odds(T::default(), x))); 3]
    }
}

impl<T: Format> Derivatives<T> for LogExpm1 {
    fn slopes(self, x: T, _: T) -> [T; 2] {
        [T::narrow((odds(x, T::default()) + 1.0).hi); 2]
    }

    fn curvatures(self, x: T, _: T) -> [T; 3] {
        [T::narrow(-odds_product(odds(x, T::default()))); 3]
    }
}

impl<T: Format> Derivatives<T> for LogLogistic {
    fn slopes(self, x: T, _: T) -> [T; 2] {
        {
            let x = T::narrow(-x.widen());
            [at(Logistic, x, x); 2]
        }
    }

    fn curvatures(self, x: T, _: T) -> [T; 3] {
        [T::narrow(-bell(x.widen(), 0.0)); 3]
    }
}

impl<T: Format> Derivatives<T> for Logistic {
    fn slopes(self, x: T, _: T) -> [T; 2] {
        [T::narrow(bell(x.widen(), 0.0)); 2]
    }

    fn curvatures(self, x: T, _: T) -> [T; 3] {
        [T::narrow(bell_slope(x.widen())); 3]
    }
}

impl<T: Format> Derivatives<T> for Logit {
    fn slopes(self, p: T, _: T) -> [T; 2] {
        let p = p.widen();
        [T::narrow(if (0.0..=1.0).contains(&p) { over(1.0, p, false) } else { f64::NAN }); 2]
    }

    fn curvatures(self, p: T, _: T) -> [T; 3] {
        let p = p.widen();
        let by = two_sum(p + p, -1.0).hi;
        [T::narrow(if (0.0..=1.0).contains(&p) { over(by, p, true) } else { f64::NAN }); 3]
    }
}

impl<T: Format> Derivatives<T> for XLogX {
    fn slopes(self, x: T, _: T) -> [T; 2] {
        let x = x.widen();
        let is_ordinary = x > 0.0 && x < f64::INFINITY;
        [T::narrow(if is_ordinary { (scalar_tasks::ln(x) + 1.0).hi } else { log_of_any(x) }); 2]
    }

    fn curvatures(self, x: T, _: T) -> [T; 3] {
        let x = x.widen();
        [T::narrow(if x < 0.0 { f64::NAN } else { 1.0 / x.abs() }); 3]
    }
}

/// 1/(e^{a−b} − 1), relative error below 2^-60, for a ≥ b; NaN elsewhere.
fn odds<T: Format>(a: T, b: T) -> DoubleDouble {
    let (a, b) = (a.widen(), b.widen());
    let alone = |x| DoubleDouble::from(x);
    if a == f64::INFINITY && b == a || a.is_nan() || b.is_nan() || a < b {
        return alone(f64::NAN);
    }
    if a == b {
        return alone(f64::INFINITY);
    }
    if a == f64::INFINITY || b == f64::NEG_INFINITY { alone(0.0) } else { finite_odds(a, b) }
}

task! {
    fn finite_odds(a: f64, b: f64; _: V) -> DoubleDouble {
        let d = two_sum(a, -b);
        if d.hi > 100.0 {
            // 1/(e^d − 1) is e^-d to 2^-144.
            return exp::exp_dd(b, a).scaled(UNSCALE);
        }
        let odds = DoubleDouble::from(1.0) / exp::expm1_dd(d);
        // A quotient that overflows must not have a low part.
        if odds.hi.is_finite() { odds } else { DoubleDouble::from(1.0 / d.hi) }
    }
}

task! {
    /// t (1 + t).
    fn odds_product(odds: DoubleDouble; _: V) -> f64 {
        let product = (odds * (odds + 1.0)).hi;
        if product.is_nan() { odds.hi * odds.hi } else { product }
    }
}

task! {
    /// e^a e^b/(e^a + e^b)², relative error below 2^-60.
    fn bell(a: f64, b: f64; _: V) -> f64 {
        if (a - b).is_infinite() {
            return 0.0;
        }
        let power = if a < b { exp::exp_dd(a, b) } else { exp::exp_dd(b, a) };
        let sum = power.scaled(UNSCALE) + 1.0;
        (power / (sum * sum)).hi * UNSCALE
    }
}

task! {
    /// (e^-x − 1) e^-x/(1 + e^-x)³, computed from |x|.
    fn bell_slope(x: f64; _: V) -> f64 {
        if x.is_infinite() {
            return 0.0;
        }
        let power = exp::exp_dd(-x.abs(), 0.0);
        let sum = power.scaled(UNSCALE) + 1.0;
        let minus_one = exp::expm1_dd(DoubleDouble::from(-x.abs()));
        let slope = (power * minus_one / (sum * sum * sum)).hi * UNSCALE;
        if x < 0.0 { -slope } else { slope }
    }
}

task! {
    /// by/(p (1 − p)), or by/(p (1 − p))² if `twice`.
    fn over(by: f64, p: f64, twice: bool; _: V) -> f64 {
        if p == 0.0 || p == 1.0 {
            return by * f64::INFINITY;
        }
        let q = two_sum(1.0, -p);
        let high = two_product(p, q.hi);
        let product = DoubleDouble { hi: high.hi, lo: p.mul_add(q.lo, high.lo) };
        let once = DoubleDouble::from(by) / product;
        let quotient = if twice { once / product } else { once };
        // An overflowed quotient has no valid low part; there 1 − p rounds to 1.
        match (quotient.hi.is_finite(), twice) {
            (true, _) => quotient.hi,
            (false, false) => by / p,
            (false, true) => by / p / p,
        }
    }
}
