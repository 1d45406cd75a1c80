//! The exit status of a vehicle, and the sentence that says why.

use crate::steps::StepReport;
use crate::table::ms;

/// What a run came to, as far as the exit status depends on it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Findings {
    /// The device that executes segments is gone.
    pub device_lost: bool,
    /// An internal error, told in one sentence.
    pub internal: Option<String>,
    /// Completed jobs.
    pub jobs: u64,
    /// Missed deadlines.
    pub misses: u64,
    /// Arrivals that a full queue refused.
    pub rejected: u64,
    /// Jobs over their proven bound.
    pub exceeded: u64,
    /// Those of them that the machine explains.
    pub explained: u64,
    /// The names of the fault domains that failed, each with whether it was restored each time.
    pub failed_domains: Vec<(&'static str, bool)>,
    /// Jobs that failed alone.
    pub failed: u64,
    /// Jobs that were aborted after an overrun or a miss, or because their domain failed.
    pub aborted: u64,
    /// The orchestration thread's steps.
    pub steps: StepReport,
    /// How often memory that a level gave back could not be had again.
    pub reclaim_failures: u64,
    /// How often a level of memory pressure settled later than planned.
    pub levels_late: u64,
    /// How often a change of the mode took longer than planned.
    pub modes_late: u64,
    /// How often a watched source could not be read.
    pub unreadable: u64,
    /// How often a lane or the orchestration thread stood still for longer than the watchdog allows.
    pub stalls: u64,
    /// Requests for memory that were refused or belong to no model, and models that ran in no recorded order.
    pub beyond_plan: u64,
    /// Reasons why the guarantee does not hold on this machine.
    pub voids: usize,
    /// `--allow-void` was given.
    pub allow_void: bool,
}

/// Exit status and reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// 0, 1, 3, 4 or 5.
    pub status: u8,
    /// Why, in one sentence.
    pub why: String,
}

/// The fault domains that failed: first those that stayed so.
fn failed_domains(all: &[(&'static str, bool)]) -> String {
    let part = |restored: bool, then: &str| {
        let names: Vec<_> = all.iter().filter(|own| own.1 == restored).map(|own| own.0).collect();
        let what = if names.len() > 1 { "fault domains" } else { "fault domain" };
        (!names.is_empty()).then(|| format!("the {what} \"{}\" failed{then}", names.join("\", \"")))
    };
    let stayed = part(false, ": nothing of its tasks was delivered from then on");
    let restored = part(true, " and was restored: nothing of its tasks was delivered in between");
    stayed.into_iter().chain(restored).collect::<Vec<_>>().join("; ")
}

/// Judges a run; where several things went wrong, device lost goes before internal errors, those before
/// violated bounds, and those before a void guarantee.
#[must_use]
pub fn judge(findings: &Findings) -> Verdict {
    let Findings { jobs, misses, rejected, exceeded, explained, beyond_plan, voids, .. } = *findings;
    let unexplained = exceeded.saturating_sub(explained);
    let verdict = |status, why: String| Verdict { status, why };
    if findings.device_lost {
        return verdict(5, "the device is lost".to_owned());
    }
    if let Some(error) = &findings.internal {
        return verdict(3, error.clone());
    }
    if findings.stalls > 0 {
        let stalls = if findings.stalls == 1 { "once".to_owned() } else { format!("{} times", findings.stalls) };
        let what = "a lane or the orchestration thread stood still for longer than the watchdog allows,";
        return verdict(1, format!("{what} {stalls}"));
    }
    if !findings.failed_domains.is_empty() {
        return verdict(1, failed_domains(&findings.failed_domains));
    }
    if findings.failed > 0 {
        return verdict(1, format!("{} jobs failed and delivered nothing", findings.failed));
    }
    if findings.aborted > 0 {
        return verdict(1, format!("{} jobs were aborted and delivered nothing", findings.aborted));
    }
    if misses > 0 {
        return verdict(1, format!("{misses} missed deadlines"));
    }
    if rejected > 0 {
        return verdict(1, format!("{rejected} arrivals were refused because their task's queue was full"));
    }
    if findings.levels_late > 0 {
        return verdict(
            1,
            format!("a level of memory pressure settled later than planned, {} times", findings.levels_late),
        );
    }
    if findings.reclaim_failures > 0 {
        let times = findings.reclaim_failures;
        return verdict(1, format!("memory that a level gave back could not be had again, {times} times"));
    }
    if findings.modes_late > 0 {
        return verdict(1, format!("a change of the mode took longer than planned, {} times", findings.modes_late));
    }
    if findings.unreadable > 0 {
        return verdict(1, format!("a watched source could not be read, {} times", findings.unreadable));
    }
    if unexplained > 0 {
        let what = "jobs exceeded their proven bounds and the machine does not explain it";
        return verdict(1, format!("{unexplained} of {jobs} {what}"));
    }
    let StepReport { worst, worst_allowed, .. } = findings.steps;
    let long_steps = |count: u64, what: &str| {
        let (worst, allowed) = (ms(worst), ms(worst_allowed));
        let why = format!("{count} steps of the orchestration thread took longer than the plan's overheads");
        verdict(1, format!("{why}{what}: the worst {worst}, the plan allows {allowed}"))
    };
    let unexplained = findings.steps.exceeded.saturating_sub(findings.steps.explained);
    if unexplained > 0 {
        return long_steps(unexplained, " and the machine does not explain it");
    }
    // Explained or not: where more than one job in a thousand is over its bound, the bounds are not worth their name.
    // A started thousand counts whole, so that one disturbance does not condemn a short run.
    let tolerated = jobs.div_ceil(1_000);
    if exceeded > tolerated {
        let what =
            "jobs exceeded their proven bounds, explained by the machine, but more than one per started thousand";
        return verdict(1, format!("{exceeded} of {jobs} {what}"));
    }
    if findings.steps.exceeded > tolerated {
        return long_steps(
            findings.steps.exceeded,
            ", explained by the machine, but more than one per started thousand jobs",
        );
    }
    if beyond_plan > 0 {
        return verdict(
            1,
            format!("{beyond_plan} requests for memory, or orders of execution, were not the planned ones"),
        );
    }
    if voids > 0 && !findings.allow_void {
        let reasons = if voids == 1 { "one reason".to_owned() } else { format!("{voids} reasons") };
        return verdict(4, format!("the guarantee is void on this machine for {reasons}"));
    }
    verdict(0, "no miss, no violated bound".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Findings, judge};
    use crate::steps::StepReport;
    use aegis_core::Duration;

    #[test]
    fn each_finding_has_its_status_and_the_worst_wins() {
        let mut findings = Findings { jobs: 10_000, ..Findings::default() };
        let status = |findings: &Findings| judge(findings).status;
        assert_eq!(status(&findings), 0);
        findings.voids = 1;
        assert_eq!(status(&findings), 4);
        findings.allow_void = true;
        assert_eq!(status(&findings), 0);
        findings.allow_void = false;
        findings.rejected = 2;
        assert_eq!(judge(&findings).why, "2 arrivals were refused because their task's queue was full");
        assert_eq!(status(&findings), 1);
        findings = Findings { rejected: 0, voids: 0, modes_late: 3, ..findings };
        assert_eq!(judge(&findings).why, "a change of the mode took longer than planned, 3 times");
        assert_eq!(status(&findings), 1);
        findings.misses = 1;
        assert_eq!((status(&findings), judge(&findings).why.as_str()), (1, "1 missed deadlines"));
        findings.internal = Some("broken".into());
        assert_eq!(judge(&findings).why, "broken");
        assert_eq!(status(&findings), 3);
        findings.device_lost = true;
        assert_eq!(status(&findings), 5);
    }

    #[test]
    fn an_exceeded_bound_is_forgiven_only_when_explained_and_rare() {
        let findings = |exceeded, explained| Findings { jobs: 10_000, exceeded, explained, ..Findings::default() };
        assert_eq!(judge(&findings(10, 10)).status, 0);
        assert_eq!(judge(&findings(11, 11)).status, 1);
        assert_eq!(judge(&findings(1, 0)).status, 1);
        let of =
            |jobs, exceeded| judge(&Findings { jobs, exceeded, explained: exceeded, ..Findings::default() }).status;
        assert_eq!((of(1, 1), of(1_000, 1), of(1_000, 2), of(1_001, 2), of(1_001, 3)), (0, 0, 1, 0, 1));
        let failed = Findings { failed: 2, misses: 1, ..findings(0, 0) };
        assert_eq!(judge(&failed).why, "2 jobs failed and delivered nothing");
        let aborted = Findings { aborted: 3, misses: 1, ..findings(0, 0) };
        assert_eq!(judge(&aborted).why, "3 jobs were aborted and delivered nothing");
        let gone = Findings { failed_domains: vec![("maps", false)], ..failed.clone() };
        let why = "the fault domain \"maps\" failed: nothing of its tasks was delivered from then on";
        assert_eq!((judge(&gone).status, judge(&gone).why.as_str()), (1, why));
        let all_gone = Findings { failed_domains: vec![("maps", false), ("vision", false)], ..failed.clone() };
        assert!(judge(&all_gone).why.starts_with("the fault domains \"maps\", \"vision\" failed: "));
        let back = Findings { failed_domains: vec![("vision", true)], ..failed.clone() };
        let why = "the fault domain \"vision\" failed and was restored: nothing of its tasks was delivered in between";
        assert_eq!((judge(&back).status, judge(&back).why.as_str()), (1, why));
        let both = judge(&Findings { failed_domains: vec![("vision", true), ("maps", false)], ..failed }).why;
        assert!(both.starts_with("the fault domain \"maps\" failed: ") && both.ends_with(why), "{both}");
        let stalled = Findings { stalls: 1, failed: 2, ..findings(0, 0) };
        let why = "a lane or the orchestration thread stood still for longer than the watchdog allows, once";
        assert_eq!((judge(&stalled).status, judge(&stalled).why.as_str()), (1, why));
        let steps = |exceeded, explained| Findings {
            steps: StepReport {
                worst: Duration::from_ns(1_500_000),
                worst_allowed: Duration::from_ns(250_000),
                exceeded,
                explained,
            },
            ..findings(0, 0)
        };
        let why = "2 steps of the orchestration thread took longer than the plan's overheads and the machine does not explain \
                   it: the worst 1.500 ms, the plan allows 0.250 ms";
        assert_eq!((judge(&steps(3, 1)).status, judge(&steps(3, 1)).why.as_str()), (1, why));
        assert_eq!((judge(&steps(10, 10)).status, judge(&steps(11, 11)).status, judge(&steps(0, 0)).status), (0, 1, 0));
        let late = Findings { levels_late: 2, ..findings(1, 0) };
        let why = "a level of memory pressure settled later than planned, 2 times";
        assert_eq!((judge(&late).status, judge(&late).why.as_str()), (1, why));
        assert_eq!(
            judge(&Findings { rejected: 1, ..late }).why,
            "1 arrivals were refused because their task's queue was full"
        );
        let short = Findings { reclaim_failures: 3, ..findings(1, 0) };
        let why = "memory that a level gave back could not be had again, 3 times";
        assert_eq!((judge(&short).status, judge(&short).why.as_str()), (1, why));
        let blind = Findings { unreadable: 2, ..findings(1, 0) };
        let why = "a watched source could not be read, 2 times";
        assert_eq!((judge(&blind).status, judge(&blind).why.as_str()), (1, why));
        assert_eq!(judge(&Findings { levels_late: 1, ..blind }).status, 1);
        let beyond = Findings { beyond_plan: 1, ..findings(0, 0) };
        assert_eq!(judge(&beyond).status, 1);
    }
}
