//! NEON: eight f64 in four registers. Every aarch64 machine has it, with fused multiply-adds.
#![expect(
    unsafe_code,
    reason = "a V128 only comes from another or from run_task, which only a CPU with NEON runs"
)]
// SAFETY, for every block below: the intrinsics need NEON, which the target has wherever this is compiled.
// Pointers come from references to arrays of at least the length that is accessed, without alignment. Inline
// assembly, where there is no intrinsic, accesses no memory and only the registers that it names; a prefetch reads
// nothing.
#![expect(clippy::undocumented_unsafe_blocks, reason = "said once, above")]

use crate::arithmetic::float64::{FROM, Float64, ONE, WHOLE};
use crate::simd::{Task, Vector, differing};
use std::arch::aarch64::*;
use std::arch::asm;
use std::array::from_fn;
use std::ops::{Add, Mul, Neg, Sub};

#[derive(Clone, Copy)]
pub(super) struct V128([float64x2_t; 4]);

#[target_feature(enable = "neon")]
pub(super) fn run_task<T: Task>(task: T) -> T::Output {
    task.run(V128([vdupq_n_f64(0.0); 4]))
}

impl V128 {
    #[inline(always)]
    fn each(self, f: impl Fn(float64x2_t) -> float64x2_t) -> Self {
        let [a, b, c, d] = self.0;
        Self([f(a), f(b), f(c), f(d)])
    }

    #[inline(always)]
    fn with(self, other: Self, f: impl Fn(float64x2_t, float64x2_t) -> float64x2_t) -> Self {
        let ([a, b, c, d], [e, g, h, i]) = (self.0, other.0);
        Self([f(a, e), f(b, g), f(c, h), f(d, i)])
    }

    #[inline(always)]
    fn of_singles(low: float32x4_t, high: float32x4_t) -> Self {
        Self(unsafe {
            [
                vcvt_f64_f32(vget_low_f32(low)),
                vcvt_high_f64_f32(low),
                vcvt_f64_f32(vget_low_f32(high)),
                vcvt_high_f64_f32(high),
            ]
        })
    }
}

impl Add for V128 {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.with(other, |a, b| unsafe { vaddq_f64(a, b) })
    }
}

impl Sub for V128 {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.with(other, |a, b| unsafe { vsubq_f64(a, b) })
    }
}

impl Mul for V128 {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.with(other, |a, b| unsafe { vmulq_f64(a, b) })
    }
}

impl Neg for V128 {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        self.each(|a| unsafe { vnegq_f64(a) })
    }
}

impl Float64 for V128 {
    #[inline(always)]
    fn splat(self, x: f64) -> Self {
        Self([unsafe { vdupq_n_f64(x) }; 4])
    }

    #[inline(always)]
    fn div(self, divisor: Self) -> Self {
        self.with(divisor, |a, b| unsafe { vdivq_f64(a, b) })
    }

    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        Self(from_fn(|i| unsafe { vfmaq_f64(b.0[i], self.0[i], a.0[i]) }))
    }

    #[inline(always)]
    fn max(self, x: Self) -> Self {
        // Not the instruction for maxima, which returns NaN where either operand is NaN.
        self.with(x, |a, b| unsafe { vbslq_f64(vcgtq_f64(a, b), a, b) })
    }

    #[inline(always)]
    fn where_at_most(self, bound: f64, then: Self, otherwise: Self) -> Self {
        Self(unsafe {
            let bound = vdupq_n_f64(bound);
            from_fn(|i| vbslq_f64(vcleq_f64(self.0[i], bound), then.0[i], otherwise.0[i]))
        })
    }

    #[inline(always)]
    fn entry(self, table: &[f64; 16]) -> Self {
        self.each(|a| unsafe { entries(vreinterpretq_u64_f64(a), table) })
    }

    #[inline(always)]
    fn scaled_entry(self, table: &[f64; 16]) -> Self {
        self.each(|a| unsafe {
            let bits = vreinterpretq_u64_f64(a);
            let entries = vreinterpretq_u64_f64(entries(bits, table));
            vreinterpretq_f64_u64(vaddq_u64(entries, vshlq_n_u64::<48>(bits)))
        })
    }

    #[inline(always)]
    fn power_and_inverse(self) -> (Self, Self) {
        unsafe {
            let (from, one, whole) = (vdupq_n_u64(FROM), vdupq_n_u64(ONE), vdupq_n_f64(WHOLE));
            let power = |a| vshrq_n_u64::<52>(vsubq_u64(vreinterpretq_u64_f64(a), from));
            (
                self.each(|a| {
                    let power = vorrq_u64(power(a), vreinterpretq_u64_f64(whole));
                    vsubq_f64(vreinterpretq_f64_u64(power), whole)
                }),
                self.each(|a| vreinterpretq_f64_u64(vsubq_u64(one, vshlq_n_u64::<52>(power(a))))),
            )
        }
    }
}

/// The entries indexed by the low four bits of each number. From memory: in registers the table would take eight
/// of them.
#[inline(always)]
unsafe fn entries(bits: uint64x2_t, table: &[f64; 16]) -> float64x2_t {
    unsafe {
        let first = table[vgetq_lane_u64::<0>(bits) as usize & 15];
        let second = table[vgetq_lane_u64::<1>(bits) as usize & 15];
        vcombine_f64(vdup_n_f64(first), vdup_n_f64(second))
    }
}

impl Vector for V128 {
    type Singles = [float32x4_t; 4];
    // Seven vectors take 28 of the 32 registers.
    const REGISTERS: usize = 7;

    #[inline(always)]
    fn singles(self, x: f32) -> [float32x4_t; 4] {
        [unsafe { vdupq_n_f32(x) }; 4]
    }

    #[inline(always)]
    fn greater_singles(self, singles: [float32x4_t; 4], numbers: &[f32; 16]) -> [float32x4_t; 4] {
        let numbers = load_sixteen(numbers);
        from_fn(|i| greater(numbers[i], singles[i]))
    }

    #[inline(always)]
    fn store_singles(self, singles: [float32x4_t; 4], numbers: &mut [f32; 16]) {
        store_sixteen(singles, numbers);
    }

    // No non-temporal stores: NEON's take a pair of registers and have no intrinsic.

    #[inline(always)]
    fn transposed(vectors: [Self; 8]) -> [Self; 8] {
        // Row i collects element i % 2 of pair i / 2 of the eight vectors.
        from_fn(|i| {
            Self(from_fn(|j| unsafe {
                let (a, b) = (vectors[2 * j].0[i / 2], vectors[2 * j + 1].0[i / 2]);
                if i % 2 == 0 { vzip1q_f64(a, b) } else { vzip2q_f64(a, b) }
            }))
        })
    }

    #[inline(always)]
    fn prefetch<T>(self, number: &T, ahead: usize) {
        let place = std::ptr::from_ref(number).wrapping_byte_add(ahead);
        unsafe {
            asm!("prfm pldl1keep, [{}]", in(reg) place.addr(), options(nomem, nostack, preserves_flags));
        }
    }

    #[inline(always)]
    fn load(self, numbers: &[f64; 8]) -> Self {
        let (pairs, _) = numbers.as_chunks::<2>();
        Self(from_fn(|i| unsafe { vld1q_f64(pairs[i].as_ptr()) }))
    }

    #[inline(always)]
    fn load_f32(self, numbers: &[f32; 8]) -> Self {
        let (fours, _) = numbers.as_chunks();
        Self::of_singles(load_four(&fours[0]), load_four(&fours[1]))
    }

    #[inline(always)]
    fn load_up_to(self, numbers: &[f64]) -> Self {
        let mut all = [f64::NEG_INFINITY; 8];
        all.iter_mut().zip(numbers).for_each(|(place, &z)| *place = z);
        self.load(&all)
    }

    #[inline(always)]
    fn load_f32_up_to(self, numbers: &[f32]) -> Self {
        let mut all = [f32::NEG_INFINITY; 8];
        all.iter_mut().zip(numbers).for_each(|(place, &z)| *place = z);
        self.load_f32(&all)
    }

    #[inline(always)]
    fn store(self, numbers: &mut [f64; 8]) {
        let (pairs, _) = numbers.as_chunks_mut::<2>();
        for (pair, a) in pairs.iter_mut().zip(self.0) {
            unsafe { vst1q_f64(pair.as_mut_ptr(), a) }
        }
    }

    #[inline(always)]
    fn store_f32(self, numbers: &mut [f32; 8]) {
        let [a, b, c, d] = self.0;
        let (fours, _) = numbers.as_chunks_mut();
        unsafe {
            store_four(vcvt_high_f32_f64(vcvt_f32_f64(a), b), &mut fours[0]);
            store_four(vcvt_high_f32_f64(vcvt_f32_f64(c), d), &mut fours[1]);
        }
    }

    #[inline(always)]
    fn plus_bits(self, other: Self) -> Self {
        self.with(other, |a, b| unsafe {
            vreinterpretq_f64_u64(vaddq_u64(vreinterpretq_u64_f64(a), vreinterpretq_u64_f64(b)))
        })
    }

    #[inline(always)]
    fn differ(self, other: Self) -> u8 {
        let [mut a, mut b] = [[0.0; 8]; 2];
        self.store(&mut a);
        other.store(&mut b);
        differing(&a, &b)
    }

    #[inline(always)]
    fn differ_as_f32(self, other: Self) -> u8 {
        let [mut a, mut b] = [[0.0; 8]; 2];
        self.store_f32(&mut a);
        other.store_f32(&mut b);
        differing(&a, &b)
    }

    #[cfg(feature = "half")]
    type Sixteen = S128;

    #[cfg(feature = "half")]
    #[inline(always)]
    fn sixteen(self, numbers: &[f32; 16]) -> S128 {
        S128(load_sixteen(numbers))
    }

    #[cfg(feature = "half")]
    #[inline(always)]
    fn f16_to_f32(self, halves: [u16; 8]) -> [f32; 8] {
        let (fours, _) = halves.as_chunks::<4>();
        let mut singles = [0.0; 8];
        let (places, _) = singles.as_chunks_mut();
        for (four, place) in fours.iter().zip(places) {
            let wide: float32x4_t;
            unsafe {
                let four = vld1_u16(four.as_ptr());
                asm!("fcvtl {:v}.4s, {:v}.4h", out(vreg) wide, in(vreg) four, options(pure, nomem, nostack));
            }
            store_four(wide, place);
        }
        singles
    }

    #[cfg(feature = "half")]
    #[inline(always)]
    fn f32_to_f16(self, singles: [f32; 8]) -> [u16; 8] {
        let (fours, _) = singles.as_chunks();
        let mut halves = [0; 8];
        let (places, _) = halves.as_chunks_mut::<4>();
        for (four, place) in fours.iter().zip(places) {
            let wide = load_four(four);
            let narrow: uint16x4_t;
            unsafe {
                asm!("fcvtn {:v}.4h, {:v}.4s", out(vreg) narrow, in(vreg) wide, options(pure, nomem, nostack));
                vst1_u16(place.as_mut_ptr(), narrow);
            }
        }
        halves
    }
}

/// Each number where it is greater than x, else x.
#[inline(always)]
fn greater(numbers: float32x4_t, x: float32x4_t) -> float32x4_t {
    unsafe { vbslq_f32(vcgtq_f32(numbers, x), numbers, x) }
}

#[inline(always)]
fn load_four(numbers: &[f32; 4]) -> float32x4_t {
    unsafe { vld1q_f32(numbers.as_ptr()) }
}

#[inline(always)]
fn store_four(four: float32x4_t, numbers: &mut [f32; 4]) {
    unsafe { vst1q_f32(numbers.as_mut_ptr(), four) }
}

#[inline(always)]
fn load_sixteen(numbers: &[f32; 16]) -> [float32x4_t; 4] {
    let (fours, _) = numbers.as_chunks();
    from_fn(|i| load_four(&fours[i]))
}

#[inline(always)]
fn store_sixteen(sixteen: [float32x4_t; 4], numbers: &mut [f32; 16]) {
    let (fours, _) = numbers.as_chunks_mut();
    for (place, four) in fours.iter_mut().zip(sixteen) {
        store_four(four, place);
    }
}

/// Sixteen f32, which only a V128 can make.
#[cfg(feature = "half")]
#[derive(Clone, Copy)]
pub(super) struct S128([float32x4_t; 4]);

#[cfg(feature = "half")]
impl super::Sixteen for S128 {
    #[inline(always)]
    fn splat(self, x: f32) -> Self {
        Self([unsafe { vdupq_n_f32(x) }; 4])
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(from_fn(|i| unsafe { vaddq_f32(self.0[i], other.0[i]) }))
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(from_fn(|i| unsafe { vmulq_f32(self.0[i], other.0[i]) }))
    }

    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        Self(from_fn(|i| unsafe { vfmaq_f32(b.0[i], self.0[i], a.0[i]) }))
    }

    #[inline(always)]
    fn max(self, x: Self) -> Self {
        Self(from_fn(|i| greater(self.0[i], x.0[i])))
    }

    #[inline(always)]
    fn scaled_entry(self, table: &[f32; 16]) -> Self {
        let [a, b, c, d] = load_sixteen(table).map(|four| unsafe { vreinterpretq_u8_f32(four) });
        let table = uint8x16x4_t(a, b, c, d);
        Self(self.0.map(|k| unsafe {
            let k = vreinterpretq_u32_f32(k);
            // The byte offsets of an entry: four times the index, plus 0 to 3.
            let index = vandq_u32(k, vdupq_n_u32(15));
            let places = vmlaq_u32(vdupq_n_u32(0x0302_0100), index, vdupq_n_u32(0x0404_0404));
            let entry = vqtbl4q_u8(table, vreinterpretq_u8_u32(places));
            vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_u8(entry), vshlq_n_u32::<19>(k)))
        }))
    }

    #[inline(always)]
    fn store(self, numbers: &mut [f32; 16]) {
        store_sixteen(self.0, numbers);
    }
}
