//! A plan as facts with names.

use super::{About, ChainBounds, Fact, Facts, Side, Value, Worse};
use crate::analysis::utilization::ppm;
use crate::analysis::{Load, Pieces};
use crate::plan::{Certificate, Lane, Plan, Task};
use aegis_core::desc::WatchedSource;
use aegis_core::time::Duration;
use serde::Serialize;

/// Whether a plan holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All is proven.
    Pass,
    /// All holds, by proofs without certificate.
    WithoutCertificate,
    /// Something does not hold.
    Fail,
}

impl Verdict {
    /// The word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::WithoutCertificate => "pass without certificate",
            Self::Fail => "fail",
        }
    }

    /// From the best word to the worst; `None` of others.
    pub(super) fn rank(word: &str) -> Option<usize> {
        [Self::Pass, Self::WithoutCertificate, Self::Fail].into_iter().position(|verdict| verdict.name() == word)
    }
}

/// Collects the facts of one thing.
struct Of(Facts);

impl Of {
    fn new(about: About, name: &str) -> Self {
        Self(Facts { about, name: name.to_owned(), facts: Vec::new() })
    }

    fn add(&mut self, key: &str, value: Value, worse: Worse) {
        self.0.facts.push(Fact { key: key.to_owned(), value, worse });
    }

    fn word(&mut self, key: &str, word: &str) {
        self.add(key, Value::Word(word.to_owned()), Worse::Neither);
    }

    /// A word that is only there if it says something.
    fn told(&mut self, key: &str, word: &str) {
        if !word.is_empty() {
            self.word(key, word);
        }
    }

    fn number(&mut self, key: &str, number: impl Into<i128>, worse: Worse) {
        self.add(key, Value::Number(number.into()), worse);
    }

    /// A number that is only there if it is not 0.
    fn positive(&mut self, key: &str, number: u64, worse: Worse) {
        if number > 0 {
            self.number(key, number, worse);
        }
    }

    fn list(&mut self, key: &str, words: &[&str]) {
        self.told(key, &words.join(", "));
    }
}

/// All that a plan says, in its own order.
pub(super) fn of(side: &Side<'_>) -> Vec<Facts> {
    let plan = side.plan;
    let mut all = vec![system(side)];
    all.extend(plan.tasks.iter().map(|one| task(side, one)));
    all.extend(plan.lanes.iter().enumerate().map(|(place, one)| lane(plan, place, one)));
    all.extend(plan.pools.iter().map(|pool| {
        let mut of = Of::new(About::Memory, &pool.name);
        of.number("capacity_bytes", pool.capacity_bytes, Worse::Neither);
        of.number("arena_bytes", pool.height_bytes, Worse::More);
        of.number("lower_bound_bytes", pool.lower_bound_bytes, Worse::Neither);
        of.number("private_arenas_bytes", pool.private_bytes, Worse::Neither);
        of.number("weights_bytes", pool.weights_bytes, Worse::More);
        of.positive("page_bytes", pool.page_bytes, Worse::Neither);
        of.0
    }));
    all.extend(plan.models.iter().map(|model| {
        let mut of = Of::new(About::Model, &model.name);
        of.word("backend", &model.backend);
        of.told("memory", plan.pools.get(usize::from(model.pool)).map_or("", |pool| &pool.name));
        of.word("tensors", &model.tensors);
        of.number("segments", i128::try_from(model.segments.len()).unwrap_or(i128::MAX), Worse::Neither);
        of.list("sha256", &model.segments.iter().map(|segment| segment.sha256.as_str()).collect::<Vec<_>>());
        of.number("weights_bytes", model.weights_bytes, Worse::More);
        let scratch = model.segments.iter().map(|segment| segment.scratch_bytes).max().unwrap_or(0);
        of.number("scratch_bytes", scratch, Worse::More);
        of.0
    }));
    all.extend(plan.domains.iter().map(|domain| {
        let mut of = Of::new(About::Domain, &domain.name);
        if let Some(process) = &domain.process {
            of.number("kill_after_ns", process.kill_after_ns, Worse::Neither);
            of.number("hand_over_ns", process.hand_over_ns, Worse::More);
            of.positive("memory_bytes", process.memory_bytes.unwrap_or(0), Worse::Neither);
            of.positive("heartbeat_ns", process.heartbeat_ns.unwrap_or(0), Worse::Neither);
            if let Some(restart) = &process.restart {
                of.number("restarts", restart.max, Worse::Neither);
                of.number("restarts_within_ns", restart.within_ns, Worse::Neither);
                of.number("back_off_ns", restart.back_off_ns, Worse::Neither);
            }
        }
        of.0
    }));
    all.extend(plan.levels.iter().enumerate().map(|(place, level)| {
        let mut of = Of::new(About::Level, &level.name);
        of.list("shed", &names(plan, &level.shed));
        of.list("reject", &names(plan, &level.reject));
        of.number("settles_ns", level.settles_ns, Worse::More);
        thresholds(plan, &format!("level {place}"), &mut of);
        for (pool, left) in plan.pools.iter().zip(&level.pools) {
            of.number(&format!("{}_left_bytes", pool.name), left.height_bytes, Worse::More);
        }
        of.0
    }));
    all.extend(plan.modes.iter().enumerate().map(|(place, mode)| {
        let mut of = Of::new(About::Mode, &mode.name);
        let tasks: Vec<u16> = mode.tasks.iter().map(|task| task.task).collect();
        of.list("tasks", &names(plan, &tasks));
        thresholds(plan, &format!("mode {place}"), &mut of);
        of.number("leaves_ns", mode.leaves_ns, Worse::More);
        for task in &mode.tasks {
            let name = plan.tasks.get(usize::from(task.task)).map_or("", |task| &task.name);
            of.add(&format!("{name}_response_ns"), bound(task.response_ns), Worse::More);
        }
        of.0
    }));
    all
}

/// The chains, which only manifests have.
pub(super) fn chains(chains: &[ChainBounds]) -> Vec<Facts> {
    let facts = |chain: &ChainBounds| {
        let mut of = Of::new(About::Chain, &chain.name);
        for (key, limit) in [("max_reaction_ns", chain.max_reaction_ns), ("max_age_ns", chain.max_age_ns)] {
            limit.into_iter().for_each(|limit| of.number(key, limit, Worse::Neither));
        }
        for (key, found) in [("reaction_ns", chain.reaction_ns), ("age_ns", chain.age_ns)] {
            of.add(key, bound(found.unwrap_or(Duration::MAX.as_ns())), Worse::More);
        }
        of.0
    };
    chains.iter().map(facts).collect()
}

fn names<'a>(plan: &'a Plan, places: &[u16]) -> Vec<&'a str> {
    places.iter().filter_map(|place| plan.tasks.get(usize::from(*place))).map(|task| task.name.as_str()).collect()
}

fn system(side: &Side<'_>) -> Facts {
    let plan = side.plan;
    let mut of = Of::new(About::System, "");
    of.word("name", &plan.name);
    of.add("verdict", Value::Word(side.verdict.name().to_owned()), Worse::More);
    of.word("waiting", &plan.waiting);
    of.number("orchestration_core", plan.orchestration_core, Worse::Neither);
    of.told("arch", &plan.machine.arch);
    of.told("cpu_model", &plan.machine.cpu_model);
    of.number("cores", plan.machine.cores, Worse::Neither);
    of.told("governor", &plan.machine.governor);
    of.told("power_mode", &plan.conditions.power_mode);
    of.number("recheck_ns", plan.conditions.recheck_ns, Worse::Neither);
    for limit in &plan.conditions.limits {
        let pool = limit.of.strip_prefix("pool ").and_then(|place| place.parse::<usize>().ok());
        let name = pool.and_then(|place| plan.pools.get(place)).map_or(&limit.of, |pool| &pool.name);
        of.number(&format!("limit_{name}_{}", limit.what), limit.value, Worse::Neither);
    }
    if let Some(watch) = &plan.watch {
        of.number("watch_interval_ns", watch.interval_ns, Worse::Neither);
        of.number("watch_hold_ns", watch.hold_ns, Worse::Neither);
    }
    for library in &plan.libraries {
        of.word(&format!("library_{}", library.name), &format!("{} {}", library.version, library.sha256));
    }
    for asset in &plan.assets {
        of.word(&format!("asset_{}", asset.name), &asset.sha256);
    }
    if let Some(watchdog) = &plan.watchdog {
        of.number("watchdog_timeout_ns", watchdog.timeout_ns, Worse::Neither);
        of.told("watchdog_device", watchdog.device.as_deref().unwrap_or(""));
        of.word("on_stall", &watchdog.on_stall);
    }
    of.0
}

/// The readings that ask for a level or a mode: bytes, or hundredths of a percent.
fn thresholds(plan: &Plan, asks: &str, of: &mut Of) {
    let own = plan.watch.iter().flat_map(|watch| &watch.thresholds).filter(|one| one.asks == asks);
    for threshold in own {
        for (what, value) in [("from", threshold.when), ("until", threshold.until)] {
            let key = format!("{}_{what}", threshold.source);
            if threshold.source == WatchedSource::FreeMemory.name() {
                of.number(&format!("{key}_bytes"), value, Worse::Neither);
            } else {
                // In millionths, as all shares here.
                of.number(&format!("{key}_ppm"), i128::from(value).saturating_mul(100), Worse::Neither);
            }
        }
    }
}

/// A bound; the longest time there is stands for none.
fn bound(response_ns: u64) -> Value {
    if response_ns == Duration::MAX.as_ns() {
        Value::Word("none".to_owned())
    } else {
        Value::Number(response_ns.into())
    }
}

fn task(side: &Side<'_>, task: &Task) -> Facts {
    let plan = side.plan;
    let mut of = Of::new(About::Task, &task.name);
    of.told("lane", plan.lanes.get(usize::from(task.lane)).map_or("", |lane| &lane.name));
    let at = |place: Option<u16>| place.map(usize::from);
    of.told("model", at(task.model).and_then(|place| plan.models.get(place)).map_or("", |model| &model.name));
    of.told("domain", at(task.domain).and_then(|place| plan.domains.get(place)).map_or("", |domain| &domain.name));
    of.number("priority", task.priority, Worse::Neither);
    of.number("period_ns", task.period_ns, Worse::Neither);
    of.number("deadline_ns", task.deadline_ns, Worse::Neither);
    of.positive("phase_ns", task.phase_ns, Worse::Neither);
    of.positive("jitter_ns", task.jitter_ns, Worse::Neither);
    of.number("wcet_ns", task.wcet_ns, Worse::Neither);
    if task.budget_ns != task.wcet_ns {
        of.number("budget_ns", task.budget_ns, Worse::Neither);
    }
    let pieces = task.segments_ns.len().max(1);
    of.number("segments", i128::try_from(pieces).unwrap_or(i128::MAX), Worse::Neither);
    let blocking = match &task.certificate {
        Certificate::FixedPriority { blocking_ns, .. } | Certificate::Gaps { blocking_ns, .. } => Some(*blocking_ns),
        // A draft has no certificates; the analysis that it comes of knows.
        Certificate::Unproven {} => side.blocking.get(&task.name).copied(),
        Certificate::Edf { .. } | Certificate::Table {} => None,
    };
    if let Some(blocking) = blocking {
        of.number("blocking_ns", blocking, Worse::More);
    }
    let response = bound(task.response_ns);
    let slack = match response {
        Value::Number(response) => i128::from(task.deadline_ns).checked_sub(response),
        Value::Word(_) => None,
    };
    of.add("response_ns", response, Worse::More);
    if let Some(slack) = slack {
        of.number("slack_ns", slack, Worse::Less);
    }
    for (key, word) in [("on_overrun", &task.on_overrun), ("on_miss", &task.on_miss), ("on_failure", &task.on_failure)]
    {
        of.word(key, word);
    }
    for (key, is) in [("submitted", task.submitted), ("defers", task.defers), ("optional", task.optional)] {
        if is {
            of.word(key, "yes");
        }
    }
    of.0
}

fn lane(plan: &Plan, place: usize, lane: &Lane) -> Facts {
    let mut of = Of::new(About::Lane, &lane.name);
    of.word("policy", &lane.policy);
    of.word("preemption", &lane.preemption);
    of.number("core", lane.core, Worse::Neither);
    if let Some(partition) = &lane.partition {
        of.number("sms", partition.sms, Worse::Neither);
    }
    if let Some(utilization) = utilization(plan, place, lane) {
        of.number("utilization_ppm", utilization, Worse::More);
    }
    of.add("busy_period_ns", bound(lane.busy_period_ns), Worse::More);
    of.number("dispatch_overhead_ns", lane.dispatch_overhead_ns, Worse::More);
    of.number("launch_overhead_ns", lane.launch_overhead_ns, Worse::More);
    of.number("domain_switch_ns", lane.domain_switch_ns, Worse::More);
    of.number("thread_wait_ns", lane.thread_wait_ns, Worse::More);
    of.number("wakeup_latency_ns", lane.wakeup_latency_ns, Worse::More);
    of.0
}

/// Σ C/T of a lane's tasks, overheads included, as the analysis counts it; `None` of a vehicle with modes, whose tasks never run
/// all at once.
fn utilization(plan: &Plan, place: usize, lane: &Lane) -> Option<u64> {
    if !plan.modes.is_empty() {
        return None;
    }
    let per_segment = [lane.dispatch_overhead_ns, lane.launch_overhead_ns, lane.domain_switch_ns, lane.thread_wait_ns];
    let per_segment = per_segment.into_iter().try_fold(0_u64, u64::checked_add)?;
    let own = plan.tasks.iter().filter(|task| usize::from(task.lane) == place);
    let loads = own.map(|task| {
        let segments = u64::try_from(task.segments_ns.len().max(1)).ok()?;
        let cost = task.wcet_ns.checked_add(per_segment.checked_mul(segments)?)?;
        Some(Load { cost, period: task.period_ns, deadline: task.deadline_ns, jitter: 0, pieces: Pieces::Whole })
    });
    let loads: Option<Vec<Load>> = loads.collect();
    Some(ppm(&loads?))
}
