//! A scheduler and executors as processes give the bits of one process, for any number of partitions, and when an
//! executor is killed.

use ballista::prelude::SessionConfigExt;
use datafusion::arrow::array::{ArrayRef, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use datafusion::common::ScalarValue;
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use logsum_ballista::{LocalCluster, connect, session_config, session_state};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_logsum-ballista");

const QUERIES: [&str; 4] = [
    "SELECT g, logsumexp(z), logmeanexp(z), effective_sample_size(z), logsumexp(z, w), logsumexp(f), logmeanexp(f),
         effective_sample_size(f), count(*) FROM t GROUP BY g ORDER BY g",
    "SELECT logsumexp(z), logmeanexp(z), effective_sample_size(z), logsumexp(z, w), logsumexp(f),
         logmeanexp(f) FILTER (WHERE i % 3 = 0), effective_sample_size(f) FROM t",
    // A dozen rows in a group.
    "SELECT i % 5003 AS k, logsumexp(z), effective_sample_size(z), logmeanexp(f) FROM t GROUP BY k ORDER BY k",
    "SELECT i, softmax(z) OVER (PARTITION BY g), logcumsumexp(f) OVER (PARTITION BY g ORDER BY i),
         logsumexp(z) OVER (PARTITION BY g ORDER BY i ROWS BETWEEN 9 PRECEDING AND CURRENT ROW),
         logaddexp(z, f), logsubexp(f, f - 1), log1pexp(f), log1mexp(-w * w), logistic(z / 100), logit(logistic(w))
         FROM t WHERE i % 20 = 0 ORDER BY i",
];

/// Frames of 50 rows, summed again by group: it takes seconds, and shuffles before and after.
const LONG_QUERY: &str = "SELECT g, logsumexp(v), effective_sample_size(v) FROM
     (SELECT g, logsumexp(z) OVER (PARTITION BY g ORDER BY i ROWS BETWEEN 50 PRECEDING AND CURRENT ROW) AS v FROM t
      WHERE i % 2 = 0)
     GROUP BY g ORDER BY g";

/// Files of log-weights that are spread by hundreds, one in ten NULL.
async fn table() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let mut random = 1_u64;
    let mut uniform = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut first = 0;
    for (file, rows) in [1, 8000, 21_000, 999, 30_000].into_iter().enumerate() {
        let i: Vec<usize> = (first..first + rows).collect();
        first += rows;
        let mut draws = |spread: f64| -> Vec<Option<f64>> {
            i.iter().map(|_| (uniform() > 0.1).then(|| spread * (uniform() - 0.5) - 2.0 * spread)).collect()
        };
        let (z, f) = (draws(800.0), draws(60.0));
        let columns: [(&str, ArrayRef); 5] = [
            ("g", Arc::new(i.iter().map(|i| Some(format!("g{}", i * i % 37))).collect::<StringArray>())),
            ("i", Arc::new(Int64Array::from_iter_values(i.iter().map(|&i| i as i64)))),
            ("z", Arc::new(Float64Array::from(z))),
            ("f", Arc::new(f.into_iter().map(|f| f.map(|f| f as f32)).collect::<Float32Array>())),
            ("w", Arc::new(i.iter().map(|i| Some((i % 7) as f64 - 2.5)).collect::<Float64Array>())),
        ];
        let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
        let path = folder.path().join(format!("{file}.parquet"));
        let frame = SessionContext::new().read_batch(batch).expect("a table");
        frame
            .write_parquet(path.to_str().expect("UTF-8"), DataFrameWriteOptions::new(), None)
            .await
            .expect("it is written");
    }
    folder
}

/// The rows of a query over the files of a folder.
async fn rows(context: &SessionContext, folder: &Path, sql: &str) -> Vec<Vec<ScalarValue>> {
    let path = folder.to_str().expect("UTF-8");
    if !context.table_exist("t").expect("a catalogue") {
        context.register_parquet("t", path, ParquetReadOptions::default()).await.expect("a table");
    }
    let batches = context.sql(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let batches = batches.collect().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let rows = batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row)));
    let values = |(batch, row): (&RecordBatch, usize)| {
        batch
            .columns()
            .iter()
            .map(|column| ScalarValue::try_from_array(column, row).expect("a row"))
            .collect()
    };
    rows.map(values).collect()
}

/// Without a cluster, in one partition.
fn local() -> SessionContext {
    let config = session_config().with_target_partitions(1);
    SessionContext::new_with_state(session_state(config).expect("functions are registered"))
}

async fn start() -> LocalCluster {
    LocalCluster::start(Path::new(PROGRAM), 2).await.expect("a cluster")
}

async fn client(cluster: &LocalCluster, partitions: usize, is_adaptive: bool) -> SessionContext {
    let config = session_config()
        .with_target_partitions(partitions)
        .with_ballista_adaptive_query_planner(is_adaptive)
        // One task each, wherever it is run.
        .set_usize("ballista.scheduler.max_partitions_per_task", 1);
    connect(&format!("df://127.0.0.1:{}", cluster.port()), config).await.expect("a client")
}

/// The stages of jobs of which an executor has results.
fn stages(cluster: &LocalCluster, executor: usize) -> usize {
    let jobs = fs::read_dir(cluster.work_dir(executor)).into_iter().flatten().flatten();
    jobs.map(|job| fs::read_dir(job.path()).map_or(0, Iterator::count)).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bits_are_the_same_over_any_partitions() {
    let table = table().await;
    let cluster = start().await;
    for sql in QUERIES {
        let expected = rows(&local(), table.path(), sql).await;
        for (partitions, is_adaptive) in [(1, false), (2, true), (7, false), (64, false), (64, true)] {
            let context = client(&cluster, partitions, is_adaptive).await;
            let found = rows(&context, table.path(), sql).await;
            assert_eq!(expected, found, "{sql}: {partitions} partitions, adaptive: {is_adaptive}");
        }
    }
    for executor in 0..2 {
        let jobs = fs::read_dir(cluster.work_dir(executor)).expect("a folder").count();
        assert!(jobs > 0, "executor {executor} has done nothing");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_those_of_the_library() {
    let table = table().await;
    let cluster = start().await;
    let sql = "SELECT g, logsumexp(z), logmeanexp(z), logsumexp(f) FROM t GROUP BY g";
    let found = rows(&client(&cluster, 7, true).await, table.path(), sql).await;
    // The squares modulo 37.
    assert_eq!(found.len(), 19);
    let rows = rows(&local(), table.path(), "SELECT g, z, f FROM t").await;
    for group in found {
        let rows = || rows.iter().filter(|row| row[0] == group[0]);
        let z =
            rows().filter_map(|row| if let ScalarValue::Float64(z) = row[1] { z } else { panic!("{row:?}") });
        let f =
            rows().filter_map(|row| if let ScalarValue::Float32(f) = row[2] { f } else { panic!("{row:?}") });
        let (z, f): (Vec<_>, Vec<_>) = (z.collect(), f.collect());
        let expected = [
            ScalarValue::Float64(Some(logsum::logsumexp(&z))),
            ScalarValue::Float64(Some(logsum::logmeanexp(&z))),
            ScalarValue::Float32(Some(logsum::logsumexp(&f))),
        ];
        assert_eq!(group[1..], expected);
    }
}

/// Kills an executor, with all that it has shuffled, when it has results of so many stages of a query.
async fn kill_in_stage(stage: usize) {
    let table = table().await;
    let mut cluster = start().await;
    let context = client(&cluster, 64, false).await;
    let folder = table.path().to_owned();
    let query = tokio::spawn(async move { (rows(&context, &folder, LONG_QUERY).await, context) });
    while stages(&cluster, 0) < stage {
        assert!(!query.is_finished(), "it came too late");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    cluster.kill_executor(0);
    fs::remove_dir_all(cluster.work_dir(0)).expect("its folder");
    assert!(!query.is_finished(), "it came too late");
    let (found, context) = query.await.expect("rows");
    assert_eq!(rows(&local(), table.path(), LONG_QUERY).await, found);
    // The other executor continues alone.
    let expected = rows(&local(), table.path(), QUERIES[0]).await;
    assert_eq!(expected, rows(&context, table.path(), QUERIES[0]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bits_are_the_same_when_an_executor_is_killed_while_the_table_is_read() {
    kill_in_stage(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bits_are_the_same_when_an_executor_is_killed_after_a_shuffle() {
    kill_in_stage(2).await;
}

#[tokio::test]
async fn the_command_prints_rows() {
    let table = table().await;
    let file = table.path().join("1.parquet");
    let sql = "SELECT count(*), logsumexp(z), logmeanexp(f) FROM t";
    let expected = rows(&local(), &file, sql).await.concat();
    let output = Command::new(PROGRAM).arg("cluster").arg(&file).arg(sql).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let found: Vec<&str> = text.lines().nth(3).expect("rows").split('|').map(str::trim).collect();
    assert_eq!(found[1..4], expected.iter().map(ToString::to_string).collect::<Vec<_>>(), "{text}");
    assert!(output.status.success() && output.stderr.is_empty());
}

#[test]
fn complaints_are_one_line() {
    let folder = TempDir::new().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("a port").port().to_string();
    for (arguments, words) in [
        (vec!["cluster", "missing.parquet", "SELECT 1"], "missing.parquet: No such file or directory"),
        (vec!["cluster", ".", "SELECT 1"], "No files found"),
        (vec!["sql", "--scheduler-port", "1", ".", "SELECT 1"], "no scheduler on port 1: Connection refused"),
        (
            vec!["executor", "--scheduler-port", "1", "--work-dir", "."],
            "no scheduler on port 1: Connection refused",
        ),
        (vec!["scheduler", "--port", &taken], "Address already in use"),
    ] {
        let output = Command::new(PROGRAM).args(&arguments).current_dir(&folder).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(words) && text.lines().count() == 1, "{arguments:?}: {text}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    }
}

/// Whatever ends the command also ends the processes that it has started.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_process_is_left() {
    let table = table().await;
    let folder = TempDir::new().expect("a folder");
    let mut command = Command::new(PROGRAM);
    command.env("TMPDIR", folder.path()).arg("cluster").arg(table.path()).arg(LONG_QUERY);
    let mut cluster = command.stdout(Stdio::null()).spawn().expect("it starts");
    let children = format!("/proc/{0}/task/{0}/children", cluster.id());
    let mut processes = Vec::new();
    while processes.len() < 3 {
        let children = fs::read_to_string(&children).expect("it runs");
        processes = children.split_whitespace().map(|id| format!("/proc/{id}/cmdline")).collect();
        std::thread::sleep(Duration::from_millis(5));
    }
    cluster.kill().and_then(|()| cluster.wait()).expect("it is killed");
    let end = Instant::now() + Duration::from_secs(10);
    // A process that has ended, and has not been waited for, has no command line.
    while processes.iter().any(|process| fs::read(process).is_ok_and(|command| !command.is_empty())) {
        assert!(Instant::now() < end, "{processes:?} are left");
        std::thread::sleep(Duration::from_millis(5));
    }
}
