//! Elementwise functions of one or two numbers, correctly rounded: logarithms of sums and differences of two
//! exponentials, and related functions; each with its derivatives.
//!
//! | function | formula | derivative |
//! |---|---|---|
//! | [`logaddexp`] | log(e^a + e^b) | logistic(a − b), logistic(b − a) |
//! | [`logsubexp`] | log(e^a − e^b) | 1/(1 − e^{b−a}), −1/(e^{a−b} − 1) |
//! | [`log1pexp`] | log(1 + e^x) | logistic(x) |
//! | [`log1mexp`] | log(1 − e^x) | −1/(e^-x − 1) |
//! | [`logexpm1`] | log(e^x − 1) | 1/(1 − e^-x) |
//! | [`log_logistic`] | −log(1 + e^-x) | logistic(−x) |
//! | [`logistic`] | 1/(1 + e^-x) | logistic(x) · logistic(−x) |
//! | [`logit`] | log(p/(1 − p)) | 1/(p(1 − p)) |
//! | [`xlogx`] | x log x | log x + 1 |
//! | [`xlogy`] | x log y | log y, x/y |
//!
//! [`each`] applies them to slices.

mod derivatives;
mod functions;

pub(super) use functions::log_of_any;

use crate::error::Error;
use crate::formats::Format;
use crate::operations::per_format::{Float, compiled};
use crate::operations::row_reduction::same_length;

/// The table of functions. Each entry generates the function itself, its form for slices in [`each`], and its
/// derivatives in [`derivative`] and [`second_derivative`].
macro_rules! table {
    (
        of two numbers {
            $($(#[$doc2:meta])* $two:ident($a:ident, $b:ident): $Two:ident, $slopes:literal, $curvatures:literal;)*
        }
        of one number {
            $($(#[$doc1:meta])* $one:ident($x:ident): $One:ident, $slope:literal, $curvature:literal;)*
        }
    ) => {
        $(
            $(#[$doc2])*
            #[must_use]
            pub fn $two<T: Float>($a: T, $b: T) -> T {
                <T as Compiled<T>>::at(Name::$Two, $a, $b)
            }
        )*
        $(
            $(#[$doc1])*
            #[must_use]
            pub fn $one<T: Float>($x: T) -> T {
                <T as Compiled<T>>::at(Name::$One, $x, $x)
            }
        )*

        /// The functions applied to slices: `out[i]` has the bits of the function of the numbers at index i, special
        /// cases included.
        ///
        /// ```
        /// let mut out = [0.0; 3];
        /// logsum::each::logaddexp(&[0.0, 1.0, 2.0], &[0.0, 0.0, f64::NEG_INFINITY], &mut out)?;
        /// assert_eq!(out, [std::f64::consts::LN_2, 1.3132616875182228, 2.0]);
        /// # Ok::<(), logsum::Error>(())
        /// ```
        ///
        /// # Errors
        /// [`Error::LengthMismatch`] if the slices differ in length; nothing is written then.
        pub mod each {
            use super::{Compiled, Error, Float, Name};

            $(
                #[doc = concat!("[`", stringify!($two), "`](crate::", stringify!($two), ") of each pair.")]
                pub fn $two<T: Float>($a: &[T], $b: &[T], out: &mut [T]) -> Result<(), Error> {
                    <T as Compiled<T>>::each(Name::$Two, $a, $b, out)
                }
            )*
            $(
                #[doc = concat!("[`", stringify!($one), "`](crate::", stringify!($one), ") of each number.")]
                pub fn $one<T: Float>($x: &[T], out: &mut [T]) -> Result<(), Error> {
                    <T as Compiled<T>>::each(Name::$One, $x, $x, out)
                }
            )*
        }

        /// First derivatives: the slope of a function of one number, both partial derivatives of a function of
        /// two.
        ///
        /// Each is within 2 ulp, and NaN where the function is NaN; near log x = −1 the derivative of `xlogx` has an
        /// absolute error of at most 2^-60. Where the slope of a function is infinite, the derivative is ±∞. At
        /// infinite or NaN arguments the derivatives of `logaddexp` are those of
        /// [`logsumexp`](crate::logsumexp_with_gradient).
        ///
        /// See also [`second_derivative`].
        ///
        /// ```
        /// use logsum::derivative;
        /// assert_eq!(derivative::logaddexp(1e8, 1e8), [0.5, 0.5]);
        /// assert_eq!(derivative::log1mexp(-1e-20), -1e20);
        /// assert_eq!(derivative::log1pexp(-40.0), logsum::logistic(-40.0));
        /// ```
        pub mod derivative {
            use super::{Compiled, Float, Name};

            $(
                #[doc = concat!("Derivatives of [`", stringify!($two), "`](crate::", stringify!($two), "): ", $slopes, ".")]
                #[must_use]
                pub fn $two<T: Float>($a: T, $b: T) -> [T; 2] {
                    <T as Compiled<T>>::slopes(Name::$Two, $a, $b)
                }
            )*
            $(
                #[doc = concat!("Derivative of [`", stringify!($one), "`](crate::", stringify!($one), "): ", $slope, ".")]
                #[must_use]
                pub fn $one<T: Float>($x: T) -> T {
                    <T as Compiled<T>>::slopes(Name::$One, $x, $x)[0]
                }
            )*
        }

        /// Second derivatives; for a function of two numbers ∂²/∂a², ∂²/∂a∂b, ∂²/∂b².
        ///
        /// Bounds and special cases are those of [`derivative`]: within 2 ulp, and NaN where the function is NaN.
        ///
        /// ```
        /// use logsum::second_derivative;
        /// assert_eq!(second_derivative::logaddexp(7.0, 7.0), [0.25, -0.25, 0.25]);
        /// assert_eq!(second_derivative::log1pexp(0.0), 0.25);
        /// assert_eq!(second_derivative::xlogx(4.0), 0.25);
        /// ```
        pub mod second_derivative {
            use super::{Compiled, Float, Name};

            $(
                #[doc = concat!("Second derivatives of [`", stringify!($two), "`](crate::", stringify!($two), "): ", $curvatures, ".")]
                #[must_use]
                pub fn $two<T: Float>($a: T, $b: T) -> [T; 3] {
                    <T as Compiled<T>>::curvatures(Name::$Two, $a, $b)
                }
            )*
            $(
                #[doc = concat!("Second derivative of [`", stringify!($one), "`](crate::", stringify!($one), "): ", $curvature, ".")]
                #[must_use]
                pub fn $one<T: Float>($x: T) -> T {
                    <T as Compiled<T>>::curvatures(Name::$One, $x, $x)[0]
                }
            )*
        }

        /// The functions of the table. A function of one number gets this number as both arguments.
        #[derive(Debug, Clone, Copy)]
        pub enum Name {
            $(#[doc = stringify!($two)] $Two,)*
            $(#[doc = stringify!($one)] $One,)*
        }

        impl Name {
            /// The names of the function's arguments.
            fn arguments(self) -> [&'static str; 2] {
                match self {
                    $(Self::$Two => [stringify!($a), stringify!($b)],)*
                    $(Self::$One => [stringify!($x); 2],)*
                }
            }
        }

        fn map<T: Format>(name: Name, a: &[T], b: &[T], out: &mut [T]) {
            match name {
                $(Name::$Two => functions::map(functions::$Two, a, b, out),)*
                $(Name::$One => functions::map(functions::$One, a, b, out),)*
            }
        }

        fn slopes<T: Format>(name: Name, a: T, b: T) -> [T; 2] {
            match name {
                $(Name::$Two => derivatives::Derivatives::slopes(functions::$Two, a, b),)*
                $(Name::$One => derivatives::Derivatives::slopes(functions::$One, a, b),)*
            }
        }

        fn curvatures<T: Format>(name: Name, a: T, b: T) -> [T; 3] {
            match name {
                $(Name::$Two => derivatives::Derivatives::curvatures(functions::$Two, a, b),)*
                $(Name::$One => derivatives::Derivatives::curvatures(functions::$One, a, b),)*
            }
        }
    };
}

table! {
    of two numbers {
        /// log(e^a + e^b), correctly rounded: the log-sum-exp of two numbers.
        ///
        /// Its derivatives are e^a/(e^a + e^b) = [`logistic`]`(a − b)` and e^b/(e^a + e^b); for a = b both are
        /// 1/2. −∞ adds nothing; the value is +∞ with a +∞ and no NaN, and NaN with a NaN.
        ///
        /// See also [`logsubexp`], [`logsumexp`](crate::logsumexp), [`each::logaddexp`], [`derivative::logaddexp`].
        ///
        /// ```
        /// use logsum::logaddexp;
        /// assert_eq!(logaddexp(1e3, 1e3), 1000.6931471805599);
        /// assert_eq!(logaddexp(f64::NEG_INFINITY, f64::NEG_INFINITY), f64::NEG_INFINITY);
        /// assert_eq!(logaddexp(0.5f64.ln(), 0.5f64.ln()), 2.3190468138462996e-17); // numpy.logaddexp: 0
        /// ```
        #[doc(alias("log_add_exp"))]
        logaddexp(a, b): LogAddExp, "e^a/(e^a + e^b) and e^b/(e^a + e^b)", "p q, −p q, p q, with p and q the first derivatives";

        /// log(e^a − e^b), correctly rounded, even where the difference or its logarithm nearly vanishes.
        ///
        /// | a, b | value |
        /// |---|---|
        /// | a < b, both +∞, or a NaN | NaN |
        /// | equal otherwise | −∞ |
        /// | a = +∞ > b | +∞ |
        /// | b = −∞ | a |
        ///
        /// See also [`logaddexp`], [`logexpm1`], [`each::logsubexp`], [`derivative::logsubexp`].
        ///
        /// ```
        /// use logsum::logsubexp;
        /// assert_eq!(logsubexp(1000.0, 999.0), 999.5413248546129);
        /// assert_eq!(logsubexp(1e-300, 0.0), -690.7755278982137);
        /// assert_eq!(logsubexp(2.0, 2.0), f64::NEG_INFINITY);
        /// assert!(logsubexp(1f64, 2.0).is_nan());
        /// ```
        #[doc(alias("log_sub_exp", "logdiffexp"))]
        logsubexp(a, b): LogSubExp, "1/(1 − e^{b−a}) and −1/(e^{a−b} − 1)", "−t (1 + t), t (1 + t), −t (1 + t), with t = 1/(e^{a−b} − 1)";

        /// x log y, correctly rounded, and 0 if x is 0 and y is not NaN: the summand of a cross-entropy.
        ///
        /// Its derivatives are log y and x/y. For x ≠ 0 the value is −∞ · x at y = 0, +∞ · x at y = +∞, and
        /// NaN for y < 0. The value is NaN if there is a NaN.
        ///
        /// See also [`xlogx`], [`each::xlogy`], [`derivative::xlogy`].
        ///
        /// ```
        /// use logsum::xlogy;
        /// assert_eq!([xlogy(0.0, 0.0), xlogy(2.0, 0.0), xlogy(0.0, -1.0)], [0.0, f64::NEG_INFINITY, 0.0]);
        /// assert_eq!(xlogy(3.0, 1.0000000000000002), 6.661338147750938e-16);
        /// ```
        xlogy(x, y): XLogY, "log y and x/y, where the latter is 0 for x = 0", "0, 1/y, −x/y²";
    }
    of one number {
        /// log(1 + e^x), correctly rounded; also known as softplus.
        ///
        /// Its derivative is [`logistic`]`(x)`. The value is 0 at −∞, +∞ at +∞, NaN at a NaN.
        ///
        /// See also its inverse [`logexpm1`], [`log1mexp`], [`log_logistic`], [`each::log1pexp`],
        /// [`derivative::log1pexp`].
        ///
        /// ```
        /// use logsum::log1pexp;
        /// assert_eq!(log1pexp(0.0), std::f64::consts::LN_2);
        /// assert_eq!(log1pexp(-40.0), 4.248354255291589e-18);
        /// assert_eq!(log1pexp(1e300), 1e300);
        /// ```
        #[doc(alias("softplus", "log1p_exp"))]
        log1pexp(x): Log1pExp, "logistic(x)", "logistic(x) logistic(−x)";

        /// log(1 − e^x), correctly rounded: the logarithm of the complement of a probability whose logarithm is x.
        ///
        /// Its derivative is −1/(e^-x − 1). The value is −∞ at 0, 0 at −∞, NaN above 0 and at a NaN.
        ///
        /// See also [`log1pexp`], [`logsubexp`], [`each::log1mexp`], [`derivative::log1mexp`].
        ///
        /// ```
        /// use logsum::log1mexp;
        /// assert_eq!(log1mexp(-1e-20), -46.051701859880914);
        /// assert_eq!(log1mexp(-40.0), -4.248354255291589e-18);
        /// ```
        #[doc(alias("log1m_exp"))]
        log1mexp(x): Log1mExp, "−1/(e^-x − 1)", "−e^-x/(e^-x − 1)²";

        /// log(e^x − 1), correctly rounded: the inverse of [`log1pexp`].
        ///
        /// Its derivative is 1/(1 − e^-x). The value is −∞ at 0, +∞ at +∞, NaN below 0 and at a NaN.
        ///
        /// See also [`logsubexp`], [`each::logexpm1`], [`derivative::logexpm1`].
        ///
        /// ```
        /// use logsum::logexpm1;
        /// assert_eq!(logexpm1(1e-20), -46.051701859880914);
        /// assert_eq!(logexpm1(std::f64::consts::LN_2), -4.638093627692599e-17); // e^x − 1 in f64: 1
        /// assert_eq!(logexpm1(1e4f32), 1e4);
        /// ```
        #[doc(alias("softplus_inverse", "log_expm1"))]
        logexpm1(x): LogExpm1, "1/(1 − e^-x)", "−e^x/(e^x − 1)²";

        /// log(1/(1 + e^-x)) = −log(1 + e^-x), correctly rounded: the logarithm of [`logistic`].
        ///
        /// Its derivative is [`logistic`]`(−x)`. The value is −∞ at −∞, 0 at +∞, NaN at a NaN.
        ///
        /// See also [`log1pexp`], [`each::log_logistic`], [`derivative::log_logistic`].
        ///
        /// ```
        /// use logsum::log_logistic;
        /// assert_eq!(log_logistic(40.0), -4.248354255291589e-18);
        /// assert_eq!(log_logistic(-1000.0f32), -1000.0);
        /// ```
        #[doc(alias("logsigmoid", "log_sigmoid", "log_expit"))]
        log_logistic(x): LogLogistic, "logistic(−x)", "−logistic(x) logistic(−x)";

        /// 1/(1 + e^-x), correctly rounded: the softmax of (x, 0) at x, e^x/(e^x + 1).
        ///
        /// Its derivative is logistic(x) · logistic(−x). The value is 0 at −∞, 1 at +∞, NaN at a NaN.
        ///
        /// See also its inverse [`logit`], its logarithm [`log_logistic`], [`softmax`](crate::softmax),
        /// [`each::logistic`], [`derivative::logistic`].
        ///
        /// ```
        /// use logsum::logistic;
        /// assert_eq!([logistic(0.0), logistic(f64::INFINITY), logistic(f64::NEG_INFINITY)], [0.5, 1.0, 0.0]);
        /// assert_eq!(logistic(-740.0), 4.2e-322); // 1/(1 + e^740) in f64: 0
        /// ```
        #[doc(alias("sigmoid", "expit"))]
        logistic(x): Logistic, "logistic(x) logistic(−x)", "logistic(x) logistic(−x) (logistic(−x) − logistic(x))";

        /// log(p/(1 − p)), correctly rounded, even where it nearly vanishes: the inverse of [`logistic`].
        ///
        /// Its derivative is 1/(p(1 − p)). The value is −∞ at 0, +∞ at 1, NaN outside of [0, 1] and at a NaN.
        ///
        /// See also [`each::logit`], [`derivative::logit`].
        ///
        /// ```
        /// use logsum::logit;
        /// assert_eq!(logit(0.5), 0.0);
        /// assert_eq!(logit(0.5000000000000001), 4.440892098500626e-16);
        /// assert_eq!(logit(1e-320f64), -736.8272408909739);
        /// ```
        #[doc(alias("log_odds", "inverse_sigmoid"))]
        logit(p): Logit, "1/(p (1 − p))", "(2p − 1)/(p (1 − p))²";

        /// x log x, correctly rounded: the summand of an entropy.
        ///
        /// Its derivative is log x + 1. The value is 0 at 0, +∞ at +∞, NaN below 0 and at a NaN.
        ///
        /// See also [`xlogy`], [`softmax_entropy`](crate::softmax_entropy), [`each::xlogx`], [`derivative::xlogx`].
        ///
        /// ```
        /// use logsum::xlogx;
        /// assert_eq!([xlogx(0.0), xlogx(1.0), xlogx(2.0)], [0.0, 0.0, 2.0 * std::f64::consts::LN_2]);
        /// ```
        xlogx(x): XLogX, "log x + 1", "1/x";
    }
}

compiled! {
    fn at(name: Name, a: T, b: T) -> T {
        let mut out = [T::default()];
        map(name, &[a], &[b], &mut out);
        out[0]
    }

    fn each(name: Name, a: &[T], b: &[T], out: &mut [T]) -> Result<(), Error> {
        let [of_a, of_b] = name.arguments();
        same_length(of_b, b, of_a, a)?;
        same_length("out", out, of_a, a)?;
        map(name, a, b, out);
        Ok(())
    }

    fn slopes(name: Name, a: T, b: T) -> [T; 2] {
        slopes(name, a, b)
    }

    fn curvatures(name: Name, a: T, b: T) -> [T; 3] {
        curvatures(name, a, b)
    }
}
