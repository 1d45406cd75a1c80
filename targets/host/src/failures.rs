//! The fault domains that failed, in words.

use aegis_core::Instant;
use aegis_core::desc::SystemDesc;
use aegis_core::trace::Cause;
use aegis_linux::stats::{Failure, Restored, TaskStats};
use aegis_linux::summary::ProcessSummary;
use aegis_linux::table::ms;

/// The domains that failed, by name.
pub(crate) fn failed(
    system: &SystemDesc,
    failures: &[Option<Failure>],
) -> impl Iterator<Item = (&'static str, Failure)> {
    system.domains.iter().zip(failures).filter_map(|(domain, failure)| Some((domain.name, (*failure)?)))
}

/// Tells of each domain that failed what its tasks lost.
pub(crate) fn told_failures(
    system: &SystemDesc,
    (failures, processes): (&[Option<Failure>], &[Option<ProcessSummary>]),
    stats: &[TaskStats],
) {
    for (name, failure) in failed(system, failures) {
        let own =
            system.domains.iter().position(|domain| domain.name == name).and_then(|at| processes.get(at)?.as_ref());
        let process = own.map(|own| format!("; its process {} ended with {}", own.pid, own.ending)).unwrap_or_default();
        log::error!("{}{process}", in_words(system, name, &failure, stats));
    }
}

fn in_words(system: &SystemDesc, name: &str, failure: &Failure, stats: &[TaskStats]) -> String {
    let lies_in = |domain: Option<aegis_core::DomainId>| {
        domain.and_then(|domain| system.domains.get(domain.index())).is_some_and(|domain| domain.name == name)
    };
    let own = system.tasks.iter().zip(stats).filter(|(task, _)| lies_in(task.domain));
    let dropped = own.map(|(_, stats)| stats.dropped).fold(0, u64::saturating_add);
    let why = match failure.cause {
        Cause::Overrun => "an overrun",
        Cause::Miss => "a missed deadline",
        Cause::Failure => "a failed job",
        Cause::Outside => "a fault that was seen outside",
        Cause::Process(loss) => &format!("the loss of its process ({})", loss.name()),
    };
    let job = failure.job.map_or_else(String::new, |job| {
        let task = system.tasks.get(job.task.index()).map_or("", |task| task.name);
        let of = if matches!(failure.cause, Cause::Process(_)) { "while it ran" } else { "of" };
        format!(" {of} task \"{task}\", request {}", job.request)
    });
    let after = ms(failure.at.saturating_since(Instant::START));
    let Restored { count, at, longest } = failure.restored;
    let then = at.map_or_else(
        || "and its tasks ran no more".to_owned(),
        |at| format!("and it was restored after {} more", ms(at.saturating_since(failure.at))),
    );
    let all = match failure.count {
        0 | 1 => String::new(),
        failures if count == 0 => format!("; it failed {failures} times"),
        failures => {
            format!("; it failed {failures} times and was restored {count} times, after {} at the latest", ms(longest))
        }
    };
    format!("DOMAIN FAILED: \"{name}\" after {after}, by {why}{job}; {dropped} waiting jobs were dropped, {then}{all}")
}

#[cfg(test)]
mod tests {
    use super::{failed, in_words};
    use aegis_core::desc::{DomainDesc, SystemDesc, TaskDesc};
    use aegis_core::trace::{Cause, JobRef, Loss};
    use aegis_core::{DomainId, Duration, Instant, TaskId};
    use aegis_linux::stats::{Failure, Restored, TaskStats};

    #[test]
    fn a_failure_is_told_with_its_cause_and_what_was_lost() {
        let tasks = &[
            TaskDesc { name: "face", domain: Some(DomainId(1)), ..TaskDesc::EMPTY },
            TaskDesc { name: "sign", ..TaskDesc::EMPTY },
        ];
        let domains = &[DomainDesc { name: "maps", process: None }, DomainDesc { name: "vision", process: None }];
        let system = SystemDesc { tasks, domains, ..SystemDesc::EMPTY };
        let stats = [2, 5].map(|dropped| TaskStats { dropped, ..TaskStats::default() });
        let job = Some(JobRef { task: TaskId(0), request: 7 });
        let (at, restored) = (Instant::from_ns(1_500_000), Restored::default());
        let failure = Failure { count: 1, restored, at, cause: Cause::Miss, job };
        assert_eq!(
            in_words(&system, "vision", &failure, &stats),
            "DOMAIN FAILED: \"vision\" after 1.500 ms, by a missed deadline of task \"face\", request 7; 2 waiting jobs were \
             dropped, and its tasks ran no more"
        );
        let outside = Failure { cause: Cause::Outside, job: None, ..failure };
        assert!(in_words(&system, "maps", &outside, &stats).contains("by a fault that was seen outside; 0 waiting"));
        let lost = Failure { cause: Cause::Process(Loss::Hung), ..failure };
        let text = in_words(&system, "vision", &lost, &stats);
        assert!(
            text.contains("by the loss of its process (hung) while it ran task \"face\", request 7; 2 waiting"),
            "{text}"
        );
        let restored =
            Restored { count: 2, at: Some(Instant::from_ns(4_000_000)), longest: Duration::from_ns(5_000_000) };
        let back = in_words(&system, "maps", &Failure { count: 2, restored, ..failure }, &stats);
        assert!(
            back.ends_with(
                "dropped, and it was restored after 2.500 ms more; it failed 2 times and was restored 2 times, after 5.000 ms at the \
                 latest"
            ),
            "{back}"
        );
        let names: Vec<_> = failed(&system, &[None, Some(failure)]).map(|(name, _)| name).collect();
        assert_eq!(names, ["vision"]);
    }
}
