//! Every level that this machine has gives the same bits: values, gradients and log-softmax, at every length about the
//! steps and blocks of the loops, at every offset in memory, edges included. A binary of its own, as it chooses the
//! level for the whole process.

use logsum::{Float, Level, log_softmax, logsumexp, logsumexp_with_gradient};

fn lengths() -> impl Iterator<Item = usize> {
    (0..70).chain([127, 128, 1007, 1008, 1009, 1023, 1024, 1025, 1040, 2047, 2049, 5000])
}

/// Rows of each kind; some hold infinities or a NaN.
fn row<T: Float>(of: impl Fn(f64) -> T, length: usize, kind: usize) -> Vec<T> {
    let mut state = (length * 31 + kind) as u64;
    (0..length)
        .map(|i| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let unit = (state >> 11) as f64 / (1_u64 << 53) as f64;
            of(match kind {
                0 => 20.0 * unit - 10.0,
                1 => 3000.0 * unit - 1500.0,
                2 => 1e-9 * unit,
                3 => (2.0 * unit - 1.0) * 3e38,
                4 => (unit * 4.0).floor(),
                5 => -103.0 * unit,
                6 => -745.0 * unit,
                _ if i % 40 == 17 => [f64::NEG_INFINITY, f64::INFINITY, f64::NAN][kind - 7],
                _ => unit,
            })
        })
        .collect()
}

/// All results for a row, as text: all NaNs are one.
fn results<T: Float>(z: &[T]) -> String {
    let (mut gradient, mut log_p) = (vec![T::default(); z.len()], vec![T::default(); z.len()]);
    let value = logsumexp_with_gradient(z, &mut gradient).unwrap();
    log_softmax(z, &mut log_p).unwrap();
    format!("{:?} {value:?} {gradient:?} {log_p:?}", logsumexp(z))
}

fn all_results<T: Float>(of: impl Fn(f64) -> T + Copy) -> Vec<String> {
    let rows = lengths().flat_map(|length| (0..10).map(move |kind| (length, kind)));
    rows.map(|(length, kind)| {
        let z = row(of, length + 3, kind);
        let offset = (length + kind) % 4;
        results(&z[offset..][..length])
    })
    .collect()
}

#[test]
fn all_levels_give_the_same_bits() {
    let mut first: Option<(Level, [Vec<String>; 2])> = None;
    for level in Level::ALL {
        if !Level::force(Some(level)) {
            println!("skipped: this machine lacks {level:?}");
            continue;
        }
        let found = [all_results(|x| x), all_results(|x| x as f32)];
        println!("{level:?}: {} rows", found[0].len() + found[1].len());
        match &first {
            None => first = Some((level, found)),
            Some((other, expected)) => {
                for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                    assert!(
                        found == expected,
                        "{level:?} gives {found:.300}\n{other:?} gives {expected:.300}"
                    );
                }
            }
        }
    }
    assert!(Level::force(None));
}
