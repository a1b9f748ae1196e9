//! Log-probabilities of tokens whose scores are split into shards. Python sends the states between processes, in
//! `python/logsum/torch/_vocab_parallel.py`.

use crate::memory::{View, collected, filled};
use crate::numbers::{Format, Numbers, detached, exception, in_format, view};
use half::{bf16, f16};
use logsum::ShardedLogProb;
use ndarray::Array1;
use numpy::IntoPyArray;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

const BYTES: usize = ShardedLogProb::<f64>::BYTES;

/// The tokens' places in this shard; None for a negative one, which stands for a token in another shard.
fn tokens_of(tokens: &Bound<'_, PyAny>) -> PyResult<Vec<Option<usize>>> {
    collected(view::<isize>(tokens)?.as_slice()?.iter().map(|&token| usize::try_from(token).ok()))
}

fn read<T: Format>(py: Python<'_>, states: &[u8]) -> PyResult<Vec<ShardedLogProb<T>>> {
    let read = states.chunks(BYTES).map(ShardedLogProb::from_bytes).collect::<Result<_, _>>();
    read.map_err(|error| exception(py, error))
}

fn written<'py, T: Format>(py: Python<'py>, states: &[ShardedLogProb<T>]) -> PyResult<Bound<'py, PyAny>> {
    let (array, ()) = filled(py, &[states.len(), BYTES], |mut bytes| {
        for (mut place, state) in bytes.rows_mut().into_iter().zip(states) {
            place.iter_mut().zip(state.to_bytes()).for_each(|(place, byte)| *place = byte);
        }
        Ok(())
    })?;
    Ok(array)
}

/// The states of rows of scores, in C order.
#[pyfunction]
fn shard_states<'py>(scores: &Bound<'py, PyAny>, tokens: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = scores.py();
    let tokens = tokens_of(tokens)?;
    in_format!(Numbers::needed(scores)?, scores => {
        let scores = scores.as_slice()?;
        let states = detached(py, scores.len(), || ShardedLogProb::of_rows(scores, &tokens))?;
        written(py, &states)
    })
}

/// For each row: the merged state; the log-probability, or 0 unless exactly one shard has the token; whether exactly
/// one has it; and whether the value is proved to be the nearest float.
#[pyfunction]
fn merged_shards<'py>(states: &Bound<'py, PyAny>, dtype: &str) -> PyResult<Bound<'py, PyTuple>> {
    match dtype {
        "float64" => merged::<f64>(states),
        "float32" => merged::<f32>(states),
        "float16" => merged::<f16>(states),
        "bfloat16" => merged::<bf16>(states),
        _ => Err(PyTypeError::new_err(format!("a floating-point format is needed, not {dtype}"))),
    }
}

fn merged<'py, T: Format>(states: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    let py = states.py();
    let states: View<'_, u8> = view(states)?;
    let &[shards, rows, BYTES] = states.shape() else {
        return Err(PyValueError::new_err(format!("states have the shape (shards, rows, {BYTES})")));
    };
    let bytes = states.as_slice()?;
    let mut merged = vec![ShardedLogProb::<T>::new(); rows];
    for shard in 0..shards {
        let states = read(py, &bytes[shard * rows * BYTES..][..rows * BYTES])?;
        merged.iter_mut().zip(&states).for_each(|(row, state)| row.merge(state));
    }
    let (log_probs, is_known) =
        merged.iter().map(|row| (row.log_prob().unwrap_or_default(), row.log_prob().is_some())).collect();
    let (log_probs, is_known): (Array1<T>, Array1<bool>) = (Vec::into(log_probs), Vec::into(is_known));
    let is_proved: Array1<bool> = merged.iter().map(ShardedLogProb::is_proved_nearest).collect();
    let merged = written(py, &merged)?;
    (merged, log_probs.into_pyarray(py), is_known.into_pyarray(py), is_proved.into_pyarray(py))
        .into_pyobject(py)
}

/// The derivatives of the rows' log-probabilities with respect to the scores of a shard.
#[pyfunction]
fn shard_gradients<'py>(
    states: &Bound<'py, PyAny>,
    scores: &Bound<'py, PyAny>,
    tokens: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = scores.py();
    let tokens = tokens_of(tokens)?;
    let states: View<'_, u8> = view(states)?;
    in_format!(Numbers::needed(scores)?, scores => {
        let states = read(py, states.as_slice()?)?;
        let (gradients, ()) = filled(py, scores.shape(), |mut out| {
            let (scores, out) = (scores.as_slice()?, out.as_slice_mut().unwrap_or_default());
            detached(py, scores.len(), || ShardedLogProb::gradients(&states, scores, &tokens, out))
        })?;
        Ok(gradients)
    })
}

pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(shard_states, module)?)?;
    module.add_function(wrap_pyfunction!(merged_shards, module)?)?;
    module.add_function(wrap_pyfunction!(shard_gradients, module)?)
}
