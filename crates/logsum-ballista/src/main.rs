//! A Ballista cluster with logsum's functions on this machine: starts its processes, and runs queries on it.

use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::{create_scheduler, start_grpc_service_with_listener};
use clap::{Args, Parser};
use datafusion::prelude::ParquetReadOptions;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use logsum_ballista::{LocalCluster, connect, executor_config, scheduler_config, session_config};
use std::error::Error;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Log-sum-exp in SQL on a Ballista cluster of this machine.
#[derive(Parser)]
#[command(version)]
enum Arguments {
    /// Starts a scheduler and executors, runs a query, prints its rows, and ends the processes.
    Cluster {
        /// The number of executors.
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
        executors: u16,
        #[command(flatten)]
        query: Query,
    },
    /// Runs a query on a running cluster, and prints its rows.
    Sql {
        /// The port of the scheduler.
        #[arg(long, default_value_t = 50050)]
        scheduler_port: u16,
        #[command(flatten)]
        query: Query,
    },
    /// Runs a scheduler.
    Scheduler {
        /// The port to listen on; 0 for any free port.
        #[arg(long, default_value_t = 50050)]
        port: u16,
        #[arg(long, hide = true)]
        until_stdin_closes: bool,
    },
    /// Runs an executor.
    Executor {
        /// The port of the scheduler.
        #[arg(long, default_value_t = 50050)]
        scheduler_port: u16,
        /// The folder for shuffled data.
        #[arg(long)]
        work_dir: PathBuf,
        #[arg(long, hide = true)]
        until_stdin_closes: bool,
    },
}

#[derive(Args)]
struct Query {
    /// A Parquet file, or a folder of them: the table t.
    path: PathBuf,
    /// The query, like "SELECT k, logsumexp(z) FROM t GROUP BY k".
    sql: String,
    /// The number of partitions into which rows are shuffled.
    #[arg(long, default_value_t = 16)]
    partitions: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    let work = async {
        match Arguments::parse() {
            Arguments::Cluster { executors, query } => {
                let cluster = LocalCluster::start(&std::env::current_exe()?, executors.into()).await?;
                query.run(cluster.port()).await
            }
            Arguments::Sql { scheduler_port, query } => query.run(scheduler_port).await,
            Arguments::Scheduler { port, until_stdin_closes } => {
                end_with_stdin(until_stdin_closes);
                scheduler(port).await
            }
            Arguments::Executor { scheduler_port, work_dir, until_stdin_closes } => {
                end_with_stdin(until_stdin_closes);
                executor(scheduler_port, work_dir).await
            }
        }
    };
    let result = tokio::select! {
        result = work => result,
        // The future is dropped, and with it the processes that it has started.
        _ = tokio::signal::ctrl_c() => return ExitCode::from(130),
    };
    if let Err(error) = result {
        // Errors of the engine may have several lines.
        let error = error.to_string();
        eprintln!("logsum-ballista: {}", error.lines().next().unwrap_or_default());
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}

/// Ends this process when its standard input closes, as it does when the process that started it has ended.
fn end_with_stdin(it_does: bool) {
    if it_does {
        std::thread::spawn(|| {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            std::process::exit(0);
        });
    }
}

async fn scheduler(port: u16) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    let listener = listener.map_err(|error| format!("port {port}: {error}"))?;
    let address = listener.local_addr()?;
    let config = Arc::new(SchedulerConfig { bind_port: address.port(), ..scheduler_config() });
    let cluster = BallistaCluster::new_from_config(&config).await?;
    let scheduler = create_scheduler::<LogicalPlanNode, PhysicalPlanNode>(cluster, config).await?;
    println!("The scheduler listens on {address}");
    Ok(start_grpc_service_with_listener(listener, scheduler).await?)
}

async fn executor(scheduler_port: u16, work_dir: PathBuf) -> Result<()> {
    answers(scheduler_port).await?;
    std::fs::create_dir_all(&work_dir).map_err(|error| format!("{}: {error}", work_dir.display()))?;
    let work_dir = work_dir.into_os_string().into_string();
    // A free port. Ballista needs its number, and binds it itself.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?.port();
    let config = Arc::new(ExecutorProcessConfig {
        port,
        scheduler_host: Ipv4Addr::LOCALHOST.to_string(),
        scheduler_port,
        work_dir: Some(work_dir.map_err(|path| format!("{} is not UTF-8", path.display()))?),
        ..executor_config()?
    });
    let health = config.health.clone();
    tokio::spawn(async move {
        while !health.is_ready() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        println!("The executor listens on {}:{port}", Ipv4Addr::LOCALHOST);
    });
    Ok(start_executor_process(config).await?)
}

/// Fails unless a scheduler listens on this port.
async fn answers(scheduler_port: u16) -> Result<()> {
    let connection = TcpStream::connect((Ipv4Addr::LOCALHOST, scheduler_port)).await;
    connection.map_err(|error| format!("no scheduler on port {scheduler_port}: {error}"))?;
    Ok(())
}

impl Query {
    async fn run(&self, scheduler_port: u16) -> Result<()> {
        // An absolute path, as the executors open it too, and may have another working directory.
        let path = self.path.canonicalize().map_err(|error| format!("{}: {error}", self.path.display()))?;
        let path = path.to_str().ok_or_else(|| format!("{} is not UTF-8", path.display()))?;
        answers(scheduler_port).await?;
        let config = session_config().with_target_partitions(self.partitions);
        let context = connect(&format!("df://{}:{scheduler_port}", Ipv4Addr::LOCALHOST), config).await?;
        context.register_parquet("t", path, ParquetReadOptions::default()).await?;
        Ok(context.sql(&self.sql).await?.show().await?)
    }
}
