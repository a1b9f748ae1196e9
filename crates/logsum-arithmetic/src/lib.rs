//! The arithmetic of [logsum](https://docs.rs/logsum), for logsum's own crates: double-double numbers,
//! exponentials and logarithms with proved bounds, and the rounding test. Each is written once, over
//! [`float64::Float64`], which is one f64 or several at once.
//!
//! `no_std`, without allocation, dependencies, CPU features or number formats other than f64. The same files
//! compile for x86-64, aarch64, wasm32 and nvptx64. Every operation is an IEEE operation, rounded to nearest, so
//! that results have the same bits on all of them.
//!
//! The public items may change with every version of logsum.

#![no_std]
#![cfg_attr(not(feature = "std"), feature(core_float_math))]

#[cfg(any(test, feature = "std"))]
#[cfg_attr(test, macro_use)]
extern crate std;

// In order of dependency: each module uses only those before it.
pub mod float64;

pub mod double_double;
pub mod triple_double;

pub mod exp;
pub mod exp_td;
pub mod ln;

pub mod fixed_point;

pub mod rounding_test;

pub mod precision;

pub mod log_of_sum;

#[cfg(test)]
extern crate self as logsum_arithmetic;
#[cfg(test)]
mod test_reference;
