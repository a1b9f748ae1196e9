//! Mathematical laws for every input, checked with proptest.

use logsum::{LogSumExp, log_softmax, logsumexp, logsumexp_with_gradient, softmax};
use ndarray::{Array1, Array2, ArrayView1, Axis, ShapeBuilder, s};
use proptest::prelude::*;

/// One ulp of a number, at least the smallest positive number.
fn ulp(x: f64) -> f64 {
    x.abs().next_up() - x.abs()
}

fn numbers(range: std::ops::Range<f64>, most: usize) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(range, 1..most)
}

/// Finite numbers of all sizes, and −∞.
fn anything() -> impl Strategy<Value = Vec<f64>> {
    use prop::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    let number = prop_oneof![
        4 => -30.0..30.0,
        2 => -1000.0..1000.0,
        2 => POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO,
        1 => Just(f64::NEG_INFINITY),
    ];
    prop::collection::vec(number, 1..40)
        .prop_filter("a finite number", |z| z.iter().any(|z: &f64| z.is_finite()))
}

fn gradient(z: &[f64]) -> Vec<f64> {
    let mut gradient = vec![0.0; z.len()];
    logsumexp_with_gradient(z, &mut gradient).unwrap();
    gradient
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// LSE(z + c) = LSE(z) + c. On a grid of 2^-20 the sums z + c are exact; the error of each value is at most
    /// half an ulp, and the right-hand sum is rounded once more.
    #[test]
    fn shift(z in prop::collection::vec(-1_000_000_i32..1_000_000, 1..50), c in -1_000_000_000_i32..1_000_000_000) {
        let grid = |z: i32| f64::from(z) / 1_048_576.0;
        let c = grid(c);
        let z: Vec<f64> = z.into_iter().map(grid).collect();
        let shifted: Vec<f64> = z.iter().map(|z| z + c).collect();
        let (left, right) = (logsumexp(&shifted), logsumexp(&z) + c);
        prop_assert!((left - right).abs() <= ulp(left) + 0.5 * ulp(right - c), "{left} {right}");
        // Softmax depends on differences only, which are exact here.
        prop_assert_eq!(gradient(&z), gradient(&shifted));
    }

    /// The value has the same bits in any order. The gradient depends on the order of its double-double sum, by
    /// 2^-60.
    #[test]
    fn permutation(z in anything(), seed in any::<u64>()) {
        let mut order: Vec<usize> = (0..z.len()).collect();
        order.sort_by_key(|&i| (i as u64 + 1).wrapping_mul(seed | 1).rotate_left(17));
        let permuted: Vec<f64> = order.iter().map(|&i| z[i]).collect();
        prop_assert_eq!(logsumexp(&z).to_bits(), logsumexp(&permuted).to_bits());
        let (before, after) = (gradient(&z), gradient(&permuted));
        for (&from, after) in order.iter().zip(after) {
            prop_assert!((before[from] - after).abs() <= ulp(after));
        }
    }

    /// LSE(a ∪ b) = LSE(LSE(a), LSE(b)): each part has an error of at most half an ulp, whose weighted mean is the
    /// error of the whole, plus two roundings of the whole.
    #[test]
    fn merge(z in numbers(-50.0..50.0, 100), at in any::<prop::sample::Index>()) {
        let (a, b) = z.split_at(at.index(z.len()));
        let parts = [logsumexp(a), logsumexp(b)];
        let (merged, whole) = (logsumexp(&parts), logsumexp(&z));
        let finite = parts.iter().filter(|part| part.is_finite());
        let inherited = finite.map(|&part| 0.5 * ulp(part)).fold(0.0, f64::max);
        prop_assert!((merged - whole).abs() <= inherited + ulp(whole), "{merged} {whole}");
    }

    /// Raising a number never lowers the value, since rounding is monotone.
    #[test]
    fn monotone(mut z in anything(), at in any::<prop::sample::Index>(), by in prop_oneof![Just(0.0), 0.0..1e-12, 0.0..10.0]) {
        let before = logsumexp(&z);
        let at = at.index(z.len());
        z[at] = (z[at] + by).max(z[at].next_up());
        prop_assert!(logsumexp(&z) >= before);
        z.push(-5.0);
        prop_assert!(logsumexp(&z) >= before);
    }

    /// max ≤ LSE ≤ max + log n, since rounding is monotone; log n is rounded up by one step.
    #[test]
    fn between_the_maximum_and_log_n_above_it(z in anything()) {
        let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let value = logsumexp(&z);
        prop_assert!(value >= max);
        prop_assert!(value <= (max + (z.len() as f64).ln().next_up()).next_up(), "{value} {max}");
    }

    /// n equal numbers add log n.
    #[test]
    fn copies(z in -1e3..1e3_f64, n in 1..3000_usize) {
        let (value, expected) = (logsumexp(&vec![z; n]), z + (n as f64).ln());
        prop_assert!((value - expected).abs() <= ulp(value).max(ulp(expected)) + ulp((n as f64).ln()));
    }

    /// Σ gradient = 1: each element has an error of less than 1 ulp, at most 2^-52 of itself; these add up to
    /// 2^-52, and n − 1 additions of numbers up to 1 round by 2^-53 each.
    #[test]
    fn gradient_sums_to_one(z in anything()) {
        let sum: f64 = gradient(&z).iter().sum();
        let subnormal = z.len() as f64 * f64::MIN_POSITIVE;
        prop_assert!((sum - 1.0).abs() <= (1.0 + z.len() as f64 / 2.0) * f64::EPSILON + subnormal, "{sum}");
    }

    /// The gradient against a central difference of the value: with a step of 2^-17 the third derivative
    /// (at most 1/4) contributes 2^-38, and the values, each with an error of half an ulp, contribute an ulp over
    /// the step.
    #[test]
    fn gradient_is_the_slope(z in numbers(-8.0..8.0, 12), at in any::<prop::sample::Index>()) {
        const STEP: f64 = 1.0 / 131_072.0;
        let at = at.index(z.len());
        let [below, above] = [-STEP, STEP].map(|step| {
            let mut z = z.clone();
            z[at] += step;
            (z[at], logsumexp(&z))
        });
        let slope = (above.1 - below.1) / (above.0 - below.0);
        let error = 2f64.powi(-38) + ulp(above.1.abs().max(1.0)) / STEP;
        prop_assert!((slope - gradient(&z)[at]).abs() <= error, "{slope} {}", gradient(&z)[at]);
    }

    /// log-softmax is the logarithm of softmax: the former has an error of 1 ulp, the relative error 2^-52 of the
    /// latter becomes absolute, and ln itself has an error of 1 ulp.
    #[test]
    fn log_softmax_is_the_logarithm(z in numbers(-600.0..600.0, 20)) {
        let mut log_p = vec![0.0; z.len()];
        log_softmax(&z, &mut log_p).unwrap();
        for (p, log_p) in gradient(&z).into_iter().zip(log_p).filter(|&(p, _)| p > f64::MIN_POSITIVE) {
            prop_assert!((p.ln() - log_p).abs() <= 2.0 * ulp(log_p) + f64::EPSILON, "{p} {log_p}");
        }
    }

    /// A number −∞ changes no bit of any result.
    #[test]
    fn absent_numbers_change_nothing(z in anything(), at in any::<prop::sample::Index>()) {
        let mut more = z.clone();
        let at = at.index(z.len() + 1);
        more.insert(at, f64::NEG_INFINITY);
        prop_assert_eq!(logsumexp(&z).to_bits(), logsumexp(&more).to_bits());
        let mut after = gradient(&more);
        prop_assert_eq!(after.remove(at), 0.0);
        for (before, after) in gradient(&z).into_iter().zip(after) {
            prop_assert!((before - after).abs() <= ulp(after));
        }
    }

    /// f32 and f64 round the same exact value: rounding the f64 result to f32 differs by at most one step, and
    /// only if the f64 result is a midpoint of two f32.
    #[test]
    fn formats_agree(z in prop::collection::vec(-100f32..100.0, 1..30)) {
        let narrow = logsumexp(&z);
        let wide = logsumexp(&z.iter().copied().map(f64::from).collect::<Vec<_>>());
        let again = wide as f32;
        let is_half_way = wide.to_bits().trailing_zeros() == 28;
        prop_assert!(narrow == again || is_half_way && (narrow.next_up() == again || narrow.next_down() == again));
    }

    /// The memory layout changes no bit of any result, near block boundaries either.
    #[test]
    fn layout(near in prop::sample::select(vec![1_usize, 7, 64, 1023, 1024, 1025, 2047, 2048, 2049, 3100]), seed in any::<u32>()) {
        let mut state = u64::from(seed);
        let z: Vec<f64> = (0..near).map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as f64 / 2f64.powi(26) - 16.0
        }).collect();
        let value = logsumexp(&z);
        let p = gradient(&z);
        let check = |view: ArrayView1<f64>| {
            let (array_value, array_p) = view.logsumexp_with_gradient(0).unwrap();
            (array_value[[]].to_bits() == value.to_bits()) && array_p.to_vec() == p && view.softmax(()).unwrap().to_vec() == p
        };
        let reversed: Array1<f64> = z.iter().rev().copied().collect();
        prop_assert!(check(reversed.slice(s![..;-1])));
        let mut spaced = Array1::from_elem(3 * near, f64::NAN);
        spaced.slice_mut(s![..;3]).assign(&ArrayView1::from(&z));
        prop_assert!(check(spaced.slice(s![..;3])));
        let mut fortran = Array2::from_elem((2, near).f(), f64::NAN);
        fortran.row_mut(1).assign(&ArrayView1::from(&z));
        prop_assert!(check(fortran.row(1)));
        let all = ArrayView1::from(&z);
        let many = all.broadcast((3, near)).unwrap();
        prop_assert!(many.logsumexp(1).unwrap().iter().all(|x| x.to_bits() == value.to_bits()));
        prop_assert!(check(many.index_axis(Axis(0), 2)));
        let mut out = vec![0.0; near];
        softmax(&z, &mut out).unwrap();
        prop_assert_eq!(out, p);
    }
}
