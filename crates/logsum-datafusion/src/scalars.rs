//! Functions of one row: `logaddexp`, `log1pexp` and others.

use crate::documentation;
use crate::numbers::{Number, coerced};
use datafusion::arrow::array::{ArrayRef, PrimitiveArray};
use datafusion::arrow::compute::kernels::arity::{binary, unary};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

pub(crate) fn all() -> Vec<Arc<ScalarUDF>> {
    let kinds =
        [Kind::LogAddExp, Kind::LogSubExp, Kind::Log1PExp, Kind::Log1MExp, Kind::Logistic, Kind::Logit];
    kinds.map(|kind| Arc::new(ScalarUDF::from(Function::new(kind)))).to_vec()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    LogAddExp,
    LogSubExp,
    Log1PExp,
    Log1MExp,
    Logistic,
    Logit,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::LogAddExp => "logaddexp",
            Self::LogSubExp => "logsubexp",
            Self::Log1PExp => "log1pexp",
            Self::Log1MExp => "log1mexp",
            Self::Logistic => "logistic",
            Self::Logit => "logit",
        }
    }

    fn arguments(self) -> usize {
        if matches!(self, Self::LogAddExp | Self::LogSubExp) { 2 } else { 1 }
    }

    fn apply<T: Number>(self, columns: &[ArrayRef]) -> Result<ArrayRef> {
        let a = T::column(&columns[0])?;
        let of_one = |f: fn(T) -> T| -> PrimitiveArray<T::Arrow> { unary(a, f) };
        let of_two = |f: fn(T, T) -> T| -> Result<PrimitiveArray<T::Arrow>> {
            Ok(binary(a, T::column(&columns[1])?, f)?)
        };
        Ok(Arc::new(match self {
            Self::LogAddExp => of_two(logsum::logaddexp)?,
            Self::LogSubExp => of_two(logsum::logsubexp)?,
            Self::Log1PExp => of_one(logsum::log1pexp),
            Self::Log1MExp => of_one(logsum::log1mexp),
            Self::Logistic => of_one(logsum::logistic),
            Self::Logit => of_one(logsum::logit),
        }))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    kind: Kind,
    signature: Signature,
}

impl Function {
    fn new(kind: Kind) -> Self {
        Self { kind, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Function {
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
        coerced(self.name(), &[self.kind.arguments()], types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let are_scalars = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if are_scalars { 1 } else { args.number_rows };
        let columns = args.args.iter().map(|argument| argument.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let values = match args.return_field.data_type() {
            DataType::Float32 => self.kind.apply::<f32>(&columns)?,
            _ => self.kind.apply::<f64>(&columns)?,
        };
        if are_scalars {
            return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&values, 0)?));
        }
        Ok(ColumnarValue::Array(values))
    }
}
