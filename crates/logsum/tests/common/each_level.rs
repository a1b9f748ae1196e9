//! The SIMD levels that the machine has, one after the other, for tests that run at each of them.

use logsum::Level;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// The level is a setting of the process: one test at a time sets it.
static SETTING: Mutex<()> = Mutex::new(());

/// Each level that the machine has, set while it is the current item; the best one is set again at the end.
///
/// Others that machines of this target may have are named on standard error. It is a failure if one that the environment
/// variable `LOGSUM_REQUIRED_LEVELS` names, separated by commas, is not there.
pub fn each_level() -> EachLevel {
    static REPORT: Once = Once::new();
    REPORT.call_once(|| {
        let (available, lacking): (Vec<Level>, Vec<Level>) =
            Level::ALL.into_iter().partition(|level| level.is_available());
        for level in lacking {
            // Written past the capture of the test harness, which drops the output of tests that pass.
            writeln!(std::io::stderr(), "skipped: level {}, which this machine lacks", level.name())
                .expect("standard error");
        }
        let required = std::env::var("LOGSUM_REQUIRED_LEVELS").unwrap_or_default();
        for name in required.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let is_available = available.iter().any(|level| level.name() == name);
            assert!(is_available, "this machine lacks the level {name}, which LOGSUM_REQUIRED_LEVELS names");
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
