//! Every variant of [`Error`], from a call that returns it: its fields and its message.

use logsum::{
    Accumulator, CrossEntropy, Cumulative, Error, LogMatmul, LogSumExp, Reduction, Segments, Targets, Terms,
    cross_entropy, log_matmul, softmax,
};
use ndarray::{Array1, Array2, Array3, arr0};

/// Checks that a result is an error of this variant with these fields and this message, and returns the variant's
/// name.
macro_rules! check {
    ($result:expr, $variant:ident { $($($fields:tt)+)? } $(if $guard:expr)?, $line:expr) => {{
        let error = $result.err().expect(stringify!($result));
        let is_it = matches!(&error, Error::$variant { $($($fields)+,)? .. } $(if $guard)?);
        assert!(is_it, "{}: {error:?}", stringify!($result));
        let line = error.to_string();
        assert_eq!(line, $line);
        assert!(!line.contains('\n') && !line.ends_with('.'));
        seen(&error)
    }};
}

/// The name of the variant, as `Debug` prints it.
fn seen(error: &Error) -> String {
    let debug = format!("{error:?}");
    debug.split([' ', '{']).next().unwrap().to_owned()
}

#[test]
fn every_variant_says_what_is_wrong_and_where() {
    let array = Array3::<f64>::zeros((2, 3, 4));
    let (matrix, row) = (Array2::<f64>::zeros((3, 4)), Array1::<f64>::zeros(4));
    let (two, six) = ([0.0; 2], [0.0; 6]);
    let (number, many) = (arr0(0.0), 1_usize << 58);
    let loss = CrossEntropy::<f64>::new(3);
    let mean = |targets| loss.loss(&six, targets, Reduction::Mean);
    let seen = [
        check!(
            softmax(&two, &mut [0.0]),
            LengthMismatch { argument: "out", fits: "z", expected: 2, found: 1 },
            "`out` has 1 element, but needs 2 to fit `z`"
        ),
        check!(
            cross_entropy(&six, &[0; 4]),
            NotAMultiple { argument: "logits", found: 6, divisor: 4, of: "targets" },
            "`logits` has 6 elements, but needs a multiple of 4, the number of targets"
        ),
        check!(
            Segments::by_offsets(&[]),
            Empty { argument: "offsets" },
            "`offsets` is empty, but needs at least 1 element"
        ),
        check!(
            array.terms(0).unwrap().weights(&Array1::zeros(3)),
            ShapeMismatch { argument: "weights", expected, found, broadcasts: true }
                if *expected == [2, 3, 4] && *found == [3],
            "`weights` has the shape [3], but needs [2, 3, 4] or a shape that broadcasts to it"
        ),
        check!(
            array.softmax_into(0, Array3::zeros((2, 3, 5)).view_mut()),
            ShapeMismatch { argument: "out", expected, found, broadcasts: false }
                if *expected == [2, 3, 4] && *found == [2, 3, 5],
            "`out` has the shape [2, 3, 5], but needs [2, 3, 4]"
        ),
        check!(
            array.segment_logsumexp(-1, &Segments::by_ids(&[0, 1], 2).unwrap()),
            AxisLengthMismatch { axis: -1, fits: "segments", expected: 2, found: 4 },
            "axis -1 has the length 4, but needs 2 to fit `segments`"
        ),
        check!(
            matrix.log_matmul(&row),
            RankTooSmall { argument: "right", least: 2, found: 1 },
            "`right` has rank 1, but needs at least 2"
        ),
        check!(
            array.logsumexp(3),
            AxisOutOfRange { axis: 3, rank: 3 },
            "axis 3 is out of range: the array has rank 3, its axes are 0 to 2 or -3 to -1"
        ),
        check!(
            row.logsumexp(-2),
            AxisOutOfRange { axis: -2, rank: 1 },
            "axis -2 is out of range: the array has rank 1, its axis is 0 or -1"
        ),
        check!(
            ndarray::arr0(0.0).logsumexp(-1),
            AxisOutOfRange { axis: -1, rank: 0 },
            "axis -1 is out of range: the array has rank 0, hence no axes"
        ),
        check!(array.softmax([1, -2]), AxisTwice { axis: 1 }, "axis 1 is given twice"),
        check!(
            log_matmul::<f64>(&[], &[], [usize::MAX, 2, 0], &mut []),
            ShapeTooLarge { shape } if *shape == [1, usize::MAX, 2, 0],
            "matrices of shape [1, 18446744073709551615, 2, 0] have more elements than memory can hold"
        ),
        check!(
            Terms::new(&[0.0]).temperature(-0.0),
            TemperatureOutOfRange { temperature: -0.0 },
            "`temperature` is -0.0, but must be positive and finite"
        ),
        check!(
            loss.label_smoothing(1.5),
            LabelSmoothingOutOfRange { smoothing: 1.5 },
            "`label_smoothing` is 1.5, but must be between 0 and 1"
        ),
        check!(
            loss.z_loss(-1e-300),
            ZLossOutOfRange { z_loss: -1e-300 },
            "`z_loss` is -1e-300, but must be finite and not negative"
        ),
        check!(
            loss.class_weights(&[1.0, f64::INFINITY, 1.0]),
            ClassWeightOutOfRange { class: 1, weight: f64::INFINITY },
            "the weight of class 1 is inf, but must be finite and not negative"
        ),
        check!(
            CrossEntropy::new(0).loss(&six, Targets::Classes(&[]), Reduction::Sum),
            NoClasses {},
            "there are 0 classes, but there must be at least 1"
        ),
        check!(
            logsum::softmax_rows(&[1.0], 0, &mut [0.0]),
            RowLengthZero {},
            "`row_length` is 0, but must be at least 1"
        ),
        check!(
            mean(Targets::Classes(&[0, 3])),
            TargetOutOfRange { row: 1, target: 3, classes: 3 },
            "the target of row 1 is 3, but must be below 3, the number of classes"
        ),
        check!(
            logsum::token_log_probs(&six, &[0, 3], &mut [0.0; 2]),
            TokenOutOfRange { row: 1, token: 3, length: 3 },
            "the token of row 1 is 3, but must be below 3, the length of the row"
        ),
        check!(
            mean(Targets::Probabilities(&[0.0, 0.0, 0.0, 0.0, 0.0, f64::NAN])),
            ProbabilityOutOfRange { row: 1, class: 2, probability } if probability.is_nan(),
            "the target of row 1, class 2 is NaN, but must be finite and not negative"
        ),
        check!(
            Segments::by_offsets(&[1, 2]),
            FirstOffsetNotZero { offset: 1 },
            "offset 0 is 1, but must be 0"
        ),
        check!(
            Segments::by_offsets(&[0, 3, 2]),
            OffsetsNotSorted { index: 2, offset: 2, previous: 3 },
            "offset 2 is 2, but must be at least 3, the offset before it"
        ),
        check!(
            Segments::by_ids(&[0, 5], 3),
            IdOutOfRange { index: 1, id: 5, segments: 3 },
            "the id at index 1 is 5, but must be below 3, the number of segments"
        ),
        check!(
            Accumulator::<f64>::from_bytes(b"LSE1"),
            NotAState { reason: "a state of this kind has 112 bytes" },
            "these bytes are not a state: a state of this kind has 112 bytes"
        ),
        check!(
            number.broadcast(many).unwrap().logcumsumexp(0, Cumulative::forward()),
            OutOfMemory { bytes } if *bytes == 8 * many,
            "there is no memory for 2305843009213693952 bytes"
        ),
        check!(
            Segments::by_ids(&[], usize::MAX),
            TooManySegments { count: usize::MAX },
            "18446744073709551615 segments are more than memory can hold"
        ),
    ];
    // All variants of the enum: those lines of its source that are indented once and begin with a capital letter.
    let source = include_str!("../src/error.rs");
    let (_, variants) = source.split_once("pub enum Error {\n").unwrap();
    let (variants, _) = variants.split_once("\n}\n").unwrap();
    let names = variants.lines().filter_map(|line| line.strip_prefix("    "));
    let names = names.filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()));
    for name in names.map(|line| line.trim_end_matches([' ', '{', ','])) {
        assert!(seen.iter().any(|seen| seen == name), "no call of this test gives Error::{name}");
    }
}
