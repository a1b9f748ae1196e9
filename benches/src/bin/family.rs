//! Times one operation of the family: `family OP OUTPUT.npy INPUT.npy…` prints the median in seconds, and that of a plain read
//! and copy of the first input, as JSON, and writes the result. `family.py` has the inputs and the rivals.

use half::f16;
use logsum::{
    Accumulator, CrossEntropy, Cumulative, EffectiveSampleSize, LogMatmul, LogSumExp, Reduction, Segments,
    ShardedLogProb, Targets, Terms, WeightedMean, complex_logsumexp, cross_entropy_with_gradient, each,
    logsumexp_hvp, softmax_kl_rows, token_log_probs,
};
use ndarray::{Array1, Array2, ArrayD, arr0};
use ndarray_npy::{read_npy, write_npy};
use num_complex::Complex;
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

fn median(mut work: impl FnMut()) -> f64 {
    work();
    let (start, mut times) = (Instant::now(), Vec::new());
    while times.len() < 3 || (times.len() < 1000 && start.elapsed() < Duration::from_secs(1)) {
        let before = Instant::now();
        work();
        times.push(before.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [op, output, inputs @ ..] = &arguments[..] else {
        return Err("OP OUTPUT.npy INPUT.npy…".into());
    };
    let z: Array2<f32> = read_npy(&inputs[0])?;
    let other = || -> Result<Array2<f32>, Box<dyn Error>> { Ok(read_npy(&inputs[1])?) };
    let ids = || -> Result<Vec<usize>, Box<dyn Error>> {
        let ids: Array1<i64> = read_npy(&inputs[1])?;
        Ok(ids.iter().map(|&id| usize::try_from(id)).collect::<Result<_, _>>()?)
    };
    let numbers = z.as_slice().ok_or("the input is not in C order")?;
    let mut out = z.clone();
    let to = out.as_slice_mut().ok_or("contiguous")?;
    let read = median(|| {
        let mut sums = [0f32; 128];
        for numbers in black_box(numbers).as_chunks::<128>().0 {
            sums.iter_mut().zip(numbers).for_each(|(sum, z)| *sum += z);
        }
        black_box(sums);
    });
    let copy = median(|| to.copy_from_slice(black_box(numbers)));
    let mut result: ArrayD<f32> = ArrayD::zeros(vec![0]);
    let seconds = match op.as_str() {
        "logsumexp" => median(|| result = z.logsumexp(1).unwrap()),
        "terms" => {
            let b = other()?;
            median(|| result = z.terms(1).unwrap().weights(&b).unwrap().logsumexp().unwrap())
        }
        "mask" => {
            let mask = other()?.mapv(|x| x > 0.5);
            median(|| result = z.terms(1).unwrap().mask(&mask).unwrap().logsumexp().unwrap())
        }
        "logmeanexp" => median(|| result = z.logmeanexp(1).unwrap()),
        "logvarexp" => median(|| result = z.logvarexp(1, 1).unwrap()),
        "softmax_entropy" => median(|| result = z.softmax_entropy(1).unwrap()),
        "softmax_kl" => {
            let y = other()?;
            let y = y.as_slice().ok_or("C order")?;
            let mut values = vec![0.0; z.nrows()];
            let time = median(|| softmax_kl_rows(numbers, y, z.ncols(), &mut values).unwrap());
            result = Array1::from(values).into_dyn();
            time
        }
        "temperature" => {
            let mut values = vec![0.0; z.nrows()];
            let time = median(|| {
                for (value, z) in values.iter_mut().zip(numbers.chunks_exact(z.ncols())) {
                    *value = Terms::new(z).temperature(0.7).map_or(f32::NAN, |terms| terms.logsumexp());
                }
            });
            result = Array1::from(values).into_dyn();
            time
        }
        "logsumexp_jvp" => {
            let t = other()?;
            median(|| result = z.logsumexp_jvp(1, &t).unwrap().1)
        }
        // Into memory that is there: what else would be measured is how new memory is had.
        "logsumexp_hvp" => {
            let v = other()?;
            let v = v.as_slice().ok_or("C order")?;
            let rows = || numbers.chunks_exact(z.ncols()).zip(v.chunks_exact(z.ncols()));
            let time = median(|| {
                for ((z, v), out) in rows().zip(to.chunks_exact_mut(z.ncols())) {
                    logsumexp_hvp(z, v, out).unwrap();
                }
            });
            result = out.clone().into_dyn();
            time
        }
        "logcumsumexp" => {
            let time = median(|| {
                for (z, out) in numbers.chunks_exact(z.ncols()).zip(to.chunks_exact_mut(z.ncols())) {
                    Cumulative::forward().logsumexp(z, out).unwrap();
                }
            });
            result = out.clone().into_dyn();
            time
        }
        "logaddexp" | "logsubexp" => {
            let b = other()?;
            let b = b.as_slice().ok_or("C order")?;
            let f = if op == "logaddexp" { each::logaddexp } else { each::logsubexp };
            let time = median(|| f(numbers, b, to).unwrap());
            result = out.clone().into_dyn();
            time
        }
        "log1pexp" | "log1mexp" | "logexpm1" | "log_logistic" | "logistic" | "logit" | "xlogx" => {
            let f = match op.as_str() {
                "log1pexp" => each::log1pexp,
                "log1mexp" => each::log1mexp,
                "logexpm1" => each::logexpm1,
                "log_logistic" => each::log_logistic,
                "logistic" => each::logistic,
                "logit" => each::logit,
                _ => each::xlogx,
            };
            let time = median(|| f(numbers, to).unwrap());
            result = out.clone().into_dyn();
            time
        }
        "xlogy" => {
            let y = other()?;
            let y = y.as_slice().ok_or("C order")?;
            let time = median(|| each::xlogy(numbers, y, to).unwrap());
            result = out.clone().into_dyn();
            time
        }
        "segment_logsumexp" => {
            let ids = ids()?;
            let count = ids.last().map_or(0, |last| last + 1);
            let mut values = vec![0.0; count];
            let time =
                median(|| Segments::by_ids(&ids, count).unwrap().logsumexp(numbers, &mut values).unwrap());
            result = Array1::from(values).into_dyn();
            time
        }
        // A state for each row.
        "Accumulator" | "EffectiveSampleSize" => {
            let mut values = vec![0.0; z.nrows()];
            let is_sum = op == "Accumulator";
            let time = median(|| {
                for (z, value) in numbers.chunks_exact(z.ncols()).zip(&mut values) {
                    let (mut sum, mut size) = (Accumulator::new(), EffectiveSampleSize::new());
                    *value = if is_sum {
                        sum.update(z);
                        sum.value()
                    } else {
                        size.update(z);
                        size.value()
                    };
                }
            });
            result = Array1::from(values).into_dyn();
            time
        }
        "WeightedMean" => {
            let x = other()?;
            let x = x.as_slice().ok_or("C order")?;
            let mut values = vec![0.0; z.nrows()];
            let rows = || numbers.chunks_exact(z.ncols()).zip(x.chunks_exact(z.ncols()));
            let time = median(|| {
                for ((z, x), value) in rows().zip(&mut values) {
                    let mut mean = WeightedMean::new();
                    mean.update(z, x).unwrap();
                    *value = mean.value();
                }
            });
            result = Array1::from(values).into_dyn();
            time
        }
        "log_matmul" => {
            let b = other()?;
            median(|| result = z.log_matmul(&b).unwrap())
        }
        "complex_logsumexp" => {
            let z: Vec<Complex<f32>> =
                numbers.iter().zip(&other()?).map(|(&re, &im)| Complex { re, im }).collect();
            let (length, mut values) = (z.len() / out.nrows(), vec![0.0; out.nrows()]);
            let time = median(|| {
                for (z, value) in z.chunks(length).zip(&mut values) {
                    *value = complex_logsumexp(z).re;
                }
            });
            result = Array1::from(values).into_dyn();
            time
        }
        "cross_entropy" => {
            let labels = ids()?;
            let mut loss = 0.0;
            let time = median(|| loss = cross_entropy_with_gradient(numbers, &labels, to).unwrap());
            result = arr0(loss).into_dyn();
            time
        }
        "token_log_probs" => {
            let labels = ids()?;
            let mut values = vec![0.0; labels.len()];
            let time = median(|| token_log_probs(numbers, &labels, &mut values).unwrap());
            result = Array1::from(values).into_dyn();
            time
        }
        "ShardedLogProb" => {
            let labels: Vec<_> = ids()?.into_iter().map(Some).collect();
            let mut values = vec![0.0; labels.len()];
            let time = median(|| {
                let states = ShardedLogProb::of_rows(numbers, &labels).unwrap();
                values.iter_mut().zip(states).for_each(|(value, state)| *value = state.log_prob().unwrap());
            });
            result = Array1::from(values).into_dyn();
            time
        }
        "cross_entropy, smoothed" => {
            let labels = ids()?;
            let smooth = CrossEntropy::new(z.ncols()).label_smoothing(0.1)?;
            let mut loss = 0.0;
            let targets = Targets::Classes(&labels);
            let time =
                median(|| loss = smooth.loss_with_gradient(numbers, targets, Reduction::Mean, to).unwrap());
            result = arr0(loss).into_dyn();
            time
        }
        "f16" => {
            let z = z.mapv(f16::from_f32);
            let mut values = z.logsumexp(1)?;
            let time = median(|| z.logsumexp_into(1, values.view_mut()).unwrap());
            result = values.mapv(f32::from);
            time
        }
        _ => return Err(format!("unknown operation {op}").into()),
    };
    write_npy(output, &result)?;
    println!("{{\"logsum\": {seconds}, \"read\": {read}, \"copy\": {copy}}}");
    Ok(())
}
