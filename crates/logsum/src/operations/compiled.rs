//! Each operation is compiled once for each format, in this crate: what is public is generic, and forwards to that through a
//! trait. A user's crate gets calls, not kernels.

use super::{
    batch, cross_entropy, cumulative, elementwise, log_matmul, reduction, segments, terms, variance,
};
use crate::formats::Format;

/// A floating-point number that logsum computes with: `f32` or `f64`; with the feature `half` also `f16` and
/// `bf16` of the crate [half](https://docs.rs/half).
///
/// The narrow formats are computed with in f64, and rounded once, to nearest: a value beyond the greatest number
/// of the format by half a unit in its last place or more is infinite.
///
/// The trait is sealed: its rounding test and its error bounds belong to the library.
pub trait Float:
    Format
    + reduction::Compiled<Self>
    + batch::Compiled<Self>
    + terms::Compiled<Self>
    + variance::Compiled<Self>
    + elementwise::Compiled<Self>
    + cumulative::Compiled<Self>
    + segments::Compiled<Self>
    + log_matmul::Compiled<Self>
    + cross_entropy::Compiled<Self>
    + OfComplex
{
}

/// What is compiled for complex numbers, with the feature `complex`.
#[cfg(feature = "complex")]
pub trait OfComplex: Sized + super::complex_logsumexp::Compiled<Self> {}
#[cfg(feature = "complex")]
impl<T: super::complex_logsumexp::Compiled<T>> OfComplex for T {}

/// What is compiled for complex numbers, with the feature `complex`.
#[cfg(not(feature = "complex"))]
pub trait OfComplex {}
#[cfg(not(feature = "complex"))]
impl<T> OfComplex for T {}

impl Float for f32 {}
impl Float for f64 {}
// Unit tests call what is below; they need not wait for all of it in the narrow formats.
#[cfg(all(feature = "half", not(test)))]
impl Float for half::f16 {}
#[cfg(all(feature = "half", not(test)))]
impl Float for half::bf16 {}

/// Functions that are compiled once for each format, which they call T: methods of a trait `Compiled<T>` that all formats
/// implement. A generic function calls its own as `<T as Compiled<T>>::function(…)`.
macro_rules! compiled {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $output:ty)? $body:block)*) => {
        /// What is compiled for each format.
        pub trait Compiled<T> {
            $(#[allow(missing_docs, reason = "the public functions have them")] fn $name($($argument: $type),*) $(-> $output)?;)*
        }

        $crate::operations::compiled::for_each_format! {
            impl Compiled<T> for T {
                $(fn $name($($argument: $type),*) $(-> $output)? $body)*
            }
        }
    };
}

/// The items, once for each format, which they call T.
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
