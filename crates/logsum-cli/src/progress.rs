//! Progress on standard error: on a terminal only, and only for work of more than a second.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::Read;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// One bar, which is shown after a second and gone when dropped.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Dropped with this, it ends the thread that waits to show the bar.
    _done: Sender<()>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        bar.set_style(style("{spinner} {msg} {elapsed}"));
        let (done, wait) = mpsc::channel();
        let shown = bar.clone();
        thread::spawn(move || {
            if wait.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                // indicatif draws on a terminal only.
                shown.set_draw_target(ProgressDrawTarget::stderr());
                shown.enable_steady_tick(Duration::from_millis(100));
            }
        });
        Self { bar, _done: done }
    }

    /// Bytes of a file are being read.
    pub(crate) fn reading(&self, bytes: u64) {
        self.bar.set_position(0);
        self.bar.set_length(bytes);
        self.bar.set_style(style("{spinner} reading {bar:30} {bytes} of {total_bytes}, {eta} left"));
    }

    /// Counts the bytes that pass.
    pub(crate) fn count_bytes<R: Read>(&self, source: R) -> impl Read + use<R> {
        self.bar.wrap_read(source)
    }

    /// This many numbers, or rows, are being read.
    pub(crate) fn reading_numbers(&self, count: u64) {
        self.bar.set_position(0);
        self.bar.set_length(count);
        self.bar.set_style(style("{spinner} reading {bar:30} {percent} %, {eta} left"));
    }

    pub(crate) fn numbers_read(&self, count: u64) {
        self.bar.inc(count);
    }

    /// The result is being computed, in this many pieces.
    pub(crate) fn computing(&self, pieces: usize) {
        self.bar.set_position(0);
        self.bar.set_length(pieces as u64);
        let known = "{spinner} computing {bar:30} {percent} %, {eta} left";
        self.bar.set_style(style(if pieces > 1 { known } else { "{spinner} computing, {elapsed}" }));
    }

    /// Removes the bar before the result is printed.
    pub(crate) fn done(&self) {
        self.bar.finish_and_clear();
    }

    pub(crate) fn piece_done(&self) {
        self.bar.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.done();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
