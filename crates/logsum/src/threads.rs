//! Work in two halves, by threads where the feature `rayon` is on. What is halved, and what is done with the results,
//! never depends on it.

/// How many of `numbers` one thread takes at a time: at least so many as are worth it, and all if there is but one
/// thread. Never 0, so that halving comes to an end.
pub(crate) fn grain(numbers: usize) -> usize {
    const LEAST: usize = 1 << 16;
    match threads() {
        1 => numbers.max(LEAST),
        threads => (numbers / (4 * threads)).max(LEAST),
    }
}

#[cfg(feature = "rayon")]
fn threads() -> usize {
    rayon::current_num_threads()
}

#[cfg(not(feature = "rayon"))]
fn threads() -> usize {
    1
}

#[cfg(feature = "rayon")]
pub(crate) fn join<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    rayon::join(a, b)
}

#[cfg(not(feature = "rayon"))]
pub(crate) fn join<A, B>(a: impl FnOnce() -> A, b: impl FnOnce() -> B) -> (A, B) {
    (a(), b())
}
