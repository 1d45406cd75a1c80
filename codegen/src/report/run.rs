//! The report of a run: what was proven beside what was observed, as Markdown.

use crate::analysis::is_schedulable;
use crate::check::{Checked, show};
use crate::report::table::bytes;
use aegis_core::Duration;
use aegis_core::desc::WatchedSource;
use askama::Template;
use serde::Deserialize;

/// The part of a summary (`aegis.summary/1`) that the report shows.
#[derive(Deserialize)]
struct Summary {
    schema: String,
    vehicle: String,
    config_hash: String,
    generator: String,
    duration_ns: u64,
    guarantee: Guarantee,
    machine: Machine,
    tasks: Vec<Task>,
    lanes: Vec<Lane>,
    memory: Vec<Pool>,
    steps: Steps,
    modes: Option<Modes>,
    #[serde(default)]
    dropped_submissions: u64,
    watched: Option<Vec<Watched>>,
    domains: Vec<Domain>,
    trace: Trace,
    exit: Exit,
}

#[derive(Deserialize)]
struct Guarantee {
    valid: bool,
    void: Vec<Void>,
}

#[derive(Deserialize)]
struct Void {
    reason: String,
    text: String,
    #[serde(default)]
    since_ns: u64,
}

#[derive(Deserialize)]
struct Machine {
    arch: String,
    cpu_model: String,
    cores: u16,
}

#[derive(Deserialize)]
struct Task {
    name: String,
    jobs: u64,
    aborted: u64,
    misses: u64,
    max_misses_in_window: u8,
    miss_window: u8,
    overruns: u64,
    exceeded: u64,
    explained: u64,
    max_response_ns: u64,
    max_execution_ns: u64,
    wcet_ns: u64,
    deadline_ns: u64,
    bound_ns: u64,
    observed_over_bound_ppm: u64,
}

#[derive(Deserialize)]
struct Lane {
    name: String,
    core: u16,
    max_wakeup_latency_ns: u64,
    planned_wakeup_latency_ns: u64,
    max_dispatch_ns: u64,
    planned_dispatch_overhead_ns: u64,
    observed_utilization_ppm: u64,
}

#[derive(Deserialize)]
struct Pool {
    pool: String,
    arena_bytes: u64,
    private_bytes: u64,
    weights_bytes: u64,
    highest_bytes: u64,
    refused_requests: u64,
    unattributed_requests: u64,
    models: Vec<ModelMemory>,
}

#[derive(Deserialize)]
struct ModelMemory {
    name: String,
    control: String,
}

#[derive(Deserialize)]
struct Steps {
    worst_ns: u64,
    allowed_ns: u64,
    exceeded: u64,
    explained: u64,
}

#[derive(Deserialize)]
struct Modes {
    changed: u64,
    late: u64,
    longest_ns: u64,
    bound_ns: u64,
}

#[derive(Deserialize)]
struct Watched {
    source: String,
    asked: u64,
    worst: Option<u64>,
    unreadable: u64,
}

#[derive(Deserialize)]
struct Domain {
    name: String,
    at_ns: Option<u64>,
    cause: Option<String>,
    task: Option<String>,
}

impl Domain {
    /// The cause, with the task whose job it was.
    fn why(&self) -> String {
        let of = self.task.as_ref().map_or_else(String::new, |task| format!(" of {task}"));
        format!("{}{of}", self.cause.as_deref().unwrap_or("an unknown cause"))
    }
}

#[derive(Deserialize)]
struct Trace {
    records: u64,
    lost: u64,
}

#[derive(Deserialize)]
struct Exit {
    status: u8,
    why: String,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The summary is not one.
    #[error("the summary is not `aegis.summary/1`: {0}")]
    Summary(#[from] serde_json::Error),
    /// The summary has another schema.
    #[error("the summary has schema `{0}`")]
    Schema(String),
    /// The template failed.
    #[error("the template failed: {0}")]
    Template(#[from] askama::Error),
}

#[derive(Template)]
#[template(path = "run.md.askama", escape = "none")]
struct Report<'a> {
    summary: &'a Summary,
    verdict: &'a str,
    plan: String,
}

impl Report<'_> {
    fn time(&self, ns: &u64) -> String {
        show(Duration::from_ns(*ns))
    }

    fn size(&self, length: &u64) -> String {
        bytes(*length)
    }

    /// A source's reading of the greatest shortage.
    fn worst(&self, source: &Watched) -> String {
        match source.worst {
            None => "never read".to_owned(),
            Some(reading) if source.source == WatchedSource::FreeMemory.name() => bytes(reading),
            Some(reading) => self.percent(&reading.saturating_mul(100)),
        }
    }

    fn percent(&self, ppm: &u64) -> String {
        format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100)
    }
}

/// Renders the report of a run from the plan's check and the summary's text.
///
/// # Errors
/// [`ReportError`].
pub fn render(checked: &Checked, summary: &str) -> Result<String, ReportError> {
    let summary: Summary = serde_json::from_str(summary)?;
    if summary.schema != "aegis.summary/1" {
        return Err(ReportError::Schema(summary.schema));
    }
    let schedulable = match (&checked.resolved, &checked.analysis) {
        (Some(resolved), Some(analysis)) => {
            (0..resolved.system.tasks.len()).all(|task| is_schedulable(&resolved.system, analysis, task))
        }
        _ => false,
    };
    let verdict = match (schedulable, summary.guarantee.valid) {
        (true, true) => "Every deadline is proven, and the guarantee held on this machine.",
        (true, false) => "Every deadline is proven, but the guarantee was VOID on this machine.",
        (false, _) => "The plan is not proven.",
    };
    let plan = super::table::render(checked);
    Ok(Report { summary: &summary, verdict, plan }.render()? + "\n")
}
