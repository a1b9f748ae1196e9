//! logsum's functions as a loadable extension of DuckDB.
//!
//! | function | kind | value |
//! |---|---|---|
//! | `logsumexp(z)`, `logsumexp(z, weight)` | aggregate | log Σ e^z, log Σ weight · e^z |
//! | `logmeanexp(z)` | aggregate | log((1/n) Σ e^z) |
//! | `effective_sample_size(log_w)` | aggregate | (Σ w)² / Σ w², w = e^{log_w} |
//! | `logaddexp(a, b)`, `logsubexp(a, b)` | scalar | log(e^a + e^b), log(e^a − e^b) |
//! | `log1pexp(x)`, `log1mexp(x)` | scalar | log(1 + e^x), log(1 − e^x) |
//! | `logistic(x)`, `logit(p)` | scalar | 1/(1 + e^-x), log(p/(1 − p)) |
//!
//! FLOAT gives FLOAT; all other numbers are converted to DOUBLE. Rows whose number or weight is NULL are left out of
//! aggregates, and an aggregate of no rows is NULL.

mod aggregates;
mod extension;
mod scalars;
