//! Log-sum-exp of consecutive or labelled segments of a sequence.

use crate::error::Error;
use crate::formats::Format;
use crate::kernels::Each;
use crate::kernels::block::Store;
use crate::memory::{has_room, zeros};
use crate::operations::batch::{Bounds, Rows, Wanted};
use crate::operations::per_format::{Float, compiled};
use crate::operations::row_reduction::{has_length, same_length};
use crate::operations::terms::Terms;

/// The partition of a sequence into segments.
///
/// The softmax of each segment is the gradient in [`logsumexp_with_gradient`](Self::logsumexp_with_gradient). See also
/// [`segment_logsumexp`], and [`logsumexp_rows`](crate::logsumexp_rows) for segments of equal length.
///
/// ```
/// use logsum::Segments;
/// let z = [0.0, 0.0, 7.0, 1.0, 1.0];
/// let mut out = [0.0; 3];
/// Segments::by_offsets(&[0, 2, 2, 5])?.logsumexp(&z, &mut out)?;
/// assert_eq!(out, [std::f64::consts::LN_2, f64::NEG_INFINITY, 7.004945256391497]);
/// Segments::by_ids(&[2, 0, 0, 2, 0], 3)?.logsumexp(&z, &mut out)?;
/// assert_eq!(out, [7.003384898902687, f64::NEG_INFINITY, 1.3132616875182228]);
/// # Ok::<(), logsum::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Segments {
    /// The offset of each segment, followed by the end of the last.
    offsets: Vec<usize>,
    /// The indices of the numbers in the order of the segments; `None` if they already are in that order.
    order: Option<Vec<usize>>,
}

impl Segments {
    /// Segment s consists of the numbers at `offsets[s]..offsets[s + 1]`, as the rows of a sparse matrix in CSR
    /// format. The last offset is the length of the sequence.
    ///
    /// ```
    /// let segments = logsum::Segments::by_offsets(&[0, 2, 2, 5])?; // of lengths 2, 0 and 3
    /// assert_eq!(segments.count(), 3);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Empty`] if there are no offsets, [`Error::FirstOffsetNotZero`], and [`Error::OffsetsNotSorted`] if
    /// an offset is less than the previous one.
    pub fn by_offsets(offsets: &[usize]) -> Result<Self, Error> {
        match offsets.first() {
            None => return Err(Error::Empty { argument: "offsets" }),
            Some(&0) => {}
            Some(&offset) => return Err(Error::FirstOffsetNotZero { offset }),
        }
        if let Some(i) = offsets.windows(2).position(|pair| pair[1] < pair[0]) {
            let (previous, offset) = (offsets[i], offsets[i + 1]);
            return Err(Error::OffsetsNotSorted { index: i + 1, offset, previous });
        }
        Ok(Self { offsets: offsets.to_vec(), order: None })
    }

    /// Number i belongs to segment `ids[i]`, out of `count` segments. Ids that are not sorted are put in order by a
    /// counting sort, which keeps one machine word per number and meanwhile needs one more per segment; sorted ids need
    /// neither.
    ///
    /// ```
    /// let mut out = [0.0; 3];
    /// logsum::Segments::by_ids(&[2, 0, 2], 3)?.logsumexp(&[5.0, 1.0, 5.0], &mut out)?;
    /// assert_eq!(out, [1.0, f64::NEG_INFINITY, 5.0 + std::f64::consts::LN_2]);
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::IdOutOfRange`] if an id is not below `count`, [`Error::TooManySegments`] if memory cannot hold
    /// `count` segments, [`Error::OutOfMemory`] if it cannot hold the order of the numbers.
    pub fn by_ids(ids: &[usize], count: usize) -> Result<Self, Error> {
        let mut offsets = Vec::new();
        if offsets.try_reserve_exact(count.saturating_add(1)).is_err() {
            return Err(Error::TooManySegments { count });
        }
        offsets.resize(count + 1, 0);
        let mut is_sorted = true;
        let mut last = 0;
        let mut i = 0;
        // One run of equal ids at a time.
        while let Some(&id) = ids.get(i) {
            if id >= count {
                return Err(Error::IdOutOfRange { index: i, id, segments: count });
            }
            is_sorted &= id >= last;
            last = id;
            let run = ids[i..].iter().take_while(|&&next| next == id).count();
            offsets[id + 1] += run;
            i += run;
        }
        for id in 0..count {
            offsets[id + 1] += offsets[id];
        }
        if is_sorted {
            return Ok(Self { offsets, order: None });
        }
        has_room::<usize>(offsets.len())?;
        let (mut next, mut order) = (offsets.clone(), zeros(ids.len())?);
        for (i, &id) in ids.iter().enumerate() {
            order[next[id]] = i;
            next[id] += 1;
        }
        Ok(Self { offsets, order: Some(order) })
    }

    /// The number of segments.
    #[must_use]
    pub fn count(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Writes the log-sum-exp of each segment into `out`, correctly rounded; −∞ for an empty segment. `z` is the whole
    /// sequence. Special cases are those of [`logsumexp`](crate::logsumexp).
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if the length of `z` is not the total length of the segments, or `out` does not
    /// have one element per segment; [`Error::OutOfMemory`] if there is too little memory for a copy of `z` in the
    /// order of the segments. Nothing is written then.
    pub fn logsumexp<T: Float>(&self, z: &[T], out: &mut [T]) -> Result<(), Error> {
        <T as Compiled<T>>::logsumexp(self, z, out)
    }

    /// Writes the values of [`logsumexp`](Self::logsumexp) into `out`, and the softmax of each segment into
    /// `gradient`, correctly rounded, at the places of its numbers in `z`.
    ///
    /// ```
    /// let (mut out, mut gradient) = ([0.0; 2], [0.0; 3]);
    /// let segments = logsum::Segments::by_ids(&[1, 0, 1], 2)?;
    /// segments.logsumexp_with_gradient(&[5.0, 3.0, 5.0], &mut out, &mut gradient)?;
    /// assert_eq!((out, gradient), ([3.0, 5.0 + std::f64::consts::LN_2], [0.5, 1.0, 0.5]));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`logsumexp`](Self::logsumexp), and [`Error::LengthMismatch`] if `gradient` is not as long as `z`.
    pub fn logsumexp_with_gradient<T: Float>(
        &self,
        z: &[T],
        out: &mut [T],
        gradient: &mut [T],
    ) -> Result<(), Error> {
        <T as Compiled<T>>::logsumexp_with_gradient(self, z, out, gradient)
    }

    /// Writes the values of [`logsumexp`](Self::logsumexp) into `out`, and their derivatives in the direction
    /// `tangent` into `slopes`, with the bound of [`logsumexp_jvp`](crate::logsumexp_jvp).
    ///
    /// ```
    /// let (mut out, mut slopes) = ([0.0; 2], [0.0; 2]);
    /// let segments = logsum::Segments::by_ids(&[1, 0, 1], 2)?;
    /// segments.logsumexp_jvp(&[5.0, 3.0, 5.0], &[1.0, 7.0, 2.0], &mut out, &mut slopes)?;
    /// assert_eq!((out, slopes), ([3.0, 5.0 + std::f64::consts::LN_2], [7.0, 1.5]));
    /// # Ok::<(), logsum::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`logsumexp`](Self::logsumexp), and [`Error::LengthMismatch`] if `tangent` is not as long as `z`, or
    /// `slopes` not as long as `out`.
    pub fn logsumexp_jvp<T: Float>(
        &self,
        z: &[T],
        tangent: &[T],
        out: &mut [T],
        slopes: &mut [T],
    ) -> Result<(), Error> {
        <T as Compiled<T>>::logsumexp_jvp(self, z, tangent, out, slopes)
    }
}

compiled! {
    fn logsumexp(segments: &Segments, z: &[T], out: &mut [T]) -> Result<(), Error> {
        segments.fits(z, out)?;
        let gathered = segments.gathered(z)?;
        segments.reduce(gathered.as_deref().unwrap_or(z), out, None);
        Ok(())
    }

    fn logsumexp_with_gradient(segments: &Segments, z: &[T],
        out: &mut [T],
        gradient: &mut [T],
    ) -> Result<(), Error> {
        segments.fits(z, out)?;
        same_length("gradient", gradient, "z", z)?;
        match (segments.gathered(z)?, &segments.order) {
            (Some(z), Some(order)) => {
                let mut shares = zeros(z.len())?;
                segments.reduce(&z, out, Some(&mut shares));
                shares.into_iter().zip(order).for_each(|(share, &place)| gradient[place] = share);
            }
            _ => segments.reduce(z, out, Some(gradient)),
        }
        Ok(())
    }

    fn logsumexp_jvp(segments: &Segments, z: &[T],
        tangent: &[T],
        out: &mut [T],
        slopes: &mut [T],
    ) -> Result<(), Error> {
        segments.fits(z, out)?;
        same_length("tangent", tangent, "z", z)?;
        same_length("slopes", slopes, "out", out)?;
        let (gathered, tangents) = (segments.gathered(z)?, segments.gathered(tangent)?);
        let (z, tangent) = (gathered.as_deref().unwrap_or(z), tangents.as_deref().unwrap_or(tangent));
        for (s, (out, slope)) in out.iter_mut().zip(slopes).enumerate() {
            let range = segments.offsets[s]..segments.offsets[s + 1];
            (*out, *slope) = Terms::new(&z[range.clone()]).jvp(&tangent[range])?;
        }
        Ok(())
    }
}

impl Segments {
    /// The total length of the segments.
    fn length(&self) -> usize {
        self.offsets[self.count()]
    }

    /// Checks that an array's axis has the total length of the segments.
    #[cfg(feature = "ndarray")]
    pub(crate) fn fit_axis(&self, axis: isize, found: usize) -> Result<(), Error> {
        let expected = self.length();
        if found == expected {
            Ok(())
        } else {
            Err(Error::AxisLengthMismatch { axis, fits: "segments", expected, found })
        }
    }

    fn fits<T: Format>(&self, z: &[T], out: &[T]) -> Result<(), Error> {
        has_length("z", z.len(), "segments", self.length())?;
        has_length("out", out.len(), "segments", self.count())
    }

    /// The numbers in the order of the segments; `None` if they already are in that order.
    fn gathered<T: Format>(&self, z: &[T]) -> Result<Option<Vec<T>>, Error> {
        let Some(order) = &self.order else { return Ok(None) };
        has_room::<T>(order.len())?;
        Ok(Some(order.iter().map(|&place| z[place]).collect()))
    }

    /// Writes the value of each segment, and optionally its softmax; `z` is in the order of the segments.
    fn reduce<T: Format>(&self, z: &[T], out: &mut [T], shares: Option<&mut [T]>) {
        let each = shares.map(|shares| (Each::Share, shares));
        let bounds = Bounds::Offsets(&self.offsets);
        Rows { z, bounds }.reduce(Wanted { value: Some(out), each }, Store::Caches);
    }
}

/// Writes the log-sum-exp of each segment into `out`, correctly rounded: number i belongs to segment `ids[i]`, and
/// `out` has one element per segment. It is [`Segments::by_ids`] followed by [`Segments::logsumexp`].
///
/// See also [`Segments`] for offsets, gradients and repeated use.
///
/// ```
/// let mut out = [0.0; 2];
/// logsum::segment_logsumexp(&[5.0, 5.0, 3.0], &[1, 1, 0], &mut out)?;
/// assert_eq!(out, [3.0, 5.0 + std::f64::consts::LN_2]);
/// # Ok::<(), logsum::Error>(())
/// ```
///
/// # Errors
/// [`Error::IdOutOfRange`] if an id is not below the length of `out`, [`Error::LengthMismatch`] if `ids` is not as
/// long as `z`, [`Error::OutOfMemory`] as for [`Segments`]; nothing is written then.
pub fn segment_logsumexp<T: Float>(z: &[T], ids: &[usize], out: &mut [T]) -> Result<(), Error> {
    same_length("ids", ids, "z", z)?;
    Segments::by_ids(ids, out.len())?.logsumexp(z, out)
}
