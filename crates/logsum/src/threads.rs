//! One scheduler for work on many rows: it is cut in two while that pays, by threads where the feature `rayon` is on.
//! No result depends on threads.

use std::ops::Range;

/// Places for the results of some rows, which can be cut before any row.
pub(crate) trait Split: Send + Sized {
    /// The places of the first `rows` rows, and of the others.
    fn cut(self, rows: usize) -> (Self, Self);
}

/// The number of rows of this length that is worth a thread: never 0, and more than half of all `count` without threads.
pub(crate) fn worth(count: usize, length: usize) -> usize {
    grain(count.saturating_mul(length)).div_ceil(length.max(1))
}

/// As [`worth`], in numbers.
pub(crate) fn grain(numbers: usize) -> usize {
    const LEAST: usize = 1 << 16;
    match threads() {
        1 => numbers.max(LEAST),
        threads => (numbers / (4 * threads)).max(LEAST),
    }
}

/// Calls `f` on parts of the rows that begin at multiples of `alignment`, halves while each has `least` rows. `f` uses `room` for
/// one part after another; another thread has a room of its own.
pub(crate) fn in_parts<O: Split, R: Default + Send>(
    rows: Range<usize>,
    out: O,
    least: usize,
    alignment: usize,
    room: &mut R,
    f: &(impl Fn(Range<usize>, O, &mut R) + Sync),
) {
    let least = least.max(alignment);
    let half = |count: usize| (count / 2 >= least).then(|| (count / 2).next_multiple_of(alignment));
    halves(rows, out, &half, least, room, f, &|(), ()| ());
}

/// Merges what `f` returns for parts of at most `leaf` rows, two by two, then the results, and so on. The shape of this tree
/// depends on nothing but the number of rows; parts of `least` rows are worth a thread.
pub(crate) fn in_tree<O: Split, R: Default + Send, S: Send>(
    rows: Range<usize>,
    out: O,
    leaf: usize,
    least: usize,
    room: &mut R,
    f: &(impl Fn(Range<usize>, O, &mut R) -> S + Sync),
    merge: &(impl Fn(S, S) -> S + Sync),
) -> S {
    let half = |count: usize| (count > leaf).then(|| count.next_power_of_two() / 2);
    halves(rows, out, &half, least, room, f, merge)
}

/// `half` says how many of some rows are cut off, if any.
fn halves<O: Split, R: Default + Send, S: Send>(
    rows: Range<usize>,
    out: O,
    half: &(impl Fn(usize) -> Option<usize> + Sync),
    least: usize,
    room: &mut R,
    f: &(impl Fn(Range<usize>, O, &mut R) -> S + Sync),
    merge: &(impl Fn(S, S) -> S + Sync),
) -> S {
    let Some(count) = half(rows.len()) else { return f(rows, out, room) };
    let middle = rows.start + count;
    let (out, out2) = out.cut(count);
    let first = |room: &mut R| halves(rows.start..middle, out, half, least, room, f, merge);
    let second = |room: &mut R| halves(middle..rows.end, out2, half, least, room, f, merge);
    let (first, second) = if rows.len() / 2 >= least {
        join(|| first(room), || second(&mut R::default()))
    } else {
        (first(room), second(room))
    };
    merge(first, second)
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
fn join<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    rayon::join(a, b)
}

#[cfg(not(feature = "rayon"))]
fn join<A, B>(a: impl FnOnce() -> A, b: impl FnOnce() -> B) -> (A, B) {
    (a(), b())
}

/// No results but what is returned.
impl Split for () {
    fn cut(self, _: usize) -> (Self, Self) {
        ((), ())
    }
}

/// One number for each row.
impl<T: Send> Split for &mut [T] {
    fn cut(self, rows: usize) -> (Self, Self) {
        self.split_at_mut(rows)
    }
}

/// As many numbers for each row as this says.
impl<T: Send> Split for (&mut [T], usize) {
    fn cut(self, rows: usize) -> (Self, Self) {
        let (first, second) = self.0.split_at_mut(rows * self.1);
        ((first, self.1), (second, self.1))
    }
}

impl<S: Split> Split for Option<S> {
    fn cut(self, rows: usize) -> (Self, Self) {
        self.map(|places| places.cut(rows)).unzip()
    }
}

impl<S: Split> Split for Vec<S> {
    fn cut(self, rows: usize) -> (Self, Self) {
        self.into_iter().map(|places| places.cut(rows)).unzip()
    }
}

impl<S: Split, const N: usize> Split for [S; N] {
    fn cut(self, rows: usize) -> (Self, Self) {
        let mut halves = self.map(|places| Some(places.cut(rows)).unzip());
        let first = halves.each_mut().map(|(first, _)| first.take().expect("each is taken once"));
        (first, halves.map(|(_, second)| second.expect("each is taken once")))
    }
}

impl<A: Split, B: Split> Split for (Option<A>, Option<B>) {
    fn cut(self, rows: usize) -> (Self, Self) {
        let ((a, a2), (b, b2)) = (self.0.cut(rows), self.1.cut(rows));
        ((a, b), (a2, b2))
    }
}
