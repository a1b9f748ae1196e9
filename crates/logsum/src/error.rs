//! The error type of all functions: an invalid argument, or too little memory.

use std::fmt;

/// Why a call failed: an invalid argument, or too little memory. The numbers of a sum are never invalid: every float
/// has an answer.
///
/// Later versions may add variants, and fields to variants: match them with `..`. An argument is named as in the
/// function's signature, or after the method that sets it; `self` is the array whose method was called.
///
/// ```
/// use logsum::{Error, softmax};
/// let error = softmax(&[1.0, 2.0], &mut [0.0]).unwrap_err();
/// assert!(matches!(error, Error::LengthMismatch { argument: "out", expected: 2, found: 1, .. }));
/// assert_eq!(error.to_string(), "`out` has 1 element, but needs 2 to fit `z`");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A slice has too few or too many elements.
    #[non_exhaustive]
    LengthMismatch {
        /// The name of the slice.
        argument: &'static str,
        /// The argument that determines the required length.
        fits: &'static str,
        /// The number of elements it must have.
        expected: usize,
        /// The number of elements it has.
        found: usize,
    },
    /// The length of a slice of rows is not a multiple of the row length.
    #[non_exhaustive]
    NotAMultiple {
        /// The name of the slice.
        argument: &'static str,
        /// The number of elements it has.
        found: usize,
        /// Its length must be a multiple of this number.
        divisor: usize,
        /// What the divisor counts: classes, targets, tokens, or elements of a row.
        of: &'static str,
    },
    /// A slice must have at least one element.
    #[non_exhaustive]
    Empty {
        /// The name of the slice.
        argument: &'static str,
    },
    /// An array has the wrong shape.
    #[non_exhaustive]
    ShapeMismatch {
        /// The name of the array.
        argument: &'static str,
        /// The required shape.
        expected: Vec<usize>,
        /// The actual shape.
        found: Vec<usize>,
        /// Whether a shape that broadcasts to the expected one is also accepted.
        broadcasts: bool,
    },
    /// The length of the array along an axis does not match another argument.
    #[non_exhaustive]
    AxisLengthMismatch {
        /// The axis, as given.
        axis: isize,
        /// The argument that determines the required length.
        fits: &'static str,
        /// The required length.
        expected: usize,
        /// The actual length.
        found: usize,
    },
    /// An array has too few axes.
    #[non_exhaustive]
    RankTooSmall {
        /// The name of the array.
        argument: &'static str,
        /// The minimum number of axes.
        least: usize,
        /// The number of axes it has.
        found: usize,
    },
    /// An axis is out of range: an array of rank r has the axes −r to r − 1.
    #[non_exhaustive]
    AxisOutOfRange {
        /// The axis, as given.
        axis: isize,
        /// The rank of the array.
        rank: usize,
    },
    /// An axis was given twice, perhaps once from the front and once from the back.
    #[non_exhaustive]
    AxisTwice {
        /// The axis, counted from the front.
        axis: usize,
    },
    /// Matrices of this shape do not fit into memory.
    #[non_exhaustive]
    ShapeTooLarge {
        /// The shape as given, or that of the product.
        shape: Vec<usize>,
    },
    /// A temperature must be positive and finite.
    #[non_exhaustive]
    TemperatureOutOfRange {
        /// The temperature, as given.
        temperature: f64,
    },
    /// Label smoothing must be between 0 and 1.
    #[non_exhaustive]
    LabelSmoothingOutOfRange {
        /// The label smoothing, as given.
        smoothing: f64,
    },
    /// A z-loss must be finite and nonnegative.
    #[non_exhaustive]
    ZLossOutOfRange {
        /// The z-loss, as given.
        z_loss: f64,
    },
    /// The weight of a class must be finite and nonnegative.
    #[non_exhaustive]
    ClassWeightOutOfRange {
        /// The index of the class.
        class: usize,
        /// Its weight.
        weight: f64,
    },
    /// There must be at least one class.
    NoClasses,
    /// A row must have at least one element; otherwise the number of rows is undefined.
    RowLengthZero,
    /// A target must be the index of a class, unless it is the ignored one.
    #[non_exhaustive]
    TargetOutOfRange {
        /// The index of the row.
        row: usize,
        /// Its target.
        target: usize,
        /// The number of classes.
        classes: usize,
    },
    /// A token must be an index of its row.
    TokenOutOfRange {
        /// The index of the row.
        row: usize,
        /// Its token.
        token: usize,
        /// The length of the row.
        length: usize,
    },
    /// A target probability must be finite and nonnegative.
    #[non_exhaustive]
    ProbabilityOutOfRange {
        /// The index of the row.
        row: usize,
        /// The index of the class.
        class: usize,
        /// The probability.
        probability: f64,
    },
    /// The first offset of segments must be 0.
    #[non_exhaustive]
    FirstOffsetNotZero {
        /// The first offset.
        offset: usize,
    },
    /// No offset of segments may be less than the one before it.
    #[non_exhaustive]
    OffsetsNotSorted {
        /// The index of the offset that is too small.
        index: usize,
        /// The offset at this index.
        offset: usize,
        /// The offset before it.
        previous: usize,
    },
    /// An id must be the index of a segment.
    #[non_exhaustive]
    IdOutOfRange {
        /// The index of the id.
        index: usize,
        /// The id at this index.
        id: usize,
        /// The number of segments.
        segments: usize,
    },
    /// The bytes are not the state of a sum.
    #[non_exhaustive]
    NotAState {
        /// Why they are not.
        reason: &'static str,
    },
    /// There is too little memory for a result, or for a copy that its computation needs.
    #[non_exhaustive]
    OutOfMemory {
        /// The number of bytes requested.
        bytes: usize,
    },
    /// This number of segments does not fit into memory.
    #[non_exhaustive]
    TooManySegments {
        /// The number of segments requested.
        count: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NOT_NEGATIVE: &str = "but must be finite and not negative";
        match self {
            Self::LengthMismatch { argument, fits, expected, found } => {
                write!(f, "`{argument}` has {}, but needs {expected} to fit `{fits}`", Elements(*found))
            }
            Self::NotAMultiple { argument, found, divisor, of } => {
                let found = Elements(*found);
                write!(f, "`{argument}` has {found}, but needs a multiple of {divisor}, the number of {of}")
            }
            Self::Empty { argument } => write!(f, "`{argument}` is empty, but needs at least 1 element"),
            Self::ShapeMismatch { argument, expected, found, broadcasts } => {
                let or = if *broadcasts { " or a shape that broadcasts to it" } else { "" };
                write!(f, "`{argument}` has the shape {found:?}, but needs {expected:?}{or}")
            }
            Self::AxisLengthMismatch { axis, fits, expected, found } => {
                write!(f, "axis {axis} has the length {found}, but needs {expected} to fit `{fits}`")
            }
            Self::RankTooSmall { argument, least, found } => {
                write!(f, "`{argument}` has rank {found}, but needs at least {least}")
            }
            Self::AxisOutOfRange { axis, rank: 0 } => {
                write!(f, "axis {axis} is out of range: the array has rank 0, hence no axes")
            }
            Self::AxisOutOfRange { axis, rank: 1 } => {
                write!(f, "axis {axis} is out of range: the array has rank 1, its axis is 0 or -1")
            }
            Self::AxisOutOfRange { axis, rank } => {
                write!(
                    f,
                    "axis {axis} is out of range: the array has rank {rank}, its axes are 0 to {} or -{rank} to -1",
                    rank - 1
                )
            }
            Self::AxisTwice { axis } => write!(f, "axis {axis} is given twice"),
            Self::ShapeTooLarge { shape } => {
                write!(f, "matrices of shape {shape:?} have more elements than memory can hold")
            }
            Self::TemperatureOutOfRange { temperature } => {
                write!(f, "`temperature` is {temperature:?}, but must be positive and finite")
            }
            Self::LabelSmoothingOutOfRange { smoothing } => {
                write!(f, "`label_smoothing` is {smoothing:?}, but must be between 0 and 1")
            }
            Self::ZLossOutOfRange { z_loss } => write!(f, "`z_loss` is {z_loss:?}, {NOT_NEGATIVE}"),
            Self::ClassWeightOutOfRange { class, weight } => {
                write!(f, "the weight of class {class} is {weight:?}, {NOT_NEGATIVE}")
            }
            Self::NoClasses => write!(f, "there are 0 classes, but there must be at least 1"),
            Self::RowLengthZero => write!(f, "`row_length` is 0, but must be at least 1"),
            Self::TargetOutOfRange { row, target, classes } => {
                write!(
                    f,
                    "the target of row {row} is {target}, but must be below {classes}, the number of classes"
                )
            }
            Self::TokenOutOfRange { row, token, length } => {
                write!(
                    f,
                    "the token of row {row} is {token}, but must be below {length}, the length of the row"
                )
            }
            Self::ProbabilityOutOfRange { row, class, probability } => {
                write!(f, "the target of row {row}, class {class} is {probability:?}, {NOT_NEGATIVE}")
            }
            Self::FirstOffsetNotZero { offset } => write!(f, "offset 0 is {offset}, but must be 0"),
            Self::OffsetsNotSorted { index, offset, previous } => {
                write!(f, "offset {index} is {offset}, but must be at least {previous}, the offset before it")
            }
            Self::IdOutOfRange { index, id, segments } => {
                write!(
                    f,
                    "the id at index {index} is {id}, but must be below {segments}, the number of segments"
                )
            }
            Self::NotAState { reason } => write!(f, "these bytes are not a state: {reason}"),
            Self::OutOfMemory { bytes } => write!(f, "there is no memory for {bytes} bytes"),
            Self::TooManySegments { count } => write!(f, "{count} segments are more than memory can hold"),
        }
    }
}

/// Displays "1 element" or "n elements".
struct Elements(usize);

impl fmt::Display for Elements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.0 == 1 { "element" } else { "elements" };
        write!(f, "{} {noun}", self.0)
    }
}

impl std::error::Error for Error {}
