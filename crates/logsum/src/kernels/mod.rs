//! Kernels: the loops over numbers, written once for every format, precision and SIMD level.

pub(crate) mod block;
pub(crate) mod columns;
#[cfg(feature = "complex")]
pub(crate) mod complex_exp;
pub(crate) mod matrix_product;
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
