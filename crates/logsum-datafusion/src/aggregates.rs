//! `logsumexp`, `logmeanexp` and `effective_sample_size`.

use crate::documentation;
use crate::numbers::{Number, Rows, coerced};
use crate::states::{State, failed};
use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryBuilder, BooleanArray, PrimitiveArray, new_null_array,
};
use datafusion::arrow::compute::nullif;
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
use std::borrow::Cow;
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
            (Kind::LogSumExp, true) => in_kind!(@ logsum::Accumulator::<f32>::value, $args, $states => $then),
            (Kind::LogSumExp, false) => in_kind!(@ logsum::Accumulator::<f64>::value, $args, $states => $then),
            (Kind::LogMeanExp, true) => in_kind!(@ logsum::Accumulator::<f32>::logmeanexp, $args, $states => $then),
            (Kind::LogMeanExp, false) => in_kind!(@ logsum::Accumulator::<f64>::logmeanexp, $args, $states => $then),
            (Kind::EffectiveSampleSize, true) => in_kind!(@ EffectiveSampleSize::<f32>::value, $args, $states => $then),
            (Kind::EffectiveSampleSize, false) => in_kind!(@ EffectiveSampleSize::<f64>::value, $args, $states => $then),
        }
    }};
    (@ $value:expr, $args:expr, $states:ident => $then:expr) => {{
        let $states = Groups::with_value($value, $args.expr_fields.len());
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
        in_kind!(self.kind, args, states => Ok(Box::new(One::with_value(states.value, states.arguments))))
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
        let state = Field::new(format!("{}[state]", args.name), DataType::Binary, true);
        let row = args.input_fields.iter().enumerate().map(|(i, field)| {
            Arc::new(Field::new(format!("{}[row {i}]", args.name), field.data_type().clone(), true))
        });
        Ok(std::iter::once(Arc::new(state)).chain(row).collect())
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// The states of all groups, and whether each group has rows: without any, its value is NULL.
///
/// What partitions send has a column of states, followed by the columns of the arguments. In each row the former or the
/// latter are NULL: rows that the engine passes on without grouping them first, because nearly every row has a group of
/// its own, are sent as they are, for they are far shorter than states.
#[derive(Debug)]
struct Groups<S: State> {
    states: Vec<S>,
    /// Whether each group has a row that is not NULL.
    has_rows: Vec<bool>,
    value: fn(&S) -> S::Number,
    /// The number of arguments.
    arguments: usize,
}

impl<S: State> Groups<S> {
    fn with_value(value: fn(&S) -> S::Number, arguments: usize) -> Self {
        Self { states: Vec::new(), has_rows: Vec::new(), value, arguments }
    }

    fn resize(&mut self, groups: usize) {
        self.states.resize(groups, S::empty());
        self.has_rows.resize(groups, false);
    }

    /// Adds the rows with these arguments.
    fn update(
        &mut self,
        arguments: &[ArrayRef],
        filter: Option<&BooleanArray>,
        groups: &[usize],
    ) -> Result<()> {
        let Rows { rows, columns } = Rows::of(arguments, filter)?;
        let groups: Cow<'_, [usize]> = match rows {
            None => groups.into(),
            Some(rows) => rows.into_iter().map(|row| groups[row]).collect(),
        };
        for &group in &*groups {
            self.has_rows[group] = true;
        }
        let weights = columns.get(1).map(AsRef::as_ref);
        S::update_groups(&mut self.states, &groups, &columns[0], weights).map_err(failed)
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
        self.update(values, filter, group_indices)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], groups: usize) -> Result<()> {
        self.resize(groups);
        let states = as_binary_array(&values[0])?;
        if states.null_count() > 0 {
            self.update(&values[1..], None, group_indices)?;
        }
        if states.null_count() == states.len() {
            return Ok(());
        }
        for (bytes, &group) in states.iter().zip(group_indices) {
            if let Some(bytes) = bytes {
                self.states[group].merge(&S::read(bytes).map_err(failed)?);
                self.has_rows[group] = true;
            }
        }
        Ok(())
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
        let states: ArrayRef = Arc::new(array.finish());
        let no_rows = new_null_array(&<S::Number as Number>::Arrow::DATA_TYPE, states.len());
        Ok(std::iter::once(states).chain(std::iter::repeat_n(no_rows, self.arguments)).collect())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let no_states = new_null_array(&DataType::Binary, values[0].len());
        let Some(filter) = filter else {
            return Ok(std::iter::once(no_states).chain(values.iter().cloned()).collect());
        };
        let is_left_out = BooleanArray::from_iter(filter.iter().map(|passes| Some(passes != Some(true))));
        let rows = values.iter().map(|column| Ok(nullif(column, &is_left_out)?));
        std::iter::once(Ok(no_states)).chain(rows).collect()
    }

    fn size(&self) -> usize {
        self.states.capacity() * size_of::<S>() + self.has_rows.capacity()
    }
}

/// The one group of an aggregate without GROUP BY.
#[derive(Debug)]
struct One<S: State> {
    state: Option<S>,
    value: fn(&S) -> S::Number,
    /// The number of arguments.
    arguments: usize,
}

impl<S: State> One<S> {
    fn with_value(value: fn(&S) -> S::Number, arguments: usize) -> Self {
        Self { state: None, value, arguments }
    }
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
        let state = ScalarValue::Binary(self.state.map(|state| state.bytes().as_ref().to_vec()));
        let no_row = ScalarValue::try_new_null(&<S::Number as Number>::Arrow::DATA_TYPE)?;
        Ok(std::iter::once(state).chain(std::iter::repeat_n(no_row, self.arguments)).collect())
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
        let mut one = One::with_value(self.value, 1 + usize::from(weights.is_some()));
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
