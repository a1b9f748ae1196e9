//! Memory for results and copies whose size depends on a call's arguments: too little memory is an error, and does not
//! abort the process.

use crate::error::Error;
use crate::large_pages;
use std::hint::black_box;

/// `count` zeros, or an error if they do not fit into memory.
pub(crate) fn zeros<T: Clone + Default>(count: usize) -> Result<Vec<T>, Error> {
    // The system's memory is already 0, so that allocating twice is faster than filling once.
    has_room::<T>(count)?;
    let mut zeros = vec![T::default(); count];
    large_pages::ask_for(&mut zeros);
    Ok(zeros)
}

/// An error if `count` numbers do not fit into memory.
pub(crate) fn has_room<T>(count: usize) -> Result<(), Error> {
    /// Smaller requests are not checked.
    const SMALL: usize = 1 << 20;
    let bytes = count.saturating_mul(size_of::<T>());
    if bytes < SMALL {
        return Ok(());
    }
    let mut room = Vec::<T>::new();
    let is_given = room.try_reserve_exact(count).is_ok();
    // Otherwise the compiler could remove an allocation that nothing is written to, and assume that it succeeds.
    black_box(&room);
    if is_given { Ok(()) } else { Err(Error::OutOfMemory { bytes }) }
}
