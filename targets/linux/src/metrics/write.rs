//! A snapshot as text: which families there are, in which order, with which labels.

use super::encode::{Decimal, Encoder, Format, Label, Samples};
use super::families as own;
use super::families::Family;
use super::histogram::{Histogram, RATIO_BOUNDS};
use super::observe::{self, CAUSES, Observer, ppm};
use super::{Counts, Snapshot};
use crate::stats::{Failure, TaskStats};
use crate::summary::hex;
use aegis_core::desc::{PoolDesc, SystemDesc, TaskDesc};
use aegis_core::trace::VoidReason;
use aegis_core::{Duration, Instant};

/// The text of a snapshot. The same snapshot gives the same bytes.
#[must_use]
pub fn text(snapshot: &Snapshot, format: Format) -> String {
    let mut out = Encoder::new(format);
    vehicle(&mut out, snapshot);
    let labels: Vec<_> =
        snapshot.observed.system().tasks.iter().map(|task| labels_of(&snapshot.observed, task)).collect();
    counts(&mut out, &snapshot.counts, &labels);
    jobs(&mut out, snapshot, &labels);
    tasks(&mut out, snapshot, &labels);
    lanes(&mut out, &snapshot.observed);
    pools(&mut out, snapshot);
    levels_and_modes(&mut out, snapshot);
    domains(&mut out, snapshot);
    machinery(&mut out, snapshot);
    out.finish()
}

/// A family, and its value of something.
type Of<T, V> = (&'static Family, fn(&T) -> V);

/// The labels of whatever is told of a task: with them what is told of a model, a lane or a domain is a sum.
type TaskLabels = [Label<'static>; 4];

fn labels_of(observed: &Observer, task: &TaskDesc) -> TaskLabels {
    let system = observed.system();
    let lane = system.lanes.get(task.lane.index()).map_or("", |lane| lane.name);
    let model = task.model.and_then(|model| system.models.get(model.index())).map_or("", |model| model.name);
    let domain = task.domain.and_then(|domain| system.domains.get(domain.index())).map_or("", |domain| domain.name);
    [("task", task.name), ("lane", lane), ("model", model), ("domain", domain)]
}

fn vehicle(out: &mut Encoder, snapshot: &Snapshot) {
    let observed = &snapshot.observed;
    let system: &SystemDesc = observed.system();
    let hash = hex(&system.config_hash);
    let labels = [("vehicle", system.name), ("config_hash", &hash), ("generator", system.generator)];
    out.family(&own::VEHICLE, |samples| samples.add(&labels, 1));
    out.family(&own::RUNNING, |samples| samples.add(&[], u8::from(snapshot.last.is_none())));
    out.family(&own::ELAPSED, |samples| samples.add(&[], Decimal::seconds(elapsed(observed))));
    out.family(&own::VALID, |samples| samples.add(&[], u8::from(observed.is_valid())));
    out.family(&own::VOID, |samples| {
        for reason in VoidReason::ALL {
            samples.add(&[("reason", reason.name())], u8::from(observed.is_void(reason)));
        }
    });
}

fn elapsed(observed: &Observer) -> Duration {
    observed.newest.saturating_since(Instant::START)
}

fn counts(out: &mut Encoder, counts: &Counts, labels: &[TaskLabels]) {
    let families: [Of<TaskStats, u64>; 13] = [
        (&own::COMPLETED, |stats| stats.jobs),
        (&own::FAILED, |stats| stats.failed),
        (&own::ABORTED, |stats| stats.aborted),
        (&own::DROPPED, |stats| stats.dropped),
        (&own::MISSES, |stats| stats.misses),
        (&own::OVERRUNS, |stats| stats.overruns),
        (&own::EXCEEDED, |stats| stats.exceeded),
        (&own::EXPLAINED, |stats| stats.explained),
        (&own::REJECTED, |stats| stats.rejected),
        (&own::SKIPPED, |stats| stats.skipped),
        (&own::WITHHELD, |stats| stats.withheld),
        (&own::DEFERRED, |stats| stats.deferred),
        (&own::FORGONE, |stats| stats.forgone),
    ];
    for (family, count) in families {
        out.family(family, |samples| {
            for (labels, stats) in labels.iter().zip(&counts.tasks) {
                samples.add(labels, count(stats));
            }
        });
    }
}

fn jobs(out: &mut Encoder, snapshot: &Snapshot, labels: &[TaskLabels]) {
    let (observed, stats) = (&snapshot.observed, &snapshot.counts.tasks);
    let seconds = |ns| Decimal::seconds(Duration::from_ns(ns));
    let mut histogram =
        |family, bounds: &[u64], of: fn(&observe::Task) -> &Histogram, value: &dyn Fn(u64) -> Decimal| {
            out.family(family, |samples: &mut Samples<'_>| {
                for (labels, task) in labels.iter().zip(&observed.tasks) {
                    samples.histogram(labels, (of(task), bounds), value);
                }
            });
        };
    histogram(&own::RESPONSE, &observed.bounds, |task| &task.response, &seconds);
    histogram(&own::EXECUTION, &observed.bounds, |task| &task.execution, &seconds);
    histogram(&own::RESPONSE_RATIO, &RATIO_BOUNDS, |task| &task.response_ratio, &Decimal::ratio);
    histogram(&own::EXECUTION_RATIO, &RATIO_BOUNDS, |task| &task.execution_ratio, &Decimal::ratio);
    let families: [Of<TaskStats, Duration>; 2] =
        [(&own::RESPONSE_MAX, |stats| stats.max_response), (&own::EXECUTION_MAX, |stats| stats.max_execution)];
    for (family, longest) in families {
        out.family(family, |samples| {
            for (labels, stats) in labels.iter().zip(stats) {
                samples.add(labels, Decimal::seconds(longest(stats)));
            }
        });
    }
    // Of tasks of which a job has ended.
    let ended = || labels.iter().zip(observed.system().tasks).zip(observed.tasks.iter().zip(stats));
    out.family(&own::SLACK, |samples| {
        for ((labels, desc), (task, _)) in ended() {
            if let Some(response) = task.newest {
                samples.add(labels, Decimal::difference(desc.deadline, response));
            }
        }
    });
    out.family(&own::SLACK_MIN, |samples| {
        for ((labels, desc), (task, stats)) in ended() {
            if task.newest.is_some() {
                samples.add(labels, Decimal::difference(desc.deadline, stats.max_response));
            }
        }
    });
}

fn tasks(out: &mut Encoder, snapshot: &Snapshot, labels: &[TaskLabels]) {
    let tasks = snapshot.observed.system().tasks;
    let families: [Of<TaskDesc, Duration>; 4] = [
        (&own::PERIOD, |task| task.period),
        (&own::DEADLINE, |task| task.deadline),
        (&own::WCET, |task| task.wcet),
        (&own::BOUND, |task| task.response_bound),
    ];
    for (family, time) in families {
        out.family(family, |samples| {
            for (labels, task) in labels.iter().zip(tasks) {
                samples.add(labels, Decimal::seconds(time(task)));
            }
        });
    }
    if !tasks.iter().any(|task| task.optional) {
        return;
    }
    out.family(&own::ADMITTED, |samples| {
        let tasks = tasks.iter().zip(&snapshot.observed.tasks);
        for (labels, (_, task)) in labels.iter().zip(tasks).filter(|(_, (desc, _))| desc.optional) {
            samples.add(labels, u8::from(task.is_admitted));
        }
    });
    let admissions = snapshot.counts.admissions;
    out.family(&own::ADMISSIONS, |samples| samples.add(&[], admissions.admitted));
    out.family(&own::DISMISSALS, |samples| samples.add(&[], admissions.dismissed));
}

fn lanes(out: &mut Encoder, observed: &Observer) {
    let lanes = || observed.system().lanes.iter().map(|lane| [("lane", lane.name)]).zip(&observed.lanes);
    let elapsed = elapsed(observed);
    out.family(&own::BUSY, |samples| {
        lanes().for_each(|(labels, lane)| samples.add(&labels, Decimal::seconds(lane.busy)));
    });
    out.family(&own::UTILIZATION, |samples| {
        lanes().for_each(|(labels, lane)| samples.add(&labels, Decimal::ratio(share(lane.busy, elapsed))));
    });
    out.family(&own::PLANNED, |samples| {
        for (position, (labels, _)) in lanes().enumerate() {
            let own = observed.system().tasks.iter().filter(|task| task.lane.index() == position);
            let all = own.map(|task| ppm(task.wcet, task.period)).fold(0, u64::saturating_add);
            samples.add(&labels, Decimal::ratio(all));
        }
    });
    out.family(&own::DEPTH, |samples| lanes().for_each(|(labels, lane)| samples.add(&labels, lane.depth)));
    out.family(&own::DEPTH_MAX, |samples| lanes().for_each(|(labels, lane)| samples.add(&labels, lane.most)));
    if observed.system().watchdog.is_some() {
        out.family(&own::LANE_STALLS, |samples| lanes().for_each(|(labels, lane)| samples.add(&labels, lane.stalls)));
    }
}

/// Parts per million, rounded down, as in the summary.
fn share(part: Duration, whole: Duration) -> u64 {
    let scaled = u128::from(part.as_ns()).saturating_mul(1_000_000);
    u64::try_from(scaled.checked_div(u128::from(whole.as_ns())).unwrap_or(0)).unwrap_or(u64::MAX)
}

fn pools(out: &mut Encoder, snapshot: &Snapshot) {
    let system = snapshot.observed.system();
    let labels = |pool: &PoolDesc| {
        let domain = pool.domain.and_then(|domain| system.domains.get(domain.index()));
        [("pool", pool.name), ("domain", domain.map_or("", |domain| domain.name))]
    };
    let families: [Of<PoolDesc, u64>; 5] = [
        (&own::CAPACITY, |pool| pool.capacity.0),
        (&own::ARENA, |pool| pool.height.0),
        (&own::LOWER_BOUND, |pool| pool.lower_bound.0),
        (&own::PRIVATE, |pool| pool.private.0),
        (&own::WEIGHTS, |pool| pool.weights.0),
    ];
    for (family, bytes) in families {
        out.family(family, |samples| {
            for pool in system.pools {
                samples.add(&labels(pool), bytes(pool));
            }
        });
    }
    let used = || system.pools.iter().zip(snapshot.last.iter().flat_map(|last| &last.memory));
    out.family(&own::HIGHEST, |samples| {
        used().for_each(|(pool, memory)| samples.add(&labels(pool), memory.highest_bytes));
    });
    out.family(&own::REFUSED, |samples| {
        used().for_each(|(pool, memory)| samples.add(&labels(pool), memory.refused_requests));
    });
}

fn levels_and_modes(out: &mut Encoder, snapshot: &Snapshot) {
    let Snapshot { observed, counts, .. } = snapshot;
    let system = observed.system();
    if !system.levels.is_empty() {
        let holds = |position| observed.level.is_some_and(|level| level.index() == position);
        let states = system.levels.iter().enumerate().map(|(position, level)| (level.name, holds(position)));
        out.family(&own::LEVEL, |samples| samples.states(states));
        out.family(&own::LEVEL_CHANGES, |samples| samples.add(&[], counts.levels.changes));
        out.family(&own::LEVEL_SETTLED, |samples| samples.add(&[], counts.levels.settled));
        out.family(&own::LEVEL_LATE, |samples| samples.add(&[], counts.levels.late));
        out.family(&own::GIVEN_BACK, |samples| samples.add(&[], observed.given_back.0));
    }
    if !system.modes.is_empty() {
        let holds = |position| observed.mode.index() == position;
        let states = system.modes.iter().enumerate().map(|(position, mode)| (mode.name, holds(position)));
        out.family(&own::MODE, |samples| samples.states(states));
        out.family(&own::MODE_REQUESTS, |samples| samples.add(&[], counts.modes.requested));
        out.family(&own::MODE_CHANGES, |samples| samples.add(&[], counts.modes.changed));
        out.family(&own::MODE_LATE, |samples| samples.add(&[], counts.modes.late));
        out.family(&own::MODE_LONGEST, |samples| samples.add(&[], Decimal::seconds(counts.modes.longest)));
    }
}

fn domains(out: &mut Encoder, snapshot: &Snapshot) {
    let Snapshot { observed, counts, .. } = snapshot;
    let domains = || observed.system().domains.iter().map(|domain| ("domain", domain.name));
    out.family(&own::UP, |samples| {
        domains().zip(&observed.domains).for_each(|(label, domain)| samples.add(&[label], u8::from(!domain.is_down)));
    });
    out.family(&own::FAILURES, |samples| {
        for (label, domain) in domains().zip(&observed.domains) {
            for (cause, count) in CAUSES.iter().zip(domain.causes) {
                samples.add(&[label, ("cause", cause.name())], count);
            }
        }
    });
    let restored = |failure: &Option<Failure>| failure.map(|failure| failure.restored).unwrap_or_default();
    out.family(&own::RESTARTS, |samples| {
        domains().zip(&counts.domains).for_each(|(label, failure)| samples.add(&[label], restored(failure).count));
    });
    out.family(&own::RESTART_LONGEST, |samples| {
        for (label, failure) in domains().zip(&counts.domains) {
            samples.add(&[label], Decimal::seconds(restored(failure).longest));
        }
    });
}

fn machinery(out: &mut Encoder, snapshot: &Snapshot) {
    let observed = &snapshot.observed;
    out.family(&own::STEPS, |samples| samples.add(&[], observed.steps));
    out.family(&own::STEPS_EXPLAINED, |samples| samples.add(&[], observed.steps_explained));
    if observed.system().watchdog.is_some() {
        out.family(&own::LOOP_STALLS, |samples| samples.add(&[], observed.loop_stalls));
    }
    let seen = observed.records();
    let (records, lost) = snapshot.last.as_ref().map_or(seen, |last| (last.trace.records, last.trace.lost));
    out.family(&own::RECORDS, |samples| samples.add(&[], records));
    out.family(&own::LOST, |samples| samples.add(&[], lost));
}
