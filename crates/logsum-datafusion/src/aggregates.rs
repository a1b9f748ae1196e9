//! `logsumexp`, `logmeanexp` and `effective_sample_size`.

use crate::documentation;
use crate::numbers::{Number, Rows, coerced};
use crate::states::{State, failed};
use datafusion::arrow::array::{Array, ArrayRef, BinaryBuilder, BooleanArray, PrimitiveArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::cast::as_binary_array;
use datafusion::common::{Result, ScalarValue, not_impl_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator, ReversedUDAF,
    Signature, Volatility,
};
use logsum::EffectiveSampleSize;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Arc;

pub(crate) fn all() -> Vec<Arc<AggregateUDF>> {
    let kinds = [Kind::LogSumExp, Kind::LogMeanExp, Kind::EffectiveSampleSize];
    kinds.map(|kind| Arc::new(AggregateUDF::from(Aggregate::new(kind)))).to_vec()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    LogSumExp,
    LogMeanExp,
    EffectiveSampleSize,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::LogSumExp => "logsumexp",
            Self::LogMeanExp => "logmeanexp",
            Self::EffectiveSampleSize => "effective_sample_size",
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Aggregate {
    kind: Kind,
    signature: Signature,
}

impl Aggregate {
    fn new(kind: Kind) -> Self {
        Self { kind, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn takes_it(&self, args: &AccumulatorArgs) -> Result<()> {
        if args.is_distinct {
            return not_impl_err!(
                "{}(DISTINCT …) is not supported: select the distinct rows first",
                self.name()
            );
        }
        Ok(())
    }
}

/// Evaluates an expression for the states of an aggregate and a number type.
macro_rules! in_kind {
    ($kind:expr, $args:expr, $states:ident => $then:expr) => {{
        let is_f32 = *$args.expr_fields[0].data_type() == DataType::Float32;
        match ($kind, is_f32) {
            (Kind::LogSumExp, true) => in_kind!(logsum::Accumulator::<f32>::value, $states => $then),
            (Kind::LogSumExp, false) => in_kind!(logsum::Accumulator::<f64>::value, $states => $then),
            (Kind::LogMeanExp, true) => in_kind!(logsum::Accumulator::<f32>::logmeanexp, $states => $then),
            (Kind::LogMeanExp, false) => in_kind!(logsum::Accumulator::<f64>::logmeanexp, $states => $then),
            (Kind::EffectiveSampleSize, true) => in_kind!(EffectiveSampleSize::<f32>::value, $states => $then),
            (Kind::EffectiveSampleSize, false) => in_kind!(EffectiveSampleSize::<f64>::value, $states => $then),
        }
    }};
    ($value:expr, $states:ident => $then:expr) => {{
        let $states = Groups::with_value($value);
        $then
    }};
}

impl AggregateUDFImpl for Aggregate {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn documentation(&self) -> Option<&Documentation> {
        documentation::of(self.name())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let counts: &[usize] = if self.kind == Kind::LogSumExp { &[1, 2] } else { &[1] };
        coerced(self.name(), counts, types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.takes_it(&args)?;
        in_kind!(self.kind, args, states => Ok(Box::new(One { state: None, value: states.value })))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.takes_it(&args)?;
        in_kind!(self.kind, args, states => Ok(Box::new(Sliding { rows: VecDeque::new(), value: states.value })))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        self.takes_it(&args)?;
        in_kind!(self.kind, args, states => Ok(Box::new(states)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[state]", args.name), DataType::Binary, true))])
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// The states of all groups, and whether each group has rows: without any, its value is NULL.
#[derive(Debug)]
struct Groups<S: State> {
    states: Vec<S>,
    /// Whether each group has a row that is not NULL.
    has_rows: Vec<bool>,
    value: fn(&S) -> S::Number,
}

impl<S: State> Groups<S> {
    fn with_value(value: fn(&S) -> S::Number) -> Self {
        Self { states: Vec::new(), has_rows: Vec::new(), value }
    }

    fn resize(&mut self, groups: usize) {
        self.states.resize(groups, S::empty());
        self.has_rows.resize(groups, false);
    }

    fn update(&mut self, groups: &[usize], z: &[S::Number], weights: Option<&[S::Number]>) -> Result<()> {
        for &group in groups {
            self.has_rows[group] = true;
        }
        S::update_groups(&mut self.states, groups, z, weights).map_err(failed)
    }

    fn take(&mut self, emit_to: EmitTo) -> impl Iterator<Item = Option<S>> {
        let states = emit_to.take_needed(&mut self.states);
        let has_rows = emit_to.take_needed(&mut self.has_rows);
        states.into_iter().zip(has_rows).map(|(state, has_rows)| has_rows.then_some(state))
    }
}

impl<S: State> GroupsAccumulator for Groups<S> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        self.resize(groups);
        let Rows { rows, columns } = Rows::of(values, filter)?;
        let weights = columns.get(1).map(AsRef::as_ref);
        match rows {
            None => self.update(group_indices, &columns[0], weights),
            Some(rows) => {
                let group_indices: Vec<usize> = rows.into_iter().map(|row| group_indices[row]).collect();
                self.update(&group_indices, &columns[0], weights)
            }
        }
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], groups: usize) -> Result<()> {
        self.resize(groups);
        let mut rows = SingleRows::default();
        for (bytes, &group) in as_binary_array(&values[0])?.iter().zip(group_indices) {
            match bytes {
                None => {}
                Some(bytes) if rows.read(bytes) => rows.groups.push(group),
                Some(bytes) => {
                    self.states[group].merge(&S::read(bytes).map_err(failed)?);
                    self.has_rows[group] = true;
                }
            }
        }
        let SingleRows { groups, z, weights } = &rows;
        self.update(groups, z, (!weights.is_empty()).then_some(weights))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let value = self.value;
        let values = self.take(emit_to).map(|state| state.as_ref().map(value));
        Ok(Arc::new(values.collect::<PrimitiveArray<<S::Number as Number>::Arrow>>()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let mut array = BinaryBuilder::new();
        for state in self.take(emit_to) {
            array.append_option(state.map(|state| state.bytes()));
        }
        Ok(vec![Arc::new(array.finish())])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        Ok(vec![single_rows::<S::Number>(values, filter)?])
    }

    fn size(&self) -> usize {
        self.states.capacity() * size_of::<S>() + self.has_rows.capacity()
    }
}

/// Rows that the engine passes on without grouping them first, because nearly every row has a group of its own. In
/// place of a state each has only its number, and its weight if there is one, which are far shorter.
struct SingleRows<T> {
    groups: Vec<usize>,
    z: Vec<T>,
    weights: Vec<T>,
}

impl<T> Default for SingleRows<T> {
    fn default() -> Self {
        Self { groups: Vec::new(), z: Vec::new(), weights: Vec::new() }
    }
}

impl<T: Number> SingleRows<T> {
    /// Reads the bytes of a row, and returns whether they are that; the caller then adds the group.
    fn read(&mut self, bytes: &[u8]) -> bool {
        if bytes.len() != size_of::<T>() && bytes.len() != 2 * size_of::<T>() {
            return false;
        }
        let mut numbers = T::read(bytes);
        self.z.extend(numbers.next());
        self.weights.extend(numbers.next());
        true
    }
}

/// The bytes of such rows, with NULL for a row that is left out.
fn single_rows<T: Number>(values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<ArrayRef> {
    let length = values[0].len();
    let Rows { rows, columns } = Rows::<T>::of(values, filter)?;
    let mut array = BinaryBuilder::with_capacity(length, length * columns.len() * size_of::<T>());
    let (mut bytes, mut rows) = (Vec::new(), rows.map(|rows| rows.into_iter().peekable()));
    let mut found = 0;
    for row in 0..length {
        if rows.as_mut().is_some_and(|rows| rows.next_if_eq(&row).is_none()) {
            array.append_null();
            continue;
        }
        bytes.clear();
        columns.iter().for_each(|column| column[found].write(&mut bytes));
        array.append_value(&bytes);
        found += 1;
    }
    Ok(Arc::new(array.finish()))
}

/// The one group of an aggregate without GROUP BY.
#[derive(Debug)]
struct One<S: State> {
    state: Option<S>,
    value: fn(&S) -> S::Number,
}

impl<S: State> Accumulator for One<S> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Rows { columns, .. } = Rows::of(values, None)?;
        if columns[0].is_empty() {
            return Ok(());
        }
        let state = self.state.get_or_insert(S::empty());
        state.update(&columns[0], columns.get(1).map(AsRef::as_ref)).map_err(failed)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for bytes in as_binary_array(&states[0])?.iter().flatten() {
            self.state.get_or_insert(S::empty()).merge(&S::read(bytes).map_err(failed)?);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let values: PrimitiveArray<<S::Number as Number>::Arrow> =
            std::iter::once(self.state.as_ref().map(self.value)).collect();
        ScalarValue::try_from_array(&values, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(self.state.map(|state| state.bytes().as_ref().to_vec()))])
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The rows of a window's frame. A row that leaves the frame cannot be subtracted from a state, so that each value is a
/// new sum.
#[derive(Debug)]
struct Sliding<S: State> {
    rows: VecDeque<[Option<S::Number>; 2]>,
    value: fn(&S) -> S::Number,
}

impl<S: State> Accumulator for Sliding<S> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let columns = values.iter().map(S::Number::column).collect::<Result<Vec<_>>>()?;
        for i in 0..values[0].len() {
            let number = |column: usize| {
                columns.get(column).and_then(|column| column.is_valid(i).then(|| column.value(i)))
            };
            let is_whole = columns.iter().all(|column| column.is_valid(i));
            self.rows.push_back(if is_whole { [number(0), number(1)] } else { [None; 2] });
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.rows.drain(..values[0].len());
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        not_impl_err!("a window's frame is not merged")
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let z: Vec<S::Number> = self.rows.iter().filter_map(|row| row[0]).collect();
        let weights: Vec<S::Number> = self.rows.iter().filter_map(|row| row[1]).collect();
        let weights = (!weights.is_empty()).then_some(&weights[..]);
        let mut one = One { state: None, value: self.value };
        if !z.is_empty() {
            one.state.insert(S::empty()).update(&z, weights).map_err(failed)?;
        }
        one.evaluate()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        not_impl_err!("a window's frame is not merged")
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.rows.capacity() * size_of::<[Option<S::Number>; 2]>()
    }
}
