//! What can be wrong with the arguments of a call.

use std::fmt;

/// What is wrong with the arguments of a call. The numbers of a sum are never wrong: every float has an answer.
///
/// Variants may be added, and fields to variants: match them with `..`. An argument has the name that it has in the
/// function's signature, or that of the method that takes it; `self` is the array whose method was called.
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
        /// Which slice.
        argument: &'static str,
        /// The argument that says how long it must be.
        fits: &'static str,
        /// How many elements it must have.
        expected: usize,
        /// How many elements it has.
        found: usize,
    },
    /// A slice in rows does not have a whole number of them.
    #[non_exhaustive]
    NotAMultiple {
        /// Which slice.
        argument: &'static str,
        /// How many elements it has.
        found: usize,
        /// What its length must be a multiple of.
        divisor: usize,
        /// What the divisor is the number of: classes, targets, or elements of a row.
        of: &'static str,
    },
    /// A slice must have an element at least.
    #[non_exhaustive]
    Empty {
        /// Which slice.
        argument: &'static str,
    },
    /// An array has the wrong shape.
    #[non_exhaustive]
    ShapeMismatch {
        /// Which array.
        argument: &'static str,
        /// The shape that it must have.
        expected: Vec<usize>,
        /// The shape that it has.
        found: Vec<usize>,
        /// Whether it may also have any shape that broadcasts to the expected one.
        broadcasts: bool,
    },
    /// The array does not have the length along an axis that another argument asks for.
    #[non_exhaustive]
    AxisLengthMismatch {
        /// The axis as it was given.
        axis: isize,
        /// The argument that says how long it must be.
        fits: &'static str,
        /// The length that it must have.
        expected: usize,
        /// The length that it has.
        found: usize,
    },
    /// An array has too few axes.
    #[non_exhaustive]
    RankTooSmall {
        /// Which array.
        argument: &'static str,
        /// How many axes it must have at least.
        least: usize,
        /// How many axes it has.
        found: usize,
    },
    /// An array of rank r has the axes −r to r − 1.
    #[non_exhaustive]
    AxisOutOfRange {
        /// The axis as it was given.
        axis: isize,
        /// The rank of the array.
        rank: usize,
    },
    /// The same axis was given twice, perhaps once from the front and once from the back.
    #[non_exhaustive]
    AxisTwice {
        /// The axis, counted from the front.
        axis: usize,
    },
    /// No memory can hold matrices of this shape.
    #[non_exhaustive]
    ShapeTooLarge {
        /// The shape as it was given, or that of the product.
        shape: Vec<usize>,
    },
    /// A temperature must be positive and finite.
    #[non_exhaustive]
    TemperatureOutOfRange {
        /// The temperature as it was given.
        temperature: f64,
    },
    /// Label smoothing must be between 0 and 1.
    #[non_exhaustive]
    LabelSmoothingOutOfRange {
        /// The label smoothing as it was given.
        smoothing: f64,
    },
    /// A z-loss must be finite and not negative.
    #[non_exhaustive]
    ZLossOutOfRange {
        /// The z-loss as it was given.
        z_loss: f64,
    },
    /// The weight of a class must be finite and not negative.
    #[non_exhaustive]
    ClassWeightOutOfRange {
        /// Which class.
        class: usize,
        /// Its weight.
        weight: f64,
    },
    /// There must be a class at least.
    NoClasses,
    /// A row must have an element at least, or nobody knows how many rows there are.
    RowLengthZero,
    /// A target must be a class, unless it is the ignored one.
    #[non_exhaustive]
    TargetOutOfRange {
        /// Which row.
        row: usize,
        /// Its target.
        target: usize,
        /// How many classes there are.
        classes: usize,
    },
    /// A target probability must be finite and not negative.
    #[non_exhaustive]
    ProbabilityOutOfRange {
        /// Which row.
        row: usize,
        /// Which class.
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
        /// The place of the offset that is too small.
        index: usize,
        /// The offset there.
        offset: usize,
        /// The offset before it.
        previous: usize,
    },
    /// The id of a number must be that of a segment.
    #[non_exhaustive]
    IdOutOfRange {
        /// The place of the id.
        index: usize,
        /// The id there.
        id: usize,
        /// How many segments there are.
        segments: usize,
    },
    /// No memory can hold so many segments.
    #[non_exhaustive]
    TooManySegments {
        /// How many segments there are to be.
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
            Self::TooManySegments { count } => write!(f, "{count} segments are more than memory can hold"),
        }
    }
}

/// A number of elements, in words.
struct Elements(usize);

impl fmt::Display for Elements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.0 == 1 { "element" } else { "elements" };
        write!(f, "{} {noun}", self.0)
    }
}

impl std::error::Error for Error {}
