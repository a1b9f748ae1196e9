//! The arithmetic of the first rungs: double words, e^x and log(1 + x) with proved bounds, and the loops over a
//! block of numbers.
//!
//! Nothing here is unsafe or knows of an instruction set. A SIMD level is one more file here, and [`body`] its
//! caller.

pub(crate) mod body;
pub(crate) mod exp;
pub(crate) mod log;
pub(crate) mod two;
