//! A thread of NVIDIA's GPUs.

// Each instruction below is in the PTX ISA's reference; addresses are those that the launch of the kernel vouches for.
#![allow(unsafe_code)]

use crate::thread::{SHARED, Thread};
use core::arch::{asm, global_asm, nvptx};

/// The thread that runs this code.
#[derive(Clone, Copy)]
pub struct Ptx(());

impl Ptx {
    /// # Safety
    ///
    /// In a kernel whose addresses are good for what it does with them, in a one-dimensional block whose number of
    /// threads is a power of 2.
    #[inline(always)]
    pub unsafe fn this() -> Self {
        Self(())
    }
}

const _: () = assert!(SHARED == 256);
global_asm!(".shared .align 8 .b64 logsum_shared[256];");

// By LLVM's names, as for the barrier: LLVM takes care then that threads come here together, as it does not for an
// asm!.
unsafe extern "unadjusted" {
    #[link_name = "llvm.nvvm.shfl.sync.bfly.i32"]
    fn exchange(threads: i32, word: u32, mask: u32, clamp: i32) -> u32;
}

impl Thread for Ptx {
    #[inline(always)]
    fn index(self) -> u32 {
        // SAFETY: it reads a register.
        unsafe { nvptx::_thread_idx_x() as u32 }
    }

    #[inline(always)]
    fn count(self) -> u32 {
        // SAFETY: it reads a register.
        unsafe { nvptx::_block_dim_x() as u32 }
    }

    #[inline(always)]
    fn block(self) -> [u32; 2] {
        // SAFETY: they read registers.
        unsafe { [nvptx::_block_idx_x() as u32, nvptx::_block_idx_y() as u32] }
    }

    #[inline(always)]
    fn blocks(self) -> [u32; 2] {
        // SAFETY: they read registers.
        unsafe { [nvptx::_grid_dim_x() as u32, nvptx::_grid_dim_y() as u32] }
    }

    #[inline(always)]
    fn exchange(self, word: u32, mask: u32) -> u32 {
        // SAFETY: all threads of the warp come here, as the trait asks for.
        unsafe { exchange(-1, word, mask, 31) }
    }

    #[inline(always)]
    fn barrier(self) {
        // SAFETY: all threads of the block come here.
        unsafe { nvptx::_syncthreads() }
    }

    #[inline(always)]
    fn share(self, place: u32, word: u64) {
        // SAFETY: places are below SHARED.
        unsafe {
            asm!("{{ .reg .u32 a; mov.u32 a, logsum_shared; mad.lo.u32 a, {0}, 8, a; st.shared.b64 [a], {1}; }}",
                in(reg32) place, in(reg64) word, options(nostack));
        }
    }

    #[inline(always)]
    fn shared(self, place: u32) -> u64 {
        let word;
        // SAFETY: places are below SHARED.
        unsafe {
            asm!("{{ .reg .u32 a; mov.u32 a, logsum_shared; mad.lo.u32 a, {1}, 8, a; ld.shared.b64 {0}, [a]; }}",
                out(reg64) word, in(reg32) place, options(nostack, readonly));
        }
        word
    }

    #[inline(always)]
    fn load_16_bytes(self, address: u64) -> [u32; 4] {
        let (a, b, c, d);
        // Not called pure, else LLVM would move it down: see `ask`.
        // SAFETY: the address is good, as the launch vouches.
        unsafe {
            asm!("ld.global.nc.v4.b32 {{{0}, {1}, {2}, {3}}}, [{4}];", out(reg32) a, out(reg32) b,
                out(reg32) c, out(reg32) d, in(reg64) address, options(readonly, nostack));
        }
        [a, b, c, d]
    }

    #[inline(always)]
    fn ask(self) {
        // No assembler moves a load across a barrier, even one of the threads that happen to be together.
        // SAFETY: the threads named are those that execute it.
        unsafe {
            asm!("{{ .reg .b32 active; activemask.b32 active; bar.warp.sync active; }}", options(nostack));
        }
    }

    #[inline(always)]
    fn load_u16(self, address: u64) -> u16 {
        let word;
        // SAFETY: likewise.
        unsafe {
            asm!("ld.global.nc.b16 {0}, [{1}];", out(reg16) word, in(reg64) address, options(pure, readonly, nostack))
        }
        word
    }

    #[inline(always)]
    fn load_u32(self, address: u64) -> u32 {
        let word;
        // SAFETY: likewise.
        unsafe {
            asm!("ld.global.nc.b32 {0}, [{1}];", out(reg32) word, in(reg64) address, options(pure, readonly, nostack))
        }
        word
    }

    #[inline(always)]
    fn load_u64(self, address: u64) -> u64 {
        let word;
        // SAFETY: likewise.
        unsafe {
            asm!("ld.global.nc.b64 {0}, [{1}];", out(reg64) word, in(reg64) address, options(pure, readonly, nostack))
        }
        word
    }

    #[inline(always)]
    fn store_16_bytes(self, address: u64, words: [u32; 4]) {
        let [a, b, c, d] = words;
        // SAFETY: likewise.
        unsafe {
            asm!("st.global.cs.v4.b32 [{0}], {{{1}, {2}, {3}, {4}}};", in(reg64) address, in(reg32) a, in(reg32) b,
                in(reg32) c, in(reg32) d, options(nostack));
        }
    }

    #[inline(always)]
    fn store_u16(self, address: u64, word: u16) {
        // SAFETY: likewise.
        unsafe { asm!("st.global.b16 [{0}], {1};", in(reg64) address, in(reg16) word, options(nostack)) }
    }

    #[inline(always)]
    fn store_u32(self, address: u64, word: u32) {
        // SAFETY: likewise.
        unsafe { asm!("st.global.b32 [{0}], {1};", in(reg64) address, in(reg32) word, options(nostack)) }
    }

    #[inline(always)]
    fn store_u64(self, address: u64, word: u64) {
        // SAFETY: likewise.
        unsafe { asm!("st.global.b64 [{0}], {1};", in(reg64) address, in(reg64) word, options(nostack)) }
    }

    #[inline(always)]
    fn load_written(self, address: u64) -> u64 {
        let word;
        // SAFETY: likewise.
        unsafe {
            asm!("ld.relaxed.gpu.global.b64 {0}, [{1}];", out(reg64) word, in(reg64) address, options(nostack))
        }
        word
    }

    #[inline(always)]
    fn add(self, address: u64, number: u32) -> u32 {
        let was;
        // SAFETY: likewise.
        unsafe {
            asm!("fence.acq_rel.gpu;", "atom.relaxed.gpu.global.add.u32 {0}, [{1}], {2};", "fence.acq_rel.gpu;",
                out(reg32) was, in(reg64) address, in(reg32) number, options(nostack));
        }
        was
    }

    #[inline(always)]
    fn greater(self, a: f32, b: f32) -> f32 {
        let x;
        // SAFETY: it has no effect but its result.
        unsafe {
            asm!("max.f32 {0}, {1}, {2};", out(reg32) x, in(reg32) a, in(reg32) b, options(pure, nomem, nostack))
        }
        x
    }

    #[inline(always)]
    fn greater_or_nan(self, a: f32, b: f32) -> f32 {
        let x;
        // SAFETY: it has no effect but its result.
        unsafe {
            asm!("max.NaN.f32 {0}, {1}, {2};", out(reg32) x, in(reg32) a, in(reg32) b, options(pure, nomem, nostack))
        }
        x
    }

    #[inline(always)]
    fn lesser_or_nan(self, a: f32, b: f32) -> f32 {
        let x;
        // SAFETY: it has no effect but its result.
        unsafe {
            asm!("min.NaN.f32 {0}, {1}, {2};", out(reg32) x, in(reg32) a, in(reg32) b, options(pure, nomem, nostack))
        }
        x
    }

    #[inline(always)]
    fn f32_of_f16(self, bits: u16) -> f32 {
        let x;
        // SAFETY: it has no effect but its result.
        unsafe { asm!("cvt.f32.f16 {0}, {1};", out(reg32) x, in(reg16) bits, options(pure, nomem, nostack)) }
        x
    }

    #[inline(always)]
    fn f16_of_f32(self, x: f32) -> u16 {
        let bits;
        // SAFETY: it has no effect but its result.
        unsafe {
            asm!("cvt.rn.f16.f32 {0}, {1};", out(reg16) bits, in(reg32) x, options(pure, nomem, nostack))
        }
        bits
    }
}
