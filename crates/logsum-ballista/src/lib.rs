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

/// An executor that has not been heard of for so many seconds is lost. A busy one is heard of each 5.
const EXECUTOR_TIMEOUT: u64 = 10;

/// The configuration of a client's session under which queries outlive an executor. All else is Ballista's default.
///
/// Ballista's adaptive planner waits for ever for what a lost executor had shuffled, so it is off. And what cannot be
/// fetched is asked for again for longer than it takes the scheduler to know that an executor is lost: where the failed
/// fetch came first, rows have been lost without a word.
pub fn session_config() -> SessionConfig {
    SessionConfig::new_with_ballista()
        .with_ballista_adaptive_query_planner(false)
        .set_u64("ballista.client.io_retries_times", 3)
        .set_u64("ballista.client.io_retry_wait_time_ms", 500 * EXECUTOR_TIMEOUT)
}

/// The state of a session in which a scheduler plans: Ballista's own, and logsum's functions.
///
/// # Errors
/// Those of DataFusion's runtime and registry.
pub fn session_state(config: SessionConfig) -> Result<SessionState> {
    let mut state = default_session_builder(config)?;
    logsum_datafusion::register_all(&mut state)?;
    Ok(state)
}

/// The configuration of a scheduler that knows logsum's functions, and soon that an executor is lost. All else is
/// Ballista's default.
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

/// Executors ask for tasks. Where they are sent, the scheduler never counts the cores as free again on which it has
/// cancelled tasks because another executor was lost.
const POLICY: TaskSchedulingPolicy = TaskSchedulingPolicy::PullStaged;

/// The configuration of an executor that knows logsum's functions, for a scheduler with [`scheduler_config`]. All else
/// is Ballista's default.
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

/// A client's session with the scheduler at a URL like `df://localhost:50050`, by [`session_config`] or another.
///
/// # Errors
/// Those of [`session_state`], and of a URL that is none. Whether a scheduler answers is known with the first query.
pub async fn connect(url: &str, config: SessionConfig) -> Result<SessionContext> {
    let mut context = SessionContext::remote_with_state(url, session_state(config)?).await?;
    // Ballista has put its own functions in the place of all that the state had.
    logsum_datafusion::register_all(&mut context)?;
    Ok(context)
}
