//! Compiles each operation once per format within this crate: the public functions are generic and forward to a
//! trait's methods, so that a dependent crate instantiates calls, not kernels.

use super::{
    accumulator, batch, cross_entropy, cumulative, elementwise, log_matmul, logvarexp, row_reduction,
    segments, sharded_log_prob, softmax_kl, terms, token_log_probs,
};
use crate::formats::Format;

/// A floating-point format that logsum supports: `f32` and `f64`; with the feature `half` also `f16` and `bf16` of
/// the crate [half](https://docs.rs/half).
///
/// Results in a narrow format are computed in a wider one and rounded once, to nearest: a value that exceeds the
/// largest finite number of the format by half a unit in its last place or more becomes infinite.
///
/// The trait is sealed, that is, no other types can implement it: rounding tests and error bounds are internal to the
/// library.
///
/// ```
/// // A function for every format.
/// fn log_mean_of_two<T: logsum::Float>(a: T, b: T) -> T {
///     logsum::logmeanexp(&[a, b])
/// }
/// assert_eq!(log_mean_of_two(1e8f32, 1e8), 1e8);
/// assert_eq!(log_mean_of_two(1e300, 1e300), 1e300);
/// ```
pub trait Float:
    Format
    + row_reduction::Compiled<Self>
    + batch::Compiled<Self>
    + accumulator::Compiled<Self>
    + terms::Compiled<Self>
    + logvarexp::Compiled<Self>
    + elementwise::Compiled<Self>
    + cumulative::Compiled<Self>
    + segments::Compiled<Self>
    + log_matmul::Compiled<Self>
    + cross_entropy::Compiled<Self>
    + token_log_probs::Compiled<Self>
    + sharded_log_prob::Compiled<Self>
    + softmax_kl::Compiled<Self>
    + OfComplex
{
}

/// The operations on complex numbers, with the feature `complex`.
#[cfg(feature = "complex")]
pub trait OfComplex: Sized + super::complex_logsumexp::Compiled<Self> {}
#[cfg(feature = "complex")]
impl<T: super::complex_logsumexp::Compiled<T>> OfComplex for T {}

/// The operations on complex numbers; none without the feature `complex`.
#[cfg(not(feature = "complex"))]
pub trait OfComplex {}
#[cfg(not(feature = "complex"))]
impl<T> OfComplex for T {}

impl Float for f32 {}
impl Float for f64 {}
// Unit tests do not need the narrow formats; leaving them out shortens compilation.
#[cfg(all(feature = "half", not(test)))]
impl Float for half::f16 {}
#[cfg(all(feature = "half", not(test)))]
impl Float for half::bf16 {}

/// Defines functions that are compiled once per format, named T in their bodies, as methods of a trait
/// `Compiled<T>` that every format implements. A generic function calls them as `<T as Compiled<T>>::function(…)`.
macro_rules! compiled {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $output:ty)? $body:block)*) => {
        /// The operations of this module that are compiled once per format.
        pub trait Compiled<T> {
            $(#[allow(missing_docs, reason = "the public functions have them")] fn $name($($argument: $type),*) $(-> $output)?;)*
        }

        $crate::operations::per_format::for_each_format! {
            impl Compiled<T> for T {
                $(fn $name($($argument: $type),*) $(-> $output)? $body)*
            }
        }
    };
}

/// Repeats the items once per format, with T as an alias of the format.
macro_rules! for_each_format {
    ($($items:tt)*) => {
        const _: () = {
            type T = f32;
            $($items)*
        };
        const _: () = {
            type T = f64;
            $($items)*
        };
        #[cfg(all(feature = "half", not(test)))]
        const _: () = {
            type T = half::f16;
            $($items)*
        };
        #[cfg(all(feature = "half", not(test)))]
        const _: () = {
            type T = half::bf16;
            $($items)*
        };
    };
}

pub(crate) use {compiled, for_each_format};
