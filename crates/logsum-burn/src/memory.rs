//! The memory of a tensor, read in place as an ndarray view.

use crate::error::Error;
use burn::tensor::{DType, Element, ElementConversion, TensorData};
use ndarray::{ArrayD, ArrayViewD, Axis, IxDyn, ShapeBuilder};

#[cfg(feature = "flex")]
use burn::backend::flex::FlexTensor;
#[cfg(feature = "ndarray")]
use burn::backend::ndarray::NdArrayTensor;

/// Numbers that the CPU can read: a tensor of a CPU backend, or a copy of another tensor.
#[derive(Debug, Clone)]
pub enum Numbers {
    /// A tensor of the backend Flex, with any strides.
    #[cfg(feature = "flex")]
    Flex(FlexTensor),
    /// A tensor of the backend NdArray, with any strides.
    #[cfg(feature = "ndarray")]
    NdArray(NdArrayTensor),
    /// A copy that another backend has made.
    Data(TensorData),
}

/// The formats that logsum and burn share.
pub(crate) trait Number: logsum::Float + Element + bytemuck::Pod {
    /// A view of an NdArray tensor of this format.
    #[cfg(feature = "ndarray")]
    fn of_ndarray(tensor: &NdArrayTensor) -> Option<ArrayViewD<'_, Self>>;
}

macro_rules! number {
    ($format:ty $(, $variant:ident)?) => {
        impl Number for $format {
            #[cfg(feature = "ndarray")]
            fn of_ndarray(tensor: &NdArrayTensor) -> Option<ArrayViewD<'_, Self>> {
                match tensor {
                    $(NdArrayTensor::$variant(storage) => Some(storage.view()),)?
                    _ => None,
                }
            }
        }
    };
}
number!(f64, F64);
number!(f32, F32);
number!(burn::tensor::f16);
number!(burn::tensor::bf16);

/// Evaluates an expression with `$T` as the format of `$numbers`.
macro_rules! by_format {
    ($numbers:expr, $T:ident => $result:expr) => {{
        macro_rules! with {
            ($format:ty) => {{
                type $T = $format;
                $result
            }};
        }
        match $numbers.dtype() {
            burn::tensor::DType::F64 => with!(f64),
            burn::tensor::DType::F32 => with!(f32),
            burn::tensor::DType::F16 => with!(burn::tensor::f16),
            burn::tensor::DType::BF16 => with!(burn::tensor::bf16),
            found => Err($crate::error::Error::DType { argument: "logits", found }),
        }
    }};
}
pub(crate) use by_format;

impl Numbers {
    pub(crate) fn dtype(&self) -> DType {
        match self {
            #[cfg(feature = "flex")]
            Self::Flex(tensor) => tensor.dtype(),
            #[cfg(feature = "ndarray")]
            Self::NdArray(tensor) => burn::backend::TensorMetadata::dtype(tensor),
            Self::Data(data) => data.dtype(),
        }
    }

    pub(crate) fn are_ones(&self) -> bool {
        let are_ones = by_format!(self, T => {
            self.view::<T>("cotangent").map(|numbers| numbers.iter().all(|number| number.elem::<f64>() == 1.0))
        });
        are_ones.unwrap_or(false)
    }

    /// A view of the numbers, if they are of this format.
    pub(crate) fn view<T: Number>(&self, argument: &'static str) -> Result<ArrayViewD<'_, T>, Error> {
        let found = self.dtype();
        if found != T::dtype() {
            return Err(Error::DType { argument, found });
        }
        match self {
            #[cfg(feature = "flex")]
            Self::Flex(tensor) => {
                let layout = tensor.layout();
                Ok(strided(
                    tensor.storage(),
                    layout.shape().as_slice(),
                    layout.strides(),
                    layout.start_offset(),
                ))
            }
            #[cfg(feature = "ndarray")]
            Self::NdArray(tensor) => T::of_ndarray(tensor).ok_or(Error::DType { argument, found }),
            Self::Data(data) => {
                let numbers = data.as_slice().map_err(|error| Error::Read { reason: error.to_string() })?;
                Ok(ArrayViewD::from_shape(data.shape().as_slice(), numbers).expect(FITS))
            }
        }
    }
}

/// The message of a panic that cannot occur: a view of a tensor's memory can always be made.
const FITS: &str = "a tensor's layout fits its memory";

/// A view with any strides: 0 where a dimension is expanded, negative where it is flipped.
#[cfg(feature = "flex")]
fn strided<'a, T>(
    numbers: &'a [T],
    shape: &[usize],
    strides: &[isize],
    mut start: usize,
) -> ArrayViewD<'a, T> {
    if shape.contains(&0) {
        return ArrayViewD::from_shape(shape, &[]).expect(FITS);
    }
    // ndarray makes views only with strides that are not negative; their axes are inverted afterwards.
    let is_flipped = |axis: usize| strides[axis] < 0 && shape[axis] > 1;
    for axis in (0..shape.len()).filter(|&axis| is_flipped(axis)) {
        start -= (shape[axis] - 1) * strides[axis].unsigned_abs();
    }
    let steps: Vec<usize> = strides.iter().map(|stride| stride.unsigned_abs()).collect();
    let mut view =
        ArrayViewD::from_shape(IxDyn(shape).strides(IxDyn(&steps)), &numbers[start..]).expect(FITS);
    for axis in (0..shape.len()).filter(|&axis| is_flipped(axis)) {
        view.invert_axis(Axis(axis));
    }
    view
}

/// An array to write a result into.
pub(crate) fn fresh<T: Number>(shape: &[usize]) -> Result<ArrayD<T>, logsum::Error> {
    logsum::array_of_zeros(IxDyn(shape))
}

/// The data of a tensor with the numbers of an array, without a copy if these are in row-major order.
pub(crate) fn data<T: Number>(array: ArrayD<T>) -> TensorData {
    let shape = array.shape().to_vec();
    let numbers = match array.is_standard_layout() {
        true => array.into_raw_vec_and_offset().0,
        false => array.iter().copied().collect(),
    };
    TensorData::new(numbers, shape)
}
