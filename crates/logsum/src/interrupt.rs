//! Interruption of long work: between its pieces, the thread that began it asks whether to give up.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The time between two questions.
pub(crate) const INTERVAL: Duration = Duration::from_millis(50);

/// Calls `work` and returns its result, unless `is_interrupted` returns true meanwhile.
///
/// This thread calls `is_interrupted` about every 50 ms while it works. Once that returns true, the work is given up
/// within a few tenths of a second and the result is `None`; output slices may then be partly written. Every function
/// of this crate can be interrupted in this way, whatever the lengths of its rows. A panic of `work` is passed on.
///
/// This is for programs that must respond to an interrupt during a single call, such as a console or an interpreter.
/// It requires a build in which panics unwind.
///
/// ```
/// let z = vec![0.5_f32; 1 << 16];
/// assert_eq!(logsum::unless(|| false, || logsum::logsumexp(&z)), Some(11.590355)); // 0.5 + 16 log 2
/// ```
pub fn unless<R>(is_interrupted: impl Fn() -> bool + 'static, work: impl FnOnce() -> R) -> Option<R> {
    let asking = Asking {
        is_interrupted: Rc::new(is_interrupted),
        due: Rc::new(Cell::new(Instant::now() + INTERVAL)),
    };
    let watch = Watch { is_over: Arc::default(), asking: Some(asking) };
    let _begun = Begun::here(&watch);
    match catch_unwind(AssertUnwindSafe(|| watched(Some(watch), work))) {
        Ok(result) => Some(result),
        Err(payload) if payload.is::<GivenUp>() => None,
        Err(payload) => resume_unwind(payload),
    }
}

/// The payload of the panic that unwinds the stack of work that is given up.
struct GivenUp;

#[derive(Clone)]
struct Watch {
    /// Whether the work is to be given up; shared by all threads that do a part of it.
    is_over: Arc<AtomicBool>,
    /// The question, only on the thread that began the work.
    asking: Option<Asking>,
}

#[derive(Clone)]
struct Asking {
    is_interrupted: Rc<dyn Fn() -> bool>,
    /// When to ask next.
    due: Rc<Cell<Instant>>,
}

thread_local! {
    /// The watch of the work that this thread is doing.
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };

    /// The watches of all unfinished work that this thread began.
    static BEGUN: RefCell<Vec<Watch>> = const { RefCell::new(Vec::new()) };
}

/// While this value exists, this thread asks for the work that it began, even while it does other work.
struct Begun;

impl Begun {
    fn here(watch: &Watch) -> Self {
        BEGUN.with_borrow_mut(|begun| begun.push(watch.clone()));
        Self
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        BEGUN.with_borrow_mut(Vec::pop);
    }
}

/// Gives up the work if it is interrupted. To be called where every kind of work passes every few milliseconds.
#[inline]
pub(crate) fn checkpoint() {
    let is_time = |watch: &Watch| {
        let is_due = watch.asking.as_ref().is_some_and(|asking| asking.due.get() <= Instant::now());
        is_due || watch.is_over.load(Ordering::Relaxed)
    };
    // At the end of a thread its watch may already be destroyed.
    let is_watched = |watch: &RefCell<Option<Watch>>| watch.borrow().as_ref().is_some_and(is_time);
    if WATCH.try_with(is_watched).unwrap_or(false) {
        ask();
        if is_over() {
            resume_unwind(Box::new(GivenUp));
        }
    }
}

/// Asks whether to give up, on the thread that began the work.
#[cold]
pub(crate) fn ask() {
    // The question may run any code, other work of this crate included: so nothing stays borrowed meanwhile.
    let Some(Watch { is_over, asking: Some(Asking { is_interrupted, due }) }) =
        WATCH.with_borrow(Clone::clone)
    else {
        return;
    };
    if !is_over.load(Ordering::Relaxed) && is_interrupted() {
        is_over.store(true, Ordering::Relaxed);
    }
    due.set(Instant::now() + INTERVAL);
}

fn is_over() -> bool {
    WATCH.with_borrow(|watch| watch.as_ref().is_some_and(|watch| watch.is_over.load(Ordering::Relaxed)))
}

/// Whether this thread began work that may be interrupted.
#[cfg(feature = "rayon")]
pub(crate) fn is_asking() -> bool {
    WATCH.with_borrow(|watch| watch.as_ref().is_some_and(|watch| watch.asking.is_some()))
}

/// This thread's work, for another thread that does a part of it.
#[cfg(feature = "rayon")]
pub(crate) fn of_this_thread() -> Share {
    Share(WATCH.with_borrow(|watch| watch.as_ref().map(|watch| Arc::clone(&watch.is_over))))
}

/// Work that several threads share.
#[cfg(feature = "rayon")]
pub(crate) struct Share(Option<Arc<AtomicBool>>);

#[cfg(feature = "rayon")]
impl Share {
    /// Does a part of the work, which is given up together with the rest.
    pub(crate) fn within<R>(&self, part: impl FnOnce() -> R) -> R {
        let watch = self.0.as_ref().map(|is_over| {
            let is_this = |begun: &&Watch| Arc::ptr_eq(&begun.is_over, is_over);
            let begun_here = BEGUN.with_borrow(|begun| begun.iter().find(is_this).cloned());
            begun_here.unwrap_or_else(|| Watch { is_over: Arc::clone(is_over), asking: None })
        });
        watched(watch, part)
    }
}

/// Waits for other threads and meanwhile does whatever tasks the pool has, which need not belong to this thread's work.
#[cfg(feature = "rayon")]
pub(crate) fn aside<R>(wait: impl FnOnce() -> R) -> R {
    watched(None, wait)
}

fn watched<R>(watch: Option<Watch>, work: impl FnOnce() -> R) -> R {
    /// Restores the previous watch, also when the stack unwinds.
    struct Before(Option<Watch>);

    impl Drop for Before {
        fn drop(&mut self) {
            WATCH.set(self.0.take());
        }
    }

    let _before = Before(WATCH.replace(watch));
    work()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Terms, logcumsumexp, logsumexp, softmax};

    /// Work that takes minutes is given up soon, on this thread and on others; later work runs normally.
    #[test]
    fn long_work_is_given_up() {
        let z: Vec<f64> = (0..3_000_000).map(|k| f64::from(k % 1000) * 1e-3).collect();
        let mut out = vec![0.0; z.len()];
        let asked = Rc::new(Cell::new(0));
        let count = Rc::clone(&asked);
        let start = Instant::now();
        let is_interrupted = move || {
            count.set(count.get() + 1);
            start.elapsed() > Duration::from_millis(200)
        };
        let done = unless(is_interrupted, || {
            for _ in 0..100_000 {
                softmax(&z, &mut out).expect("equal lengths");
                logcumsumexp(&z, &mut out).expect("equal lengths");
                let _ = Terms::new(&z).weights(&z).expect("equal lengths").logsumexp();
            }
        });
        assert_eq!(done, None);
        assert!(asked.get() >= 2);
        let after = start.elapsed().as_millis();
        println!("asked {} times, given up after {after} ms", asked.get());
        assert_eq!(unless(|| true, || logsumexp(&[0.0, 0.0])), Some(2f64.ln()));
    }

    /// The same within a pool; and unwatched work is not given up along with watched work, though the same threads do
    /// both.
    #[cfg(feature = "rayon")]
    #[test]
    fn a_pool_gives_up_what_it_should() {
        use rayon::iter::{IntoParallelIterator, ParallelIterator};

        let z: Vec<f32> = (0..1_000_000).map(|k| (k % 1000) as f32 * 1e-3).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("there are threads");
        let counts: Vec<[u32; 2]> = pool.install(|| {
            (0..6_u32)
                .into_par_iter()
                .map(|i| {
                    let (start, mut given_up, mut done) = (Instant::now(), 0, 0);
                    while start.elapsed() < Duration::from_millis(600) {
                        let begun = Instant::now();
                        let is_interrupted = move || begun.elapsed() > Duration::from_millis(20);
                        match i % 2 {
                            0 => done += u32::from(logsumexp(&z) > 0.0),
                            _ => {
                                let found =
                                    unless(is_interrupted, || (0..2000).map(|_| logsumexp(&z)).sum::<f32>());
                                given_up += u32::from(found.is_none());
                            }
                        }
                    }
                    [given_up, done]
                })
                .collect()
        });
        println!("given up and done: {counts:?}");
        assert!(
            counts.iter().enumerate().all(|(i, [given_up, done])| [*done, *given_up][i % 2] > 0),
            "{counts:?}"
        );
    }

    #[test]
    fn other_panics_go_on() {
        let caught = catch_unwind(|| unless(|| false, || -> () { panic!("of its own") }));
        assert_eq!(caught.expect_err("it panics").downcast_ref::<&str>(), Some(&"of its own"));
    }

    #[test]
    fn work_within_work_has_its_own_question() {
        let outer = unless(
            || false,
            || {
                let inner = unless(
                    || true,
                    || loop {
                        checkpoint()
                    },
                );
                checkpoint();
                inner.is_none()
            },
        );
        assert_eq!(outer, Some(true));
    }
}
