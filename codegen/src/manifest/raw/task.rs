//! `[task.NAME]`, and the tasks that its stages are.

use std::ops::Range;

use aegis_core::desc::{Answer, LONGEST_MISS_WINDOW};
use aegis_core::time::Duration;
use toml::Spanned;

use super::wcet::{self, WcetKeys};
use crate::manifest::model::{Budget, Execution, Manifest, Span};
use crate::manifest::reader::{Order, Section};

/// What a stage looks like.
const STAGE: &str = "{ lane = \"main\", wcet = \"2ms\" }";

/// A task, or one stage of one.
pub(crate) struct Task {
    pub(crate) name: Spanned<String>,
    pub(crate) span: Span,
    /// Whether it is a stage.
    pub(crate) staged: bool,
    /// The position of the stage before it.
    pub(crate) after: Option<usize>,
    pub(crate) lane: Option<Spanned<String>>,
    pub(crate) has_model: bool,
    pub(crate) model: Option<Spanned<String>>,
    /// Whether `domain` is given, be it readable or not.
    pub(crate) has_domain: bool,
    pub(crate) domain: Option<Spanned<String>>,
    pub(crate) period: Option<Spanned<Duration>>,
    pub(crate) deadline: Option<Spanned<Duration>>,
    pub(crate) phase: Duration,
    /// Where `phase` is given.
    pub(crate) phase_key: Option<Span>,
    /// Where the application is said to release its jobs.
    pub(crate) submitted: Option<Span>,
    /// Where what it submits too early is said to be deferred.
    pub(crate) deferred: Option<Span>,
    /// Where it is said to be optional.
    pub(crate) optional: Option<Span>,
    pub(crate) jitter: Option<Spanned<Duration>>,
    /// Where `priority` is given, be it readable or not.
    pub(crate) priority_key: Option<Span>,
    pub(crate) priority: Option<Spanned<Order>>,
    pub(crate) execution: Option<Execution>,
    /// Where `segments` is given, be it readable or not.
    pub(crate) segments_key: Option<Span>,
    pub(crate) region: Option<Spanned<Duration>>,
    pub(crate) suspension: Option<Spanned<Duration>>,
    pub(crate) bcet: Option<Spanned<Duration>>,
    pub(crate) hooks: Option<Spanned<Duration>>,
    pub(crate) margin_ppm: Option<Spanned<u64>>,
    pub(crate) wcet: WcetKeys,
    pub(crate) budget: Budget,
    pub(crate) on_overrun: RawAnswer,
    pub(crate) on_miss: RawAnswer,
    pub(crate) on_failure: RawAnswer,
    pub(crate) miss_window: u8,
}

impl Task {
    /// Its priority where that is a number, with its place.
    pub(crate) fn number(&self) -> Option<(u16, Span)> {
        let priority = self.priority.as_ref()?;
        match priority.get_ref() {
            Order::Number(number) => Some((number.0, priority.span())),
            Order::Optimal => None,
        }
    }

    /// What is done about its overruns, misses and failed jobs, with the keys that say so.
    pub(crate) fn answers(&self) -> [(&'static str, &RawAnswer); 3] {
        [("on-overrun", &self.on_overrun), ("on-miss", &self.on_miss), ("on-failure", &self.on_failure)]
    }

    /// Whether its priority is to be found.
    pub(crate) fn is_optimal(&self) -> bool {
        self.priority.as_ref().is_some_and(|priority| *priority.get_ref() == Order::Optimal)
    }
}

/// What is done about an overrun, a miss or a failed job.
#[derive(Clone)]
pub(crate) enum RawAnswer {
    /// Nothing but the record, as nothing is given.
    Default,
    /// What a word says.
    Word(Spanned<Answer>),
    /// Another mode is gone to; `None` where its name cannot be read.
    Mode(Option<Spanned<String>>),
}

impl RawAnswer {
    /// Where it says that the domain fails, if it does.
    pub(crate) fn fails(&self) -> Option<Span> {
        match self {
            Self::Word(word) if *word.get_ref() == Answer::FailDomain => Some(word.span()),
            _ => None,
        }
    }

    /// The mode's name.
    pub(crate) const fn mode(&self) -> Option<&Spanned<String>> {
        match self {
            Self::Mode(Some(name)) => Some(name),
            _ => None,
        }
    }
}

/// One table `[task.NAME]`.
pub(crate) struct Member {
    pub(crate) name: Spanned<String>,
    /// The positions of its stages, or of the one task that it is.
    pub(crate) tasks: Range<usize>,
}

/// What [`task`] found in one table.
pub(crate) struct Declared {
    name: Spanned<String>,
    /// `None` where stages cannot be read.
    tasks: Option<Vec<Task>>,
}

/// What must not stand beside `stages`: each stage has its own, or there is none.
const OF_A_STAGE: [&str; 10] =
    ["lane", "model", "bcet", "priority", "non-preemptive", "suspension", "hooks", "margin", "wcet-from", "exceedance"];

/// Lines up the tasks of all tables, and says where each table's are.
pub(crate) fn line_up(declared: Vec<Declared>, incomplete: &mut Vec<&'static str>) -> (Vec<Task>, Vec<Member>) {
    let (mut tasks, mut members) = (Vec::new(), Vec::new());
    for Declared { name, tasks: found } in declared {
        let first = tasks.len();
        if found.is_none() && !incomplete.contains(&"task") {
            incomplete.push("task");
        }
        for (stage, mut task) in found.into_iter().flatten().enumerate() {
            task.after = stage.checked_sub(1).map(|before| first + before);
            tasks.push(task);
        }
        members.push(Member { name, tasks: first..tasks.len() });
    }
    (tasks, members)
}

pub(super) fn task(name: Spanned<String>, section: &mut Section<'_>) -> Declared {
    let staged = section.has("stages");
    section.exactly_one(
        &["wcet", "profile", "segments", "stages"],
        "`wcet` declares the longest execution of a job, `profile` names a file that `aegis profile` wrote, `segments` \
         and `stages` declare a job of several parts, on one lane or on several",
    );
    section.none_beside("stages", &OF_A_STAGE, "each stage has its own lane, execution and priority, and no more");
    section.none_beside("profile", &["non-preemptive"], "declare the `wcet` that it is a part of");
    section.none_beside("model", &["domain"], "the task lies in its model's domain");
    section.none_beside("model", &["suspension"], "a model is one execution, which does not suspend itself");
    pieces(section);
    let whole = whole(name.clone(), section);
    let tasks = if staged {
        section
            .sections("stages", 2..=Manifest::MAX_STAGES, STAGE, |task, number| format!("stage {number} of {task}"))
            .map(|stages| (1..).zip(stages).map(|(number, section)| stage(number, section, &whole)).collect())
    } else {
        Some(vec![whole])
    };
    Declared { name, tasks }
}

/// What must not stand beside `segments`, of a task or of a stage.
fn pieces(section: &mut Section<'_>) {
    section.none_beside("segments", &["hooks"], "count the hooks' time in the first and the last segment");
    if section.has("model") && section.has("segments") {
        let help = "a model's segments are files: cut it with `aegis model cut`, name them in its `files`, and give the \
                    task a `profile`";
        section.planned(&["segments"], help);
    }
}

/// The table's own keys; those that belong to stages are there only for a task without them.
fn whole(name: Spanned<String>, section: &mut Section<'_>) -> Task {
    let time = |section: &mut Section<'_>, key, zero| section.duration(key, zero);
    let staged = section.has("stages");
    let period = section.required("period", "period = \"33ms\"", |s, key| time(s, key, false));
    let deadline = if section.has("deadline") { time(section, "deadline", false) } else { period.clone() };
    let on_miss = answer(section, "on-miss", &Answer::ALL);
    let miss_window = section.count("miss-window", 1, LONGEST_MISS_WINDOW);
    let on_overrun = answer(section, "on-overrun", &Answer::ALL);
    let on_failure = answer(section, "on-failure", &[Answer::Continue, Answer::FailDomain]);
    let lane = if staged { None } else { section.required("lane", "lane = \"main\"", Section::text) };
    let release = section.choice("release", &[("periodic", false), ("submitted", true)], &[]);
    let optional = if section.has("optional") { section.boolean("optional") } else { None };
    let early = section.choice("early", &[("reject", false), ("defer", true)], &[]);
    let (segments_key, execution) = execution(section);
    Task {
        name,
        span: section.span.clone(),
        staged,
        after: None,
        lane,
        has_model: section.has("model"),
        model: section.text("model"),
        has_domain: section.has("domain"),
        domain: section.text("domain"),
        period,
        deadline,
        phase: time(section, "phase", true).map_or(Duration::ZERO, Spanned::into_inner),
        phase_key: section.key_span("phase"),
        submitted: release.filter(|release| *release.get_ref()).map(|release| release.span()),
        deferred: early.filter(|early| *early.get_ref()).map(|early| early.span()),
        optional: optional.filter(|optional| *optional.get_ref()).map(|optional| optional.span()),
        jitter: time(section, "jitter", true),
        priority_key: section.key_span("priority"),
        priority: section.priority("priority"),
        execution: execution.or(section.text("profile").map(Execution::Profile)),
        segments_key,
        region: time(section, "non-preemptive", false),
        suspension: time(section, "suspension", false),
        bcet: time(section, "bcet", true),
        hooks: time(section, "hooks", true),
        margin_ppm: section.margin("margin"),
        wcet: wcet::keys(section),
        budget: budget(section, staged),
        on_overrun: on_overrun.unwrap_or(RawAnswer::Default),
        on_miss: on_miss.unwrap_or(RawAnswer::Default),
        on_failure: on_failure.unwrap_or(RawAnswer::Default),
        miss_window: miss_window.map_or(Manifest::MISS_WINDOW, Spanned::into_inner),
    }
}

/// One stage of the task `whole`.
fn stage(number: usize, mut section: Section<'_>, whole: &Task) -> Task {
    section.exactly_one(
        &["wcet", "profile", "segments"],
        "`wcet` declares the longest execution of the stage, `profile` names a file that `aegis profile` wrote, `segments` \
         declares the longest execution of each of its segments",
    );
    pieces(&mut section);
    let (segments_key, execution) = execution(&mut section);
    let task = Task {
        name: Spanned::new(whole.name.span(), format!("{}.{number}", whole.name.get_ref())),
        span: section.span.clone(),
        staged: true,
        after: None,
        lane: section.required("lane", "lane = \"main\"", Section::text),
        has_model: section.has("model"),
        model: section.text("model"),
        has_domain: whole.has_domain,
        domain: whole.domain.clone(),
        period: whole.period.clone(),
        deadline: whole.deadline.clone(),
        phase: whole.phase,
        phase_key: whole.phase_key.clone(),
        submitted: whole.submitted.clone().filter(|_| number == 1),
        deferred: whole.deferred.clone().filter(|_| number == 1),
        optional: whole.optional.clone(),
        jitter: whole.jitter.clone().filter(|_| number == 1),
        priority_key: section.key_span("priority"),
        priority: section.priority("priority"),
        execution: execution.or(section.text("profile").map(Execution::Profile)),
        segments_key,
        region: None,
        suspension: None,
        bcet: section.duration("bcet", true),
        hooks: section.duration("hooks", true),
        margin_ppm: section.margin("margin"),
        wcet: wcet::keys(&mut section),
        // What the whole task may use is said once.
        budget: if number == 1 { whole.budget.clone() } else { Budget::default() },
        on_overrun: whole.on_overrun.clone(),
        on_miss: whole.on_miss.clone(),
        on_failure: whole.on_failure.clone(),
        miss_window: whole.miss_window,
    };
    section.finish();
    task
}

/// Where `segments` is given, and the execution that it or `wcet` declares.
fn execution(section: &mut Section<'_>) -> (Option<Span>, Option<Execution>) {
    let segments = section.durations("segments", Manifest::MAX_SEGMENTS).map(Execution::Segments);
    let wcet = section.duration("wcet", false).map(Execution::Wcet);
    (section.key_span("segments"), wcet.or(segments))
}

/// One of `words`, or a table that names a mode.
fn answer(section: &mut Section<'_>, key: &'static str, words: &[Answer]) -> Option<RawAnswer> {
    if !section.is_table(key) {
        let known: Vec<_> = words.iter().map(|answer| (answer.name(), *answer)).collect();
        return section.choice(key, &known, &[]).map(RawAnswer::Word);
    }
    let mut table = section.section(key, "a word, or a table such as { mode = \"degraded\" }")?;
    let mode = table.required("mode", "mode = \"degraded\"", Section::text);
    table.finish();
    Some(RawAnswer::Mode(mode))
}

fn budget(section: &mut Section<'_>, staged: bool) -> Budget {
    if !section.has("budget") {
        return Budget::default();
    }
    let Some(mut table) = section.section("budget", "a table such as { time = \"5ms\" }") else {
        return Budget::default();
    };
    if staged {
        table.planned(&["time"], "the budget of each stage is its longest execution: leave `time` out");
    }
    let (time, memory) = (table.duration("time", false), table.size("memory"));
    let streams = table.count("streams", 1, Manifest::MAX_STREAMS);
    if !["time", "memory", "streams"].into_iter().any(|key| table.has(key)) {
        table.required("time", "time = \"5ms\", memory = \"64MiB\" or streams = 1", |s, key| s.duration(key, false));
    }
    table.finish();
    Budget { time, memory, streams }
}
