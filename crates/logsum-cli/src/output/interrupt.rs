//! Ctrl-C leaves no unfinished file behind.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::{Mutex, Once};

/// The files to remove. A run writes one at most, but nothing depends on that.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes the file when the run is interrupted. A finished file has been renamed, so that it is not removed.
pub(super) fn remove_when_interrupted(file: &Path) {
    static HANDLER: Once = Once::new();
    HANDLER.call_once(|| {
        // If no handler can be set, an interrupted run leaves its unfinished file.
        let _ = ctrlc::set_handler(|| {
            for file in UNFINISHED.lock().map(|files| files.clone()).unwrap_or_default() {
                let _ = fs::remove_file(file);
            }
            std::process::exit(130); // 128 + SIGINT, as shells have it
        });
    });
    if let Ok(mut files) = UNFINISHED.lock() {
        files.push(file.to_path_buf());
    }
}
