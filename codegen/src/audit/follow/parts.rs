//! Divides a job's response among those who had the lane.

use super::{Follower, Open};
use crate::audit::story::{Parts, Relation, Share, Turn};
use aegis_core::desc::Policy;
use aegis_core::{Duration, Instant, TaskId};

impl Follower<'_> {
    /// Divides the time from the arrival to the end: each nanosecond belongs to exactly one part.
    pub(super) fn parts(&self, open: &Open, ended: Instant) -> (Parts, Vec<Share>) {
        let since = open.released.at.min(ended);
        let mut parts = Parts { release: since.saturating_since(open.released.arrival), ..Parts::default() };
        let mut shares = Vec::new();
        let Some(lane) = self.lanes.get(open.lane.index()) else { return (parts, shares) };
        // What still runs when the records end has no end of its own.
        let running = lane.running.map(|turn| Turn { ended: self.now, noticed: self.now, ..turn });
        let mut cursor = since;
        let mut take = |until: Instant| {
            let until = until.min(ended).max(cursor);
            let taken = until.saturating_since(cursor);
            cursor = until;
            taken
        };
        let add = |sum: &mut Duration, more: Duration| *sum = sum.checked_add(more).unwrap_or(Duration::MAX);
        // Turns end one after the other.
        let first = lane.turns.partition_point(|turn| turn.noticed <= since);
        for turn in lane.turns.range(first..).chain(&running).filter(|turn| turn.noticed > since && turn.chosen < ended)
        {
            add(&mut parts.idle, take(turn.chosen));
            let hand_over = take(turn.began);
            let execution = take(turn.ended);
            let notice = take(turn.noticed);
            let overhead = hand_over.checked_add(notice).unwrap_or(Duration::MAX);
            add(&mut parts.overhead, overhead);
            if turn.job == open.released.job {
                add(&mut parts.execution, execution);
                continue;
            }
            let relation = self.relation(open, turn);
            add(
                match relation {
                    Relation::Blocking => &mut parts.blocking,
                    Relation::Interference => &mut parts.interference,
                    Relation::Earlier => &mut parts.earlier,
                },
                execution,
            );
            if !execution.is_zero() || !overhead.is_zero() {
                shares.push(Share { turn: *turn, relation, execution, overhead });
            }
        }
        add(&mut parts.idle, take(ended));
        (parts, shares)
    }

    /// Why a turn was before a job.
    fn relation(&self, open: &Open, turn: &Turn) -> Relation {
        let (own, other) = (open.released.job, turn.job);
        if own.task == other.task {
            return Relation::Earlier;
        }
        // What was chosen while the job waited goes before it.
        if turn.sequence > open.sequence || self.goes_before(turn, open) {
            return Relation::Interference;
        }
        Relation::Blocking
    }

    /// Whether a job that had the lane when another one was released would have been chosen before it.
    fn goes_before(&self, turn: &Turn, open: &Open) -> bool {
        let task = |id: TaskId| self.system.tasks.get(id.index());
        let (Some(own), Some(other)) = (task(open.released.job.task), task(turn.job.task)) else { return false };
        let Some(lane) = self.system.lanes.get(open.lane.index()) else { return false };
        if lane.policy != Policy::EarliestDeadlineFirst {
            return other.priority.is_more_important_than(own.priority);
        }
        // Of a job whose release is lost the relative deadline says enough.
        let Some(arrival) = turn.arrival else { return other.deadline <= own.deadline };
        let first = (arrival.checked_add(other.deadline), turn.job.task.0);
        first < (open.released.arrival.checked_add(own.deadline), open.released.job.task.0)
    }
}
