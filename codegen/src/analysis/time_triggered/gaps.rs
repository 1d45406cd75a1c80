//! Tasks without slots, which run in the gaps between a table's slots, by fixed priorities among themselves.
//!
//! Related work: G. Fohler, "Joint scheduling of distributed complex periodic and hard aperiodic tasks in statically scheduled
//! systems", RTSS 1995, moves slots to let sporadic jobs in; here no slot moves. The bound is one by supply, as in I. Shin, I.
//! Lee, "Periodic resource model for compositional real-time guarantees", RTSS 2003, for the supply of one given table.
//!
//! Assumptions:
//! 1. a slot's job keeps the lane within its slot [at, at + E), whatever else runs;
//! 2. when no slot is due and the lane is free, the most important waiting job begins its next piece if that ends by the next
//!    slot, and nothing begins if it does not; a piece that began runs to its end;
//! 3. arrivals of a task are at least T apart, each is seen at most J after it, jobs of a task run in order of arrival;
//! 4. an execution takes at most C, overheads included, and its pieces at most `longest`; it may take less;
//! 5. priorities are unique.
//!
//! Why it is sound. Let w be the longest piece of i and what is more important. A level-i busy period begins when all jobs of
//! these tasks are done and one or more are seen; something less important may have begun a piece at least 1 ns before: B. Until
//! it ends nothing less important begins, for only the first job is considered. While the lane is idle in a gap [a, b) at t, the
//! first job does not fit, so t + w > b: at no instant of the *sure part* [a, b − w + 1) is it idle. So after x ns from any begin
//! t it has executed at least what the sure parts have in [t, t + x). Were an instance's last piece not begun at t + s, that
//! would be no more than B, all earlier instances, the pieces before it, and what is more important and seen by then; so s is
//! late enough once the sure parts have 1 ns more in every window of s + 1. They have least in one that begins where a sure part
//! ends: moved on within a part, a window loses as fast as it can gain; outside, it loses nothing.

use super::super::fixed_priority::{Steps, product, sum};
use super::super::utilization::{Against1, against_1};
use super::super::{Found, Load, NoBound, Proof, STEPS};
use aegis_core::time::Duration;

/// Bounds every response; `loads` are the tasks without slots, the most important first, `slots` when each slot begins and ends
/// at the latest, in order, in a lap of `lap` ns.
///
/// For task i, with B, L, s(q) and R in nanoseconds, and x(n) the least length of which every window has n ns of sure parts:
///
/// * B = max longest − 1 over the less important, 0 if there is none;
/// * L = x(B + Σ ⌈(L + J)/T⌉ C) over i and the more important: the least positive solution;
/// * s(q) = x(B + (q + 1) C − last + Σ (⌊(s(q) + J)/T⌋ + 1) C + 1) − 1 over the more important: the least solution;
/// * R = J + max (s(q) + last − q T) for q from 0 to ⌈(L + J)/T⌉ − 1.
///
/// Cost: O(slots + loads) terms a step of a search. In all at most [`STEPS`] terms; what would take more gives up.
#[must_use]
pub fn analyse(loads: &[Load], slots: &[(u64, u64)], lap: u64) -> Vec<Found> {
    let mut steps = Steps::new(STEPS);
    let found = (0..loads.len()).map(|own| {
        let (level, rest) = loads.split_at(own.saturating_add(1).min(loads.len()));
        let mut blocking = (0, None);
        for (position, load) in rest.iter().enumerate() {
            if blocking.1.is_none() || load.longest().saturating_sub(1) > blocking.0 {
                blocking =
                    (load.longest().saturating_sub(1), own.checked_add(position).and_then(|by| by.checked_add(1)));
            }
        }
        Found {
            blocking: blocking.0,
            blocked_by: blocking.1,
            response: respond(level, blocking.0, slots, lap, &mut steps),
        }
    });
    found.collect()
}

/// The bound of the last of `level`.
fn respond(
    level: &[Load],
    blocking: u64,
    slots: &[(u64, u64)],
    lap: u64,
    steps: &mut Steps,
) -> Result<(Duration, Proof), NoBound> {
    let Some((own, more_important)) = level.split_last() else { return Err(NoBound::Overflow) };
    let piece = level.iter().map(Load::longest).max().unwrap_or(0);
    let sure = Sure::new(slots, lap, piece)?;
    // Σ C/T is at most the share of the sure parts.
    let rest = Load::whole(lap.saturating_sub(sure.whole).max(1), lap, lap, 0);
    if sure.whole == 0 || against_1(&level.iter().copied().chain([rest]).collect::<Vec<Load>>()) == Against1::Above {
        return Err(NoBound::Gaps { piece, sure: sure.whole, lap });
    }
    let count = |load: &Load, window: u64| load.jitter.checked_add(window).ok_or(NoBound::Overflow);
    let mut busy: u64 = 1;
    loop {
        let asked = level.iter().try_fold(blocking, |asked, load| {
            sum(asked, product(count(load, busy)?.div_ceil(load.period), load.cost)?)
        });
        steps.take(level.len())?;
        match sure.window(asked?, steps)? {
            longer if longer > busy => busy = longer,
            _ => break,
        }
    }
    let instances = count(own, busy)?.div_ceil(own.period);
    let head = own.cost.checked_sub(own.last()).ok_or(NoBound::Overflow)?;
    let (mut starts, mut start, mut worst) = (Vec::new(), 0, 0);
    for q in 0..instances {
        let before = sum(sum(blocking, 1)?, sum(product(q, own.cost)?, head)?)?;
        loop {
            let asked = more_important.iter().try_fold(before, |asked, load| {
                let jobs = sum(count(load, start)?.checked_div(load.period).ok_or(NoBound::Overflow)?, 1)?;
                sum(asked, product(jobs, load.cost)?)
            });
            steps.take(level.len())?;
            match sure.window(asked?, steps)?.saturating_sub(1) {
                later if later > start => start = later,
                _ => break,
            }
        }
        let end = sum(sum(start, own.last())?, own.jitter)?;
        worst = worst.max(end.saturating_sub(product(q, own.period)?));
        starts.push(Duration::from_ns(start));
    }
    let (blocking, busy_period) = (Duration::from_ns(blocking), Duration::from_ns(busy));
    Ok((Duration::from_ns(worst), Proof::Gaps { blocking, busy_period, starts }))
}

/// The parts of a lap's gaps in which a piece of a given length is certain to fit.
struct Sure {
    /// From where to where, in order; the last one may lie in the next lap.
    parts: Vec<(u64, u64)>,
    /// How long they are together.
    whole: u64,
    lap: u64,
}

impl Sure {
    fn new(slots: &[(u64, u64)], lap: u64, piece: u64) -> Result<Self, NoBound> {
        let following = slots.iter().skip(1).map(|(at, _)| Ok(*at));
        let first = slots.first().map(|(at, _)| sum(*at, lap));
        let mut parts = Vec::with_capacity(slots.len());
        let mut whole = 0;
        for ((_, from), next) in slots.iter().zip(following.chain(first)) {
            let to = sum(next?, 1)?.saturating_sub(piece).max(*from);
            whole = sum(whole, to.saturating_sub(*from))?;
            parts.push((*from, to));
        }
        Ok(Self { parts, whole, lap })
    }

    /// The least length of which every window has `asked` ns of the parts, of which there are some.
    fn window(&self, asked: u64, steps: &mut Steps) -> Result<u64, NoBound> {
        steps.take(self.parts.len().saturating_mul(3))?;
        let asked = asked.max(1);
        let laps = asked.saturating_sub(1).checked_div(self.whole).ok_or(NoBound::Overflow)?;
        let asked = asked.saturating_sub(product(laps, self.whole)?);
        let next_lap = self.parts.iter().map(|(from, to)| Ok((sum(*from, self.lap)?, sum(*to, self.lap)?)));
        let mut ahead = self.parts.iter().map(|part| Ok(*part)).chain(next_lap);
        // What was given by the end of the part that the window begins at, and by the begin of the one ahead.
        let (mut before, mut given, mut part) = (0, 0, ahead.next().ok_or(NoBound::Overflow)??);
        let mut longest = 0;
        for (from, to) in &self.parts {
            before = sum(before, to.saturating_sub(*from))?;
            let target = sum(before, asked)?;
            while sum(given, part.1.saturating_sub(part.0))? < target {
                given = sum(given, part.1.saturating_sub(part.0))?;
                part = ahead.next().ok_or(NoBound::Overflow)??;
            }
            let end = sum(part.0, target.saturating_sub(given))?;
            longest = longest.max(end.saturating_sub(*to));
        }
        sum(longest, product(laps, self.lap)?)
    }
}
