//! The descriptions of the functions for `information_schema.routines` and shells.

use datafusion::logical_expr::{
    DocSection, Documentation, aggregate_doc_sections, scalar_doc_sections, window_doc_sections,
};
use std::collections::HashMap;
use std::sync::LazyLock;

const SUMS: DocSection = aggregate_doc_sections::DOC_SECTION_STATISTICAL;
const WINDOWS: DocSection = window_doc_sections::DOC_SECTION_ANALYTICAL;
const NUMBERS: DocSection = scalar_doc_sections::DOC_SECTION_MATH;

const Z: (&str, &str) = ("z", "Numbers; integers and decimals are converted to doubles. NULL is left out.");
const WEIGHT: (&str, &str) =
    ("weight", "A weight of any sign. A row with the weight 0 is left out, whatever its number is.");
const LOG_WEIGHT: (&str, &str) = ("log_w", "Logarithms of weights that are not negative.");
const X: (&str, &str) = ("x", "A number; NULL gives NULL.");
const Y: (&str, &str) = ("y", "A number; NULL gives NULL.");

type Function = (DocSection, &'static str, &'static [(&'static str, &'static str)], &'static str);

const FUNCTIONS: [Function; 11] = [
    (
        SUMS,
        "logsumexp(z [, weight])",
        &[Z, WEIGHT],
        "log of the sum of weight * e^z, without overflow, with the same bits for every order and partition of the \
         rows. It is the floating-point number nearest to the exact value where that is proved, and almost certainly \
         elsewhere. -Infinity if all terms are 0, NaN if the sum is negative, NULL without rows.",
    ),
    (SUMS, "logmeanexp(z)", &[Z], "log of the mean of e^z. NULL without rows."),
    (
        SUMS,
        "effective_sample_size(log_w)",
        &[LOG_WEIGHT],
        "Kish's effective sample size (sum of w)^2 / sum of w^2 of weights w = e^log_w: from 1 to the number of rows. \
         NaN if no log_w is finite, or if one is Infinity or NaN. NULL without rows.",
    ),
    (
        WINDOWS,
        "logcumsumexp(z) OVER (ORDER BY expression)",
        &[Z],
        "log of the sum of e^z of the row and all before it in its partition. Rows that compare equal are added one \
         after the other, and a frame has no influence, as in row_number; use logsumexp(z) OVER for frames.",
    ),
    (
        WINDOWS,
        "softmax(z) OVER (PARTITION BY expression)",
        &[Z],
        "e^z divided by the sum of e^z of all rows of the partition. ORDER BY and a frame have no influence.",
    ),
    (NUMBERS, "logaddexp(x, y)", &[X, Y], "log(e^x + e^y)."),
    (NUMBERS, "logsubexp(x, y)", &[X, Y], "log(e^x - e^y); NaN where x < y."),
    (NUMBERS, "log1pexp(x)", &[X], "log(1 + e^x), the softplus function."),
    (NUMBERS, "log1mexp(x)", &[X], "log(1 - e^x); NaN where x > 0."),
    (NUMBERS, "logistic(x)", &[X], "1 / (1 + e^-x), the sigmoid function."),
    (NUMBERS, "logit(x)", &[X], "log(x / (1 - x)); NaN outside of 0 to 1."),
];

/// The documentation of the function with this name.
pub(crate) fn of(name: &str) -> Option<&'static Documentation> {
    static ALL: LazyLock<HashMap<&str, Documentation>> = LazyLock::new(|| {
        let documented = |(section, syntax, arguments, description): Function| {
            let name = syntax.split('(').next().unwrap_or_default();
            let builder = Documentation::builder(section, description, syntax);
            let builder =
                arguments.iter().fold(builder, |builder, &(name, what)| builder.with_argument(name, what));
            (name, builder.build())
        };
        FUNCTIONS.map(documented).into()
    });
    ALL.get(name)
}
