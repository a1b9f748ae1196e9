//! log Σ e^z, softmax and log-softmax over any dimensions, and their derivatives.

use crate::formulas;
use crate::storage::{Number, for_format, into_storage, multiply, view};
use candle_core::backend::BackendStorage;
use candle_core::shape::Dims;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Error, Layout, Result, Shape, Tensor, WithDType};
use logsum::{Axes, LogSumExp};
use ndarray::{ArrayD, ArrayView1, ArrayViewD, Axis, Zip};

/// log Σ e^z over `dims`, which are removed from the result.
///
/// `dims` is one dimension or several, as candle takes them: `0`, `D::Minus1`, `(0, 2)`, `[1]`, a slice. With no
/// dimensions, `()`, the result is z. The gradient is [`softmax`].
///
/// ```
/// # use candle_core::{D, Device, Tensor};
/// let z = Tensor::new(&[[1000.0, 1000.0], [f64::NEG_INFINITY, -1.0]], &Device::Cpu)?;
/// let value = logsum_candle::logsumexp(&z, D::Minus1)?;
/// assert_eq!(value.to_vec1::<f64>()?, [1000.6931471805599, -1.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// candle's, if a dimension does not exist or is named twice, or the numbers are not floats.
pub fn logsumexp(z: &Tensor, dims: impl Dims) -> Result<Tensor> {
    let dims = dims.to_indexes(z.shape(), "logsumexp")?;
    let remaining: Vec<usize> =
        (0..z.rank()).filter(|dim| !dims.contains(dim)).map(|dim| z.dims()[dim]).collect();
    of_indexes(z, dims)?.reshape(remaining)
}

/// [`logsumexp`] with `dims` kept, of length 1, so that it broadcasts against `z`.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// let z = Tensor::zeros((2, 3, 4), candle_core::DType::F32, &Device::Cpu)?;
/// assert_eq!(logsum_candle::logsumexp_keepdim(&z, (0, 2))?.dims(), [1, 3, 1]);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// As [`logsumexp`].
pub fn logsumexp_keepdim(z: &Tensor, dims: impl Dims) -> Result<Tensor> {
    of_indexes(z, dims.to_indexes(z.shape(), "logsumexp")?)
}

/// [`logsumexp`] over all dimensions.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// let z = Tensor::zeros((2, 3), candle_core::DType::F64, &Device::Cpu)?;
/// assert_eq!(logsum_candle::logsumexp_all(&z)?.to_scalar::<f64>()?, 6_f64.ln());
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// As [`logsumexp`].
pub fn logsumexp_all(z: &Tensor) -> Result<Tensor> {
    logsumexp(z, (0..z.rank()).collect::<Vec<_>>())
}

/// e^z / Σ e^z over `dims`: the gradient of [`logsumexp`].
///
/// ```
/// # use candle_core::{D, Device, Tensor};
/// let z = Tensor::new(&[1000.0, 1001.0, 1002.0], &Device::Cpu)?;
/// let p = logsum_candle::softmax(&z, D::Minus1)?;
/// assert_eq!(p.to_vec1::<f64>()?, [0.09003057317038046, 0.24472847105479764, 0.6652409557748219]);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// As [`logsumexp`].
pub fn softmax(z: &Tensor, dims: impl Dims) -> Result<Tensor> {
    Function::Softmax.of(z, dims.to_indexes(z.shape(), "softmax")?)
}

/// z − log Σ e^z over `dims`.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// let z = Tensor::new(&[40.0, 0.0], &Device::Cpu)?;
/// let log_p = logsum_candle::log_softmax(&z, 0)?;
/// assert_eq!(log_p.to_vec1::<f64>()?, [-4.248354255291589e-18, -40.0]);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// As [`logsumexp`].
pub fn log_softmax(z: &Tensor, dims: impl Dims) -> Result<Tensor> {
    Function::LogSoftmax.of(z, dims.to_indexes(z.shape(), "log_softmax")?)
}

fn of_indexes(z: &Tensor, dims: Vec<usize>) -> Result<Tensor> {
    Function::LogSumExp.of(z, dims)
}

#[derive(Clone, Copy)]
enum Function {
    /// With the reduced dimensions kept.
    LogSumExp,
    Softmax,
    LogSoftmax,
}

impl Function {
    fn of(self, z: &Tensor, dims: Vec<usize>) -> Result<Tensor> {
        if z.device().is_cpu() {
            return z.apply_op1(Reduction { function: self, dims });
        }
        match self {
            Self::LogSumExp => formulas::logsumexp(z, &dims),
            Self::Softmax => formulas::softmax(z, &dims),
            Self::LogSoftmax => formulas::log_softmax(z, &dims),
        }
    }
}

struct Reduction {
    function: Function,
    dims: Vec<usize>,
}

impl CustomOp1 for Reduction {
    fn name(&self) -> &'static str {
        match self.function {
            Function::LogSumExp => "logsumexp",
            Function::Softmax => "softmax",
            Function::LogSoftmax => "log_softmax",
        }
    }

    fn cpu_fwd(&self, z: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        for_format!(self.name(), z.dtype(), T => {
            let z = view::<T>(z, layout)?;
            let axes = axes(&self.dims);
            let result = match self.function {
                Function::LogSumExp => z.logsumexp(axes.keep()),
                Function::Softmax => z.softmax(axes),
                Function::LogSoftmax => z.log_softmax(axes),
            };
            Ok(into_storage(result.map_err(Error::wrap)?))
        })
    }

    fn bwd(&self, z: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let dims = self.dims.clone();
        Ok(Some(match self.function {
            Function::LogSumExp => z.apply_op2(g, ScaledSoftmax { dims })?,
            Function::Softmax => z.apply_op2(g, SoftmaxSlope { dims })?,
            Function::LogSoftmax => z.apply_op2(g, LogSoftmaxSlope { dims })?,
        }))
    }
}

/// g p with p = softmax(z) and the cotangent g of each sum: the pullback through log Σ e^z.
struct ScaledSoftmax {
    dims: Vec<usize>,
}

impl CustomOp2 for ScaledSoftmax {
    fn name(&self) -> &'static str {
        "the gradient of logsumexp"
    }

    fn cpu_fwd(
        &self,
        z: &CpuStorage,
        z_layout: &Layout,
        g: &CpuStorage,
        g_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        for_format!(self.name(), z.dtype(), T => {
            let (z, g) = (view::<T>(z, z_layout)?, view::<T>(g, g_layout)?);
            let mut p = z.softmax(axes(&self.dims)).map_err(Error::wrap)?;
            multiply(&mut p, g);
            Ok(into_storage(p))
        })
    }

    /// With respect to z, the pullback through softmax of v g; with respect to g it is linear.
    fn bwd(
        &self,
        z: &Tensor,
        g: &Tensor,
        _: &Tensor,
        v: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dims = self.dims.clone();
        let by_g = v.mul(&softmax(z, &dims[..])?)?.sum_keepdim(&dims[..])?;
        let by_z = z.apply_op2(&v.broadcast_mul(g)?, SoftmaxSlope { dims })?;
        Ok((Some(by_z), Some(by_g)))
    }
}

/// p (v − Σ p v) with p = softmax(z): the derivative of softmax in the direction v, the pullback of v through softmax,
/// and the Hessian of log Σ e^z times v.
struct SoftmaxSlope {
    dims: Vec<usize>,
}

impl CustomOp2 for SoftmaxSlope {
    fn name(&self) -> &'static str {
        "the gradient of softmax"
    }

    fn cpu_fwd(
        &self,
        z: &CpuStorage,
        z_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        for_format!(self.name(), z.dtype(), T => {
            let (z, v) = (view::<T>(z, z_layout)?, view::<T>(v, v_layout)?);
            Ok(into_storage(z.logsumexp_hvp(axes(&self.dims), &v).map_err(Error::wrap)?))
        })
    }

    /// With respect to v the same function of the cotangent u, as a Hessian is symmetric. With respect to z it is
    /// p ((u − b) (v − a) − (c − a b)) with a = Σ p v, b = Σ p u and c = Σ p u v.
    fn bwd(
        &self,
        z: &Tensor,
        v: &Tensor,
        _: &Tensor,
        u: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dims = &self.dims[..];
        let p = softmax(z, dims)?;
        let centred = |x: &Tensor| x.broadcast_sub(&p.mul(x)?.sum_keepdim(dims)?);
        let product = centred(u)?.mul(&centred(v)?)?;
        let by_z = p.mul(&centred(&product)?)?;
        let by_v = z.apply_op2(u, Self { dims: self.dims.clone() })?;
        Ok((Some(by_z), Some(by_v)))
    }
}

/// v − p Σ v with p = softmax(z): the pullback of v through log-softmax.
struct LogSoftmaxSlope {
    dims: Vec<usize>,
}

impl CustomOp2 for LogSoftmaxSlope {
    fn name(&self) -> &'static str {
        "the gradient of log_softmax"
    }

    fn cpu_fwd(
        &self,
        z: &CpuStorage,
        z_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        for_format!(self.name(), z.dtype(), T => {
            let (z, v) = (view::<T>(z, z_layout)?, view::<T>(v, v_layout)?);
            let mut p = z.softmax(axes(&self.dims)).map_err(Error::wrap)?;
            let total = sums(&v, &self.dims);
            let total = total.broadcast(p.raw_dim()).expect("its dimensions are kept");
            Zip::from(&mut p).and(&v).and(total).par_for_each(|p, v, total| *p = T::from_f64(v.to_f64() - p.to_f64() * total));
            Ok(into_storage(p))
        })
    }

    /// With respect to v it is linear; with respect to z it is a softmax, multiplied by −Σ v.
    fn bwd(
        &self,
        z: &Tensor,
        v: &Tensor,
        _: &Tensor,
        u: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dims = &self.dims[..];
        let by_v = u.broadcast_sub(&softmax(z, dims)?.mul(u)?.sum_keepdim(dims)?)?;
        let total = v.sum_keepdim(dims)?.neg()?;
        let by_z = z.apply_op2(&u.broadcast_mul(&total)?, SoftmaxSlope { dims: self.dims.clone() })?;
        Ok((Some(by_z), Some(by_v)))
    }
}

/// Σ v over `dims`, which are kept.
fn sums<T: Number>(v: &ArrayViewD<'_, T>, dims: &[usize]) -> ArrayD<f64> {
    let Some((&first, others)) = dims.split_first() else { return v.mapv(WithDType::to_f64) };
    let of_first = Zip::from(v.lanes(Axis(first))).par_map_collect(sum).into_dyn().insert_axis(Axis(first));
    others.iter().fold(of_first, |sums, &dim| sums.sum_axis(Axis(dim)).insert_axis(Axis(dim)))
}

/// The sum of a lane, in eight parts that are independent of each other.
fn sum<T: Number>(lane: ArrayView1<'_, T>) -> f64 {
    let Some(numbers) = lane.as_slice() else { return lane.iter().map(|x| x.to_f64()).sum() };
    let (eights, rest) = numbers.as_chunks::<8>();
    let mut parts = [0.0; 8];
    for eight in eights {
        for (part, x) in parts.iter_mut().zip(eight) {
            *part += x.to_f64();
        }
    }
    parts.iter().sum::<f64>() + rest.iter().map(|x| x.to_f64()).sum::<f64>()
}

fn axes(dims: &[usize]) -> Axes {
    Axes::from(dims.iter().map(|&dim| dim as isize).collect::<Vec<_>>())
}
