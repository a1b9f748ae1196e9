//! The functions in SQL: values, NULLs, types, errors, and the same bits for any number of partitions.

use datafusion::arrow::array::{ArrayRef, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use std::sync::Arc;

fn context(partitions: usize) -> SessionContext {
    with_config(SessionConfig::new().with_target_partitions(partitions))
}

/// A context that passes rows on without grouping them first, as if nearly every row had a group of its own.
fn context_without_partial_groups(partitions: usize) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(partitions).with_batch_size(512);
    config.options_mut().execution.skip_partial_aggregation_probe_rows_threshold = 1;
    config.options_mut().execution.skip_partial_aggregation_probe_ratio_threshold = 0.0;
    with_config(config)
}

fn with_config(config: SessionConfig) -> SessionContext {
    let mut context = SessionContext::new_with_config(config);
    logsum_datafusion::register_all(&mut context).expect("functions are registered");
    context
}

/// The rows of a query.
async fn rows(context: &SessionContext, sql: &str) -> Vec<Vec<ScalarValue>> {
    let batches = context.sql(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let batches = batches.collect().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mut rows = Vec::new();
    for batch in batches {
        for i in 0..batch.num_rows() {
            let row =
                batch.columns().iter().map(|column| ScalarValue::try_from_array(column, i).expect("a row"));
            rows.push(row.collect());
        }
    }
    rows
}

/// The one value of a query.
async fn value(sql: &str) -> ScalarValue {
    let mut rows = rows(&context(2), sql).await;
    assert_eq!((rows.len(), rows[0].len()), (1, 1), "{sql}");
    rows.remove(0).remove(0)
}

async fn double(sql: &str) -> Option<f64> {
    match value(sql).await {
        ScalarValue::Float64(value) => value,
        other => panic!("{sql} gives {other:?}"),
    }
}

/// The error of a query.
async fn error(sql: &str) -> String {
    let context = context(2);
    let plan = match context.sql(sql).await {
        Ok(plan) => plan,
        Err(error) => return error.to_string(),
    };
    plan.collect().await.expect_err(sql).to_string()
}

#[tokio::test]
async fn aggregates() {
    let of = |list: &str, call: &str| format!("SELECT {call} FROM (VALUES {list}) t(z)");
    assert_eq!(double(&of("(1000.0), (1001.0), (1002.0)", "logsumexp(z)")).await, Some(1002.4076059644444));
    assert_eq!(double(&of("(1000.0), (NULL), (1000.0)", "logmeanexp(z)")).await, Some(1000.0));
    assert_eq!(
        double(&of("(-1000), (-1000), (-1001)", "effective_sample_size(z)")).await,
        Some(2.6257483271778526)
    );
    // No rows, and only NULL.
    assert_eq!(double(&of("(1.0)", "logsumexp(z) FILTER (WHERE z > 2)")).await, None);
    assert_eq!(double(&of("(CAST(NULL AS DOUBLE)), (NULL)", "logsumexp(z)")).await, None);
    assert_eq!(double("SELECT logsumexp(NULL)").await, None);
    let infinite = "(CAST('-inf' AS DOUBLE)), (CAST('-inf' AS DOUBLE))";
    for call in ["logsumexp(z)", "logmeanexp(z)"] {
        assert_eq!(double(&of(infinite, call)).await, Some(f64::NEG_INFINITY));
    }
    assert_eq!(double(&of("(1.0), (CAST('inf' AS DOUBLE))", "logsumexp(z)")).await, Some(f64::INFINITY));
    assert!(double(&of("(1.0), (CAST('NaN' AS DOUBLE))", "logsumexp(z)")).await.is_some_and(f64::is_nan));
}

#[tokio::test]
async fn weights() {
    let of = |list: &str| format!("SELECT logsumexp(z, w) FROM (VALUES {list}) t(z, w)");
    assert_eq!(double(&of("(0.0, 3), (3.0, -0.05)")).await, Some(0.691006467788818));
    // Rows with NULL as number or weight, and rows with a weight of 0, are left out.
    assert_eq!(
        double(&of("(0.0, 2), (NULL, 1), (5.0, NULL), (CAST('NaN' AS DOUBLE), 0)")).await,
        Some(2_f64.ln())
    );
    assert_eq!(double(&of("(1.0, 0)")).await, Some(f64::NEG_INFINITY));
}

#[tokio::test]
async fn types() {
    let z = "(VALUES (1.5), (2.5)) t(z)";
    assert_eq!(
        value(&format!("SELECT logsumexp(CAST(z AS REAL)) FROM {z}")).await,
        ScalarValue::Float32(Some(2.8132617))
    );
    for cast in ["DOUBLE", "DECIMAL(5, 1)"] {
        assert_eq!(
            double(&format!("SELECT logsumexp(CAST(z AS {cast})) FROM {z}")).await,
            Some(2.813261687518223)
        );
    }
    for cast in ["TINYINT", "BIGINT UNSIGNED"] {
        assert_eq!(double(&format!("SELECT logsumexp(CAST(2 AS {cast}))")).await, Some(2.0));
    }
    // A REAL and a DOUBLE.
    assert_eq!(
        double("SELECT logaddexp(CAST(0 AS REAL), CAST(0 AS DOUBLE))").await,
        Some(std::f64::consts::LN_2)
    );
}

#[tokio::test]
async fn scalars() {
    let cases = [
        ("logaddexp(1000, 1000)", 1000.6931471805599),
        ("logsubexp(1.0, 0.0)", 0.5413248546129181),
        ("log1pexp(-40.0)", 4.248354255291589e-18),
        ("log1mexp(-1e-20)", -46.051701859880914),
        ("logistic(-800.0)", 0.0),
        ("logit(0.25)", -1.0986122886681098),
    ];
    for (call, expected) in cases {
        assert_eq!(double(&format!("SELECT {call}")).await, Some(expected), "{call}");
    }
    assert_eq!(double("SELECT logaddexp(1.0, NULL)").await, None);
    assert_eq!(
        rows(&context(2), "SELECT log1pexp(x) FROM (VALUES (0.0), (NULL), (1e6)) t(x)").await.concat(),
        [Some(std::f64::consts::LN_2), None, Some(1e6)].map(ScalarValue::Float64)
    );
}

#[tokio::test]
async fn windows() {
    let table =
        "(VALUES ('a', 1, 0.0), ('a', 2, NULL), ('a', 3, 0.0), ('b', 1, NULL), ('b', 2, -5e3)) t(k, i, z)";
    let ln_2 = std::f64::consts::LN_2;
    let column = |sql: String| async move { rows(&context(3), &sql).await.concat() };
    let of = |call: &str, over: &str| {
        format!("SELECT {call} OVER (PARTITION BY k {over}) FROM {table} ORDER BY k, i")
    };
    let expected = [Some(0.0), Some(0.0), Some(ln_2), None, Some(-5e3)].map(ScalarValue::Float64);
    assert_eq!(column(of("logcumsumexp(z)", "ORDER BY i")).await, expected);
    // The aggregate over the same frame.
    assert_eq!(column(of("logsumexp(z)", "ORDER BY i")).await, expected);
    let expected = [Some(0.5), None, Some(0.5), None, Some(1.0)].map(ScalarValue::Float64);
    assert_eq!(column(of("softmax(z)", "")).await, expected);
    // Rows that have left the frame have no influence.
    let sliding = of("logsumexp(z)", "ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW");
    let expected = [Some(0.0), Some(0.0), Some(0.0), None, Some(-5e3)].map(ScalarValue::Float64);
    assert_eq!(column(sliding).await, expected);
}

#[tokio::test]
async fn errors_say_what_is_wrong() {
    for (sql, words) in [
        ("SELECT logsumexp('a')", "logsumexp takes numbers, not Utf8"),
        ("SELECT logsumexp(1.0, 2.0, 3.0)", "logsumexp takes 1 or 2 arguments, not 3"),
        ("SELECT logmeanexp(1.0, 2.0)", "logmeanexp takes 1 argument, not 2"),
        ("SELECT logaddexp(1.0)", "logaddexp takes 2 arguments, not 1"),
        ("SELECT log1pexp(TRUE)", "log1pexp takes numbers, not Boolean"),
        (
            "SELECT logsumexp(DISTINCT z), logsumexp(DISTINCT -z) FROM (VALUES (1.0)) t(z)",
            "logsumexp(DISTINCT …) is not supported: select the distinct rows first",
        ),
    ] {
        let found = error(sql).await;
        assert!(found.contains(words), "{sql}: {found}");
    }
}

/// A table with its rows in a given number of partitions, in an order that depends on this number.
fn table(partitions: usize, rows: usize) -> Arc<MemTable> {
    let z = |i: usize| ((i * 7919 % 100_003) as f64 / 100_003.0 - 0.5) * 60.0 - 3000.0;
    let stride = [1, 17, 19, 23][partitions % 4];
    let order: Vec<usize> = (0..rows).map(|i| i * stride % rows).collect();
    let parts = order.chunks(rows.div_ceil(partitions)).map(|rows| {
        let keys = rows.iter().map(|i| format!("k{}", i % 13));
        let columns: [(&str, ArrayRef); 4] = [
            ("k", Arc::new(StringArray::from_iter_values(keys))),
            ("i", Arc::new(Int64Array::from_iter_values(rows.iter().map(|&i| i as i64)))),
            ("z", Arc::new(rows.iter().map(|&i| (i % 10 != 0).then(|| z(i))).collect::<Float64Array>())),
            ("w", Arc::new(Float32Array::from_iter_values(rows.iter().map(|&i| (i % 7) as f32 - 2.5)))),
        ];
        let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
        let batches = (0..batch.num_rows()).step_by(700);
        batches.map(|at| batch.slice(at, 700.min(batch.num_rows() - at))).collect::<Vec<_>>()
    });
    let parts: Vec<_> = parts.collect();
    let schema = parts[0][0].schema_ref();
    // A column is nullable if it is in any part.
    Arc::new(MemTable::try_new(Arc::clone(schema), parts).expect("a table"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bits_are_the_same_over_any_partitions() {
    const ROWS: usize = 30_030;
    let queries = [
        "SELECT k, logsumexp(z), logmeanexp(z), effective_sample_size(z), logsumexp(z / 100, w),
             logsumexp(CAST(z AS REAL)) FILTER (WHERE i % 3 = 0) AS third, effective_sample_size(w) FROM t GROUP BY k ORDER BY k",
        "SELECT logsumexp(z), logmeanexp(z), effective_sample_size(z), logsumexp(z, w), sum(z) FROM t",
        // As many groups as rows.
        "SELECT i, logsumexp(z), effective_sample_size(z) FROM t GROUP BY i ORDER BY i LIMIT 50",
    ];
    for (which, sql) in queries.into_iter().enumerate() {
        let mut first = None;
        let contexts = [1, 2, 7, 64].map(|partitions| (partitions, context(partitions)));
        let without_groups =
            [2, 7].map(|partitions| (partitions, context_without_partial_groups(partitions)));
        for (partitions, context) in contexts.into_iter().chain(without_groups) {
            context.register_table("t", table(partitions, ROWS)).expect("a table");
            let mut rows = rows(&context, sql).await;
            if which == 1 {
                // The engine's own sum does not have this property.
                rows[0].pop();
            }
            let first = first.get_or_insert_with(|| rows.clone());
            assert_eq!(*first, rows, "{sql}: {partitions} partitions");
        }
    }
}

#[tokio::test]
async fn values_are_those_of_the_library() {
    let context = context(2);
    context.register_table("t", table(3, 5000)).expect("a table");
    let z: Vec<f64> =
        rows(&context, "SELECT z FROM t WHERE z IS NOT NULL").await.concat().iter().map(number).collect();
    let found = rows(&context, "SELECT logsumexp(z), logmeanexp(z) FROM t").await.concat();
    assert_eq!(found.iter().map(number).collect::<Vec<_>>(), [logsum::logsumexp(&z), logsum::logmeanexp(&z)]);
}

fn number(value: &ScalarValue) -> f64 {
    match value {
        ScalarValue::Float64(Some(x)) => *x,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn functions_are_documented() {
    let names: Vec<_> = logsum_datafusion::aggregates()
        .iter()
        .map(|f| (f.name().to_owned(), f.documentation().cloned()))
        .collect();
    let windows = logsum_datafusion::windows();
    let scalars = logsum_datafusion::scalars();
    let windows = windows.iter().map(|f| (f.name().to_owned(), f.documentation().cloned()));
    let scalars = scalars.iter().map(|f| (f.name().to_owned(), f.documentation().cloned()));
    for (name, documentation) in names.into_iter().chain(windows).chain(scalars) {
        let documentation = documentation.unwrap_or_else(|| panic!("{name} has none"));
        assert!(documentation.syntax_example.starts_with(&format!("{name}(")), "{name}");
        let arguments = documentation.arguments.unwrap_or_default();
        assert!(
            arguments.iter().all(|(argument, _)| documentation.syntax_example.contains(argument.as_str())),
            "{name}"
        );
    }
    let context = with_config(SessionConfig::new().with_information_schema(true));
    let found = rows(
        &context,
        "SELECT description FROM information_schema.routines WHERE routine_name = 'logmeanexp'",
    )
    .await;
    assert!(
        found.iter().flatten().any(|cell| cell.to_string().contains("log of the mean of e^z")),
        "{found:?}"
    );
}

#[tokio::test]
async fn frames_are_those_of_aggregates() {
    let table = "(VALUES (1, 0.0), (2, 0.0), (2, 0.0)) t(k, z)";
    for frame in ["", "ROWS BETWEEN 1 PRECEDING AND CURRENT ROW"] {
        let context = context(1);
        let found = rows(&context, &format!("SELECT logcumsumexp(z) OVER (ORDER BY k {frame}), softmax(z) OVER (ORDER BY k {frame}) FROM {table} ORDER BY 1")).await;
        let found: Vec<Vec<f64>> = found.iter().map(|row| row.iter().map(number).collect()).collect();
        assert_eq!(found, [0.0, 2f64.ln(), 3f64.ln()].map(|sum| vec![sum, 1.0 / 3.0]));
    }
}

#[tokio::test]
async fn plans_name_the_functions() {
    let context = context(2);
    let plan = context.sql("EXPLAIN SELECT logsumexp(z) FROM (VALUES (1.0)) t(z)").await.expect("a plan");
    let plan = pretty_format_batches(&plan.collect().await.expect("a plan")).expect("a table").to_string();
    assert!(plan.contains("logsumexp(t.z)"), "{plan}");
}
