//! What the page asks of logsum, as WebAssembly: JSON in, JSON out, through two pieces of memory.
//!
//! The page writes a request where [`room`] says, calls [`explain`], and reads the answer where [`answer`] says.
//! The memory is that of this module alone, so that nothing here is unsafe but the names that must be found from
//! outside.
#![expect(unsafe_code, reason = "each name is given once, and nothing else has it")]

mod request;

use std::sync::{Mutex, PoisonError};

static REQUEST: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static ANSWER: Mutex<String> = Mutex::new(String::new());

/// Where a request of so many bytes of UTF-8 is to be written.
#[unsafe(no_mangle)]
pub extern "C" fn room(length: usize) -> *mut u8 {
    let mut request = REQUEST.lock().unwrap_or_else(PoisonError::into_inner);
    request.clear();
    request.resize(length, 0);
    request.as_mut_ptr()
}

/// Answers the request that was written, and says how many bytes of UTF-8 the answer has.
#[unsafe(no_mangle)]
pub extern "C" fn explain() -> usize {
    let request = REQUEST.lock().unwrap_or_else(PoisonError::into_inner);
    let mut answer = ANSWER.lock().unwrap_or_else(PoisonError::into_inner);
    *answer = request::answer(&String::from_utf8_lossy(&request));
    answer.len()
}

/// Where the answer is.
#[unsafe(no_mangle)]
pub extern "C" fn answer() -> *const u8 {
    ANSWER.lock().unwrap_or_else(PoisonError::into_inner).as_ptr()
}
