//! Re-proves the bounds of tasks without slots, which run in the gaps of a table.
//!
//! A gap begins where a slot has ended at the latest, and ends where the next one begins. In it the most important job of the
//! lane's tasks without slots begins its next segment if that ends before the gap does. Of the tasks that are not less important
//! than task i let w be the longest segment. While a job of theirs waits, and no less important segment runs, a gap [a, b) is
//! idle only where the one that goes first does not fit, so not in [a, b − w + 1): its *sure part*. So from any instant t on the
//! lane has executed, x later, at least as much for them and for one segment that blocked as the sure parts have in [t, t + x).
//!
//! For a fixed x that is the least where t is the end of a sure part: moved on inside one, t loses as much as t + x can gain;
//! outside of one it loses nothing. Such ends are what is looked at, one for each slot. An empty sure part has one, too.
//!
//! * L is long enough for a level-i busy period if the sure parts have `B + Σ ⌈(L + J)/T⌉ C` in every window of that length.
//! * The last piece of instance q has begun s(q) after the busy period if they have more than
//!   `B + (q + 1) C − last + Σ (⌊(s + J)/T⌋ + 1) C` in every window of `s + 1`: otherwise all of that would have been executed,
//!   and something else. A piece that began is not preempted, and ends in its gap.
//!
//! Both hold for any L and s that pass, so nothing has to be the least solution.

use super::table::{end, slots_of, task_of};
use super::terms::{Count, add, arrivals, arrivals_cost, cost, fills_gaps, jitter, last, longest, more_important_cost};
use crate::desc::{LaneDesc, Slot, SystemDesc, TaskDesc};
use crate::time::Duration;

/// Puts one task's certificate into the conditions.
pub(super) const fn holds(
    system: &SystemDesc,
    lane: &LaneDesc,
    task: &TaskDesc,
    id: usize,
    (blocking, busy_period): (Duration, Duration),
    starts: &[Duration],
) -> bool {
    let (Some(own), Some(last), Some(jitter)) = (cost(lane, task), last(lane, task), jitter(lane, task)) else {
        return false;
    };
    let Some((piece, blocks)) = pieces(system, lane, task) else {
        return false;
    };
    let is_of_gaps = fills_gaps(task) && slots_of(lane, id) == 0;
    let busy = busy_period.as_ns();
    if !is_of_gaps || busy == 0 || blocking.as_ns() != blocks {
        return false;
    }
    // B + Σ_{hep} ⌈(L + J)/T⌉ C.
    let Some(asked) = add(blocks, arrivals_cost(lane, task, busy, Count::Within)) else {
        return false;
    };
    match add(asked, more_important_cost(system, lane, task, busy, Count::Within)) {
        Some(asked) if give(system, lane, piece, busy, asked) => {}
        _ => return false,
    }
    // q runs over 0 .. ⌈(L + J)/T⌉.
    let Some(instances) = arrivals(busy, jitter, task.period.as_ns(), Count::Within) else {
        return false;
    };
    let mut q: u64 = 0;
    let mut worst: u64 = 0;
    let mut left = starts;
    while let [start, rest @ ..] = left {
        let start = start.as_ns();
        let (Some(next), Some(length)) = (q.checked_add(1), start.checked_add(1)) else {
            return false;
        };
        // B + (q + 1) C − last + Σ_{hp} (⌊(s + J)/T⌋ + 1) C, and 1 ns of the last piece.
        let Some(until_last) = next.checked_mul(own) else {
            return false;
        };
        let Some(earlier) = until_last.checked_sub(last) else {
            return false;
        };
        let Some(asked) = add(earlier, blocks.checked_add(1)) else {
            return false;
        };
        match add(asked, more_important_cost(system, lane, task, start, Count::UpTo)) {
            Some(asked) if give(system, lane, piece, length, asked) => {}
            _ => return false,
        }
        // R = J + s + last − q T.
        let Some(end) = add(start, last.checked_add(jitter)) else {
            return false;
        };
        let Some(arrival) = q.checked_mul(task.period.as_ns()) else {
            return false;
        };
        let response = end.saturating_sub(arrival);
        if response > worst {
            worst = response;
        }
        q = next;
        left = rest;
    }
    instances > 0 && q == instances && worst == task.response_bound.as_ns()
}

/// The longest segment of the task and the more important ones, and for how long one of a less important task can have the lane
/// after it began: all of the gaps.
const fn pieces(system: &SystemDesc, lane: &LaneDesc, task: &TaskDesc) -> Option<(u64, u64)> {
    let (mut piece, mut blocks): (u64, u64) = (0, 0);
    let mut others = system.tasks;
    while let [other, rest @ ..] = others {
        if other.lane.0 == task.lane.0 && fills_gaps(other) {
            let Some(longest) = longest(lane, other) else {
                return None;
            };
            if task.priority.is_more_important_than(other.priority) {
                if longest.saturating_sub(1) > blocks {
                    blocks = longest.saturating_sub(1);
                }
            } else if longest > piece {
                piece = longest;
            }
        }
        others = rest;
    }
    Some((piece, blocks))
}

/// The sure part of the gap after the first of `slots`, which lie in the lap that begins at `lap`: from where to where.
const fn sure_part(system: &SystemDesc, lane: &LaneDesc, slots: &[Slot], lap: u64, piece: u64) -> Option<(u64, u64)> {
    let ([slot, rest @ ..], [first, ..]) = (slots, lane.slots) else {
        return None;
    };
    let (Some(task), Some(at)) = (task_of(system, slot), lap.checked_add(slot.at.as_ns())) else {
        return None;
    };
    let next = match rest {
        [next, ..] => lap.checked_add(next.at.as_ns()),
        [] => add(lap, first.at.as_ns().checked_add(lane.hyperperiod.as_ns())),
    };
    let (Some(from), Some(next)) = (end(lane, task, at), next) else {
        return None;
    };
    let Some(open) = next.checked_add(1) else {
        return None;
    };
    let to = open.saturating_sub(piece);
    Some((from, if to > from { to } else { from }))
}

/// Whether the sure parts have `asked` in every window of this length.
const fn give(system: &SystemDesc, lane: &LaneDesc, piece: u64, length: u64, asked: u64) -> bool {
    // What one lap has.
    let mut whole: u64 = 0;
    let mut slots = lane.slots;
    while let [_, rest @ ..] = slots {
        let Some((from, to)) = sure_part(system, lane, slots, 0, piece) else {
            return false;
        };
        let Some(sum) = add(whole, to.checked_sub(from)) else {
            return false;
        };
        whole = sum;
        slots = rest;
    }
    let lap = lane.hyperperiod.as_ns();
    let (Some(laps), Some(length)) = (length.checked_div(lap), length.checked_rem(lap)) else {
        return false;
    };
    let Some(in_laps) = laps.checked_mul(whole) else {
        return false;
    };
    // Of windows shorter than a lap, which begin where a sure part ends: what had been given by then, and what by their ends.
    let asked = asked.saturating_sub(in_laps);
    let mut before: u64 = 0;
    let (mut ahead, mut begin, mut given) = (lane.slots, 0, 0);
    let mut slots = lane.slots;
    while let [_, rest @ ..] = slots {
        let Some((from, to)) = sure_part(system, lane, slots, 0, piece) else {
            return false;
        };
        let (Some(sum), Some(until)) = (add(before, to.checked_sub(from)), to.checked_add(length)) else {
            return false;
        };
        before = sum;
        let partly = loop {
            let Some((from, to)) = sure_part(system, lane, ahead, begin, piece) else {
                return false;
            };
            if to > until {
                break until.saturating_sub(from);
            }
            let Some(sum) = add(given, to.checked_sub(from)) else {
                return false;
            };
            given = sum;
            let [_, following @ ..] = ahead else {
                return false;
            };
            ahead = following;
            if ahead.is_empty() {
                let Some(next) = add(lap, Some(begin)) else {
                    return false;
                };
                (ahead, begin) = (lane.slots, next);
            }
        };
        match add(given, Some(partly)) {
            Some(all) if all.saturating_sub(before) >= asked => {}
            _ => return false,
        }
        slots = rest;
    }
    // Without slots there is no table.
    whole > 0
}
