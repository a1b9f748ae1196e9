//! Memory for results and copies, whose size a call decides: an error where there is too little, not the end of the
//! process.

use crate::error::Error;
use crate::large_pages;
use std::hint::black_box;

/// `count` zeros, or an error if they do not fit into memory.
pub(crate) fn zeros<T: Clone + Default>(count: usize) -> Result<Vec<T>, Error> {
    // What the system gives is 0 already: to ask for it twice is sooner done than to write to it.
    has_room::<T>(count)?;
    let mut zeros = vec![T::default(); count];
    large_pages::ask_for(&mut zeros);
    Ok(zeros)
}

/// An error if `count` numbers do not fit into memory.
pub(crate) fn has_room<T>(count: usize) -> Result<(), Error> {
    /// There is room for less if there is for anything.
    const SMALL: usize = 1 << 20;
    let bytes = count.saturating_mul(size_of::<T>());
    if bytes < SMALL {
        return Ok(());
    }
    let mut room = Vec::<T>::new();
    let is_given = room.try_reserve_exact(count).is_ok();
    // A compiler may take it that memory which nothing is written to is there.
    black_box(&room);
    if is_given { Ok(()) } else { Err(Error::OutOfMemory { bytes }) }
}
