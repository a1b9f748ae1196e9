//! States of partial sums, and how they are merged.

pub(crate) mod plain;
pub(crate) mod signed;
