//! How jobs end, also those whose end nobody saw.

use super::Exported;
use super::encode::{Arg, Encode, Flow, Value, What};
use super::jobs::{TaskLine, handed};
use super::memory::Share;
use super::timeline::Timeline;
use super::words::{Fixed, Word};
use aegis_core::TaskId;
use aegis_core::trace::JobRef;
use std::io;

impl<E: Encode> Timeline<'_, E> {
    /// A job ends at `at`, or when the last that was written of it ended.
    pub(super) fn close(&mut self, job: JobRef, at: u64, outcome: Fixed, args: &[Arg<'_>]) {
        let Some(task) = self.tasks.get_mut(job.task.index()) else { return };
        let Some(position) = task.position(job.request) else { return };
        let TaskLine { slots, jobs, ended, completed, .. } = task;
        let mut own = jobs.remove(position);
        let Some((slot, line)) = own.slot.and_then(|slot| Some((slot, slots.get_mut(slot)?))) else { return };
        *ended = Some((job.request, slot));
        own.wait_until(&mut self.encoder, line, at);
        let outcome = if own.has_failed && outcome == Fixed::Completed { Fixed::Failure } else { outcome };
        let mut flows = Vec::new();
        if own.flows {
            flows.push(Flow::Ends(job.request));
        }
        if matches!(outcome, Fixed::Completed | Fixed::Failure) {
            *completed = Some((job.request, own.arrival));
            flows.extend(self.edges.from(job.task).iter().map(|edge| Flow::Begins(handed(*edge, job.request))));
        }
        let at = line.advance(at);
        line.is_open = false;
        let track = line.track;
        let what = What { name: Word::Fixed(outcome), category: Fixed::Outcome };
        self.encoder.instant(track, at, what, &[], &flows);
        let outcome = (Fixed::Outcome, Value::Word(Word::Fixed(outcome)));
        let args: Vec<Arg<'_>> = std::iter::once(outcome).chain(args.iter().copied()).collect();
        self.encoder.end(track, at, &args);
        self.change_memory(own.memory, Share::default(), at);
    }

    /// What waits of a task will not run.
    pub(super) fn drop_waiting(&mut self, task: TaskId, at: u64, count: u32) {
        let Some(lane) = self.desc(task).map(|desc| desc.lane) else { return };
        self.leave_queue(lane, at, count);
        let waiting: Vec<u64> = self.not_running(task).collect();
        for request in waiting {
            self.close(JobRef { task, request }, at, Fixed::Dropped, &[]);
        }
    }

    /// The jobs of a task that no lane runs.
    fn not_running(&self, task: TaskId) -> impl Iterator<Item = u64> {
        let jobs = self.tasks.get(task.index()).map_or(&[][..], |task| task.jobs.as_slice());
        jobs.iter().map(|job| job.request).filter(move |request| !self.runs(JobRef { task, request: *request }))
    }

    fn runs(&self, job: JobRef) -> bool {
        self.lanes.iter().any(|lane| lane.running.as_ref().is_some_and(|running| running.job == job))
    }

    /// The jobs of a task before this one have ended, in records that are lost.
    pub(super) fn end_older(&mut self, job: JobRef, at: u64) {
        let older: Vec<u64> = self.not_running(job.task).filter(|request| *request < job.request).collect();
        for request in older {
            self.close(JobRef { task: job.task, request }, at, Fixed::LostRecords, &[]);
        }
    }

    /// Records with the numbers from the one that was expected to before `sequence` are not there.
    pub(super) fn note_lost(&mut self, at: u64, first: u64, sequence: u64) {
        let count = sequence.saturating_sub(first);
        self.exported.lost = self.exported.lost.saturating_add(count);
        let args = [
            (Fixed::Count, Value::Unsigned(count)),
            (Fixed::First, Value::Unsigned(first)),
            (Fixed::Last, Value::Unsigned(sequence.saturating_sub(1))),
        ];
        let what = What { name: Word::Fixed(Fixed::LostRecords), category: Fixed::Event };
        self.encoder.instant(self.vehicle, at, what, &args, &[]);
        for lane in &mut self.lanes {
            lane.decided = None;
        }
    }

    /// Closes what is open.
    pub(super) fn finish(mut self) -> io::Result<Exported> {
        let last = self.last;
        let lanes: Vec<_> = (0_u16..).map(aegis_core::LaneId).take(self.lanes.len()).collect();
        for lane in lanes {
            let running = self.lanes.get(lane.index()).and_then(|own| own.running.as_ref());
            if let Some((job, started)) = running.map(|running| (running.job, running.started)) {
                self.known(job);
                self.piece(job, lane, (started, last), Some(Fixed::Unfinished));
            }
        }
        let tasks: Vec<_> = (0_u16..).map(TaskId).take(self.tasks.len()).collect();
        for task in tasks {
            let left: Vec<u64> = self.not_running(task).collect();
            for request in left {
                let job = JobRef { task, request };
                self.known(job);
                self.close(job, last, Fixed::Unfinished, &[]);
            }
        }
        for line in [self.mode, self.pressure].into_iter().chain(self.domains.iter().copied()) {
            if line.is_open {
                self.encoder.end(line.track, line.cursor.max(last), &[]);
            }
        }
        self.encoder.finish()?;
        Ok(self.exported)
    }

    /// A job whose release is lost has its slice from where it was seen first.
    fn known(&mut self, job: JobRef) {
        let own = self.tasks.get_mut(job.task.index()).and_then(|task| task.job(job.request));
        if let Some(arrival) = own.filter(|own| own.slot.is_none()).map(|own| own.arrival) {
            self.open(job, arrival);
        }
    }
}
