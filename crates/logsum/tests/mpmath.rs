//! The vectors computed with mpmath by `mpmath/make.py`: values to the bit, softmax and log-softmax to half an
//! ulp, as far as the 106 bits of the vectors show it.

mod common;

use common::{Big, Format, exact, hex, ulps};
use logsum::{LogSumExp, log_softmax, logsumexp_with_gradient, softmax};
use ndarray::{Array1, s};

fn recipe(text: &str) -> Vec<f64> {
    let mut fields = text.split(',');
    let mut next = || fields.next().expect("seed,n,k");
    let (mut state, n, k): (u64, usize, i32) = (
        next().parse().expect("a seed"),
        next().parse().expect("a length"),
        next().parse().expect("a power"),
    );
    let mut splitmix64 = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..n).map(|_| ((splitmix64() >> 40) as f64 - 8_388_608.0) * 2f64.powi(k)).collect()
}

/// The exact values of a field by index: `hi:lo:e` for each element, or `index=hi:lo:e` for some.
fn expected(field: &str) -> Vec<(usize, Option<Big>)> {
    let element = |(position, text): (usize, &str)| match text.split_once('=') {
        Some((index, text)) => (index.parse().expect("an index"), exact(text)),
        None => (position, exact(text)),
    };
    field.split(' ').enumerate().map(element).collect()
}

fn worst<T: Format>(line: &str, found: &[T], field: &str) -> f64 {
    let mut worst: f64 = 0.0;
    for (index, exact) in expected(field) {
        let error = match exact {
            Some(exact) => ulps(found[index], &exact),
            None => {
                if found[index].into() == f64::NEG_INFINITY {
                    0.0
                } else {
                    f64::INFINITY
                }
            }
        };
        assert!(error <= 0.5 + 1e-12, "element {index} is {:?}, off by {error} ulp: {line}", found[index]);
        worst = worst.max(error);
    }
    worst
}

fn check<T: Format>(text: &str) -> usize {
    let (mut rows, mut worst_softmax, mut worst_log_softmax) = (0, 0f64, 0f64);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let short: String = line.chars().take(400).collect();
        let [_, z, value, p, log_p] = line.split(" | ").collect::<Vec<_>>().try_into().expect("five fields");
        let z: Vec<f64> = z.strip_prefix('@').map_or_else(|| z.split(' ').map(hex).collect(), recipe);
        let z: Vec<T> = z.into_iter().map(T::of).collect();
        let value = T::of(hex(value));
        let (mut gradient, mut out) = (vec![T::default(); z.len()], vec![T::default(); z.len()]);
        let found = logsumexp_with_gradient(&z, &mut gradient).unwrap();
        assert_eq!(found.bits(), value.bits(), "{found:?}, not {value:?}: {short}");
        worst_softmax = worst_softmax.max(worst(&short, &gradient, p));
        softmax(&z, &mut out).unwrap();
        assert!(out == gradient, "{short}");
        log_softmax(&z, &mut out).unwrap();
        worst_log_softmax = worst_log_softmax.max(worst(&short, &out, log_p));

        // A view of every other element in reverse order has the same bits.
        let spaced: Array1<T> = z.iter().rev().flat_map(|&z| [z, T::of(f64::NAN)]).collect();
        let view = spaced.slice(s![..;2]);
        let view = view.slice(s![..;-1]);
        assert_eq!(view.logsumexp(0).unwrap()[[]].bits(), value.bits(), "as a view: {short}");
        assert!(view.softmax(0).unwrap().to_vec() == gradient, "as a view: {short}");
        assert!(view.log_softmax(0).unwrap().to_vec() == out, "as a view: {short}");
        rows += 1;
    }
    println!("{rows} rows, worst ulp: softmax {worst_softmax:.4}, log-softmax {worst_log_softmax:.4}");
    rows
}

#[test]
fn f64_vectors() {
    assert_eq!(check::<f64>(include_str!("mpmath/f64.txt")), 284);
}

#[test]
fn f32_vectors() {
    assert_eq!(check::<f32>(include_str!("mpmath/f32.txt")), 280);
}

#[test]
fn a_wrong_vector_is_seen() {
    let line = |value: &str, p: &str| {
        format!(
            "tie | 0x0p+0 0x0p+0 | {value} | {p} {p} | {log} {log}",
            log = "-0x1.62e42fefa39efp-1:-0x1.abc9e3b39803fp-56:0"
        )
    };
    let half = "0x1p-1:0x0p+0:0";
    assert_eq!(check::<f64>(&line("0x1.62e42fefa39efp-1", half)), 1);
    let fails = |text: String| std::panic::catch_unwind(|| check::<f64>(&text)).is_err();
    assert!(fails(line("0x1.62e42fefa39f0p-1", half)));
    assert!(fails(line("0x1.62e42fefa39efp-1", "0x1.0000000000003p-1:0x0p+0:0")));
}
