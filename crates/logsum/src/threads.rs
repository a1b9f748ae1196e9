//! The scheduler for work on many rows: it halves the work while the halves are large enough, and with the feature
//! `rayon` runs them on several threads. No result depends on the number of threads.

use crate::interrupt::checkpoint;
#[cfg(feature = "rayon")]
use crate::interrupt::{self, INTERVAL};
use std::ops::Range;
#[cfg(feature = "rayon")]
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
#[cfg(all(feature = "rayon", unix))]
use std::sync::OnceLock;
#[cfg(feature = "rayon")]
use std::sync::mpsc;

/// The destination of the results of some rows, which can be split between any two rows.
pub(crate) trait Split: Send + Sized {
    /// The destinations of the first `rows` rows and of the others.
    fn cut(self, rows: usize) -> (Self, Self);
}

/// The number of rows of this length that is worth a thread; at least 1.
pub(crate) fn worth(count: usize, length: usize) -> usize {
    grain(count.saturating_mul(length)).div_ceil(length.max(1))
}

/// [`worth`], as a number of elements.
pub(crate) fn grain(numbers: usize) -> usize {
    const LEAST: usize = 1 << 16;
    /// Interrupts are noticed between two parts.
    const MOST: usize = 1 << 22;
    if numbers <= LEAST {
        return LEAST;
    }
    let part = match threads() {
        1 => numbers,
        threads => numbers / (4 * threads),
    };
    part.clamp(LEAST, MOST)
}

/// Calls `f` on parts of the rows that begin at multiples of `alignment`, halving while each half has `least`
/// rows. `f` reuses the scratch buffer `room` for consecutive parts; every other thread has its own.
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

/// Merges the results of `f` for parts of at most `leaf` rows in a binary tree whose shape depends only on the number
/// of rows; parts of at least `least` rows are worth a thread.
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

/// Splits recursively; `half` returns the number of rows to split off, if any.
fn halves<O: Split, R: Default + Send, S: Send>(
    rows: Range<usize>,
    out: O,
    half: &(impl Fn(usize) -> Option<usize> + Sync),
    least: usize,
    room: &mut R,
    f: &(impl Fn(Range<usize>, O, &mut R) -> S + Sync),
    merge: &(impl Fn(S, S) -> S + Sync),
) -> S {
    let Some(count) = half(rows.len()) else {
        checkpoint();
        return f(rows, out, room);
    };
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
    if is_forked() { 1 } else { rayon::current_num_threads() }
}

/// Whether this process was forked after the pool's threads had started: a child has none of these threads, and would
/// wait for them forever. The first call here records the process, so that a pool that another crate started is not
/// noticed if no call came before the fork.
#[cfg(all(feature = "rayon", unix))]
fn is_forked() -> bool {
    static PROCESS_OF_THE_POOL: OnceLock<u32> = OnceLock::new();
    let process = std::process::id();
    *PROCESS_OF_THE_POOL.get_or_init(|| process) != process
}

#[cfg(all(feature = "rayon", not(unix)))]
fn is_forked() -> bool {
    false
}

#[cfg(not(feature = "rayon"))]
fn threads() -> usize {
    1
}

#[cfg(feature = "rayon")]
fn join<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    // Each call from outside would wait for a pool of one thread, without any gain.
    if threads() == 1 {
        return (a(), b());
    }
    checkpoint();
    let (mut a, mut b) = (Some(a), Some(b));
    let (mut of_a, mut of_b) = (None, None);
    in_pool(&mut || of_a = a.take().map(|a| a()), &mut || of_b = b.take().map(|b| b()));
    (of_a.expect("both have run"), of_b.expect("both have run"))
}

/// Work whose type is left out, so that rayon's scheduling is compiled once and not for each operation and format.
#[cfg(feature = "rayon")]
type Work<'a> = &'a mut (dyn FnMut() + Send);

/// Does both in the pool.
#[cfg(feature = "rayon")]
fn in_pool(a: Work<'_>, b: Work<'_>) {
    let work = interrupt::of_this_thread();
    let both = || {
        interrupt::aside(|| rayon::join(|| work.within(a), || work.within(b)));
    };
    let is_outside = rayon::current_thread_index().is_none();
    if is_outside && interrupt::is_asking() { while_asking(both) } else { both() }
}

/// Lets the pool do some work; meanwhile this thread asks whether to give it up.
#[cfg(feature = "rayon")]
fn while_asking(work: impl FnOnce() + Send) {
    let outcome = rayon::in_place_scope(|scope| {
        let (sender, outcome) = mpsc::sync_channel(1);
        // The receiver outlives the send.
        scope.spawn(move |_| drop(sender.send(catch_unwind(AssertUnwindSafe(work)))));
        loop {
            match outcome.recv_timeout(INTERVAL) {
                Ok(outcome) => break outcome,
                Err(_) => interrupt::ask(),
            }
        }
    });
    outcome.unwrap_or_else(|payload| resume_unwind(payload))
}

#[cfg(not(feature = "rayon"))]
fn join<A, B>(a: impl FnOnce() -> A, b: impl FnOnce() -> B) -> (A, B) {
    (a(), b())
}

/// No destination: results are only returned.
impl Split for () {
    fn cut(self, _: usize) -> (Self, Self) {
        ((), ())
    }
}

/// One place per row.
impl<T: Send> Split for &mut [T] {
    fn cut(self, rows: usize) -> (Self, Self) {
        self.split_at_mut(rows)
    }
}

/// A fixed number of places per row, the second field.
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
