//! The operations on slices of a GPU's memory and on streams as `cudarc` has them.

// They pass addresses on, of slices whose sizes were checked.
#![allow(unsafe_code)]

use crate::error::Error;
use crate::kernels::Format;
use crate::operations::{self, Memory, Rows, Stream, Targets, WORKSPACE};
use cudarc::driver::{
    CudaContext, CudaSlice, CudaStream, CudaView, CudaViewMut, DevicePtr, DevicePtrMut, DriverError,
};
use half::{bf16, f16};
use std::sync::Arc;

/// A number that there are kernels for: f16, bf16, f32 or f64. (cudarc allocates and copies slices of f16 and bf16 with
/// its feature `f16`.)
pub trait Number: sealed::Number {}

/// A slice of a GPU's memory that is read: one of cudarc's own, whose address and size can be relied on.
pub trait Slice<T>: DevicePtr<T> + sealed::Slice {}

/// A slice of a GPU's memory that is written.
pub trait SliceMut<T>: DevicePtrMut<T> + sealed::Slice {}

mod sealed {
    use super::{CudaSlice, CudaView, CudaViewMut};

    pub trait Number {
        const FORMAT: crate::Format;
    }

    pub trait Slice {}

    impl<T> Slice for CudaSlice<T> {}
    impl<T> Slice for CudaView<'_, T> {}
    impl<T> Slice for CudaViewMut<'_, T> {}
}

impl<T> Slice<T> for CudaSlice<T> {}
impl<T> Slice<T> for CudaView<'_, T> {}
impl<T> Slice<T> for CudaViewMut<'_, T> {}
impl<T> SliceMut<T> for CudaSlice<T> {}
impl<T> SliceMut<T> for CudaViewMut<'_, T> {}

macro_rules! numbers {
    ($($float:ty: $format:ident),*) => {$(
        impl sealed::Number for $float {
            const FORMAT: Format = Format::$format;
        }

        impl Number for $float {}
    )*};
}

numbers!(f16: F16, bf16: BF16, f32: F32, f64: F64);

/// The operations in a stream of a GPU, with the memory that they need beside their arguments: 35 MB, whatever these
/// are.
///
/// Each method puts kernels into the stream and returns at once. Rows follow each other without gaps, and all have
/// `length` numbers. Slices may belong to other streams of the same context: cudarc lets the streams wait for each
/// other, as in its own copies. Dropping a handle waits for its stream.
///
/// ```no_run
/// use logsum_cuda::Handle;
/// use logsum_cuda::cudarc::driver::CudaContext;
///
/// let stream = CudaContext::new(0)?.default_stream();
/// let mut gpu = Handle::new(&stream)?;
/// let scores = stream.clone_htod(&[0.0_f64, 1.0, 2.0, 3.0, -1.0, 0.5])?;
/// let mut values = stream.alloc_zeros::<f64>(2)?;
/// gpu.logsumexp(&scores, 3, &mut values)?;
/// assert_eq!(stream.clone_dtoh(&values)?, [2.40760596444438, 3.0956743294143823]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Handle {
    stream: Arc<CudaStream>,
    workspace: CudaSlice<u8>,
    /// Whether kernels of a call that failed may have left the workspace other than the next call needs it.
    is_dirty: bool,
}

impl Handle {
    /// For a stream of a GPU's primary context, which is that of `CudaContext::new`; not for `per_thread_stream`, which
    /// is another one in each thread.
    ///
    /// # Errors
    /// [`Error::TooOld`] if the GPU is older than the kernels' target; [`Error::OtherContext`] for other contexts and
    /// for such a stream; what the driver says.
    pub fn new(stream: &Arc<CudaStream>) -> Result<Self, Error> {
        /// What the driver calls each thread's own stream.
        const PER_THREAD: usize = 2;
        let device = stream.context().ordinal();
        if !stream.context().is_primary() || stream.cu_stream() as usize == PER_THREAD {
            return Err(Error::OtherContext);
        }
        operations::is_available(device as i32)?;
        let workspace = stream.alloc_zeros(WORKSPACE).map_err(said("allocate a workspace"))?;
        Ok(Self { stream: Arc::clone(stream), workspace, is_dirty: false })
    }

    /// The stream of its kernels.
    #[must_use]
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// Writes log Σ e^{z_k} of each row to `out`: each is the number nearest to the exact value, with the bits and the
    /// special cases of `logsum::logsumexp`.
    ///
    /// # Errors
    /// [`Error::Size`] if `rows` does not have `length` numbers for each of `out`; [`Error::TooLong`] for rows of more
    /// than 2^31 numbers; [`Error::OtherContext`] if a slice is of another GPU or context; what the driver says.
    pub fn logsumexp<T: Number>(
        &mut self,
        rows: &impl Slice<T>,
        length: usize,
        out: &mut impl SliceMut<T>,
    ) -> Result<(), Error> {
        let count = out.len();
        has_size("scores", rows.len(), count, length)?;
        self.owns([rows.stream(), out.stream()])?;
        self.call(|target, stream| {
            let (rows, _read) = rows.device_ptr(stream);
            let (out, _write) = out.device_ptr_mut(stream);
            waited(stream.context())?;
            // SAFETY: the slices are of this GPU and have these sizes, and cudarc lets the stream wait for them.
            unsafe { operations::logsumexp(target, matrix::<T>(rows, count, length), out) }
        })
    }

    /// Writes softmax of each row, e^{z_i}/Σ e^{z_k}, to `out`, which has the shape of `rows`: each is the number
    /// nearest to the exact one, with the bits and the special cases of `logsum::softmax`.
    ///
    /// # Errors
    /// As [`logsumexp`](Self::logsumexp); [`Error::Size`] also if `rows` does not consist of whole rows, or `out` has
    /// another size.
    pub fn softmax<T: Number>(
        &mut self,
        rows: &impl Slice<T>,
        length: usize,
        out: &mut impl SliceMut<T>,
    ) -> Result<(), Error> {
        self.shares(rows, length, out, None::<&mut CudaSlice<T>>, false)
    }

    /// Writes log-softmax of each row, z_i − log Σ e^{z_k}, likewise, as `logsum::log_softmax` has it.
    ///
    /// # Errors
    /// As [`softmax`](Self::softmax).
    pub fn log_softmax<T: Number>(
        &mut self,
        rows: &impl Slice<T>,
        length: usize,
        out: &mut impl SliceMut<T>,
    ) -> Result<(), Error> {
        self.shares(rows, length, out, None::<&mut CudaSlice<T>>, true)
    }

    /// Writes the log-sum-exp of each row to `values`, and its gradient, which is softmax, to `gradient`.
    ///
    /// # Errors
    /// As [`softmax`](Self::softmax); [`Error::Size`] also if `values` does not have a number for each row.
    pub fn logsumexp_with_gradient<T: Number>(
        &mut self,
        rows: &impl Slice<T>,
        length: usize,
        values: &mut impl SliceMut<T>,
        gradient: &mut impl SliceMut<T>,
    ) -> Result<(), Error> {
        self.shares(rows, length, gradient, Some(values), false)
    }

    fn shares<T: Number>(
        &mut self,
        rows: &impl Slice<T>,
        length: usize,
        out: &mut impl SliceMut<T>,
        values: Option<&mut impl SliceMut<T>>,
        is_log: bool,
    ) -> Result<(), Error> {
        let count = whole_rows(rows.len(), length)?;
        has_size("output", out.len(), count, length)?;
        self.owns([rows.stream(), out.stream()])?;
        if let Some(values) = &values {
            has_size("values", values.len(), count, 1)?;
            self.owns([values.stream()])?;
        }
        self.call(|target, stream| {
            let (rows, _read) = rows.device_ptr(stream);
            let (out, _write) = out.device_ptr_mut(stream);
            let values = values.map(|values| values.device_ptr_mut(stream));
            let address = values.as_ref().map_or(0, |(address, _)| *address);
            let (rows, out) = (matrix::<T>(rows, count, length), memory::<T>(out, length));
            waited(stream.context())?;
            // SAFETY: the slices are of this GPU and have these sizes, and cudarc lets the stream wait for them; `out`
            // and `values` are borrowed for this call alone.
            unsafe {
                if is_log {
                    operations::log_softmax(target, rows, out, address)
                } else {
                    operations::softmax(target, rows, out, address)
                }
            }
        })
    }

    /// Writes the loss log Σ e^{z_k} − z_t of each row z with its target t to `out`: each is the number nearest to the
    /// exact one, with the bits and the special cases of `logsum::CrossEntropy::losses`. Rows whose target is `ignored`
    /// have the loss 0, and rows whose target is not an index of theirs, NaN.
    ///
    /// # Errors
    /// As [`logsumexp`](Self::logsumexp); [`Error::Size`] also if there is not a target for each row.
    pub fn losses<T: Number>(
        &mut self,
        rows: &impl Slice<T>,
        length: usize,
        targets: &impl Slice<i64>,
        ignored: i64,
        out: &mut impl SliceMut<T>,
    ) -> Result<(), Error> {
        let count = out.len();
        has_size("scores", rows.len(), count, length)?;
        has_size("targets", targets.len(), count, 1)?;
        self.owns([rows.stream(), targets.stream(), out.stream()])?;
        self.call(|target, stream| {
            let (rows, _read) = rows.device_ptr(stream);
            let (address, _read_targets) = targets.device_ptr(stream);
            let (out, _write) = out.device_ptr_mut(stream);
            let rows = matrix::<T>(rows, count, length);
            waited(stream.context())?;
            // SAFETY: as for log-sum-exps.
            unsafe { operations::losses(target, rows, Targets { address, ignored }, out, 0) }
        })
    }

    /// Writes the derivatives of the loss of each row, softmax(z)_i − [i = t], each rounded to the nearest number and
    /// then multiplied by the row's factor, to `out`, which has the shape of `rows`. Those of a row whose target is
    /// `ignored` are 0.
    ///
    /// # Errors
    /// As [`softmax`](Self::softmax); [`Error::Size`] also if there is not a target and a factor for each row.
    pub fn loss_gradients<T: Number>(
        &mut self,
        rows: &impl Slice<T>,
        length: usize,
        targets: &impl Slice<i64>,
        ignored: i64,
        factors: &impl Slice<T>,
        out: &mut impl SliceMut<T>,
    ) -> Result<(), Error> {
        let count = whole_rows(rows.len(), length)?;
        has_size("output", out.len(), count, length)?;
        has_size("targets", targets.len(), count, 1)?;
        has_size("factors", factors.len(), count, 1)?;
        self.owns([rows.stream(), targets.stream(), factors.stream(), out.stream()])?;
        self.call(|target, stream| {
            let (rows, _read) = rows.device_ptr(stream);
            let (address, _read_targets) = targets.device_ptr(stream);
            let (factors, _read_factors) = factors.device_ptr(stream);
            let (out, _write) = out.device_ptr_mut(stream);
            let (rows, out) = (matrix::<T>(rows, count, length), memory::<T>(out, length));
            waited(stream.context())?;
            // SAFETY: as for softmax.
            unsafe { operations::loss_gradients(target, rows, Targets { address, ignored }, factors, 0, out) }
        })
    }

    /// How many results of this handle's calls were not proved to be the nearest numbers: those of rows that were
    /// constructed to be hard, which are the numbers nearest to an estimate (see [`WORKSPACE`]). Waits for the stream.
    /// The count begins anew after a call that failed with [`Error::Driver`].
    ///
    /// # Errors
    /// What the driver says.
    pub fn unproved(&self) -> Result<u32, Error> {
        let bytes =
            self.stream.clone_dtoh(&self.workspace.slice(8..12)).map_err(said("read the workspace"))?;
        Ok(bytes.try_into().map_or(0, u32::from_ne_bytes))
    }

    /// Refuses streams of another context, also of another object for the same one: such streams do not wait for each
    /// other.
    fn owns<const N: usize>(&self, streams: [&Arc<CudaStream>; N]) -> Result<(), Error> {
        let is_own = |stream: &Arc<CudaStream>| Arc::ptr_eq(stream.context(), self.stream.context());
        if streams.into_iter().all(is_own) { Ok(()) } else { Err(Error::OtherContext) }
    }

    /// Calls an operation, with a workspace as it needs it.
    fn call(
        &mut self,
        operation: impl FnOnce(Stream, &CudaStream) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.stream.context().bind_to_thread().map_err(said("use the GPU"))?;
        if self.is_dirty {
            self.stream.memset_zeros(&mut self.workspace).map_err(said("clear the workspace"))?;
            self.is_dirty = false;
        }
        let (workspace, _write) = self.workspace.device_ptr_mut(&self.stream);
        let device = self.stream.context().ordinal() as i32;
        let target = Stream { device, handle: self.stream.cu_stream() as usize, workspace };
        let done = operation(target, &self.stream);
        self.is_dirty = matches!(done, Err(Error::Driver { .. }));
        done
    }
}

impl Drop for Handle {
    /// Waits for the stream: if it ends with this handle, cudarc would not know that its kernels still run.
    fn drop(&mut self) {
        let _ = self.stream.synchronize();
    }
}

/// What cudarc found wrong when streams were to wait for each other: it keeps such errors for the next call.
fn waited(context: &CudaContext) -> Result<(), Error> {
    context.check_err().map_err(said("wait for another stream"))
}

fn said(action: &'static str) -> impl Fn(DriverError) -> Error {
    move |error| Error::Driver { action, message: error.to_string() }
}

fn matrix<T: Number>(address: u64, count: usize, length: usize) -> Rows {
    let memory = memory::<T>(address, length);
    Rows { format: T::FORMAT, count: count as u64, length: length as u64, memory }
}

fn memory<T: Number>(address: u64, length: usize) -> Memory {
    Memory::of_rows(address, (length * size_of::<T>()) as u64, T::FORMAT)
}

/// How many rows of a length there are among so many scores.
fn whole_rows(numbers: usize, length: usize) -> Result<usize, Error> {
    let count = numbers.checked_div(length).unwrap_or(0);
    has_size("scores", numbers, count, length)?;
    Ok(count)
}

/// Refuses a slice that does not have `of_row` numbers for each of `count` rows.
fn has_size(what: &'static str, found: usize, count: usize, of_row: usize) -> Result<(), Error> {
    if of_row > 1 << 31 {
        return Err(Error::TooLong { length: of_row as u64 });
    }
    let expected = count.saturating_mul(of_row);
    if found == expected { Ok(()) } else { Err(Error::Size { what, found, expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked() {
        assert_eq!(whole_rows(12, 4), Ok(3));
        assert_eq!(whole_rows(0, 4), Ok(0));
        assert_eq!(whole_rows(0, 0), Ok(0));
        assert_eq!(whole_rows(0, usize::MAX), Err(Error::TooLong { length: u64::MAX }));
        for (numbers, length, expected) in [(13, 4, 12), (3, 4, 0), (1, 0, 0)] {
            let error = whole_rows(numbers, length).unwrap_err();
            assert_eq!(error, Error::Size { what: "scores", found: numbers, expected });
        }
        assert_eq!(has_size("targets", 3, 3, 1), Ok(()));
        let error = has_size("targets", 3, 4, 1).unwrap_err();
        assert_eq!(error.to_string(), "targets: 3 numbers, and 4 are needed");
        assert!(has_size("scores", 8, usize::MAX, 8).is_err());
    }
}
