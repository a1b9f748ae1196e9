//! The array methods of the function family: each lane has the bits of the slice function, over any axes, in any
//! layout.

use logsum::{
    Axes, CrossEntropy, Error, LogSumExp, NoMass, Reduction, Segments, Targets, Terms, each, logistic,
    logmeanexp, logsubexp, logvarexp, logvarexp_with_gradient, softmax_entropy,
    softmax_entropy_with_gradient,
};
use ndarray::{Array, Array2, Array3, ArrayView3, Axis, ShapeBuilder, array, s};

fn numbers(shape: [usize; 3], seed: u64) -> Array3<f64> {
    let mut state = seed;
    Array::from_shape_simple_fn(shape, || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f64 / 8_388_608.0 - 1.0
    })
}

/// Equal arrays in several memory orders and with several strides.
fn layouts() -> Vec<Array3<f64>> {
    let z = numbers([3, 4, 5], 1);
    let mut fortran = Array3::zeros((3, 4, 5).f());
    fortran.assign(&z);
    let mut middle_first = Array3::zeros((4, 3, 5));
    middle_first.assign(&z.view().permuted_axes([1, 0, 2]));
    vec![z, fortran, middle_first.permuted_axes([1, 0, 2])]
}

/// The lanes along one axis, in order.
fn lanes(z: ArrayView3<f64>, axis: usize) -> Vec<Vec<f64>> {
    z.lanes(Axis(axis)).into_iter().map(|lane| lane.to_vec()).collect()
}

#[test]
fn each_lane_is_as_its_slice() {
    let t = numbers([3, 4, 5], 2);
    for z in layouts() {
        for axis in 0..3 {
            let signed = axis as isize - 3;
            let of = |array: ArrayView3<f64>| lanes(array, axis);
            let mean = z.logmeanexp(signed).unwrap();
            let variance = z.logvarexp(signed, 1).unwrap();
            let (same_variance, variance_gradient) = z.logvarexp_with_gradient(signed, 1).unwrap();
            let entropy = z.softmax_entropy(signed).unwrap();
            let (same_entropy, entropy_gradient) = z.softmax_entropy_with_gradient(signed).unwrap();
            let (tempered, tempered_gradient) =
                z.terms(signed).unwrap().temperature(0.3).unwrap().logsumexp_with_gradient().unwrap();
            let (value, slope) = z.logsumexp_jvp(signed, &t).unwrap();
            let hessian = z.logsumexp_hvp(signed, &t).unwrap();
            assert_eq!((same_variance, same_entropy), (variance.clone(), entropy.clone()));
            assert_eq!(value, z.logsumexp(signed).unwrap());
            for (i, lane) in of(z.view()).into_iter().enumerate() {
                let nth = |array: &ndarray::ArrayD<f64>| *array.iter().nth(i).unwrap();
                let mut out = lane.clone();
                assert_eq!(nth(&mean), logmeanexp(&lane));
                assert_eq!(nth(&variance), logvarexp(&lane, 1));
                assert_eq!(nth(&entropy), softmax_entropy(&lane));
                logvarexp_with_gradient(&lane, 1, &mut out).unwrap();
                assert_eq!(of(variance_gradient.view())[i], out);
                softmax_entropy_with_gradient(&lane, &mut out).unwrap();
                assert_eq!(of(entropy_gradient.view())[i], out);
                assert_eq!(
                    nth(&tempered),
                    Terms::new(&lane).temperature(0.3).unwrap().logsumexp_with_gradient(&mut out).unwrap()
                );
                assert_eq!(of(tempered_gradient.view())[i], out);
                let tangent = &of(t.view())[i];
                assert_eq!(nth(&slope), logsum::logsumexp_jvp(&lane, tangent).unwrap().1);
                logsum::logsumexp_hvp(&lane, tangent, &mut out).unwrap();
                assert_eq!(of(hessian.view())[i], out);
            }
        }
        assert_eq!(z.logmeanexp(Axes::all().keep()).unwrap().shape(), [1, 1, 1]);
        assert_eq!(z.logmeanexp([0, 2]).unwrap().shape(), [4]);
    }
}

#[test]
fn terms_broadcast_weights_and_mask() {
    let wide = numbers([3, 4, 5], 3);
    let by_lane = array![1.0, -2.0, 0.0, 0.5, 3.0];
    let mask = array![[[true], [false], [true], [true]]];
    for z in layouts() {
        for (weights, shape) in
            [(wide.view().into_dyn(), "whole"), (by_lane.view().into_dyn(), "of one lane")]
        {
            let terms =
                z.terms(2).unwrap().weights(&weights).unwrap().mask(&mask).unwrap().no_mass(NoMass::NaN);
            let (value, sign) = terms.logsumexp_with_sign().unwrap();
            let [by_z, by_weight] = terms.gradients().unwrap();
            let (_, slope) = terms.jvp(&wide).unwrap();
            let hessian = terms.hvp(&wide).unwrap();
            let plain = terms.logsumexp().unwrap();
            assert_eq!(terms.softmax().unwrap().mapv(f64::to_bits), by_z.mapv(f64::to_bits));
            for (i, lane) in lanes(z.view(), 2).into_iter().enumerate() {
                let b = match shape {
                    "whole" => lanes(wide.view(), 2)[i].clone(),
                    _ => by_lane.to_vec(),
                };
                let counts = [i % 4 != 1; 5];
                let terms =
                    Terms::new(&lane).weights(&b).unwrap().mask(&counts).unwrap().no_mass(NoMass::NaN);
                let [mut g, mut h] = [lane.clone(), lane.clone()];
                terms.logsumexp_with_gradients(&mut g, &mut h).unwrap();
                let expected = terms.logsumexp_with_sign();
                let nth = |array: &ndarray::ArrayD<f64>| *array.iter().nth(i).unwrap();
                let bits = |numbers: &[f64]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&[nth(&value), nth(&sign)]), bits(&[expected.0, expected.1]), "{shape}, {i}");
                assert_eq!(nth(&plain).is_nan(), expected.1 < 0.0);
                assert_eq!(bits(&lanes(by_z.view(), 2)[i]), bits(&g), "{shape}, {i}");
                assert_eq!(bits(&lanes(by_weight.view(), 2)[i]), bits(&h), "{shape}, {i}");
                let tangent = &lanes(wide.view(), 2)[i];
                assert_eq!(nth(&slope).to_bits(), terms.jvp(tangent).unwrap().1.to_bits());
                terms.hvp(tangent, &mut g).unwrap();
                assert_eq!(bits(&lanes(hessian.view(), 2)[i]), bits(&g));
            }
        }
    }
    let many = numbers([2000, 3, 40], 5);
    let [of_all, of_some] = [many.view(), many.slice(s![1999.., .., ..])];
    let value =
        of_all.terms(2).unwrap().weights(&numbers([1, 1, 40], 6)).unwrap().logsumexp_with_sign().unwrap().0;
    let last =
        of_some.terms(2).unwrap().weights(&numbers([1, 1, 40], 6)).unwrap().logsumexp_with_sign().unwrap().0;
    assert_eq!(value.slice(s![1999.., ..]), last.view().into_dimensionality().unwrap());
}

#[test]
fn elements_are_as_their_slices() {
    for z in layouts() {
        let view = z.slice(s![..;-1, 1.., ..;2]);
        assert_eq!(view.logistic(), view.mapv(logistic));
        assert_eq!(view.log1pexp(), view.mapv(logsum::log1pexp));
        assert_eq!(view.mapv(f64::abs).logexpm1(), view.mapv(|x| logsum::logexpm1(x.abs())));
        assert_eq!(view.mapv(|x| -x.abs()).log1mexp(), view.mapv(|x| logsum::log1mexp(-x.abs())));
        assert_eq!(view.log_logistic(), view.mapv(logsum::log_logistic));
        assert_eq!(view.mapv(f64::abs).logit(), view.mapv(|x| logsum::logit(x.abs())));
        assert_eq!(view.mapv(f64::abs).xlogx(), view.mapv(|x| logsum::xlogx(x.abs())));
        let row = array![-2.0, -3.0, -9.0];
        assert_eq!(view.logsubexp(&row).unwrap()[[1, 2, 1]], logsubexp(view[[1, 2, 1]], -3.0));
        assert_eq!(view.logaddexp(&row).unwrap()[[2, 0, 2]], logsum::logaddexp(view[[2, 0, 2]], -9.0));
        assert_eq!(view.xlogy(&row.mapv(f64::abs)).unwrap()[[2, 0, 0]], logsum::xlogy(view[[2, 0, 0]], 2.0));
        let wrong = view.logaddexp(&array![1.0, 2.0]);
        assert_eq!(
            wrong.unwrap_err().to_string(),
            "`other` has the shape [2], but needs [3, 3, 3] or a shape that broadcasts to it"
        );
        let wrong = view.xlogy(&array![1.0, 2.0]).unwrap_err();
        assert!(matches!(wrong, Error::ShapeMismatch { argument: "y", broadcasts: true, .. }));
    }
    let mut out = [0.0];
    each::logaddexp(&[1.0], &[2.0], &mut out).unwrap();
    assert_eq!(array![1.0].logaddexp(&ndarray::arr0(2.0)).unwrap(), array![out[0]]);
}

#[test]
fn segments_and_classes_lie_along_any_axis() {
    let segments = Segments::by_ids(&[2, 0, 2, 0], 3).unwrap();
    for z in layouts() {
        let found = z.segment_logsumexp(1, &segments).unwrap();
        assert_eq!(found.shape(), [3, 3, 5]);
        let found: Array3<f64> = found.into_dimensionality().unwrap();
        let shares = z.segment_softmax(1, &segments).unwrap();
        let classes = Targets::Classes(&[0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2]);
        let loss = CrossEntropy::new(4);
        let (value, gradient) = z.cross_entropy_with_gradient(1, &loss, classes, Reduction::Sum).unwrap();
        let mut rows = Vec::new();
        for (i, lane) in lanes(z.view(), 1).into_iter().enumerate() {
            let mut out = [0.0; 3];
            segments.logsumexp(&lane, &mut out).unwrap();
            assert_eq!(lanes(found.view(), 1)[i], out);
            let mut gradient = [0.0; 4];
            segments.logsumexp_with_gradient(&lane, &mut out, &mut gradient).unwrap();
            assert_eq!(lanes(shares.view(), 1)[i], gradient);
            rows.extend(lane);
        }
        let mut expected = rows.clone();
        assert_eq!(value, loss.loss_with_gradient(&rows, classes, Reduction::Sum, &mut expected).unwrap());
        assert_eq!(lanes(gradient.view(), 1).concat(), expected);
        let wrong = z.segment_logsumexp(2, &segments).unwrap_err();
        assert_eq!(wrong.to_string(), "axis 2 has the length 5, but needs 4 to fit `segments`");
        let wrong = z.slice(s![..0, .., ..]).segment_logsumexp(-1, &segments).unwrap_err();
        assert_eq!(wrong.to_string(), "axis -1 has the length 5, but needs 4 to fit `segments`");
        let wrong = z.cross_entropy_with_gradient(0, &loss, classes, Reduction::Sum).unwrap_err();
        assert_eq!(wrong.to_string(), "axis 0 has the length 3, but needs 4 to fit `classes`");
    }
}

#[test]
fn empty_arrays_and_wrong_shapes() {
    let none = Array3::<f64>::zeros((2, 0, 3));
    assert_eq!(none.logmeanexp(0).unwrap().shape(), [0, 3]);
    assert!(none.logmeanexp(1).unwrap().iter().all(|x| x.is_nan()));
    assert_eq!(none.softmax_entropy(1).unwrap(), Array::zeros((2, 3)).into_dyn());
    assert_eq!(none.logistic().shape(), [2, 0, 3]);
    let z = numbers([2, 3, 4], 7);
    let says = |error: Option<Error>, words: &str| assert_eq!(error.unwrap().to_string(), words);
    says(
        z.terms(1).unwrap().weights(&array![1.0, 2.0]).err(),
        "`weights` has the shape [2], but needs [2, 3, 4] or a shape that broadcasts to it",
    );
    says(
        z.terms(1).unwrap().mask(&array![true, false, true]).err(),
        "`mask` has the shape [3], but needs [2, 3, 4] or a shape that broadcasts to it",
    );
    let one = numbers([1, 3, 4], 7);
    says(z.logsumexp_jvp(1, &one).err(), "`tangent` has the shape [1, 3, 4], but needs [2, 3, 4]");
    says(z.logsumexp_hvp(1, &one).err(), "`vector` has the shape [1, 3, 4], but needs [2, 3, 4]");
    assert!(matches!(z.terms(3).err(), Some(Error::AxisOutOfRange { axis: 3, rank: 3, .. })));
}

/// Hessians of short rows are found eight at a time: each has the bits of its row alone, whatever is beside it.
#[test]
fn hessians_of_short_rows_are_those_of_each_alone() {
    let mut state = 7_u64;
    let mut random = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as f64 / (1_u64 << 31) as f64 - 0.5
    };
    for length in [1, 2, 7, 8, 16, 63, 64] {
        let rows = 21;
        let mut z = Array2::from_shape_simple_fn((rows, length), || random() * 40.0);
        let mut v = Array2::from_shape_simple_fn((rows, length), || random() * 4.0);
        z.row_mut(1).fill(f64::NEG_INFINITY);
        z[[2, length / 2]] = f64::INFINITY;
        z[[3, length - 1]] = f64::NAN;
        z[[4, 0]] = f64::NEG_INFINITY;
        z.row_mut(5).fill(1e8);
        z[[6, length / 2]] = 700.0;
        v[[7, 0]] = f64::MAX;
        v[[8, length - 1]] = f64::INFINITY;
        v[[9, 0]] = f64::NAN;
        let bits = |x: &[f64]| x.iter().map(|x| if x.is_nan() { 1 } else { x.to_bits() }).collect::<Vec<_>>();
        let narrow = (z.mapv(|x| x as f32), v.mapv(|x| x as f32));
        let hessians = z.logsumexp_hvp(1, &v).unwrap();
        let narrow_hessians = narrow.0.logsumexp_hvp(1, &narrow.1).unwrap();
        for j in 0..rows {
            let mut alone = vec![0.0; length];
            logsum::logsumexp_hvp(z.row(j).as_slice().unwrap(), v.row(j).as_slice().unwrap(), &mut alone)
                .unwrap();
            assert_eq!(bits(hessians.row(j).as_slice().unwrap()), bits(&alone), "row {j} of {length}");
            let mut alone = vec![0.0_f32; length];
            logsum::logsumexp_hvp(
                narrow.0.row(j).as_slice().unwrap(),
                narrow.1.row(j).as_slice().unwrap(),
                &mut alone,
            )
            .unwrap();
            let wide = |x: &[f32]| bits(&x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
            assert_eq!(
                wide(narrow_hessians.row(j).as_slice().unwrap()),
                wide(&alone),
                "row {j} of {length}, f32"
            );
        }
    }
}
