//! Compares the time of `logsumexp(z)` with that of the engine's own `sum(z)`, over one group and over many:
//! `cargo run --release --manifest-path crates/engines/Cargo.toml --example datafusion-speed -- 100000000`

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use datafusion::common::Result;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BATCH: usize = 8192;
const REPETITIONS: usize = 3;

/// Rows with one of this many groups and a number from −10 to 10, in two partitions.
fn table(rows: usize, groups: u64) -> Result<MemTable> {
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 11
    };
    let mut partitions = [Vec::new(), Vec::new()];
    for (i, first) in (0..rows).step_by(BATCH).enumerate() {
        let length = BATCH.min(rows - first);
        let group: ArrayRef =
            Arc::new((0..length).map(|_| (random() % groups) as i64).collect::<Int64Array>());
        let scale = 20.0 / (1_u64 << 53) as f64;
        let z: ArrayRef =
            Arc::new((0..length).map(|_| random() as f64 * scale - 10.0).collect::<Float64Array>());
        partitions[i % 2].push(RecordBatch::try_from_iter([("g", group), ("z", z)])?);
    }
    MemTable::try_new(partitions[0][0].schema(), partitions.to_vec())
}

#[tokio::main]
async fn main() -> Result<()> {
    let rows = std::env::args().nth(1).and_then(|rows| rows.parse().ok()).unwrap_or(10_000_000);
    let mut context = SessionContext::new();
    logsum_datafusion::register_all(&mut context)?;
    println!("{rows} rows, {} partitions at work\n", context.copied_config().target_partitions());
    println!("| groups | sum | logsumexp | times |\n|---|---|---|---|");
    for groups in [1, 1000, 1_000_000] {
        context.deregister_table("t")?;
        context.register_table("t", Arc::new(table(rows, groups)?))?;
        let mut best = [Duration::MAX; 2];
        for _ in 0..REPETITIONS {
            for (best, function) in best.iter_mut().zip(["sum", "logsumexp"]) {
                let by = if groups == 1 { "" } else { "GROUP BY g" };
                // Only the greatest value, so that the time to print a million of them does not count.
                let sql = format!("SELECT max(s) FROM (SELECT {function}(z) AS s FROM t {by})");
                let start = Instant::now();
                context.sql(&sql).await?.collect().await?;
                *best = (*best).min(start.elapsed());
            }
        }
        let [sum, ours] = best.map(|time| time.as_secs_f64());
        println!("| {groups} | {:.0} ms | {:.0} ms | {:.2} |", sum * 1e3, ours * 1e3, ours / sum);
    }
    Ok(())
}
