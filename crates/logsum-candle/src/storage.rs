//! candle's storage as views of ndarray, and arrays of ndarray as candle's storage.

use candle_core::{CpuStorage, Error, Layout, Result, Shape, WithDType};
use logsum::Float;
use ndarray::{ArrayD, ArrayView, ArrayViewD, IxDyn, ShapeBuilder};

/// The formats in which both candle and logsum compute.
pub(crate) trait Number: WithDType + Float {}

impl<T: WithDType + Float> Number for T {}

/// Evaluates `$work` with `$T` as the type of the format `$dtype`. If that is not a supported float, it is an error
/// that names the operator `$op`.
macro_rules! for_format {
    ($op:expr, $dtype:expr, $T:ident => $work:expr) => {
        match $dtype {
            candle_core::DType::F16 => {
                type $T = half::f16;
                $work
            }
            candle_core::DType::BF16 => {
                type $T = half::bf16;
                $work
            }
            candle_core::DType::F32 => {
                type $T = f32;
                $work
            }
            candle_core::DType::F64 => {
                type $T = f64;
                $work
            }
            other => Err(candle_core::Error::UnsupportedDTypeForOp(other, $op).bt()),
        }
    };
}
pub(crate) use for_format;

/// A view of the numbers of a tensor, in place.
pub(crate) fn view<'a, T: Number>(storage: &'a CpuStorage, layout: &Layout) -> Result<ArrayViewD<'a, T>> {
    let shape = IxDyn(layout.dims());
    // An empty tensor may have strides, and a start, beyond its memory.
    let view = match layout.shape().elem_count() {
        0 => ArrayView::from_shape(shape, &[]),
        _ => {
            let numbers = &T::cpu_storage_as_slice(storage)?[layout.start_offset()..];
            ArrayView::from_shape(shape.strides(IxDyn(layout.stride())), numbers)
        }
    };
    view.map_err(Error::wrap)
}

/// The storage of a tensor with the numbers of `array`, and its shape.
pub(crate) fn into_storage<T: Number>(array: ArrayD<T>) -> (CpuStorage, Shape) {
    let shape = Shape::from(array.shape());
    let numbers = match array.is_standard_layout() {
        true => array.into_raw_vec_and_offset().0,
        false => array.iter().copied().collect(),
    };
    (T::to_cpu_storage_owned(numbers), shape)
}

/// Multiplies by `factors`, one for each number, row or sum.
pub(crate) fn multiply<T: Number>(numbers: &mut ArrayD<T>, factors: ArrayViewD<'_, T>) {
    // A backward pass begins with ones: then the numbers need not be read and written again.
    if factors.iter().all(|&factor| factor == T::one()) {
        return;
    }
    let mut shape = factors.shape().to_vec();
    shape.resize(numbers.ndim().max(shape.len()), 1);
    let factors = factors.to_shape(shape).expect("ones were added");
    *numbers *= &factors;
}
