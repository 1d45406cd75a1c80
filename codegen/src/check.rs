//! The whole check: from a manifest to a verdict, all findings, and the lock of a plan that passes.

mod budgets;
mod capacity;
mod failures;
mod judge;

use crate::analysis::{self, Analysis, Holds, exact};
use crate::certify::{certify, draft};
use crate::finding::{Code, Finding};
use crate::lock::Lock;
use crate::manifest;
use crate::memory::{self, Layout};
use crate::resolve::{Loaded, Resolved, resolve};
use crate::system::System;
use crate::tables;
use aegis_core::time::Duration;
#[cfg(feature = "cli")]
pub(crate) use budgets::of_memory;
use std::path::Path;

/// What a check found.
#[derive(Debug)]
pub struct Checked {
    /// The resolved system, where the manifest and its profiles are sound.
    pub resolved: Option<Resolved>,
    /// The analysis of that system.
    pub analysis: Option<Analysis>,
    /// The memory layout of that system.
    pub layout: Option<Layout>,
    /// The certified plan, where every deadline and capacity holds, each by a proof that has a certificate.
    pub lock: Option<Lock>,
    /// Whether all holds, but something only by a proof that no checker can repeat: for analysis and simulation.
    pub without_certificate: bool,
    /// Everything that was found.
    pub findings: Vec<Finding>,
}

impl Checked {
    /// Whether the plan holds: no finding is an error.
    #[must_use]
    pub fn passes(&self) -> bool {
        (self.lock.is_some() || self.without_certificate) && !self.findings.iter().any(Finding::is_error)
    }

    /// The lock, or where there is none a draft of the plan that proves nothing, for simulation; `None` where nothing was
    /// analysed.
    ///
    /// # Errors
    /// [`Internal`].
    pub fn lock_or_draft(&self) -> Result<Option<Lock>, Internal> {
        if let Some(lock) = &self.lock {
            return Ok(Some(lock.clone()));
        }
        let (Some(resolved), Some(analysis), Some(layout)) = (&self.resolved, &self.analysis, &self.layout) else {
            return Ok(None);
        };
        Ok(Some(Lock::new(draft(&resolved.system, analysis, layout)?, resolved.inputs.clone())?))
    }

    fn without_system(findings: Vec<Finding>) -> Self {
        let (resolved, analysis, layout, lock) = (None, None, None, None);
        Self { resolved, analysis, layout, lock, without_certificate: false, findings }
    }
}

/// The checker refuses what the generator made: an error inside AegisRT, never the user's.
#[derive(Debug, thiserror::Error)]
pub enum Internal {
    /// Certification failed although every test passed.
    #[error("certification: {0}")]
    Certify(#[from] crate::certify::NotCertifiable),
    /// The plan cannot be written.
    #[error("writing the plan: {0}")]
    Write(#[from] toml::ser::Error),
    /// The plan names something unknown.
    #[error("tables: {0}")]
    Tables(#[from] tables::Unknown),
    /// The core's checker refuses the plan.
    #[error("the checker refuses the plan: {0}")]
    Refused(#[from] aegis_core::verify::Violation),
}

/// Reads a manifest's text.
#[must_use]
pub fn load(file: &str, text: String) -> (Option<Loaded>, Vec<Finding>) {
    let (manifest, findings) = manifest::parse(file, &text);
    (manifest.map(|manifest| Loaded { file: file.to_owned(), text, manifest }), findings)
}

/// How a manifest is checked.
#[derive(Clone, Copy, Default, Debug)]
pub struct Options<'a> {
    /// As for [`resolve`].
    pub substitute: Option<&'a Path>,
    /// Whether the exact analysis is made of every lane that it covers, not only of those that fail otherwise.
    pub exact: bool,
}

/// Checks a manifest with its profiles.
///
/// # Errors
/// [`Internal`], which is a bug in AegisRT.
pub fn check(file: &str, text: String, options: Options<'_>) -> Result<Checked, Internal> {
    let (loaded, findings) = load(file, text);
    let Some(loaded) = loaded else { return Ok(Checked::without_system(findings)) };
    check_loaded(&loaded, findings, options)
}

/// As [`check`], for a manifest that was read before; `findings` are those of reading it.
///
/// # Errors
/// As for [`check`].
pub fn check_loaded(loaded: &Loaded, mut findings: Vec<Finding>, options: Options<'_>) -> Result<Checked, Internal> {
    let (resolved, found) = resolve(loaded, options.substitute);
    findings.extend(found);
    let Some(resolved) = resolved else { return Ok(Checked::without_system(findings)) };
    let system = &resolved.system;
    let mut analysis = analysis::analyse(system);
    exactly(system, &mut analysis, options.exact);
    findings.extend(judge::judge(system, &analysis));
    let priorities: Vec<_> = analysis.tasks.iter().map(|task| task.priority).collect();
    let layout = match memory::plan(system, &priorities) {
        Ok(layout) => Some(layout),
        Err(error) => {
            let device = system.devices.get(error.device);
            let name = device.map_or("", |device| device.name.as_str());
            let message = format!("the sizes of the models on device `{name}` sum to more than 2^62 bytes");
            let span = device.map_or(0..0, |device| device.span.clone());
            let finding = Finding::error(Code::MemoryOverflow, message).at(&system.file, span, "this device");
            findings.push(finding.help("measure its models again with `aegis profile`"));
            None
        }
    };
    if let Some(layout) = &layout {
        findings.extend(capacity::judge(system, layout));
    }
    let holds = !findings.iter().any(Finding::is_error);
    let without_certificate = holds && !(analysis.has_certificate() && holds_by_bounds(system, &analysis));
    let lock = match &layout {
        Some(layout) if holds && !without_certificate => {
            let lock = Lock::new(certify(system, &analysis, layout)?, resolved.inputs.clone())?;
            let lock = lock.slowed(loaded.manifest.pace);
            aegis_core::verify::verify(tables::leak(&lock)?)?;
            Some(lock)
        }
        _ => None,
    };
    let (resolved, analysis) = (Some(resolved), Some(analysis));
    Ok(Checked { resolved, analysis, layout, lock, without_certificate, findings })
}

/// Whether a system holds by proofs that have certificates: deadlines, chains, and where it is asked for memory.
pub(crate) fn holds(system: &System, with_memory: bool) -> bool {
    let analysis = analysis::analyse(system);
    let sound = |findings: Vec<Finding>| !findings.iter().any(Finding::is_error);
    if !(analysis.has_certificate() && holds_by_bounds(system, &analysis) && sound(judge::judge(system, &analysis))) {
        return false;
    }
    let priorities: Vec<_> = analysis.tasks.iter().map(|task| task.priority).collect();
    !with_memory || memory::plan(system, &priorities).is_ok_and(|layout| sound(capacity::judge(system, &layout)))
}

/// Whether every deadline is met by its bound, not only by the exact analysis.
fn holds_by_bounds(system: &System, analysis: &Analysis) -> bool {
    system.tasks.iter().zip(&analysis.tasks).all(|(task, found)| found.holds(task.deadline) == Holds::Proven)
}

/// Adds the exact analysis of each lane that it covers: of all, or of those where a bound misses its deadline.
fn exactly(system: &System, analysis: &mut Analysis, all: bool) {
    for lane in 0..system.lanes.len() {
        let on_lane = system.tasks.iter().zip(&analysis.tasks).filter(|(task, _)| task.lane == lane);
        let fails = on_lane.into_iter().any(|(task, found)| found.holds(task.deadline) == Holds::No);
        if !(all || fails) {
            continue;
        }
        let Some((members, found)) = analysis::exactly(system, analysis, lane, exact::Limits::default()) else {
            continue;
        };
        for (place, member) in members.iter().enumerate() {
            let Some(task) = analysis.tasks.get_mut(*member) else { continue };
            let response = found.as_ref().map(|responses| responses.get(place).copied());
            task.exact = response.map_err(|gave_up| *gave_up).transpose();
        }
    }
}

/// A time for people in a fitting unit, rounded up, so that no bound looks shorter than it is.
#[must_use]
pub fn show(time: Duration) -> String {
    rounded(time, u64::div_ceil)
}

/// As [`show`], rounded down: for what must not look longer than it is, a slack or an allowance.
#[must_use]
pub fn show_down(time: Duration) -> String {
    rounded(time, |ns, unit| ns / unit)
}

/// What was observed as [`show`], beside what is allowed as [`show_down`]. Where rounding would make what is allowed look exceeded,
/// both are told to the nanosecond.
#[must_use]
pub fn beside(observed: Duration, allowed: Duration) -> (String, String) {
    let step = |ns: u64| match ns {
        0..=999_999 => 1,
        1_000_000..=999_999_999 => 1_000,
        _ => 1_000_000,
    };
    let (longest, most) = (observed.as_ns(), allowed.as_ns());
    let up = u128::from(longest).next_multiple_of(step(longest));
    let down = most.checked_rem(u64::try_from(step(most)).unwrap_or(1)).map_or(most, |rest| most.saturating_sub(rest));
    if longest <= most && up > u128::from(down) {
        return (format!("{longest} ns"), format!("{most} ns"));
    }
    (show(observed), show_down(allowed))
}

/// Three decimals of the largest unit that the time fills.
fn rounded(time: Duration, divide: fn(u64, u64) -> u64) -> String {
    let ns = time.as_ns();
    let (unit, per_thousandth) = match ns {
        0..=999 => return format!("{ns} ns"),
        1_000..=999_999 => ("us", 1),
        1_000_000..=999_999_999 => ("ms", 1_000),
        _ => ("s", 1_000_000),
    };
    let thousandths = divide(ns, per_thousandth);
    let text = format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
    format!("{} {unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::{beside, show, show_down};
    use aegis_core::Duration;

    #[test]
    fn what_is_within_never_looks_exceeded() {
        let both = |observed, allowed| beside(Duration::from_ns(observed), Duration::from_ns(allowed));
        let of = |observed: &str, allowed: &str| (observed.to_owned(), allowed.to_owned());
        assert_eq!(both(3_527_400, 3_527_400), of("3527400 ns", "3527400 ns"));
        assert_eq!(both(3_527_000, 3_527_400), of("3.527 ms", "3.527 ms"));
        assert_eq!(both(3_526_001, 3_528_999), of("3.527 ms", "3.528 ms"));
        assert_eq!(both(999_999_999, 1_000_000_000), of("1000 ms", "1 s"));
        assert_eq!(both(999_999_999, 999_999_999), of("999999999 ns", "999999999 ns"));
        assert_eq!(both(3_527_401, 3_527_400), of("3.528 ms", "3.527 ms"));
        assert_eq!(both(u64::MAX, u64::MAX), of("18446744073709551615 ns", "18446744073709551615 ns"));
    }

    #[test]
    fn times_are_rounded_to_the_safe_side() {
        let both = |ns| (show(Duration::from_ns(ns)), show_down(Duration::from_ns(ns)));
        assert_eq!(both(0), ("0 ns".to_owned(), "0 ns".to_owned()));
        assert_eq!(both(33_000_000), ("33 ms".to_owned(), "33 ms".to_owned()));
        assert_eq!(both(1_000_001), ("1.001 ms".to_owned(), "1 ms".to_owned()));
        assert_eq!(both(1_234), ("1.234 us".to_owned(), "1.234 us".to_owned()));
        assert_eq!(both(2_500_000_001), ("2.501 s".to_owned(), "2.5 s".to_owned()));
        assert!(show(Duration::MAX).ends_with(" s"));
    }
}
