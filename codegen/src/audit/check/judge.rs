//! Compares releases, turns and jobs with what the plan assumes of them.

use super::{About, Check, What};
use crate::audit::assumed::Assumed;
use crate::audit::story::{Busy, End, Relation, Released, Story, Turn};
use aegis_core::{Duration, TaskId};

impl Check {
    pub(super) fn released(&mut self, released: &Released) {
        let Some(task) = self.system.tasks.get(released.job.task.index()) else { return };
        let late = released.at.saturating_since(released.arrival);
        if let Some(cause) = released.after.and_then(|after| self.inherited.get(&after.request).cloned()) {
            self.causes_from(released.busy, cause);
        }
        if let Some(tally) = self.tasks.get_mut(released.job.task.index()) {
            tally.release.note(late, released.number);
            tally.queue_max = tally.queue_max.max(released.waiting);
        }
        if let Some(lane) = self.lanes.get_mut(usize::from(released.busy.lane)) {
            lane.queue_depth_max = lane.queue_depth_max.max(u64::from(released.queue_depth));
        }
        let about = About::job(released);
        if let Some(distance) = released.distance.filter(|distance| *distance < task.period) {
            let words = "arrived only {observed} after the job before it, its period is {allowed}";
            self.add(What::Arrival, &about, (distance, task.period), words);
        }
        let Some((least, most)) = self.assumption(released.job.task).map(|assumed| assumed.release) else { return };
        if let Some(most) = most.filter(|most| late > *most) {
            let words = "was released {observed} after its arrival, the plan has at most {allowed}";
            self.add(What::Release, &about, (late, most), words);
        }
        if late < least {
            let words =
                "was released {observed} after its arrival, before the {allowed} that its earlier stages take at least";
            self.add(What::Release, &about, (late, least), words);
        }
        let queue = u64::from(task.queue);
        if released.waiting > queue {
            self.add_count(
                What::Queue,
                &about,
                (released.waiting, queue),
                "is the {observed}th that waits in a queue of {allowed}",
            );
        }
    }

    /// What follows in a busy period is a consequence, unless it is one of something else already.
    pub(super) fn causes_from(&mut self, busy: Busy, cause: String) {
        // Where releases are lost, a lane's first busy period has the number 0.
        let own = self.causes.entry(busy.lane).or_insert_with(|| (busy.number, cause.clone()));
        if own.0 != busy.number {
            *own = (busy.number, cause);
        }
    }

    fn assumption(&self, task: TaskId) -> Option<&Assumed> {
        self.assumed.get(task.index())?.as_ref()
    }

    pub(super) fn turn(&mut self, turn: &Turn, busy: Busy) {
        let about = About { job: Some((turn.job, turn.number)), at: turn.noticed, busy: Some(busy), machine: false };
        let (overhead, execution) = (turn.overhead(), turn.execution());
        if let Some(lane) = self.lanes.get_mut(turn.lane.index()) {
            lane.turns = lane.turns.saturating_add(1);
            lane.overhead.note(overhead, turn.job.request);
        }
        if let Some(allowed) =
            self.assumption(turn.job.task).map(|assumed| assumed.overhead).filter(|own| overhead > *own)
        {
            let words =
                "was handed over and its end noticed in {observed} together, the plan has {allowed} for a piece";
            self.add(What::Overhead, &about, (overhead, allowed), words);
        }
        let Some(task) = self.system.tasks.get(turn.job.task.index()) else { return };
        // Of a job whose release is lost nobody knows which segment it is.
        if task.segments.len() < 2 || turn.arrival.is_none() {
            return;
        }
        let Some(longest) = task.segments.get(usize::from(turn.segment)).copied() else { return };
        if let Some(segment) = self
            .tasks
            .get_mut(turn.job.task.index())
            .and_then(|tally| tally.segments.get_mut(usize::from(turn.segment)))
        {
            segment.note(execution, turn.job.request);
        }
        if execution > longest {
            let words = format!("executed its segment {} for {{observed}}, the plan has {{allowed}}", turn.segment);
            self.add(What::Segment, &about, (execution, longest), &words);
        }
    }

    pub(super) fn job(&mut self, story: &Story) {
        let Some(task) = self.system.tasks.get(story.task().index()) else { return };
        self.jobs = self.jobs.saturating_add(1);
        self.unjudged = self.unjudged.saturating_add(u64::from(!story.whole));
        let response = story.response();
        let machine = story.disturbance.is_some_and(|disturbance| disturbance.explained);
        if machine {
            self.explained.insert(story.released.busy);
        }
        let about = About { machine, at: story.ended, ..About::job(&story.released) };
        let ends = matches!(story.end, End::Completed | End::Aborted);
        // What did not end may already be later than it may be.
        let counts = ends || story.end == End::Unfinished;
        if let Some(tally) = self.tasks.get_mut(story.task().index()) {
            tally.job(story, task);
        }
        if ends && story.execution > task.wcet {
            let words = "executed for {observed}, its WCET is {allowed}";
            self.add(What::Execution, &about, (story.execution, task.wcet), words);
        }
        if story.end == End::Completed && !story.failed && story.execution < task.bcet {
            let words = "executed for only {observed}, the analysis assumes at least {allowed}";
            self.add(What::ShortExecution, &about, (story.execution, task.bcet), words);
        }
        if let Some(bound) = story.bound.filter(|bound| counts && response > *bound) {
            let words = match story.end {
                End::Unfinished => "was not complete {observed} after its arrival, its bound is {allowed}",
                _ => "responded after {observed}, its bound is {allowed}",
            };
            self.add(What::Response, &about, (response, bound), words);
        }
        if let Some(lateness) = story.lateness {
            let seen = task.deadline.checked_add(lateness).unwrap_or(Duration::MAX);
            self.add(
                What::Deadline,
                &about,
                (seen, task.deadline),
                "was late: after {observed}, its deadline is {allowed}",
            );
        }
        let undelivered = match (story.end, story.failed) {
            (End::Dropped, _) => Some("was dropped when its fault domain failed"),
            (_, true) => Some("failed"),
            (End::Aborted, _) => Some("was aborted"),
            _ => None,
        };
        if let Some(words) = undelivered {
            self.add(What::Undelivered, &about, (response, task.deadline), &format!("{words} and delivered nothing"));
        }
        if story.whole && counts {
            self.waits(story, &about);
        }
        if let Some((busy, cause)) = self.causes.get(&story.released.busy.lane)
            && *busy == story.released.busy.number
            && story.end == End::Completed
            && self.system.tasks.iter().any(|other| other.stage.is_some_and(|stage| stage.after == story.task()))
        {
            self.inherited.insert(story.released.job.request, cause.clone());
        }
    }

    /// Compares what a job waited for with what its proof counts.
    fn waits(&mut self, story: &Story, about: &About) {
        let Some(assumed) = self.assumption(story.task()).cloned() else { return };
        let blocked = story.blocked();
        let (number, interference) = (story.released.number, story.interference());
        if let Some(tally) = self.tasks.get_mut(story.task().index()) {
            tally.blocking.note(blocked, number);
            tally.waits(&interference, &assumed, self.system);
        }
        let by = story.shares.iter().find(|share| share.relation == Relation::Blocking);
        // A proof counts a piece that began 1 ns before; one that began in the same nanosecond, and first, is as much longer.
        let together = by.is_some_and(|share| share.turn.chosen == story.released.at);
        let most = assumed.blocking.and_then(|most| most.checked_add(Duration::from_ns(u64::from(together))));
        if let Some(most) = most.filter(|most| blocked > *most) {
            let by = by.map_or_else(String::new, |share| format!(" by `{}`", self.name(share.turn.job.task)));
            self.add(
                What::Blocking,
                about,
                (blocked, most),
                &format!("was blocked{by} for {{observed}}, its bound has {{allowed}}"),
            );
        }
        for (task, jobs, time) in interference {
            let Some(most) = assumed.jobs.get(task.index()).copied().flatten() else { continue };
            let name = self.name(task);
            if jobs > most {
                let words = format!("waited for {{observed}} jobs of `{name}`, its bound has {{allowed}}");
                self.add_count(What::Interference, about, (jobs, most), &words);
                continue;
            }
            let wcet = self.system.tasks.get(task.index()).map_or(Duration::MAX, |task| task.wcet);
            let longest = Duration::from_ns(wcet.as_ns().saturating_mul(most));
            if time > longest {
                let words =
                    format!("waited for jobs of `{name}` that executed for {{observed}}, its bound has {{allowed}}");
                self.add(What::Interference, about, (time, longest), &words);
            }
        }
    }
}
