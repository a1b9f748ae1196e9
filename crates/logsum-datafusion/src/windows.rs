//! `logcumsumexp` and `softmax`, over the rows of a partition.

use crate::documentation;
use crate::numbers::{Number, Rows, coerced};
use crate::states::failed;
use datafusion::arrow::array::{ArrayRef, PrimitiveArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    Documentation, LimitEffect, PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_plan::PhysicalExpr;
use std::sync::Arc;

pub(crate) fn all() -> Vec<Arc<WindowUDF>> {
    [Kind::LogCumSumExp, Kind::Softmax].map(|kind| Arc::new(WindowUDF::from(Window::new(kind)))).to_vec()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// A row with NULL has the value of the row before, or NULL if there is none.
    LogCumSumExp,
    /// A row with NULL has the value NULL.
    Softmax,
}

impl Kind {
    fn evaluate<T: Number>(self, values: &[ArrayRef], length: usize) -> Result<ArrayRef> {
        let Rows { rows, columns } = Rows::<T>::of(values, None)?;
        let z = &columns[0];
        let mut results = vec![T::default(); z.len()];
        match self {
            Self::LogCumSumExp => logsum::logcumsumexp(z, &mut results),
            Self::Softmax => logsum::softmax(z, &mut results),
        }
        .map_err(failed)?;
        let Some(rows) = rows else {
            return Ok(Arc::new(PrimitiveArray::<T::Arrow>::from_iter_values(results)));
        };
        let mut found = vec![None; length];
        for (row, result) in rows.into_iter().zip(results) {
            found[row] = Some(result);
        }
        if self == Self::LogCumSumExp {
            let mut last = None;
            for place in &mut found {
                last = place.or(last);
                *place = last;
            }
        }
        Ok(Arc::new(found.into_iter().collect::<PrimitiveArray<T::Arrow>>()))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Window {
    kind: Kind,
    signature: Signature,
}

impl Window {
    fn new(kind: Kind) -> Self {
        Self { kind, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl WindowUDFImpl for Window {
    fn name(&self) -> &str {
        match self.kind {
            Kind::LogCumSumExp => "logcumsumexp",
            Kind::Softmax => "softmax",
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        documentation::of(self.name())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        coerced(self.name(), &[1], types)
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let missing = || internal_datafusion_err!("{} has no argument", self.name());
        let number = args.get_input_field(0).ok_or_else(missing)?;
        Ok(Arc::new(Field::new(args.name(), number.data_type().clone(), true)))
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        let is_f32 = args.input_fields().first().is_some_and(|field| *field.data_type() == DataType::Float32);
        Ok(Box::new(Evaluator { kind: self.kind, is_f32 }))
    }

    /// A row depends on all rows of its partition, or on those before.
    fn limit_effect(&self, _: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        match self.kind {
            Kind::LogCumSumExp => LimitEffect::None,
            Kind::Softmax => LimitEffect::Unknown,
        }
    }
}

#[derive(Debug)]
struct Evaluator {
    kind: Kind,
    is_f32: bool,
}

impl PartitionEvaluator for Evaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        if self.is_f32 {
            self.kind.evaluate::<f32>(values, rows)
        } else {
            self.kind.evaluate::<f64>(values, rows)
        }
    }
}
