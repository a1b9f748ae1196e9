//! What can be wrong with a call.

use std::fmt;

/// What can be wrong with a call: never the numbers, only their shape.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A slice must have so many elements: as many as the input, as a rule.
    LengthMismatch {
        /// Elements that it must have.
        expected: usize,
        /// Elements that it has.
        found: usize,
    },
    /// An array must have this shape; weights and masks may also broadcast to it.
    ShapeMismatch {
        /// The shape that it must have.
        expected: Vec<usize>,
        /// The shape that it has.
        found: Vec<usize>,
    },
    /// A slice that is a matrix, or a batch of them, must have as many elements as the shape says.
    MatrixLength {
        /// Which argument.
        matrix: &'static str,
        /// Elements by the shape.
        expected: usize,
        /// Elements that were given.
        found: usize,
    },
    /// No memory can hold matrices of this shape.
    ShapeTooLarge {
        /// The shape as it was given.
        shape: Vec<usize>,
    },
    /// Axes of an array of rank r run from −r to r − 1.
    AxisOutOfRange {
        /// The axis as it was given.
        axis: isize,
        /// The rank of the array.
        rank: usize,
    },
    /// A number that an operation is given must lie in a range.
    OutOfRange {
        /// What it is, and where.
        what: String,
        /// The number as it was given.
        found: String,
        /// The range.
        range: String,
    },
    /// The same axis was named twice, perhaps once from the front and once from the back.
    AxisTwice {
        /// The axis, counted from the front.
        axis: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LengthMismatch { expected, found } => {
                write!(
                    f,
                    "a slice has {found} elements where {expected} are needed, as many as its input has"
                )
            }
            Self::ShapeMismatch { expected, found } => {
                write!(f, "an array has shape {found:?} where {expected:?} is needed")
            }
            Self::MatrixLength { matrix, expected, found } => {
                write!(f, "`{matrix}` has {found} elements, it must have {expected}, as the shape says")
            }
            Self::ShapeTooLarge { shape } => {
                write!(f, "matrices of shape {shape:?} have more elements than memory can hold")
            }
            Self::AxisOutOfRange { axis, rank: 0 } => {
                write!(f, "axis {axis} is out of range: the array has rank 0, hence no axes")
            }
            Self::AxisOutOfRange { axis, rank } => {
                write!(
                    f,
                    "axis {axis} is out of range: the array has rank {rank}, its axes are 0 to {} or -{rank} to -1",
                    rank - 1
                )
            }
            Self::OutOfRange { what, found, range } => write!(f, "{what} is {found}, it must be {range}"),
            Self::AxisTwice { axis } => write!(f, "axis {axis} is given twice"),
        }
    }
}

impl Error {
    pub(crate) fn out_of_range(
        what: impl fmt::Display,
        found: impl fmt::Display,
        range: impl fmt::Display,
    ) -> Self {
        Self::OutOfRange { what: what.to_string(), found: found.to_string(), range: range.to_string() }
    }
}

impl std::error::Error for Error {}
