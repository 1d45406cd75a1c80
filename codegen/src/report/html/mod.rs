//! A check as one page of HTML: everything inline, nothing fetched, the same bytes for the same input.
//!
//! The template only places; what it places is made here and in the files beside, one for each part of the page.

mod conditions;
mod factors;
mod failures;
mod findings;
mod format;
mod gantt;
mod load;
mod memory;
mod observed;
mod requirements;
mod tasks;
mod worst;

use crate::analysis::Analysis;
use crate::check::Checked;
use crate::report::verdict::Verdict;
use crate::simulate::witness::NoWitness;
use crate::simulate::worst::Schedule;
use crate::system::System;
use askama::Template;
use conditions::Condition;
use factors::Factors;
use failures::{Cell, Grid};
use findings::FindingView;
use format::{Clock, Words, bytes, count};
use load::LaneRow;
use memory::{LevelRow, PoolView};
use observed::ObservedRow;
pub use observed::{Observed, Response};
use requirements::{ChainRow, Requirement};
use tasks::{State, TaskRow};
use worst::WorstCase;

/// What there is to show.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The check.
    pub checked: &'a Checked,
    /// Its verdict.
    pub verdict: &'a Verdict<'a>,
    /// For each task, by position, the schedule behind its bound.
    pub schedules: &'a [Result<Schedule, NoWitness>],
    /// What a trace observed.
    pub observed: Option<&'a Observed>,
}

/// The tool's name and version.
const TOOL: &str = concat!("aegis ", env!("CARGO_PKG_VERSION"));
/// From how many rows on a table scrolls in a window of its own, under its headings.
const LONG: usize = 24;

#[derive(Template)]
#[template(path = "report.html.askama", escape = "html")]
struct Page<'a> {
    system: &'a str,
    file: &'a str,
    tool: &'static str,
    /// SHA-256 of the plan, where there is one.
    plan: Option<&'a str>,
    unit: &'static str,
    verdict: State,
    sentence: String,
    tiles: Vec<Tile>,
    findings: Vec<FindingView<'a>>,
    tasks: Vec<TaskRow<'a>>,
    is_long: bool,
    /// Whether limits are shown; whether the search for them gave up.
    limits: bool,
    gave_up: bool,
    has_jitter: bool,
    cases: Vec<WorstCase<'a>>,
    lanes: Vec<LaneRow<'a>>,
    pools: Vec<PoolView<'a>>,
    levels: Vec<LevelRow<'a>>,
    chains: Vec<ChainRow<'a>>,
    /// Of modes and of fault domains, where there are some.
    grids: Vec<Grid<'a>>,
    requirements: Vec<Requirement>,
    conditions: Vec<Condition>,
    /// The trace's name, what of it is missing, and what it tells of each task.
    observed: Option<(&'a str, &'a [String], Vec<ObservedRow<'a>>)>,
    style: String,
}

impl Page<'_> {
    /// Escaped, with code between backticks.
    fn words<'t>(&self, text: &'t str) -> Words<'t> {
        Words(text)
    }
}

/// A figure at the top.
struct Tile {
    name: &'static str,
    figure: String,
    words: String,
    class: &'static str,
}

/// Renders the page.
///
/// # Errors
/// Only what the template says, which is an internal error.
pub fn render(input: &Input<'_>) -> Result<String, askama::Error> {
    let checked = input.checked;
    let resolved = checked.resolved.as_ref();
    let system = resolved.map(|resolved| &resolved.system);
    let clock = Clock::of(system);
    let both = system.zip(checked.analysis.as_ref());
    let report = crate::report::memory::of(checked, input.verdict.file, input.verdict.text);
    let factors = both.filter(|_| input.verdict.passes);
    let factors = factors.map_or_else(Factors::default, |(system, analysis)| Factors::of(system, analysis));
    let tasks = both.map_or_else(Vec::new, |(system, analysis)| tasks::rows(system, analysis, &factors, clock));
    let page = Page {
        system: input.verdict.system,
        file: input.verdict.file,
        tool: TOOL,
        plan: checked.lock.as_ref().map(|lock| lock.lock.plan_sha256.as_str()),
        unit: clock.unit,
        verdict: State::of(input.verdict.passes),
        sentence: sentence(input, system),
        tiles: tiles(input, &tasks, both, clock),
        findings: findings::views(input.verdict),
        is_long: tasks.len() > LONG,
        limits: tasks.iter().any(|task| task.breaks.is_some()),
        gave_up: factors.gave_up,
        has_jitter: tasks.iter().any(|task| task.jitter.is_some()),
        cases: both.zip(resolved).map_or_else(Vec::new, |((system, analysis), resolved)| {
            let order = tasks.iter().map(|task| task.position);
            worst::cases(system, analysis, &resolved.origins, input.schedules, order, clock)
        }),
        lanes: both.map_or_else(Vec::new, |(system, analysis)| load::rows(system, analysis, &factors, clock)),
        pools: memory::pools(&report),
        levels: memory::levels(&report.levels),
        chains: both.map_or_else(Vec::new, |(system, analysis)| requirements::chains(system, analysis, clock)),
        grids: both.map_or_else(Vec::new, |(system, analysis)| {
            let grids = [failures::modes(system, analysis, clock), failures::domains(system, analysis, clock)];
            grids.into_iter().filter(|grid| !grid.columns.is_empty()).collect()
        }),
        requirements: both.map_or_else(Vec::new, |(system, analysis)| {
            requirements::all(system, analysis, checked.layout.as_ref(), &tasks, clock)
        }),
        conditions: system.map_or_else(Vec::new, |system| conditions::of(checked, system)),
        observed: input.observed.map(|observed| (observed.file(), observed.notes(), observed.rows(clock))),
        tasks,
        style: memory::style(),
    };
    let mut text = page.render()?;
    text.push('\n');
    Ok(text)
}

/// The verdict in a sentence.
fn sentence(input: &Input<'_>, system: Option<&System>) -> String {
    let errors = input.verdict.findings.iter().filter(|finding| input.verdict.refuses(finding)).count();
    match (input.verdict.passes, system) {
        (true, _) if input.checked.without_certificate => {
            "Every deadline holds, but not all of it has a certificate: for analysis and simulation only.".to_owned()
        }
        (true, _) => "Every deadline is proven, every byte is planned.".to_owned(),
        (false, Some(_)) => format!("The plan does not hold: {}.", count(errors, "error")),
        (false, None) => format!("Nothing was analysed: {} in the manifest.", count(errors, "error")),
    }
}

fn tiles(input: &Input<'_>, tasks: &[TaskRow<'_>], both: Option<(&System, &Analysis)>, clock: Clock) -> Vec<Tile> {
    let mut tiles = Vec::new();
    let Some((system, analysis)) = both else { return tiles };
    let holds = tasks.iter().filter(|task| task.state != State::Fails).count();
    tiles.push(Tile {
        name: "Deadlines that hold",
        figure: format!("{holds} of {}", tasks.len()),
        words: if holds == tasks.len() {
            "all tasks".to_owned()
        } else {
            count(tasks.len().saturating_sub(holds), "task") + " not"
        },
        class: State::of(holds == tasks.len()).class(),
    });
    let slack = |(task, result): (&'_ crate::system::Task, &crate::analysis::TaskResult)| {
        let (bound, deadline) = (result.bound()?.as_ns(), task.deadline.as_ns());
        Some((
            std::cmp::Reverse(format::ratio(bound, deadline)),
            i128::from(deadline) - i128::from(bound),
            task.name.clone(),
        ))
    };
    if let Some((std::cmp::Reverse(ppm), slack, name)) =
        system.tasks.iter().zip(&analysis.tasks).filter_map(slack).min()
    {
        tiles.push(Tile {
            name: "Tightest bound",
            figure: format::percent(ppm),
            words: format!("of its deadline: {name}, slack {}", clock.short(slack)),
            class: State::of(slack >= 0).class(),
        });
    }
    let lanes =
        system.lanes.iter().zip(&analysis.lanes).map(|(lane, result)| (result.utilization_ppm, lane.name.as_str()));
    if let Some((ppm, name)) = lanes.max_by_key(|(ppm, name)| (*ppm, std::cmp::Reverse(*name))) {
        tiles.push(Tile {
            name: "Busiest lane",
            figure: format::percent(ppm),
            words: name.to_owned(),
            class: State::of(ppm <= 1_000_000).class(),
        });
    }
    let pools = input.checked.layout.as_ref().map_or(&[][..], |layout| &layout.pools);
    let sum = |of: fn(&crate::memory::Pool) -> u64| pools.iter().map(of).fold(0, u64::saturating_add);
    let (height, private) = (sum(|pool| pool.height.0), sum(|pool| pool.private.0));
    if private > 0 {
        let saved = format::ratio(private.saturating_sub(height), private);
        tiles.push(Tile {
            name: "Planned memory",
            figure: bytes(height),
            words: format!("{} less than private arenas", format::percent_down(saved)),
            class: "",
        });
    }
    tiles
}
