//! The correctly rounded, differentiable log-sum-exp.
//!
//! ```text
//! LSE(z) = log Σ_k e^{z_k}        ∂LSE/∂z_i = e^{z_i} / Σ_k e^{z_k} = softmax(z)_i
//! ```
//!
//! - [`logsumexp`] returns the float nearest to the exact value, ties to even, for every input of f32 or f64.
//! - [`logsumexp_with_gradient`], [`softmax`] and [`log_softmax`]: each element is correctly rounded.
//! - No result depends on the machine, on the layout in memory, or on the platform's mathematical library.
//! - A call of these four allocates no memory that grows with its input, except for the result of a method that
//!   returns an array, and where the axes of an array that are reduced vary slowest in memory (see `LogSumExp`).
//!
//! The four have forms for many rows of one length: [`logsumexp_rows`], [`logsumexp_rows_with_gradient`],
//! [`softmax_rows`], [`log_softmax_rows`].
//!
//! Further functions follow the same conventions:
//!
//! - [`Terms`]: sums with weights, signs, a mask and a temperature, in any combination; with their derivatives,
//!   softmax, mean, variance and entropy;
//! - [`logmeanexp`], [`logvarexp`], [`softmax_entropy`] and [`softmax_kl`];
//! - functions of one or two numbers ([`logaddexp`], [`log1pexp`], …) with their [`derivative`]s;
//! - [`logcumsumexp`], [`segment_logsumexp`] and [`log_matmul`];
//! - [`cross_entropy`] and [`token_log_probs`];
//! - sums that arrive in pieces: [`Accumulator`], [`EffectiveSampleSize`], [`WeightedMean`] and [`ShardedLogProb`].
//!
//! ```
//! let z = [1000.0, 1001.0, 1002.0]; // Σ e^z overflows
//! let mut gradient = [0.0; 3];
//! let value = logsum::logsumexp_with_gradient(&z, &mut gradient)?;
//! assert_eq!(value, 1002.4076059644444);
//! assert_eq!(gradient, [0.09003057317038046, 0.24472847105479764, 0.6652409557748219]);
//! # Ok::<(), logsum::Error>(())
//! ```
//!
//! # Features
//!
//! None is on by default.
//!
//! - `ndarray`: the same functions as methods of ndarray's arrays and views, in the trait `LogSumExp`, over any axes,
//!   in any layout.
//! - `rayon`: long rows, and the rows of an array, are shared by rayon's threads. No bit of a result depends on it.
//! - `half`: everything also accepts f16 and bf16 of the crate half. Inputs and results are narrow, and each result is
//!   computed in a wider format and rounded once.
//! - `complex`: `complex_logsumexp` of the complex numbers of the crate num-complex.

#![cfg_attr(docsrs, feature(doc_cfg))]

use logsum_arithmetic as arithmetic;

// In order of dependency: each module uses only those before it.
mod error;
mod interrupt;
mod large_pages;
mod memory;
mod simd;

mod formats;

mod kernels;
mod threads;

mod state;

mod ziv;

mod edges;

mod operations;

#[cfg(feature = "ndarray")]
mod arrays;

#[cfg(test)]
#[path = "../../logsum-arithmetic/src/test_reference.rs"]
mod reference;

#[cfg(all(feature = "complex", feature = "ndarray"))]
pub use arrays::ComplexLogSumExp;
#[doc(hidden)]
#[cfg(feature = "ndarray")]
pub use arrays::array_of_zeros;
#[cfg(feature = "ndarray")]
pub use arrays::{ArrayTerms, Axes, LogMatmul, LogSumExp};
pub use error::Error;
pub use interrupt::unless;
pub use operations::*;
#[doc(hidden)]
pub use simd::Level;
#[doc(hidden)]
pub use ziv::{Effort, Phase};

/// Runs the README's example as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
