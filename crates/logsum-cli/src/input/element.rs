//! The types of numbers in files, NumPy's names for them, and their text.

use bytemuck::Pod;
use half::{bf16, f16};
use logsum::Float;

/// A number type that files contain.
pub(crate) trait Number: Float + Pod + Into<f64> {
    /// NumPy's name for the type.
    const DESCR: &'static str;

    /// The nearest number of the type.
    fn from_f64(number: f64) -> Self;

    /// The fewest digits that read back the same.
    fn shortest(self) -> String {
        // Debug, unlike Display, writes 1e300 and not three hundred zeros.
        match format!("{self:?}") {
            text if text == "NaN" => "nan".into(),
            text => text,
        }
    }

    /// None for an infinity or a NaN.
    fn to_finite(self) -> Option<Self> {
        Into::<f64>::into(self).is_finite().then_some(self)
    }
}

impl Number for f32 {
    const DESCR: &'static str = if cfg!(target_endian = "little") { "<f4" } else { ">f4" };

    fn from_f64(number: f64) -> Self {
        number as Self
    }
}

impl Number for f64 {
    const DESCR: &'static str = if cfg!(target_endian = "little") { "<f8" } else { ">f8" };

    fn from_f64(number: f64) -> Self {
        number
    }
}

impl Number for f16 {
    const DESCR: &'static str = if cfg!(target_endian = "little") { "<f2" } else { ">f2" };

    fn from_f64(number: f64) -> Self {
        Self::from_f64(number)
    }

    fn shortest(self) -> String {
        shortest_narrow::<Self>(self.into())
    }
}

/// To NumPy these are two bytes without a meaning; the package ml_dtypes saves bf16 in this way.
impl Number for bf16 {
    const DESCR: &'static str = if cfg!(target_endian = "little") { "<V2" } else { ">V2" };

    fn from_f64(number: f64) -> Self {
        Self::from_f64(number)
    }

    fn shortest(self) -> String {
        shortest_narrow::<Self>(self.into())
    }
}

/// The decimal number with the fewest digits that rounds to this one; six are enough.
fn shortest_narrow<T: Number>(number: f64) -> String {
    let decimals = (0..6).filter_map(|digits| format!("{number:.digits$e}").parse().ok());
    let is_it = |&decimal: &f64| T::from_f64(decimal).into() == number;
    decimals.into_iter().find(is_it).unwrap_or(number).shortest()
}
