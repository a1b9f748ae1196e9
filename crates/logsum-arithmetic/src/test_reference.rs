//! Reference arithmetic of the unit tests: exact and 400-bit numbers by dashu, to measure errors against.

use dashu_float::FBig;
use dashu_float::round::mode;
use logsum_arithmetic::double_double::DoubleDouble;

pub(crate) type Big = FBig<mode::HalfEven, 2>;

/// x exactly, with a precision of 400 bits for the operations that follow.
pub(crate) fn big(x: f64) -> Big {
    Big::try_from(x).expect("finite").with_precision(400).value()
}

/// The sum of some words.
pub(crate) fn big_sum<const N: usize>(words: [f64; N]) -> Big {
    words.into_iter().fold(big(0.0), |sum, word| sum + big(word))
}

pub(crate) fn big_dd(x: DoubleDouble) -> Big {
    big_sum([x.hi, x.lo])
}

/// |found − exact| / |exact|
pub(crate) fn relative_error(found: Big, exact: &Big) -> f64 {
    let error = ((found - exact) / exact).to_f64().value();
    error.abs()
}

/// Pseudo-random numbers in [0, 1), by splitmix64.
pub(crate) fn uniform(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
