//! The SIMD levels that the machine has, one after the other, for tests that run at each of them.

use logsum::Level;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// The level is a setting of the process: one test at a time sets it.
static SETTING: Mutex<()> = Mutex::new(());

/// Each level that the machine has, set while it is the current item; the best one is set again at the end.
///
/// The others are named on standard error. It is a failure if the environment variable `LOGSUM_REQUIRED_LEVELS`, names
/// separated by commas, has one of them.
pub fn each_level() -> EachLevel {
    static REPORT: Once = Once::new();
    REPORT.call_once(|| {
        let required = std::env::var("LOGSUM_REQUIRED_LEVELS").unwrap_or_default();
        let lacking = Level::ALL.into_iter().filter(|level| !level.is_available()).map(Level::name);
        for name in lacking {
            // Written past the capture of the test harness, which drops the output of tests that pass.
            writeln!(std::io::stderr(), "skipped: level {name}, which this machine lacks")
                .expect("standard error");
            let is_required = required.split(',').any(|required| required.trim() == name);
            assert!(!is_required, "this machine lacks the level {name}, which LOGSUM_REQUIRED_LEVELS names");
        }
    });
    let lock = SETTING.lock().unwrap_or_else(PoisonError::into_inner);
    EachLevel { rest: Level::ALL.into_iter(), _lock: lock }
}

pub struct EachLevel {
    rest: std::array::IntoIter<Level, { Level::ALL.len() }>,
    _lock: MutexGuard<'static, ()>,
}

impl Iterator for EachLevel {
    type Item = Level;

    fn next(&mut self) -> Option<Level> {
        self.rest.find(|&level| Level::force(Some(level)))
    }
}

impl Drop for EachLevel {
    fn drop(&mut self) {
        Level::force(None);
    }
}
