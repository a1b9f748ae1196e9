//! `logsumexp`, `logmeanexp` and `effective_sample_size`.

use crate::numbers::{Number, Rows, coerced};
use crate::states::{State, failed};
use datafusion::arrow::array::{Array, ArrayRef, BinaryBuilder, BooleanArray, PrimitiveArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::cast::as_binary_array;
use datafusion::common::{Result, ScalarValue, not_impl_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
    Volatility,
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

/// The same expression for the states of a kind and a type.
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
        in_kind!(self.kind, args, states => Ok(Box::new(One(states))))
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

/// A state for each group; none for a group without rows.
#[derive(Debug)]
struct Groups<S: State> {
    states: Vec<S>,
    /// Whether the group has a row that is not NULL.
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
        let group_indices: Vec<usize> = rows.into_iter().map(|row| group_indices[row]).collect();
        for &group in &group_indices {
            self.has_rows[group] = true;
        }
        let weights = columns.get(1).map(Vec::as_slice);
        S::update_groups(&mut self.states, &group_indices, &columns[0], weights).map_err(failed)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], groups: usize) -> Result<()> {
        self.resize(groups);
        for (bytes, &group) in as_binary_array(&values[0])?.iter().zip(group_indices) {
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
        Ok(vec![Arc::new(array.finish())])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let length = values[0].len();
        let mut single = Self::with_value(self.value);
        let each: Vec<usize> = (0..length).collect();
        single.update_batch(values, &each, filter, length)?;
        single.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.states.capacity() * size_of::<S>() + self.has_rows.capacity()
    }
}

/// The one group of an aggregate without GROUP BY.
#[derive(Debug)]
struct One<S: State>(Groups<S>);

impl<S: State> Accumulator for One<S> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let groups = vec![0; values[0].len()];
        self.0.update_batch(values, &groups, None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let groups = vec![0; states[0].len()];
        self.0.merge_batch(states, &groups, 1)
    }

    /// Leaves the state as it is: a window asks after each row.
    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.resize(1);
        ScalarValue::try_from_array(&self.copy().evaluate(EmitTo::All)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.resize(1);
        Ok(vec![ScalarValue::try_from_array(&self.copy().state(EmitTo::All)?[0], 0)?])
    }

    fn size(&self) -> usize {
        size_of_val(self) + GroupsAccumulator::size(&self.0)
    }
}

impl<S: State> One<S> {
    fn copy(&self) -> Groups<S> {
        let Groups { states, has_rows, value } = &self.0;
        Groups { states: states.clone(), has_rows: has_rows.clone(), value: *value }
    }
}

/// The rows of a window's frame. What leaves it cannot be taken away from a state, so that each value is a new sum.
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
        let mut sum = Groups::with_value(self.value);
        sum.resize(1);
        sum.has_rows[0] = !z.is_empty();
        let weights = (!weights.is_empty()).then_some(&weights[..]);
        S::update_groups(&mut sum.states, &vec![0; z.len()], &z, weights).map_err(failed)?;
        ScalarValue::try_from_array(&sum.evaluate(EmitTo::All)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        not_impl_err!("a window's frame is not merged")
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.rows.capacity() * size_of::<[Option<S::Number>; 2]>()
    }
}
