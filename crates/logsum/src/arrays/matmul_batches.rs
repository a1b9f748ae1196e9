//! The matrix product in log space as a method of arrays, with broadcasting batches.

use crate::arrays::Sealed;
use crate::arrays::contiguous_rows::{same_shape, size_of_shape, standard};
use crate::error::Error;
use crate::interrupt::checkpoint;
use crate::memory::zeros;
use crate::operations::Float;
use crate::operations::{self, MatmulShape};
use ndarray::{Array, ArrayD, ArrayRef, CowArray, Dimension, IxDyn};

/// The gradients with respect to the left and to the right factor.
type Gradients<T, D, E> = (Array<T, D>, Array<T, E>);

/// [`log_matmul`](crate::log_matmul) and its derivatives as methods of ndarray's arrays and views.
///
/// The last two axes are those of the matrices; the others are batch axes, and broadcast as in NumPy. An array
/// that is not in standard layout is copied. Bounds and special cases are those of the functions.
///
/// ```
/// use logsum::LogMatmul;
/// use ndarray::array;
/// let a = array![[0.0, 1000.0], [-1000.0, f64::NEG_INFINITY]];
/// let b = array![[1.0, 2.0], [1.0, -999.0]];
/// assert_eq!(a.log_matmul(&b)?, array![[1001.0, 2.313261687518223], [-999.0, -998.0]].into_dyn());
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// The trait is sealed: it is implemented for ndarray's arrays and views only.
///
/// # Errors
/// [`Error::RankTooSmall`] if an array has fewer than two axes, [`Error::ShapeMismatch`] if the shapes do not fit,
/// [`Error::ShapeTooLarge`] if the product would be too large for an array (the lengths of its axes, except those that
/// are 0, have a product beyond `isize::MAX`), [`Error::OutOfMemory`] if it does not fit into memory.
pub trait LogMatmul<T: Float, D: Dimension>: Sealed<T, D> {
    /// The matrix product in log space with `right`: C_ij = log Σ_k e^{A_ik + B_kj}, correctly rounded.
    ///
    /// ```
    /// use logsum::LogMatmul;
    /// use ndarray::array;
    /// let (a, b) = (array![[1e4, 1e4]], array![[2.0], [2.0]]);
    /// assert_eq!(a.log_matmul(&b)?, array![[1e4 + 2.0 + 2f64.ln()]].into_dyn());
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn log_matmul<E: Dimension>(&self, right: &ArrayRef<T, E>) -> Result<ArrayD<T>, Error> {
        let shapes = Shapes::new(self.array().shape(), right.shape())?;
        let Shapes { rows, inner, columns, .. } = shapes;
        let size = size_of_shape(&shapes.out());
        let size = size.ok_or_else(|| Error::ShapeTooLarge { shape: shapes.out() })?;
        let (a, b) = (standard(self.array())?, standard(right)?);
        let (a, b) = (slice(&a), slice(&b));
        let mut out = zeros(size)?;
        if shapes.left() == self.array().shape() && shapes.right() == right.shape() {
            operations::log_matmul(a, b, shapes.matmul(), &mut out)?;
        } else {
            for (index, out) in out.chunks_exact_mut((rows * columns).max(1)).enumerate() {
                checkpoint();
                let a = &a[shapes.place(index, self.array().shape()) * rows * inner..][..rows * inner];
                let b = &b[shapes.place(index, right.shape()) * inner * columns..][..inner * columns];
                operations::log_matmul(a, b, [rows, inner, columns], out)?;
            }
        }
        Ok(array(IxDyn(&shapes.out()), out))
    }

    /// [`log_matmul_vjp`](crate::log_matmul_vjp): the gradients with respect to this factor and `right`. The batch axes
    /// must be equal: no argument broadcasts.
    ///
    /// ```
    /// use logsum::LogMatmul;
    /// use ndarray::array;
    /// let (a, b) = (array![[0.0, 0.0], [1e9, -1e9]], array![[5.0], [5.0]]);
    /// let (grad_a, grad_b) = a.log_matmul_vjp(&b, &array![[1.0], [2.0]])?;
    /// assert_eq!((grad_a, grad_b), (array![[0.5, 0.5], [2.0, 0.0]], array![[2.5], [0.5]]));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    fn log_matmul_vjp<E: Dimension, F: Dimension>(
        &self,
        right: &ArrayRef<T, E>,
        cotangent: &ArrayRef<T, F>,
    ) -> Result<Gradients<T, D, E>, Error> {
        let shapes = Shapes::new(self.array().shape(), right.shape())?;
        same_shape("self", &shapes.left(), self.array().shape())?;
        same_shape("right", &shapes.right(), right.shape())?;
        same_shape("cotangent", &shapes.out(), cotangent.shape())?;
        let (a, b, g) = (standard(self.array())?, standard(right)?, standard(cotangent)?);
        let (a, b, g) = (slice(&a), slice(&b), slice(&g));
        let (mut grad_a, mut grad_b) = (zeros(a.len())?, zeros(b.len())?);
        operations::log_matmul_vjp(a, b, shapes.matmul(), g, &mut grad_a, &mut grad_b)?;
        Ok((array(self.array().raw_dim(), grad_a), array(right.raw_dim(), grad_b)))
    }
}

impl<T: Float, D: Dimension> LogMatmul<T, D> for ArrayRef<T, D> {}

/// The shapes of two factors and their product.
struct Shapes {
    batch: Vec<usize>,
    rows: usize,
    inner: usize,
    columns: usize,
}

impl Shapes {
    fn new(left: &[usize], right: &[usize]) -> Result<Self, Error> {
        let (left_batch, &[rows, inner]) = matrices("self", left)?;
        let (right_batch, &[right_inner, columns]) = matrices("right", right)?;
        let rank = left_batch.len().max(right_batch.len());
        let (mut batch, mut fit) = (Vec::with_capacity(rank), inner == right_inner);
        for axis in 0..rank {
            let lengths = [left_batch, right_batch].map(|batch| length(batch, axis, rank));
            fit &= lengths[0] == lengths[1] || lengths.contains(&1);
            batch.push(if lengths[0] == 1 { lengths[1] } else { lengths[0] });
        }
        if !fit {
            let expected = [left_batch, &[inner, columns]].concat();
            let found = right.to_vec();
            return Err(Error::ShapeMismatch { argument: "right", expected, found, broadcasts: false });
        }
        Ok(Self { batch, rows, inner, columns })
    }

    fn left(&self) -> Vec<usize> {
        [&self.batch[..], &[self.rows, self.inner]].concat()
    }

    fn right(&self) -> Vec<usize> {
        [&self.batch[..], &[self.inner, self.columns]].concat()
    }

    fn out(&self) -> Vec<usize> {
        [&self.batch[..], &[self.rows, self.columns]].concat()
    }

    /// The shape for the slice functions, if there is an array with these batch axes.
    fn matmul(&self) -> MatmulShape {
        let Self { rows, inner, columns, .. } = *self;
        MatmulShape { batch: self.batch.iter().product(), rows, inner, columns }
    }

    /// The index, within a factor of this shape, of the matrix that the product at `index` uses.
    fn place(&self, mut index: usize, shape: &[usize]) -> usize {
        let (batch, rank) = (&shape[..shape.len() - 2], self.batch.len());
        let (mut place, mut stride) = (0, 1);
        for (axis, &of_product) in self.batch.iter().enumerate().rev() {
            let length = length(batch, axis, rank);
            place += stride * (index % of_product).min(length - 1);
            stride *= length;
            index /= of_product;
        }
        place
    }
}

fn matrices<'a>(argument: &'static str, shape: &'a [usize]) -> Result<(&'a [usize], &'a [usize; 2]), Error> {
    shape.split_last_chunk().ok_or(Error::RankTooSmall { argument, least: 2, found: shape.len() })
}

/// The length of a factor's batch along one axis of the product's batch; 1 for an axis that it lacks.
fn length(batch: &[usize], axis: usize, rank: usize) -> usize {
    (axis + batch.len()).checked_sub(rank).map_or(1, |axis| batch[axis])
}

fn slice<'a, T: Float, D: Dimension>(array: &'a CowArray<'_, T, D>) -> &'a [T] {
    array.as_slice().expect("the standard layout is contiguous")
}

fn array<T, D: Dimension>(shape: D, elements: Vec<T>) -> Array<T, D> {
    Array::from_shape_vec(shape, elements).expect("as many elements as the shape has")
}
