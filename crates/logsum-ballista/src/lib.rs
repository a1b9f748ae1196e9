#![doc = include_str!("../README.md")]

mod local_cluster;

pub use local_cluster::LocalCluster;

use ballista::prelude::{SessionConfigExt, SessionContextExt};
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::utils::default_session_builder;
use ballista_executor::executor_process::ExecutorProcessConfig;
use ballista_scheduler::config::SchedulerConfig;
use datafusion::common::Result;
use datafusion::execution::SessionState;
use datafusion::prelude::{SessionConfig, SessionContext};
use std::sync::Arc;

/// After so many seconds without a message from an executor the scheduler takes it for lost. A busy executor sends one
/// every 5 seconds.
const EXECUTOR_TIMEOUT: u64 = 10;

/// The configuration of a client's session with which queries survive the loss of an executor. All other settings are
/// Ballista's defaults.
///
/// Ballista's adaptive planner is off, since it waits for ever for shuffled data of a lost executor. A failed fetch is
/// repeated for longer than the scheduler needs to find that an executor is lost: when the fetch gave up first, rows
/// have been lost without an error.
pub fn session_config() -> SessionConfig {
    SessionConfig::new_with_ballista()
        .with_ballista_adaptive_query_planner(false)
        .set_u64("ballista.client.io_retries_times", 3)
        .set_u64("ballista.client.io_retry_wait_time_ms", 500 * EXECUTOR_TIMEOUT)
}

/// The state of a session in which a scheduler plans queries: Ballista's own, with logsum's functions.
///
/// # Errors
/// Those of DataFusion's runtime and registry.
pub fn session_state(config: SessionConfig) -> Result<SessionState> {
    let mut state = default_session_builder(config)?;
    logsum_datafusion::register_all(&mut state)?;
    Ok(state)
}

/// The configuration of a scheduler that knows logsum's functions, and finds early that an executor is lost. All other
/// settings are Ballista's defaults.
pub fn scheduler_config() -> SchedulerConfig {
    SchedulerConfig {
        scheduling_policy: POLICY,
        executor_timeout_seconds: EXECUTOR_TIMEOUT,
        expire_dead_executor_interval_seconds: 1,
        no_executors_grace_period_seconds: EXECUTOR_TIMEOUT,
        override_session_builder: Some(Arc::new(session_state)),
        ..SchedulerConfig::default()
    }
}

/// Executors pull tasks. If the scheduler pushes them instead, it cancels tasks when another executor is lost, and
/// never counts their cores as free again.
const POLICY: TaskSchedulingPolicy = TaskSchedulingPolicy::PullStaged;

/// The configuration of an executor that knows logsum's functions, for a scheduler with [`scheduler_config`]. All other
/// settings are Ballista's defaults.
///
/// # Errors
/// Those of [`session_state`].
pub fn executor_config() -> Result<ExecutorProcessConfig> {
    let functions = BallistaFunctionRegistry::from(&session_state(SessionConfig::new())?);
    Ok(ExecutorProcessConfig {
        task_scheduling_policy: POLICY,
        override_function_registry: Some(Arc::new(functions)),
        ..ExecutorProcessConfig::default()
    })
}

/// A client's session with the scheduler at a URL like `df://localhost:50050`, with [`session_config`] or another
/// configuration.
///
/// # Errors
/// Those of [`session_state`], and that of an invalid URL. Whether a scheduler answers is known only with the first
/// query.
pub async fn connect(url: &str, config: SessionConfig) -> Result<SessionContext> {
    let mut context = SessionContext::remote_with_state(url, session_state(config)?).await?;
    // Ballista has replaced all functions of the state by its own.
    logsum_datafusion::register_all(&mut context)?;
    Ok(context)
}
