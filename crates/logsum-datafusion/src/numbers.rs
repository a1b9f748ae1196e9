//! The types that functions take, and columns as slices.

use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray};
use datafusion::arrow::datatypes::{ArrowNativeType, DataType, Float32Type, Float64Type};
use datafusion::common::cast::{as_float32_array, as_float64_array};
use datafusion::common::{Result, plan_err};
use std::borrow::Cow;
use std::fmt::Debug;

/// f32 or f64, the formats that both Arrow and the library have.
pub(crate) trait Number: logsum::Float + ArrowNativeType + Debug {
    type Arrow: ArrowPrimitiveType<Native = Self> + Debug;

    fn column(array: &ArrayRef) -> Result<&PrimitiveArray<Self::Arrow>>;
}

impl Number for f32 {
    type Arrow = Float32Type;

    fn column(array: &ArrayRef) -> Result<&PrimitiveArray<Float32Type>> {
        as_float32_array(array)
    }
}

impl Number for f64 {
    type Arrow = Float64Type;

    fn column(array: &ArrayRef) -> Result<&PrimitiveArray<Float64Type>> {
        as_float64_array(array)
    }
}

/// The types to which arguments are converted: REAL if that can represent all of them, otherwise DOUBLE.
pub(crate) fn coerced(function: &str, counts: &[usize], types: &[DataType]) -> Result<Vec<DataType>> {
    if !counts.contains(&types.len()) {
        let counts: Vec<String> = counts.iter().map(ToString::to_string).collect();
        let noun = if counts == ["1"] { "argument" } else { "arguments" };
        return plan_err!("{function} takes {} {noun}, not {}", counts.join(" or "), types.len());
    }
    if let Some(other) = types.iter().find(|t| !(t.is_numeric() || **t == DataType::Null)) {
        return plan_err!("{function} takes numbers, not {other}");
    }
    let is_narrow = |t: &DataType| matches!(t, DataType::Float32 | DataType::Float16 | DataType::Null);
    let are_null = types.iter().all(|t| *t == DataType::Null);
    let common = if types.iter().all(is_narrow) && !are_null { DataType::Float32 } else { DataType::Float64 };
    Ok(vec![common; types.len()])
}

/// The numbers of the rows that pass the filter and have no NULL, and the indices of these rows, unless they are all.
pub(crate) struct Rows<'a, T: Clone> {
    pub(crate) rows: Option<Vec<usize>>,
    pub(crate) columns: Vec<Cow<'a, [T]>>,
}

impl<'a, T: Number> Rows<'a, T> {
    pub(crate) fn of(values: &'a [ArrayRef], filter: Option<&BooleanArray>) -> Result<Self> {
        let columns = values.iter().map(T::column).collect::<Result<Vec<_>>>()?;
        if filter.is_none() && columns.iter().all(|column| column.null_count() == 0) {
            let columns = columns.iter().map(|column| Cow::Borrowed(&column.values()[..])).collect();
            return Ok(Self { rows: None, columns });
        }
        let length = columns.first().map_or(0, |column| column.len());
        let passes = |i: usize| filter.is_none_or(|filter| filter.is_valid(i) && filter.value(i));
        let is_whole = |i: usize| columns.iter().all(|column| column.is_valid(i));
        let rows: Vec<usize> = (0..length).filter(|&i| passes(i) && is_whole(i)).collect();
        let columns = columns.iter().map(|column| rows.iter().map(|&i| column.value(i)).collect());
        Ok(Self { columns: columns.collect(), rows: Some(rows) })
    }
}
