//! The axes of a reduction, and whether the result keeps them.

use crate::error::Error;

/// The axes to reduce over: all, one, or several; an axis is counted from the front, or from the back if negative.
///
/// `-1`, `[0, 2]`, a slice, a vector, and `()` for all axes convert into it. The reduced axes are dropped from the
/// result unless [`keep`](Axes::keep) keeps them with length 1.
///
/// ```
/// use logsum::{Axes, LogSumExp};
/// let z = ndarray::Array3::<f64>::zeros((2, 3, 4));
/// assert_eq!(z.logsumexp(-1)?.shape(), [2, 3]);
/// assert_eq!(z.logsumexp([0, -1])?.shape(), [3]);
/// assert_eq!(z.logsumexp(Axes::all())?.shape(), [0; 0]);
/// assert_eq!(z.logsumexp(Axes::from(1).keep())?.shape(), [2, 1, 4]);
/// # Ok::<(), logsum::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axes {
    /// `None` for every axis.
    which: Option<Vec<isize>>,
    keep: bool,
}

impl Axes {
    /// Every axis: one log-sum-exp over the whole array.
    ///
    /// ```
    /// use logsum::{Axes, LogSumExp};
    /// let z = ndarray::array![[0.0, 0.0], [0.0, 0.0]];
    /// assert_eq!(z.logsumexp(Axes::all())?, ndarray::arr0(4f64.ln()).into_dyn());
    /// # Ok::<(), logsum::Error>(())
    /// ```
    #[must_use]
    pub fn all() -> Self {
        Self { which: None, keep: false }
    }

    /// Keeps the reduced axes in the result, with length 1, so that the result broadcasts against the input.
    ///
    /// ```
    /// use logsum::{Axes, LogSumExp};
    /// let z = ndarray::array![[2.0, 2.0], [0.0, 0.0]].into_dyn();
    /// let means = z.logmeanexp(Axes::from(1).keep())?;
    /// assert_eq!(&z - &means, ndarray::ArrayD::<f64>::zeros(vec![2, 2]));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    #[must_use]
    pub fn keep(mut self) -> Self {
        self.keep = true;
        self
    }

    pub(crate) fn are_kept(&self) -> bool {
        self.keep
    }

    /// Whether each axis of an array of this rank is reduced.
    pub(crate) fn reduced(&self, rank: usize) -> Result<Vec<bool>, Error> {
        let Some(which) = &self.which else { return Ok(vec![true; rank]) };
        let mut reduced = vec![false; rank];
        for &axis in which {
            let index = if axis < 0 { axis.checked_add_unsigned(rank) } else { Some(axis) };
            let index = index
                .and_then(|index| usize::try_from(index).ok())
                .filter(|&index| index < rank)
                .ok_or(Error::AxisOutOfRange { axis, rank })?;
            if std::mem::replace(&mut reduced[index], true) {
                return Err(Error::AxisTwice { axis: index });
            }
        }
        Ok(reduced)
    }
}

impl From<()> for Axes {
    fn from((): ()) -> Self {
        Self::all()
    }
}

impl From<isize> for Axes {
    fn from(axis: isize) -> Self {
        Self::from(vec![axis])
    }
}

impl From<Vec<isize>> for Axes {
    fn from(axes: Vec<isize>) -> Self {
        Self { which: Some(axes), keep: false }
    }
}

impl From<&[isize]> for Axes {
    fn from(axes: &[isize]) -> Self {
        Self::from(axes.to_vec())
    }
}

impl<const N: usize> From<[isize; N]> for Axes {
    fn from(axes: [isize; N]) -> Self {
        Self::from(axes.to_vec())
    }
}
