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
/// assert_eq!(logsum::unless(|| false, || logsum::logsumexp(&z)), Some(11.590356));
/// ```
pub fn unless<R>(is_interrupted: impl Fn() -> bool + 'static, work: impl FnOnce() -> R) -> Option<R> {
    let asking = Asking {
        is_interrupted: Rc::new(is_interrupted),
        due: Rc::new(Cell::new(Instant::now() + INTERVAL)),
    };
    let watch = Watch { is_over: Arc::default(), asking: Some(asking) };
    match catch_unwind(AssertUnwindSafe(|| watched(watch, work))) {
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
}

/// Gives up the work if that has been asked for. For places that work of any kind comes by every some milliseconds.
#[inline]
pub(crate) fn checkpoint() {
    let is_time = |watch: &Watch| {
        let is_due = watch.asking.as_ref().is_some_and(|asking| asking.due.get() <= Instant::now());
        is_due || watch.is_over.load(Ordering::Relaxed)
    };
    if WATCH.with_borrow(|watch| watch.as_ref().is_some_and(is_time)) {
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
#[derive(Clone)]
#[cfg(feature = "rayon")]
pub(crate) struct Share(Option<Arc<AtomicBool>>);

#[cfg(feature = "rayon")]
impl Share {
    /// Does a part of the work, to be given up with the rest.
    pub(crate) fn within<R>(&self, part: impl FnOnce() -> R) -> R {
        match &self.0 {
            None => part(),
            Some(is_over) => watched(Watch { is_over: Arc::clone(is_over), asking: None }, part),
        }
    }
}

fn watched<R>(watch: Watch, work: impl FnOnce() -> R) -> R {
    /// Puts back what was watched before, also when the stack unwinds.
    struct Before(Option<Watch>);

    impl Drop for Before {
        fn drop(&mut self) {
            WATCH.set(self.0.take());
        }
    }

    let _before = Before(WATCH.replace(Some(watch)));
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
