//! Sums that are under way, and how they are merged.

pub(crate) mod plain;
pub(crate) mod signed;
