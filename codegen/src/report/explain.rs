//! Says why a task's response bound is what it is, in words and as JSON.

use crate::analysis::explain::{Terms, terms};
use crate::analysis::{Analysis, Holds, Proof, lane_loads, modes};
use crate::check::{show, show_down};
use crate::report::failures;
use crate::system::{Lane, System, Task};
use aegis_core::Duration;
use aegis_core::desc::{Policy, Preemption};
use serde::Serialize;
use std::fmt::Write as _;

/// A bound taken apart. Times in nanoseconds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Explanation {
    /// R, from arrival.
    pub response_ns: u64,
    /// Which instance of the busy period is the worst, from 1; under EDF and in a table 1.
    pub instance: u64,
    /// How many instances were looked at.
    pub instances: u64,
    /// What sums to R.
    pub terms: Vec<Term>,
    /// How much of R is overhead of any kind, in millionths.
    pub overhead_ppm: u64,
}

/// A summand of a bound.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Term {
    /// What it is.
    pub kind: Kind,
    /// Whose jobs, where they are another's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// How many jobs, or how many segments an overhead is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// How much; below zero only for [`Kind::Offset`].
    pub ns: i128,
    /// Its share of R in millionths, where it is an overhead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_ppm: Option<u64>,
}

/// What a summand is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Until the stages before are complete.
    EarlierStages,
    /// The task's own release jitter.
    Jitter,
    /// How late the dispatcher wakes up.
    WakeupLatency,
    /// How long the release, or a segment, waits for the orchestration thread to serve other lanes.
    ThreadWait,
    /// Until the job's slot.
    Slot,
    /// For a job without a slot: slots, and gaps that may be too short.
    Slots,
    /// A piece that had just begun.
    Blocking,
    /// Executions that go before.
    Interference,
    /// Executions of the task's own earlier jobs.
    EarlierJobs,
    /// The job's own execution.
    Execution,
    /// Starting segments and noticing their ends.
    Dispatch,
    /// Launching segments.
    Launch,
    /// Switching fault domains.
    DomainSwitch,
    /// Handing segments over to the processes of fault domains, and back.
    HandOver,
    /// A GPU's going from one process' work to another's.
    ProcessSwitch,
    /// Less: how long after the start of the busy period the job arrives.
    Offset,
}

impl Kind {
    const fn is_overhead(self) -> bool {
        matches!(
            self,
            Self::WakeupLatency
                | Self::ThreadWait
                | Self::Dispatch
                | Self::Launch
                | Self::DomainSwitch
                | Self::HandOver
                | Self::ProcessSwitch
        )
    }
}

/// The test that decides a task.
#[must_use]
pub fn test(system: &System, analysis: &Analysis, position: usize) -> &'static str {
    let (Some(task), Some(result)) = (system.tasks.get(position), analysis.tasks.get(position)) else { return "" };
    let Some(lane) = system.lanes.get(task.lane) else { return "" };
    if result.holds(task.deadline) == Holds::Exactly {
        return "schedule-abstraction-graph";
    }
    if let Ok((_, Proof::Suspension(bounds))) = &result.response {
        return bounds.least().map_or("", |(_, method)| method.name());
    }
    let floats = system.tasks.iter().any(|other| other.lane == task.lane && !other.region.is_zero());
    match (lane.policy, lane.preemption) {
        (Policy::TimeTriggered, _) if task.submitted => "table-gaps",
        (Policy::TimeTriggered, _) => "table",
        (Policy::EarliestDeadlineFirst, Preemption::None) => "np-edf-rta",
        (Policy::EarliestDeadlineFirst, Preemption::Segments) => "lp-edf-rta",
        (Policy::EarliestDeadlineFirst, Preemption::Full) if floats => "fnpr-edf-rta",
        (Policy::EarliestDeadlineFirst, Preemption::Full) => "edf-rta",
        (_, Preemption::None) => "np-fp-rta",
        (_, Preemption::Segments) => "lp-fp-rta",
        (_, Preemption::Full) if floats => "fnpr-fp-rta",
        (_, Preemption::Full) => "fp-rta",
    }
}

/// Takes the bound of the task at `position` apart; `None` where it has none, or one without terms. Of a system with modes it is
/// that of the mode in which it is the greatest.
#[must_use]
pub fn of(system: &System, analysis: &Analysis, position: usize) -> Option<Explanation> {
    if !system.modes.is_empty() {
        let (mode, place) = modes::worst(analysis, position)?;
        return of(&modes::alone(system, system.modes.get(mode)?), &analysis.modes.get(mode)?.analysis, place);
    }
    let (task, result) = (system.tasks.get(position)?, analysis.tasks.get(position)?);
    let lane = system.lanes.get(task.lane)?;
    let (bound, proof) = result.response.as_ref().ok()?;
    let mut sum = Sum::default();
    let (instance, instances) = if matches!(proof, Proof::Table) {
        sum.slot(system, lane, task, *bound)?;
        (1, 1)
    } else {
        let (mut members, mut loads) = lane_loads(system, analysis, task.lane)?;
        if matches!(proof, Proof::Gaps { .. }) {
            let of_gaps = |member: &usize| system.tasks.get(*member).is_some_and(|task| task.submitted);
            (members, loads) = members.into_iter().zip(loads).filter(|(member, _)| of_gaps(member)).unzip();
        }
        let own = members.iter().position(|member| *member == position)?;
        let terms = terms(&loads, own, proof)?;
        sum.release(lane, task, result.release.1);
        sum.terms(system, lane, task, &members, &terms)?;
        (terms.instance.saturating_add(1), u64::try_from(terms.instances).ok()?)
    };
    sum.finish(*bound, instance, instances)
}

/// What of executions handing segments over costs, and going to another process on the lane's device.
#[derive(Default)]
struct Handed {
    over: u64,
    switches: u64,
    /// How many of these.
    segments: u64,
}

impl Handed {
    /// Adds what jobs of a task have of both in all: the same for each segment.
    fn add(&mut self, system: &System, lane: &Lane, task: &Task, both: u64) -> Option<()> {
        let process =
            task.domain.filter(|_| task.handed).and_then(|domain| system.domains.get(domain)?.process.as_ref());
        let over = process.map_or(0, |process| process.hand_over.as_ns());
        let switch = lane.partition.map_or(0, |part| part.switch.as_ns());
        if switch == 0 {
            self.over = self.over.checked_add(both)?;
            return Some(());
        }
        let segments = both.checked_div(over.checked_add(switch)?)?;
        let switches = segments.checked_mul(switch)?;
        self.segments = self.segments.checked_add(segments)?;
        self.switches = self.switches.checked_add(switches)?;
        self.over = self.over.checked_add(both.checked_sub(switches)?)?;
        Some(())
    }
}

/// Collects summands.
#[derive(Default)]
struct Sum(Vec<Term>);

impl Sum {
    fn add(&mut self, kind: Kind, task: Option<&str>, count: Option<u64>, ns: u64) {
        if ns > 0 {
            let task = task.map(str::to_owned);
            self.0.push(Term { kind, task, count, ns: i128::from(ns), share_ppm: None });
        }
    }

    /// From the arrival to the release.
    fn release(&mut self, lane: &Lane, task: &Task, latest: Duration) {
        if task.after.is_some() {
            return self.add(Kind::EarlierStages, None, None, latest.as_ns());
        }
        self.add(Kind::Jitter, None, None, task.jitter.as_ns());
        self.add(Kind::WakeupLatency, None, None, lane.wakeup_latency.as_ns());
        self.add(Kind::ThreadWait, None, Some(1), lane.thread_wait.as_ns());
    }

    /// From the release to the end.
    fn terms(&mut self, system: &System, lane: &Lane, task: &Task, members: &[usize], terms: &Terms) -> Option<()> {
        let overhead = lane.segment_overhead()?.as_ns();
        let of = |task: &Task| u64::try_from(task.segments.len().max(1)).ok();
        let blocker = terms.blocked_by.and_then(|load| system.tasks.get(*members.get(load)?));
        self.add(Kind::Blocking, blocker.map(|task| task.name.as_str()), None, terms.blocking);
        let mut segments: u64 = 0;
        let mut handed = Handed::default();
        for one in &terms.interference {
            let other = members.get(one.load).and_then(|member| system.tasks.get(*member))?;
            let own = of(other)?.checked_mul(one.jobs)?;
            let over = other.hand_over.as_ns().checked_mul(one.jobs)?;
            let execution = one.cost.checked_sub(own.checked_mul(overhead)?)?.checked_sub(over)?;
            handed.add(system, lane, other, over)?;
            self.add(Kind::Interference, Some(&other.name), Some(one.jobs), execution);
            segments = segments.checked_add(own)?;
        }
        let earlier = of(task)?.checked_mul(terms.instance)?;
        let over = task.hand_over.as_ns().checked_mul(terms.instance)?;
        let execution = terms.earlier.checked_sub(earlier.checked_mul(overhead)?)?.checked_sub(over)?;
        handed.add(system, lane, task, over.checked_add(task.hand_over.as_ns())?)?;
        self.add(Kind::EarlierJobs, None, Some(terms.instance), execution);
        let own = terms.own.checked_sub(of(task)?.checked_mul(overhead)?)?.checked_sub(task.hand_over.as_ns())?;
        self.add(Kind::Execution, None, None, own);
        segments = segments.checked_add(earlier)?.checked_add(of(task)?)?;
        self.overheads(lane, segments)?;
        self.handed(handed);
        self.add(Kind::Slots, None, None, terms.slots);
        if terms.offset > 0 {
            let ns = i128::from(terms.offset);
            self.0.push(Term { kind: Kind::Offset, task: None, count: None, ns: -ns, share_ppm: None });
        }
        Some(())
    }

    fn handed(&mut self, handed: Handed) {
        self.add(Kind::HandOver, None, None, handed.over);
        self.add(Kind::ProcessSwitch, None, Some(handed.segments), handed.switches);
    }

    fn overheads(&mut self, lane: &Lane, segments: u64) -> Option<()> {
        let kinds = [
            (Kind::Dispatch, lane.dispatch_overhead),
            (Kind::Launch, lane.launch_overhead),
            (Kind::DomainSwitch, lane.domain_switch),
            (Kind::ThreadWait, lane.thread_wait),
        ];
        for (kind, each) in kinds {
            self.add(kind, None, Some(segments), each.as_ns().checked_mul(segments)?);
        }
        Some(())
    }

    /// A time-triggered job: what is left of the bound is the time until its slot.
    fn slot(&mut self, system: &System, lane: &Lane, task: &Task, bound: Duration) -> Option<()> {
        let busy = task.wcet.checked_add(lane.segment_overhead()?)?.checked_add(lane.lateness()?)?;
        self.add(Kind::Slot, None, None, bound.checked_sub(busy)?.as_ns());
        self.add(Kind::WakeupLatency, None, None, lane.wakeup_latency.as_ns());
        self.add(Kind::ThreadWait, None, Some(1), lane.thread_wait.as_ns());
        self.add(Kind::Execution, None, None, task.wcet.checked_sub(task.hand_over)?.as_ns());
        let mut handed = Handed::default();
        handed.add(system, lane, task, task.hand_over.as_ns())?;
        self.handed(handed);
        self.overheads(lane, 1)
    }

    /// Adds the shares; `None` where the summands do not sum to the bound.
    fn finish(mut self, bound: Duration, instance: u64, instances: u64) -> Option<Explanation> {
        let share = |ns: i128| u64::try_from(ns.checked_mul(1_000_000)? / i128::from(bound.as_ns().max(1))).ok();
        let mut overhead: i128 = 0;
        let mut sum: i128 = 0;
        for term in &mut self.0 {
            sum += term.ns;
            if term.kind.is_overhead() {
                overhead += term.ns;
                term.share_ppm = share(term.ns);
            }
        }
        let is_whole = sum == i128::from(bound.as_ns());
        let (response_ns, overhead_ppm) = (bound.as_ns(), share(overhead)?);
        is_whole.then_some(Explanation { response_ns, instance, instances, terms: self.0, overhead_ppm })
    }
}

/// The bound of the task at `position` in words, term by term; why there is none, or why there are no terms, otherwise. Of a
/// system with modes that of each mode that has the task.
#[must_use]
pub fn render(system: &System, analysis: &Analysis, position: usize) -> String {
    let mut text = String::new();
    for (mode, found) in system.modes.iter().zip(&analysis.modes) {
        if let Some(place) = found.tasks.iter().position(|task| *task == position) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "in mode `{}`:", mode.name);
            text.push_str(&render_alone(&modes::alone(system, mode), &found.analysis, place));
        }
    }
    if system.modes.is_empty() {
        text = render_alone(system, analysis, position);
    }
    text + &failures::of_task(system, analysis, position)
}

fn render_alone(system: &System, analysis: &Analysis, position: usize) -> String {
    let (Some(task), Some(result)) = (system.tasks.get(position), analysis.tasks.get(position)) else {
        return String::new();
    };
    let Some(lane) = system.lanes.get(task.lane) else { return String::new() };
    let mut text = String::new();
    let mut line = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    line(format!(
        "task `{}` on lane `{}` ({}, preemption {}), priority {}, by {}",
        task.name,
        lane.name,
        lane.policy.name(),
        lane.preemption.name(),
        result.priority.0,
        test(system, analysis, position)
    ));
    match &result.response {
        Ok((bound, _)) => line(format!(
            "responds within {} of its arrival, {} of {}",
            show(*bound),
            against(*bound, task.deadline),
            show(task.deadline)
        )),
        Err(why) => line(format!("has no response bound: {why}")),
    }
    match &result.exact {
        Some(Ok(longest)) => line(format!(
            "with strictly periodic releases at these phases the longest response that happens is {}, {} of {}",
            show(*longest),
            against(*longest, task.deadline),
            show(task.deadline)
        )),
        Some(Err(gave_up)) => line(format!("the exact analysis gave up: {gave_up}; the bound stands")),
        None => {}
    }
    if let Ok((_, Proof::Suspension(bounds))) = &result.response {
        let of = |bound: Option<u64>| bound.map_or_else(|| "none".to_owned(), |ns| show(Duration::from_ns(ns)));
        line(format!("the smallest of three bounds, with suspensions of its own of up to {}:", show(task.suspension)));
        line(format!("  {:>14}  counting suspensions as execution", of(bounds.oblivious)));
        line(format!("  {:>14}  counting those of more important tasks as release jitter", of(bounds.jitter)));
        line(format!("  {:>14}  counting those of more important tasks as blocking", of(bounds.blocking)));
        return text;
    }
    match of(system, analysis, position) {
        Some(explanation) => explanation.render(&mut text),
        None if result.response.is_ok() => text.push_str("its bound has no terms\n"),
        None => {}
    }
    text
}

/// How a response lies to a deadline.
fn against(response: Duration, deadline: Duration) -> String {
    match deadline.checked_sub(response) {
        Some(slack) => format!("{} before its deadline", show_down(slack)),
        None => format!("{} AFTER its deadline", show(response.saturating_sub(deadline))),
    }
}

impl Explanation {
    fn render(&self, text: &mut String) {
        let mut line = |time: String, words: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {time:>14}  {words}");
        };
        for term in &self.terms {
            let ns = u64::try_from(term.ns.unsigned_abs()).unwrap_or(u64::MAX);
            let time = show(Duration::from_ns(ns));
            let time = if term.ns < 0 { format!("-{time}") } else { time };
            line(time, term.words());
        }
        let which = format!("= the bound, of instance {} of {}", self.instance, self.instances);
        let (whole, rest) = (self.overhead_ppm / 10_000, self.overhead_ppm % 10_000 / 100);
        line(show(Duration::from_ns(self.response_ns)), format!("{which}; {whole}.{rest:02} % of it are overheads"));
    }
}

impl Term {
    fn words(&self) -> String {
        let share = self
            .share_ppm
            .map_or_else(String::new, |ppm| format!(", {}.{:02} % of the bound", ppm / 10_000, ppm % 10_000 / 100));
        self.words_alone() + &share
    }

    /// What it is, without its share.
    pub(super) fn words_alone(&self) -> String {
        let count = self.count.unwrap_or(0);
        let task = self.task.as_deref().unwrap_or("");
        match self.kind {
            Kind::EarlierStages => "until the stage before it is complete".to_owned(),
            Kind::Jitter => "release jitter of its own".to_owned(),
            Kind::WakeupLatency => "wake-up latency of the dispatcher".to_owned(),
            Kind::ThreadWait => {
                format!("waiting for the orchestration thread, which serves other lanes, {}", times(count))
            }
            Kind::Slot => "until its slot of the table".to_owned(),
            Kind::Slots => "while the table has slots, or too little is left of a gap to be certain".to_owned(),
            Kind::Blocking => format!("blocking by a piece of `{task}` that had just begun"),
            Kind::Interference => format!("interference by {} of `{task}`", jobs(count)),
            Kind::EarlierJobs => format!("{} of its own before it", jobs(count)),
            Kind::Execution => "its own execution".to_owned(),
            Kind::Dispatch => format!("dispatch overhead of {}", segments(count)),
            Kind::Launch => format!("launch overhead of {}", segments(count)),
            Kind::DomainSwitch => format!("domain switches before {}", segments(count)),
            Kind::HandOver => "handing segments over to processes of domains, and back".to_owned(),
            Kind::ProcessSwitch => format!("going to another process on the device, for {}", segments(count)),
            Kind::Offset => "less: it arrives that long after the busy period begins".to_owned(),
        }
    }
}

fn jobs(count: u64) -> String {
    if count == 1 { "1 job".to_owned() } else { format!("{count} jobs") }
}

fn segments(count: u64) -> String {
    if count == 1 { "1 segment".to_owned() } else { format!("{count} segments") }
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}
