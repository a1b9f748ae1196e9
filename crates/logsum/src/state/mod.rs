//! States of partial sums, and how they are merged.

pub(crate) mod binned;
pub(crate) mod positive;
pub(crate) mod signed;
