//! Kernels: the loops over numbers, written once for every format, precision and SIMD level.

pub(crate) mod block;
#[cfg(feature = "complex")]
pub(crate) mod cexp;
pub(crate) mod columns;
pub(crate) mod map;
pub(crate) mod pairs;
pub(crate) mod product;
pub(crate) mod scan;
pub(crate) mod series;
pub(crate) mod short;
pub(crate) mod targets;
pub(crate) mod term_source;

/// A function of each element of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Each {
    /// e^{z_i} / Σ e^{z_k}: softmax, and the gradient of the log-sum-exp.
    Share,
    /// The logarithm of [`Share`](Each::Share): log-softmax.
    LogShare,
}
