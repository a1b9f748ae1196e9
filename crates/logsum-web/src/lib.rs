//! The WebAssembly interface of the web page: JSON requests and answers, exchanged through two buffers.
//!
//! The page writes a request to the address that [`room`] returns, calls [`explain`], and reads the answer at the
//! address that [`answer`] returns. The memory belongs to this module alone, so that only the exported names are
//! unsafe.
#![expect(unsafe_code, reason = "each name is given once, and nothing else has it")]

mod request;

use std::sync::{Mutex, PoisonError};

static REQUEST: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static ANSWER: Mutex<String> = Mutex::new(String::new());

/// The address to which a request of `length` bytes of UTF-8 is to be written.
#[unsafe(no_mangle)]
pub extern "C" fn room(length: usize) -> *mut u8 {
    let mut request = REQUEST.lock().unwrap_or_else(PoisonError::into_inner);
    request.clear();
    request.resize(length, 0);
    request.as_mut_ptr()
}

/// Answers the request that was written, and returns the length of the answer in bytes of UTF-8.
#[unsafe(no_mangle)]
pub extern "C" fn explain() -> usize {
    let request = REQUEST.lock().unwrap_or_else(PoisonError::into_inner);
    let mut answer = ANSWER.lock().unwrap_or_else(PoisonError::into_inner);
    *answer = request::answer(&String::from_utf8_lossy(&request));
    answer.len()
}

/// The address of the answer.
#[unsafe(no_mangle)]
pub extern "C" fn answer() -> *const u8 {
    ANSWER.lock().unwrap_or_else(PoisonError::into_inner).as_ptr()
}
