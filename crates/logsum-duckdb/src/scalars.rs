//! The functions of one row.

use logsum::{log1mexp, log1pexp, logaddexp, logistic, logit, logsubexp};
use quack_rs::error::ExtensionError;
use quack_rs::scalar::{ScalarFunctionBuilder, ScalarFunctionSetBuilder};

macro_rules! of_one {
    ($($function:ident),*) => {
        [$(
            ScalarFunctionSetBuilder::new(stringify!($function))
                .overload_typed(ScalarFunctionBuilder::map1(stringify!($function), $function::<f32>)?)
                .overload_typed(ScalarFunctionBuilder::map1(stringify!($function), $function::<f64>)?)
        ),*]
    };
}

macro_rules! of_two {
    ($($function:ident),*) => {
        [$(
            ScalarFunctionSetBuilder::new(stringify!($function))
                .overload_typed(ScalarFunctionBuilder::map2(stringify!($function), $function::<f32>)?)
                .overload_typed(ScalarFunctionBuilder::map2(stringify!($function), $function::<f64>)?)
        ),*]
    };
}

pub(crate) fn all() -> Result<Vec<ScalarFunctionSetBuilder>, ExtensionError> {
    let mut all = Vec::from(of_one!(log1pexp, log1mexp, logistic, logit));
    all.extend(of_two!(logaddexp, logsubexp));
    Ok(all)
}
