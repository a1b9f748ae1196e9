#![doc = include_str!("../README.md")]
//!
//! # Functions
//!
//! | function | kind | value |
//! |---|---|---|
//! | `logsumexp(z)`, `logsumexp(z, weight)` | aggregate | log Σ e^z, log Σ weight · e^z |
//! | `logmeanexp(z)` | aggregate | log((1/n) Σ e^z) |
//! | `effective_sample_size(log_w)` | aggregate | (Σ w)² / Σ w², w = e^{log_w} |
//! | `logcumsumexp(z) OVER (… ORDER BY …)` | window | log Σ e^z over the partition's rows up to this one |
//! | `softmax(z) OVER (…)` | window | e^z / Σ e^z, with the sum over the partition |
//! | `logaddexp(a, b)`, `logsubexp(a, b)` | scalar | log(e^a + e^b), log(e^a − e^b) |
//! | `log1pexp(x)`, `log1mexp(x)` | scalar | log(1 + e^x), log(1 − e^x) |
//! | `logistic(x)`, `logit(p)` | scalar | 1/(1 + e^-x), log(p/(1 − p)) |
//!
//! REAL gives REAL, and Arrow's Float16 is converted to it. If an argument has another type, all arguments are
//! converted to DOUBLE, and integers beyond 2^53 are thereby rounded. A frame has no influence on the window functions,
//! as it has none on `row_number`: `logcumsumexp` adds one row after the other, even rows that compare equal, and
//! `softmax` takes the whole partition. The aggregates do respect frames. Rows whose number or weight is NULL are left
//! out of aggregates, and an aggregate of no rows is NULL. If all rows are −∞, `logsumexp` and `logmeanexp` are −∞,
//! not NaN, but `effective_sample_size` is NaN.

mod aggregates;
mod documentation;
mod numbers;
mod scalars;
mod states;
mod windows;

use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};
use std::sync::Arc;

/// The aggregates.
pub fn aggregates() -> Vec<Arc<AggregateUDF>> {
    aggregates::all()
}

/// The window functions.
pub fn windows() -> Vec<Arc<WindowUDF>> {
    windows::all()
}

/// The functions of one row.
pub fn scalars() -> Vec<Arc<ScalarUDF>> {
    scalars::all()
}

/// Registers all functions with a registry: a `SessionContext`, or the registry in which an executor of a cluster looks
/// up functions.
///
/// # Errors
/// Those of the registry.
pub fn register_all(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in aggregates() {
        registry.register_udaf(function)?;
    }
    for function in windows() {
        registry.register_udwf(function)?;
    }
    for function in scalars() {
        registry.register_udf(function)?;
    }
    Ok(())
}
