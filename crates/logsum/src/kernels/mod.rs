//! Kernels: the loops over numbers, written once for every format, precision and SIMD level.

use crate::arithmetic::double_double::{DoubleDouble, power_of_two};

pub(crate) mod block;
pub(crate) mod columns;
#[cfg(feature = "complex")]
pub(crate) mod complex_exp;
pub(crate) mod grid;
pub(crate) mod matrix_product;
pub(crate) mod near_product;
pub(crate) mod row_access;
pub(crate) mod row_functions;
pub(crate) mod scan;
pub(crate) mod short_rows;
pub(crate) mod signed_block;
pub(crate) mod target_weights;
pub(crate) mod term_source;

/// A function of each element of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Each {
    /// e^{z_i} / Σ e^{z_k}: softmax, and the gradient of the log-sum-exp.
    Share,
    /// The logarithm of [`Share`](Each::Share): log-softmax.
    LogShare,
}

/// The constants of [`Each`] for a row.
#[derive(Clone, Copy)]
pub(crate) struct Constants {
    /// The shift for shares; the maximum for their logarithms.
    pub(crate) c: f64,
    /// 1 / Σ e^{z_k − shift} for shares; log(1 + t) = LSE − max for their logarithms.
    pub(crate) two: DoubleDouble,
    /// Bounds the relative error of a share that is computed from these constants, or the absolute error of log(1 + t).
    pub(crate) error: f64,
}

/// A value in units of UNSCALE, so that no part of it is subnormal, and a bound on its absolute error in the same
/// units.
#[derive(Clone, Copy)]
pub(crate) struct Scaled {
    pub(crate) value: DoubleDouble,
    pub(crate) error: f64,
}

/// A factor of all shares.
#[derive(Clone, Copy)]
pub(crate) struct Factor {
    pub(crate) factor: DoubleDouble,
    /// What it adds to the relative error of a share.
    pub(crate) error: f64,
}

impl Factor {
    pub(crate) const ONE: Self = Self { factor: DoubleDouble::ONE, error: 0.0 };

    /// Whether terms that count as e^-1000, about 2^-1443, are negligible in products with this factor, and the factor
    /// is not 0 in units of UNSCALE.
    pub(crate) fn is_ordinary(&self) -> bool {
        (power_of_two(-130)..=power_of_two(300)).contains(&self.factor.hi)
    }
}
