//! The entry point of the extension, and the functions that DuckDB calls through pointers.
#![allow(unsafe_code, reason = "DuckDB's interface is one of pointers")]

use crate::aggregates::{Aggregate, Group, LogMeanExp, LogSumExp, SampleSize, Sum};
use crate::scalars;
use libduckdb_sys::{
    duckdb_aggregate_state, duckdb_connection, duckdb_data_chunk, duckdb_data_chunk_get_size,
    duckdb_data_chunk_get_vector, duckdb_function_info, duckdb_library_version, duckdb_vector,
    duckdb_vector_ensure_validity_writable, duckdb_vector_get_data, duckdb_vector_get_validity, idx_t,
};
use quack_rs::abi::AbiPolicy;
use quack_rs::aggregate::{
    AggregateFunctionInfo, AggregateFunctionSetBuilder, AggregateOverloadBuilder, FfiState,
};
use quack_rs::callback::catch_ffi_panic;
use quack_rs::error::ExtensionError;
use quack_rs::types::{NullHandling, TypeId};
use std::ffi::CStr;
use std::slice;

// Only the stable part of DuckDB's interface is called, so that releases which quack-rs does not know are accepted.
quack_rs::entry_point!(logsum_init_c_api, AbiPolicy::AllowUnknownEngine, |connection| register(connection));

/// Earlier versions of DuckDB passed fewer states than rows to the aggregates of extensions, in windows over whole
/// partitions and in ordered aggregates: <https://github.com/duckdb/duckdb/issues/26109>.
const LEAST_MAJOR_VERSION: u32 = 2;

fn register(connection: duckdb_connection) -> Result<(), ExtensionError> {
    // SAFETY: the interface has been set up, and returns a string that lives as long as the program.
    let version = unsafe { CStr::from_ptr(duckdb_library_version()) }.to_string_lossy();
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse().ok());
    if major.is_some_and(|major: u32| major < LEAST_MAJOR_VERSION) {
        return Err(ExtensionError::new(format!(
            "logsum needs DuckDB {LEAST_MAJOR_VERSION}.0 or later, but this is {version}, which passes fewer states than rows to the aggregates of extensions in windows"
        )));
    }
    let all = [
        AggregateFunctionSetBuilder::new("logsumexp")
            .overload(overload::<LogSumExp<f32>>(TypeId::Float, 1))
            .overload(overload::<LogSumExp<f64>>(TypeId::Double, 1))
            .overload(overload::<LogSumExp<f32>>(TypeId::Float, 2))
            .overload(overload::<LogSumExp<f64>>(TypeId::Double, 2)),
        AggregateFunctionSetBuilder::new("logmeanexp")
            .overload(overload::<LogMeanExp<f32>>(TypeId::Float, 1))
            .overload(overload::<LogMeanExp<f64>>(TypeId::Double, 1)),
        AggregateFunctionSetBuilder::new("effective_sample_size")
            .overload(overload::<SampleSize<f32>>(TypeId::Float, 1))
            .overload(overload::<SampleSize<f64>>(TypeId::Double, 1)),
    ];
    for function in all {
        // SAFETY: the connection is the one that DuckDB passed to the entry point.
        unsafe { function.register(connection)? };
    }
    for function in scalars::all()? {
        // SAFETY: as above.
        unsafe { function.register(connection)? };
    }
    Ok(())
}

/// An overload of an aggregate with `count` arguments of a number type, which is also the type of the result.
fn overload<A: Aggregate>(number: TypeId, count: usize) -> AggregateOverloadBuilder {
    let builder = (0..count).fold(AggregateOverloadBuilder::new(), |builder, _| builder.param(number));
    builder
        .returns(number)
        .null_handling(NullHandling::SpecialNullHandling)
        .state_size(FfiState::<Group<A::Sum>>::size_callback)
        .init(FfiState::<Group<A::Sum>>::init_callback)
        .destructor(FfiState::<Group<A::Sum>>::destroy_callback)
        .update(update::<A>)
        .combine(combine::<A>)
        .finalize(finalize::<A>)
}

fn guarded(info: duckdb_function_info, body: impl FnOnce()) {
    if let Err(message) = catch_ffi_panic(body) {
        // SAFETY: the pointer is DuckDB's, and valid during this call.
        unsafe { AggregateFunctionInfo::new(info) }.set_error(&message);
    }
}

type Number<A> = <<A as Aggregate>::Sum as Sum>::Number;

/// A column of a chunk.
struct Column<'a, T> {
    numbers: &'a [T],
    validity: Option<&'a [u64]>,
}

impl<T> Column<'_, T> {
    fn is_valid(&self, row: usize) -> bool {
        self.validity.is_none_or(|words| words[row / 64] >> (row % 64) & 1 == 1)
    }
}

/// # Safety
/// The vector has this many rows, of type T.
unsafe fn column<'a, T>(vector: duckdb_vector, rows: usize) -> Column<'a, T> {
    // SAFETY: the caller guarantees it; the validity mask, if there is one, has a bit for each row.
    unsafe {
        let validity = duckdb_vector_get_validity(vector);
        Column {
            numbers: slice::from_raw_parts(duckdb_vector_get_data(vector).cast::<T>(), rows),
            validity: (!validity.is_null()).then(|| slice::from_raw_parts(validity, rows.div_ceil(64))),
        }
    }
}

/// Adds the rows of a chunk to the states of their groups: the rows of each group together, in any order.
unsafe extern "C" fn update<A: Aggregate>(
    info: duckdb_function_info,
    chunk: duckdb_data_chunk,
    states: *mut duckdb_aggregate_state,
) {
    guarded(info, || {
        // SAFETY: the chunk is DuckDB's, and valid during this call.
        let rows = unsafe { duckdb_data_chunk_get_size(chunk) } as usize;
        if rows == 0 {
            return;
        }
        // SAFETY: columns have the registered type; there is a second one if there are weights.
        let (z, weights) = unsafe {
            let weights = duckdb_data_chunk_get_vector(chunk, 1);
            let of = |vector| column::<Number<A>>(vector, rows);
            (of(duckdb_data_chunk_get_vector(chunk, 0)), (!weights.is_null()).then(|| of(weights)))
        };
        // SAFETY: there is one state for each row.
        let states = unsafe { slice::from_raw_parts(states, rows) };
        let is_there = |row: &usize| z.is_valid(*row) && weights.as_ref().is_none_or(|w| w.is_valid(*row));
        let mut order: Vec<usize> = (0..rows).filter(is_there).collect();
        if states.iter().any(|state| *state != states[0]) {
            order.sort_unstable_by_key(|&row| states[row]);
        }
        let (mut numbers, mut factors) = (Vec::with_capacity(rows), Vec::new());
        for group in order.chunk_by(|&a, &b| states[a] == states[b]) {
            numbers.clear();
            numbers.extend(group.iter().map(|&row| z.numbers[row]));
            factors.clear();
            factors.extend(weights.iter().flat_map(|weights| group.iter().map(|&row| weights.numbers[row])));
            // SAFETY: `init` made the state, and this thread has the only reference to it.
            if let Some(state) = unsafe { FfiState::<Group<A::Sum>>::with_state_mut(states[group[0]]) } {
                state.update(&numbers, &factors);
            }
        }
    });
}

unsafe extern "C" fn combine<A: Aggregate>(
    info: duckdb_function_info,
    sources: *mut duckdb_aggregate_state,
    targets: *mut duckdb_aggregate_state,
    count: idx_t,
) {
    guarded(info, || {
        for i in 0..count as usize {
            // SAFETY: there are `count` states of both kinds, made by `init`, and no source is a target.
            let pair = unsafe {
                let target = FfiState::<Group<A::Sum>>::with_state_mut(*targets.add(i));
                target.zip(FfiState::<Group<A::Sum>>::with_state(*sources.add(i)))
            };
            if let Some((target, source)) = pair {
                target.merge(source);
            }
        }
    });
}

unsafe extern "C" fn finalize<A: Aggregate>(
    info: duckdb_function_info,
    states: *mut duckdb_aggregate_state,
    result: duckdb_vector,
    count: idx_t,
    offset: idx_t,
) {
    guarded(info, || {
        for i in 0..count as usize {
            let row = offset as usize + i;
            // SAFETY: there are `count` states, made by `init`, and as many places in the result, which has the
            // registered type; its validity mask may be written after it has been made writable.
            unsafe {
                let state = FfiState::<Group<A::Sum>>::with_state(*states.add(i));
                match state.and_then(|state| state.0.as_ref()) {
                    Some(sum) => {
                        *duckdb_vector_get_data(result).cast::<Number<A>>().add(row) = A::value(sum);
                    }
                    None => {
                        duckdb_vector_ensure_validity_writable(result);
                        *duckdb_vector_get_validity(result).add(row / 64) &= !(1 << (row % 64));
                    }
                }
            }
        }
    });
}
