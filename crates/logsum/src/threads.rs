//! Work in two halves, by threads where the feature `rayon` is on. What is halved, and what is done with the results,
//! never depends on it.

/// The fewest numbers that are worth a thread of their own.
pub(crate) const GRAIN: usize = 1 << 16;

#[cfg(feature = "rayon")]
pub(crate) fn join<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    rayon::join(a, b)
}

#[cfg(not(feature = "rayon"))]
pub(crate) fn join<A, B>(a: impl FnOnce() -> A, b: impl FnOnce() -> B) -> (A, B) {
    (a(), b())
}
