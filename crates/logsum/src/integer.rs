//! Integers are taken as f64.

/// An integer, of up to 64 bits, that is taken as the nearest f64: as it is to 2^53, rounded to even beyond, as
/// NumPy does.
///
/// ```
/// use logsum::{Integer, floats, logsumexp};
/// assert_eq!(logsumexp(&floats(&[1, 2, 3])), 3.40760596444438);
/// assert_eq!(i64::MAX.to_float(), 9223372036854775808.0);
/// ```
///
/// With ndarray it is `z.mapv(Integer::to_float).logsumexp(-1)`. The trait is sealed.
pub trait Integer: Copy + sealed::Sealed {
    /// The nearest f64, ties to even.
    fn to_float(self) -> f64;
}

/// [`Integer::to_float`] of each.
pub fn floats<I: Integer>(integers: &[I]) -> Vec<f64> {
    integers.iter().map(|integer| integer.to_float()).collect()
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! integers {
    ($($integer:ty)*) => {$(
        impl sealed::Sealed for $integer {}

        impl Integer for $integer {
            fn to_float(self) -> f64 {
                self as f64
            }
        }
    )*};
}

integers!(i8 i16 i32 i64 isize u8 u16 u32 u64 usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_exact_or_rounded_to_even() {
        assert_eq!(floats(&[i8::MIN, 0, i8::MAX]), [-128.0, 0.0, 127.0]);
        assert_eq!(floats(&[u32::MAX]), [4294967295.0]);
        let limit = 1_u64 << 53;
        assert_eq!(
            floats(&[limit - 1, limit + 1, limit + 3]),
            [9007199254740991.0, 9007199254740992.0, 9007199254740996.0]
        );
        assert_eq!(floats(&[u64::MAX, u64::MAX - 1024]), [18446744073709551616.0, 18446744073709549568.0]);
        assert_eq!(floats(&[i64::MIN]), [-9223372036854775808.0]);
    }
}
