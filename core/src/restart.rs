//! When the process of a fault domain that has ended may be started again.
//!
//! ```text
//!             ended              back-off over            restored            probation survived
//!  (sound) ─────────▶ (waits) ─────────────────▶ (loads) ──────────▶ (probation) ────────────────▶ (sound)
//!                      │   ▲                        │ ended              │ ended
//!                      │   └────────────────────────┴────────────────────┘ with twice the back-off
//!                      └──▶ (given up for good): it would be more than `max` restarts within the window
//! ```
//!
//! The policy is a [`RestartDesc`]. The back-off is the planned one where the domain was sound, and doubles with each failure in a
//! row, while it loads or on probation, up to the length of the window; it is never shorter than planned, which the bounds rely on
//! (`docs/theory/domain-failures.md`). A domain that would be started more than `max` times in an interval as long as the window is
//! given up for good.
//!
//! Pure and without a clock, as the dispatcher is: whoever sees the process end says so, with the instant.
//!
//! Cost: O([`MOST_RESTARTS`]) for an end, O(1) else; about 300 bytes a domain.

use crate::desc::{MOST_RESTARTS, RestartDesc};
use crate::time::{Duration, Instant};

/// [`MOST_RESTARTS`] as a length.
const MOST: usize = 16;

/// Where a domain is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// It has not failed, or has survived its probation.
    Sound,
    /// Its process has ended, and none is ready in its place.
    Away,
    /// It was restored; the instant is the first one after its probation.
    Restored(Instant),
    /// It is not started again.
    GivenUp,
}

/// What has become of one domain's process.
#[derive(Clone, Copy, Debug)]
pub struct Restarts {
    phase: Phase,
    /// The last back-off that was asked for.
    back_off: Duration,
    /// The probation of the policy that answered the last end.
    probation: Duration,
    /// When it might be started again, the last times: a ring.
    starts: [Option<Instant>; MOST],
    /// The place of the next one.
    place: u16,
}

impl Default for Restarts {
    fn default() -> Self {
        Self::new()
    }
}

impl Restarts {
    /// A domain that has not failed.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            phase: Phase::Sound,
            back_off: Duration::ZERO,
            probation: Duration::ZERO,
            starts: [None; MOST],
            place: 0,
        }
    }

    /// The process has ended, which was confirmed now, before or after it was ready: says from when on another one may be started in
    /// its place, or `None` where it is given up for good.
    ///
    /// It is once `max` of the last instants that this has said lie less than `within` before what would be the next, and where that
    /// is out of range.
    pub fn ended(&mut self, policy: &RestartDesc, now: Instant) -> Option<Instant> {
        let start = self.next_start(policy, now);
        match start {
            Some(start) => {
                self.phase = Phase::Away;
                self.probation = policy.probation;
                if let Some(slot) = self.starts.get_mut(usize::from(self.place)) {
                    *slot = Some(start);
                }
                self.place = self.place.saturating_add(1).checked_rem(MOST_RESTARTS).unwrap_or(0);
            }
            None => self.phase = Phase::GivenUp,
        }
        start
    }

    /// Decides, and takes over the back-off.
    fn next_start(&mut self, policy: &RestartDesc, now: Instant) -> Option<Instant> {
        let in_a_row = match self.phase {
            Phase::Sound => false,
            Phase::Away => true,
            Phase::Restored(end) => now < end,
            Phase::GivenUp => return None,
        };
        let doubled = self.back_off.checked_add(self.back_off).unwrap_or(Duration::MAX).min(policy.within);
        self.back_off = if in_a_row { doubled.max(policy.back_off) } else { policy.back_off };
        let start = now.checked_add(self.back_off)?;
        let mut recent = 0_u16;
        for earlier in self.starts.iter().flatten() {
            recent = recent.saturating_add(u16::from(start.saturating_since(*earlier) < policy.within));
        }
        (recent < policy.max).then_some(start)
    }

    /// Another process was started and is ready: the domain was restored now. Without an end before nothing changes.
    pub fn restored(&mut self, now: Instant) {
        if self.phase == Phase::Away {
            let end = now.checked_add(self.probation).unwrap_or(Instant::from_ns(u64::MAX));
            self.phase = Phase::Restored(end);
        }
    }

    /// Whether the domain was restored, and another end would be in a row with the last one.
    #[must_use]
    pub fn is_on_probation(&self, now: Instant) -> bool {
        matches!(self.phase, Phase::Restored(end) if now < end)
    }

    /// Whether it is not started again in this run.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        self.phase == Phase::GivenUp
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test stops at an overflow")]
mod tests {
    extern crate std;

    use super::{MOST_RESTARTS, Restarts};
    use crate::desc::RestartDesc;
    use crate::time::{Duration, Instant};
    use std::vec::Vec;

    #[test]
    fn as_many_starts_are_remembered_as_a_policy_may_count() {
        assert_eq!(super::MOST, usize::from(MOST_RESTARTS));
        assert!(size_of::<Restarts>() <= 304);
    }

    fn policy(max: u16, within: u64, back_off: u64, probation: u64) -> RestartDesc {
        let [within, back_off, probation] = [within, back_off, probation].map(Duration::from_ns);
        RestartDesc { max, within, back_off, probation }
    }

    fn at(ns: u64) -> Instant {
        Instant::from_ns(ns)
    }

    fn ended(restarts: &mut Restarts, policy: &RestartDesc, now: u64) -> Option<u64> {
        restarts.ended(policy, at(now)).map(Instant::as_ns)
    }

    #[test]
    fn the_back_off_doubles_with_each_failure_in_a_row_and_returns_to_its_first_value() {
        let (policy, mut domain) = (policy(16, 100, 10, 50), Restarts::new());
        assert_eq!(ended(&mut domain, &policy, 1_000), Some(1_010));
        // It ends again while it loads.
        assert_eq!(ended(&mut domain, &policy, 1_020), Some(1_040));
        domain.restored(at(1_060));
        assert!(domain.is_on_probation(at(1_109)) && !domain.is_on_probation(at(1_110)));
        assert_eq!(ended(&mut domain, &policy, 1_109), Some(1_149));
        domain.restored(at(1_200));
        assert_eq!(ended(&mut domain, &policy, 1_201), Some(1_281));
        domain.restored(at(1_300));
        assert_eq!(ended(&mut domain, &policy, 1_301), Some(1_401), "no longer than the window");
        domain.restored(at(1_500));
        assert_eq!(ended(&mut domain, &policy, 1_550), Some(1_560), "its probation was survived");
    }

    #[test]
    fn a_domain_is_given_up_at_more_restarts_than_the_window_takes_and_stays_so() {
        let (policy, mut domain) = (policy(2, 100, 10, 0), Restarts::new());
        for (end, start) in [(0, Some(10)), (50, Some(60)), (100, Some(110))] {
            assert_eq!(ended(&mut domain, &policy, end), start, "10 and 110 are as far apart as the window is long");
            domain.restored(at(end + 20));
        }
        assert_eq!((ended(&mut domain, &policy, 149), domain.is_given_up()), (None, true));
        domain.restored(at(150));
        assert!(!domain.is_on_probation(at(150)));
        assert_eq!((ended(&mut domain, &policy, 10_000), domain.is_given_up()), (None, true));
    }

    #[test]
    fn what_is_out_of_range_is_given_up() {
        let (policy, mut domain) = (policy(16, u64::MAX, 10, u64::MAX), Restarts::new());
        domain.restored(at(1));
        assert!(!domain.is_on_probation(at(1)), "it was never away");
        assert_eq!(ended(&mut domain, &policy, 5), Some(15));
        domain.restored(at(20));
        assert!(domain.is_on_probation(at(u64::MAX - 1)));
        assert_eq!(ended(&mut domain, &policy, u64::MAX - 19), None);
    }

    /// The contract with a list of all that was: nothing is forgotten, and nothing but the list decides.
    struct Oracle {
        starts: Vec<u64>,
        /// The failures since the domain was sound, those before the last one.
        in_a_row: u32,
        restored: Option<u64>,
        given_up: bool,
    }

    impl Oracle {
        fn ended(&mut self, policy: &RestartDesc, now: u64) -> Option<u64> {
            let within = policy.within.as_ns();
            let is_first =
                self.starts.is_empty() || self.restored.is_some_and(|at| now >= at + policy.probation.as_ns());
            self.in_a_row = if is_first { 0 } else { self.in_a_row + 1 };
            let factor = 2_u64.saturating_pow(self.in_a_row);
            let first = policy.back_off.as_ns();
            let start = now + first.saturating_mul(factor).min(within.max(first));
            let recent = self.starts.iter().filter(|earlier| *earlier + within > start).count();
            self.given_up |= recent >= usize::from(policy.max);
            self.restored = None;
            (!self.given_up).then(|| {
                self.starts.push(start);
                start
            })
        }
    }

    #[test]
    fn random_sequences_are_answered_as_by_a_list_of_all_instants() {
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let (mut given_up, mut capped, mut survived) = (0, 0, 0);
        for _ in 0..20_000 {
            let within = 1 + random(400);
            let max = 1 + u16::try_from(random(u64::from(MOST_RESTARTS))).unwrap();
            let policy = policy(max, within, random(within + 1), random(120));
            let (mut domain, mut now) = (Restarts::new(), random(1_000));
            let mut oracle = Oracle { starts: Vec::new(), in_a_row: 0, restored: None, given_up: false };
            for _ in 0..60 {
                let start = ended(&mut domain, &policy, now);
                assert_eq!(start, oracle.ended(&policy, now), "{policy:?} at {now}");
                assert_eq!(domain.is_given_up(), oracle.given_up);
                let Some(start) = start else {
                    given_up += 1;
                    break;
                };
                assert!(start >= now + policy.back_off.as_ns(), "a bound relies on it");
                capped += u32::from(start - now == within && policy.back_off.as_ns() < within);
                assert!(!domain.is_on_probation(at(start)));
                now = start + random(60);
                // In one of four cases it ends while it loads.
                if random(4) > 0 {
                    domain.restored(at(now));
                    oracle.restored = Some(now);
                    now += random(200);
                    let on = now < oracle.restored.unwrap() + policy.probation.as_ns();
                    assert_eq!(domain.is_on_probation(at(now)), on);
                    survived += u32::from(!on);
                }
            }
            for window in oracle.starts.windows(usize::from(max) + 1) {
                assert!(window[usize::from(max)] - window[0] >= within, "{policy:?}: {window:?}");
            }
        }
        assert!(given_up > 1_000 && capped > 1_000 && survived > 1_000, "{given_up}, {capped}, {survived}");
    }
}
