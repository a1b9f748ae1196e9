use std::fmt;

/// What can be wrong with a call: never the numbers, only their shape.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// An output slice must have as many elements as its input.
    LengthMismatch {
        /// Elements of the input.
        expected: usize,
        /// Elements of the output that was given.
        found: usize,
    },
    /// An output array must have exactly this shape.
    ShapeMismatch {
        /// The shape that the result has.
        expected: Vec<usize>,
        /// The shape of the output that was given.
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
                write!(f, "the output has {found} elements, it must have {expected}, as the input has")
            }
            Self::ShapeMismatch { expected, found } => {
                write!(f, "the output has shape {found:?}, it must have shape {expected:?}")
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
            Self::AxisTwice { axis } => write!(f, "axis {axis} is given twice"),
        }
    }
}

impl std::error::Error for Error {}
