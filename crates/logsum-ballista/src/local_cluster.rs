//! A cluster of processes on this machine.

use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStdout;
use tokio::time::timeout;

/// How long a process may take to be ready.
const START: Duration = Duration::from_secs(60);

/// A scheduler and executors as processes on loopback, on ports that are free. They end when this is dropped, or when
/// this process ends for whatever reason. Dropping this also removes the executors' folders; they stay if this process
/// is killed.
#[derive(Debug)]
pub struct LocalCluster {
    // Fields are dropped in this order.
    executors: Vec<Process>,
    _scheduler: Process,
    port: u16,
    folders: TempDir,
}

impl LocalCluster {
    /// Starts the cluster with the program `logsum-ballista`, and waits until all executors have registered.
    ///
    /// # Errors
    /// If a process cannot be started, ends before it is ready, or is not ready after a minute.
    pub async fn start(program: &Path, executors: usize) -> Result<Self> {
        let folders = TempDir::new()?;
        let (scheduler, port) =
            Process::start(Command::new(program).args(["scheduler", "--port", "0"])).await?;
        let mut cluster = Self { executors: Vec::new(), _scheduler: scheduler, port, folders };
        for executor in 0..executors {
            let mut command = Command::new(program);
            command.args(["executor", "--scheduler-port", &port.to_string(), "--work-dir"]);
            let (process, _) = Process::start(command.arg(cluster.work_dir(executor))).await?;
            cluster.executors.push(process);
        }
        Ok(cluster)
    }

    /// The scheduler's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder in which an executor keeps its shuffled data.
    pub fn work_dir(&self, executor: usize) -> PathBuf {
        self.folders.path().join(executor.to_string())
    }

    /// Kills an executor, without telling the scheduler or other executors.
    ///
    /// # Panics
    /// If there is no such executor.
    pub fn kill_executor(&mut self, executor: usize) {
        self.executors[executor].kill();
    }
}

#[derive(Debug)]
struct Process(Child);

impl Process {
    /// Starts a process and waits for its first line of output, which ends with its port.
    async fn start(command: &mut Command) -> Result<(Self, u16)> {
        // The process ends when its standard input closes, which this process holds open.
        command.arg("--until-stdin-closes").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Self(command.spawn()?);
        let name = command.get_args().next().unwrap_or_default().display();
        let stdout = process.0.stdout.take().ok_or_else(|| Error::other("no standard output"))?;
        let mut lines = BufReader::new(ChildStdout::from_std(stdout)?).lines();
        let line = timeout(START, lines.next_line()).await;
        let line = line.map_err(|_| Error::other(format!("the {name} is not ready after {START:?}")))??;
        let port = line.as_deref().and_then(|line| line.rsplit(':').next()?.parse().ok());
        Ok((process, port.ok_or_else(|| Error::other(format!("the {name} ended before it was ready")))?))
    }

    fn kill(&mut self) {
        // An error means that the process has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
