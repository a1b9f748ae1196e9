//! Large pages for large results.
#![cfg_attr(target_os = "linux", expect(unsafe_code, reason = "the system is asked by a function of C"))]

/// Asks the system to use large pages of 2 MiB for this memory when it is first written to: mapping pages of 4 KiB
/// takes longer than computing the results. Memory that has already been written to, and small memory, stays as it is.
pub(crate) fn ask_for<T>(memory: &mut [T]) {
    /// In bytes: less is mapped quickly anyway.
    const LARGE: usize = 4 << 20;
    #[cfg(target_os = "linux")]
    if size_of_val(memory) >= LARGE {
        const PAGE: usize = 2 << 20;
        let whole = memory.as_mut_ptr().cast::<u8>();
        let before = whole.addr().next_multiple_of(PAGE) - whole.addr();
        let length = (size_of_val(memory) - before) / PAGE * PAGE;
        // SAFETY: the pages lie within the slice, which is borrowed mutably, and the advice does not change their
        // content. If the system refuses it, nothing changes.
        unsafe { libc::madvise(whole.add(before).cast(), length, libc::MADV_HUGEPAGE) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (memory, LARGE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_keeps_what_it_has() {
        for length in [0, 1, 1 << 10, 1 << 20, (1 << 20) + 1, 3 << 20] {
            for first in [0, 1, 1000] {
                let mut numbers: Vec<u32> = (0..length).collect();
                let from = first.min(numbers.len());
                ask_for(&mut numbers[from..]);
                assert!(numbers.iter().zip(0..).all(|(&found, expected)| found == expected));
            }
        }
    }
}
