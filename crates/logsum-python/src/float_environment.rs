//! The floating-point environment that Rust code relies on. Callers may have changed it: JAX's threads, and threads
//! after `torch.set_flush_denormal(True)`, treat subnormal numbers as 0.
#![expect(unsafe_code, reason = "the control register is read and written by instructions of the processor")]

/// Runs `work` with subnormal numbers and rounding to nearest. Threads that the work starts inherit these settings,
/// or have the system's default, which is the same.
pub(crate) fn within_default<R>(work: impl FnOnce() -> R) -> R {
    struct Restored(Word);
    impl Drop for Restored {
        fn drop(&mut self) {
            write(self.0);
        }
    }
    let before = read();
    if before & CHANGES == DEFAULT & CHANGES {
        return work();
    }
    let _restored = Restored(before);
    write(DEFAULT);
    apart(work)
}

/// Not inlined, so that the compiler cannot move any of the work to before the register is written.
#[inline(never)]
fn apart<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[cfg(target_arch = "x86_64")]
mod register {
    pub(super) type Word = u32;

    /// Nothing traps, rounding is to nearest, subnormals are numbers.
    pub(super) const DEFAULT: Word = 0x1f80;

    /// Flush to zero, rounding, the masks of traps, subnormals as zeros.
    pub(super) const CHANGES: Word = 0xffc0;

    pub(super) fn read() -> Word {
        let mut word = 0;
        // SAFETY: it writes MXCSR to four bytes.
        unsafe { core::arch::asm!("stmxcsr [{}]", in(reg) &raw mut word, options(nostack, preserves_flags)) };
        word
    }

    pub(super) fn write(word: Word) {
        // SAFETY: it reads four bytes that were read from MXCSR, or the default, whose reserved bits are 0.
        unsafe {
            core::arch::asm!("ldmxcsr [{}]", in(reg) &raw const word, options(nostack, readonly));
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod register {
    pub(super) type Word = u64;

    pub(super) const DEFAULT: Word = 0;

    /// Flush to zero, also of inputs and of 16-bit numbers; rounding; the default NaN; the traps.
    pub(super) const CHANGES: Word = 0x07ff_9f07;

    pub(super) fn read() -> Word {
        let word;
        // SAFETY: it reads FPCR.
        unsafe { core::arch::asm!("mrs {}, fpcr", out(reg) word, options(nomem, nostack, preserves_flags)) };
        word
    }

    pub(super) fn write(word: Word) {
        // SAFETY: what was read from FPCR, or the default.
        unsafe { core::arch::asm!("msr fpcr, {}", in(reg) word, options(nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod register {
    pub(super) type Word = u32;

    pub(super) const DEFAULT: Word = 0;

    pub(super) const CHANGES: Word = 0;

    pub(super) fn read() -> Word {
        DEFAULT
    }

    pub(super) fn write(_: Word) {}
}

use register::{CHANGES, DEFAULT, Word, read, write};
