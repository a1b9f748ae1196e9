//! Giving up long work: a question that is asked between pieces of it, on the thread that began it.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often the question is asked.
pub(crate) const INTERVAL: Duration = Duration::from_millis(50);

/// Does some work, unless `is_interrupted`, which is asked about every 50 ms on this thread meanwhile, says that it is:
/// then the work is given up within some tenths of a second, results may be half written, and the answer is `None`.
///
/// This is for those who must hear of an interrupt during one call, like a console or an interpreter. All functions of
/// this crate can be given up, whatever the rows. It takes a build whose panics unwind.
///
/// ```
/// let z = vec![0.5_f32; 1 << 16];
/// assert_eq!(logsum::unless(|| false, || logsum::logsumexp(&z)), Some(11.590355));
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

/// What unwinds the stack of work that is given up.
struct GivenUp;

#[derive(Clone)]
struct Watch {
    /// Whether the work is to be given up, for all threads that do it.
    is_over: Arc<AtomicBool>,
    /// On the thread that began it.
    asking: Option<Asking>,
}

#[derive(Clone)]
struct Asking {
    is_interrupted: Rc<dyn Fn() -> bool>,
    /// When to ask next.
    due: Rc<Cell<Instant>>,
}

thread_local! {
    /// That of the work that this thread does.
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };

    /// Those of all work that this thread began and is not done with.
    static BEGUN: RefCell<Vec<Watch>> = const { RefCell::new(Vec::new()) };
}

/// Until it is dropped, this thread can be asked for some work that it began, whatever it does in between.
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

/// Gives up the work if that has been asked for. For places that work of any kind comes by every some milliseconds.
#[inline]
pub(crate) fn checkpoint() {
    let is_time = |watch: &Watch| {
        let is_due = watch.asking.as_ref().is_some_and(|asking| asking.due.get() <= Instant::now());
        is_due || watch.is_over.load(Ordering::Relaxed)
    };
    // A thread that ends may have no watch any more.
    let is_watched = |watch: &RefCell<Option<Watch>>| watch.borrow().as_ref().is_some_and(is_time);
    if WATCH.try_with(is_watched).unwrap_or(false) {
        ask();
        if is_over() {
            resume_unwind(Box::new(GivenUp));
        }
    }
}

/// Asks, on the thread that began the work.
#[cold]
pub(crate) fn ask() {
    // The question may run anything, other work of this crate too.
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

/// This thread's work, for another one that does a part of it.
#[cfg(feature = "rayon")]
pub(crate) fn of_this_thread() -> Share {
    Share(WATCH.with_borrow(|watch| watch.as_ref().map(|watch| Arc::clone(&watch.is_over))))
}

/// Work that several threads share.
#[cfg(feature = "rayon")]
pub(crate) struct Share(Option<Arc<AtomicBool>>);

#[cfg(feature = "rayon")]
impl Share {
    /// Does a part of the work, to be given up with the rest.
    pub(crate) fn within<R>(&self, part: impl FnOnce() -> R) -> R {
        let watch = self.0.as_ref().map(|is_over| {
            let is_this = |begun: &&Watch| Arc::ptr_eq(&begun.is_over, is_over);
            let begun_here = BEGUN.with_borrow(|begun| begun.iter().find(is_this).cloned());
            begun_here.unwrap_or_else(|| Watch { is_over: Arc::clone(is_over), asking: None })
        });
        watched(watch, part)
    }
}

/// Waits for others by doing what they leave to do, which may be no part of this thread's work.
#[cfg(feature = "rayon")]
pub(crate) fn aside<R>(wait: impl FnOnce() -> R) -> R {
    watched(None, wait)
}

fn watched<R>(watch: Option<Watch>, work: impl FnOnce() -> R) -> R {
    /// Puts back what was watched before, also when the stack unwinds.
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

    /// Work that takes minutes is given up soon, on this thread and on others, and what began before it goes on.
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
                Terms::new(&z).weights(&z).expect("equal lengths").logsumexp();
            }
        });
        assert_eq!(done, None);
        assert!(asked.get() >= 2);
        let after = start.elapsed().as_millis();
        println!("asked {} times, given up after {after} ms", asked.get());
        assert_eq!(unless(|| true, || logsumexp(&[0.0, 0.0])), Some(2f64.ln()));
    }

    /// Within a pool, too; and work that nobody watches is not given up with work that is, though threads do both.
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
