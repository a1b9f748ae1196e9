//! Axes, shapes and layouts: every form of a reduction against the slice function applied to each lane.

use logsum::{Axes, Cumulative, Error, LogSumExp, Segments, log_softmax, logsumexp, softmax};
use ndarray::{Array, Array2, Array3, ArrayD, ArrayView3, Axis, IxDyn, ShapeBuilder, s};

fn numbers(shape: [usize; 3]) -> Array3<f64> {
    let mut state = 1_u64;
    Array::from_shape_simple_fn(shape, || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f64 / 65536.0 - 128.0
    })
}

/// The lanes of `z` over the reduced axes, in order, as vectors, each with its index.
fn lanes(z: ArrayView3<f64>, reduced: &[usize]) -> Vec<(Vec<usize>, Vec<f64>)> {
    let mut lanes: Vec<(Vec<usize>, Vec<f64>)> = Vec::new();
    let kept = |axis: &usize| !reduced.contains(axis);
    for index in ndarray::indices(z.dim()) {
        let index: [usize; 3] = index.into();
        let key: Vec<usize> = (0..3).filter(kept).map(|axis| index[axis]).collect();
        match lanes.iter_mut().find(|(other, _)| *other == key) {
            Some((_, lane)) => lane.push(z[index]),
            None => lanes.push((key, vec![z[index]])),
        }
    }
    lanes
}

fn layouts() -> Vec<(&'static str, Array3<f64>, [i32; 3])> {
    let c = numbers([3, 4, 5]);
    let mut fortran = Array3::zeros((3, 4, 5).f());
    fortran.assign(&c);
    vec![
        ("C order", c.clone(), [1, 1, 1]),
        ("Fortran order", fortran, [1, 1, 1]),
        ("negative strides", c, [-1, 1, -1]),
        ("gaps", numbers([6, 4, 15]), [2, 1, -3]),
        ("one long axis", numbers([2, 1100, 1]), [1, -1, 1]),
    ]
}

const AXES: [&[isize]; 10] = [&[0], &[1], &[2], &[-1], &[-3], &[0, 1], &[2, 0], &[-1, -2], &[0, 1, 2], &[]];

#[test]
fn every_choice_of_axes_in_every_layout() {
    for (name, array, [a, b, c]) in layouts() {
        let z = array.slice(s![..;a as isize, ..;b as isize, ..;c as isize]);
        for axes in AXES {
            let reduced: Vec<usize> = axes.iter().map(|&axis| axis.rem_euclid(3) as usize).collect();
            let (values, gradient) = z.logsumexp_with_gradient(axes).unwrap();
            let [p, log_p] = [z.softmax(axes).unwrap(), z.log_softmax(axes).unwrap()];
            let kept = z.logsumexp(Axes::from(axes).keep()).unwrap();
            assert_eq!(kept.ndim(), 3);
            assert_eq!(kept.iter().collect::<Vec<_>>(), values.iter().collect::<Vec<_>>());
            assert_eq!(z.logsumexp(axes).unwrap(), values);
            assert_eq!(gradient, p, "{name}, {axes:?}");
            let [all, p, log_p] = [z, p.view(), log_p.view()].map(|array| lanes(array, &reduced));
            assert_eq!(all.len(), values.len());
            for ((((key, lane), (_, p)), (_, log_p)), value) in all.into_iter().zip(p).zip(log_p).zip(&values)
            {
                assert_eq!(values[&key[..]], *value, "{name}, {axes:?}: order");
                assert_eq!(logsumexp(&lane), *value, "{name}, {axes:?}: value");
                let mut expected = vec![0.0; lane.len()];
                softmax(&lane, &mut expected).unwrap();
                assert_eq!(p, expected, "{name}, {axes:?}: softmax");
                log_softmax(&lane, &mut expected).unwrap();
                assert_eq!(log_p, expected, "{name}, {axes:?}: log-softmax");
            }
        }
        assert_eq!(z.logsumexp(()).unwrap(), z.logsumexp([0, 1, 2]).unwrap());
        assert_eq!(z.logsumexp(Axes::all().keep()).unwrap().shape(), [1, 1, 1]);
    }
}

/// Kept axes on both sides of the reduced one, which are one axis of columns, and rows that are neither beside
/// each other nor columns, of which there are more than are copied at a time.
#[test]
fn many_rows_between_kept_axes_or_scattered() {
    let c = numbers([3, 5, 60 * 70]);
    let split = c.view().into_shape_with_order((3, 5, 60, 70)).unwrap();
    assert_eq!(split.softmax(1).unwrap().into_shape_with_order((3, 5, 4200)).unwrap(), c.softmax(1).unwrap());
    assert_eq!(
        split.logsumexp(1).unwrap().into_shape_with_order((3, 4200)).unwrap().into_dyn(),
        c.logsumexp(1).unwrap()
    );
    let standard = numbers([2000, 9, 4]);
    let mut fortran = Array3::zeros((2000, 9, 4).f());
    fortran.assign(&standard);
    let (values, gradient) = fortran.logsumexp_with_gradient(-1).unwrap();
    assert_eq!((values, gradient), standard.logsumexp_with_gradient(-1).unwrap());
    assert_eq!(fortran.log_softmax(-1).unwrap(), standard.log_softmax(-1).unwrap());
    assert_eq!(fortran.logsumexp(-1).unwrap(), standard.logsumexp(-1).unwrap());
}

#[test]
fn results_go_into_views_of_any_layout() {
    let z = numbers([3, 4, 5]);
    let mut value = Array2::zeros((5, 3).f());
    let mut gradient = Array3::zeros((3, 5, 4));
    z.logsumexp_with_gradient_into(
        1,
        value.view_mut().reversed_axes(),
        gradient.view_mut().permuted_axes([0, 2, 1]),
    )
    .unwrap();
    let (expected_value, expected_gradient) = z.logsumexp_with_gradient(1).unwrap();
    assert_eq!(value.reversed_axes().into_dyn(), expected_value);
    assert_eq!(gradient.permuted_axes([0, 2, 1]), expected_gradient);

    let mut long = Array2::zeros((2500, 6));
    let z = numbers([2, 2500, 2]);
    let z = z.index_axis(Axis(0), 1);
    z.softmax_into(0, long.slice_mut(s![..;-1, ..;3])).unwrap();
    assert_eq!(long.slice(s![..;-1, ..;3]), z.softmax(0).unwrap());
    assert!(long.column(1).iter().all(|&x| x == 0.0));
    z.log_softmax_into(0, long.slice_mut(s![.., 1..3])).unwrap();
    assert_eq!(long.slice(s![.., 1..3]), z.log_softmax(0).unwrap());

    let mut kept = ArrayD::zeros(IxDyn(&[1, 2]));
    z.logsumexp_into(Axes::from(0).keep(), kept.view_mut()).unwrap();
    assert_eq!(kept, z.logsumexp(Axes::from(0).keep()).unwrap());
}

#[test]
fn broadcast_axes_are_read_in_place() {
    let one = ndarray::arr1(&[1.0, 2.0, -3.5]);
    let many = one.broadcast((4000, 3)).unwrap();
    let ln_4000 = 4000f64.ln();
    for (found, expected) in many.logsumexp(0).unwrap().iter().zip(&one) {
        assert!((found - (expected + ln_4000)).abs() < 4e-15, "{found}, {expected}");
    }
    assert!(many.logsumexp(1).unwrap().iter().all(|&x| x == one.logsumexp(0).unwrap()[[]]));
    assert_eq!(many.softmax(0).unwrap(), Array2::from_elem((4000, 3), 1.0 / 4000.0));
    // 2^40 rows of no elements, in a view of one number.
    let huge = ndarray::arr0(0.0f32);
    let huge = huge.broadcast((1 << 40, 0)).unwrap();
    assert_eq!(huge.logsumexp(()).unwrap()[[]], f32::NEG_INFINITY);
}

#[test]
fn axes_of_length_0() {
    for (shape, axes, result) in [
        (vec![3, 0], vec![1], vec![3]),
        (vec![3, 0], vec![0], vec![0]),
        (vec![0, 3], vec![0], vec![3]),
        (vec![3, 0], vec![0, 1], vec![]),
        (vec![0], vec![0], vec![]),
        (vec![2, 0, 3], vec![1], vec![2, 3]),
        (vec![2, 0, 3], vec![2], vec![2, 0]),
    ] {
        let z = ArrayD::<f32>::zeros(shape.clone());
        let (value, gradient) = z.logsumexp_with_gradient(axes.clone()).unwrap();
        assert_eq!((value.shape(), gradient.shape()), (&result[..], &shape[..]));
        assert!(value.iter().all(|&value| value == f32::NEG_INFINITY));
        assert_eq!(z.softmax(axes.clone()).unwrap().shape(), shape);
        assert_eq!(z.log_softmax(axes).unwrap().shape(), shape);
    }
}

/// Arrays without elements whose other axes are so long that the result cannot exist, or that there is no time to visit
/// every row.
#[test]
fn empty_arrays_with_long_axes() {
    const HUGE: usize = 1 << 61;
    let number = ndarray::arr0(0.0);
    let is_too_large = |error: Option<Error>| matches!(error, Some(Error::OutOfMemory { .. }));
    // ndarray limits the product of the lengths that are not 0.
    let segments = Segments::by_offsets(&[0, 1, 1]).unwrap();
    let values = Array3::<f64>::zeros((0, HUGE, 1)).segment_logsumexp(2, &segments);
    assert_eq!(values.unwrap().shape(), [0, HUGE, 2]);
    assert!(is_too_large(Array3::<f64>::zeros((0, 2 * HUGE, 1)).segment_logsumexp(2, &segments).err()));
    assert!(is_too_large(logsum::array_of_zeros::<f64, _>(IxDyn(&[0, 1 << 40, 1 << 40])).err()));
    // One row of this length would not fit into memory.
    let none = Array2::<f64>::zeros((0, HUGE));
    assert_eq!(none.logcumsumexp(1, Cumulative::forward()).unwrap(), none);
    assert_eq!(none.logsumexp_hvp(1, &none).unwrap(), none);
    assert_eq!(none.logsumexp(1).unwrap().shape(), [0]);
    // Many rows, each of no elements.
    let rows = number.broadcast((HUGE, 0)).unwrap();
    assert_eq!(rows.softmax(1).unwrap().shape(), [HUGE, 0]);
    assert_eq!(rows.terms(1).unwrap().softmax().unwrap().shape(), [HUGE, 0]);
    assert!(is_too_large(rows.logsumexp(1).err()));
    assert!(is_too_large(rows.logmeanexp(1).err()));
    let tables = number.broadcast((HUGE, 0, 1)).unwrap();
    assert_eq!(tables.logsumexp(2).unwrap().shape(), [HUGE, 0]);
}

#[test]
fn results_larger_than_memory_are_errors() {
    let number = ndarray::arr0(0.0);
    let many = number.broadcast(1 << 61).unwrap();
    let is_too_large = |error: Option<Error>| matches!(error, Some(Error::OutOfMemory { .. }));
    assert!(is_too_large(many.softmax(0).err()));
    assert!(is_too_large(many.logsumexp_with_gradient(0).err()));
    assert!(is_too_large(many.logaddexp(&number).err()));
}

#[test]
#[should_panic(expected = "OutOfMemory")]
fn functions_of_each_element_panic_if_memory_is_short() {
    let _ = ndarray::arr0(0.0).broadcast(1 << 61).unwrap().log1pexp();
}

#[test]
fn an_array_of_rank_0_is_one_number() {
    let z = ndarray::arr0(2.5);
    assert_eq!(z.logsumexp(()).unwrap()[[]], 2.5);
    assert_eq!(z.softmax(()).unwrap()[()], 1.0);
    assert!(matches!(z.logsumexp(0), Err(Error::AxisOutOfRange { axis: 0, rank: 0, .. })));
}

#[test]
fn errors_name_what_is_wrong_and_nothing_is_written() {
    let z = Array3::<f64>::zeros((2, 3, 4));
    let is_axis = |given: isize, error: Option<Error>| matches!(error, Some(Error::AxisOutOfRange { axis, rank: 3, .. }) if axis == given);
    for axis in [3, -4, isize::MIN, isize::MAX] {
        assert!(is_axis(axis, z.logsumexp(axis).err()));
        assert!(is_axis(axis, z.logsumexp_with_gradient(axis).err()));
        assert!(is_axis(axis, z.softmax(axis).err()));
        assert!(is_axis(axis, z.log_softmax(axis).err()));
    }
    assert!(matches!(z.softmax([1, -2]), Err(Error::AxisTwice { axis: 1, .. })));
    assert!(matches!(z.logsumexp([0, 0]), Err(Error::AxisTwice { axis: 0, .. })));

    let mut value = Array2::from_elem((2, 4), 7.0);
    let mut gradient = Array3::from_elem((2, 3, 5), 7.0);
    let says = |result: Result<(), Error>, words: &str| assert_eq!(result.unwrap_err().to_string(), words);
    says(
        z.logsumexp_with_gradient_into(1, value.view_mut(), gradient.view_mut()),
        "`gradient` has the shape [2, 3, 5], but needs [2, 3, 4]",
    );
    says(
        z.logsumexp_with_gradient_into(2, value.view_mut(), gradient.view_mut()),
        "`value` has the shape [2, 4], but needs [2, 3]",
    );
    says(z.logsumexp_into(2, value.view_mut()), "`out` has the shape [2, 4], but needs [2, 3]");
    says(
        z.logsumexp_into(Axes::from(1).keep(), value.view_mut()),
        "`out` has the shape [2, 4], but needs [2, 1, 4]",
    );
    let words = "`out` has the shape [2, 3, 5], but needs [2, 3, 4]";
    says(z.softmax_into(1, gradient.view_mut()), words);
    says(z.log_softmax_into(1, gradient.view_mut()), words);
    assert!(value.iter().chain(&gradient).all(|&x| x == 7.0));

    let mut short = [7.0];
    says(
        logsum::logsumexp_with_gradient(&[1.0, 2.0], &mut short).map(|_| ()),
        "`gradient` has 1 element, but needs 2 to fit `z`",
    );
    let words = "`out` has 1 element, but needs 2 to fit `z`";
    says(softmax(&[1.0, 2.0], &mut short), words);
    says(log_softmax(&[1.0, 2.0], &mut short), words);
    assert_eq!(short, [7.0]);
}
