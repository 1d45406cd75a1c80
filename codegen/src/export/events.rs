//! What happens rarely: instants with all that their records say, and the slices of modes, levels and failed domains.

use super::encode::{Arg, Encode, TrackId, Value, What};
use super::jobs::{Line, ns};
use super::timeline::Timeline;
use super::words::{Fixed, Word};
use aegis_core::desc::Asks;
use aegis_core::trace::{JobRef, Kind};
use aegis_core::{Duration, LevelId, TaskId};

/// A length of time.
const fn time(key: Fixed, length: Duration) -> Arg<'static> {
    (key, Value::Unsigned(length.as_ns()))
}

/// A count or an instant.
fn number(key: Fixed, number: impl Into<u64>) -> Arg<'static> {
    (key, Value::Unsigned(number.into()))
}

fn level(key: Fixed, level: Option<LevelId>) -> Arg<'static> {
    (key, level.map_or(Value::Text("none"), |level| Value::Word(Word::Level(level))))
}

impl<E: Encode> Timeline<'_, E> {
    /// Says what a record says that moves no job.
    pub(super) fn note(&mut self, at: u64, kind: &Kind) {
        match *kind {
            Kind::Began { config_hash } => {
                let hash: String = config_hash.iter().map(|byte| format!("{byte:02x}")).collect();
                let args = [(Fixed::System, Value::Text(self.system.name)), (Fixed::ConfigHash, Value::Text(&hash))];
                self.note_vehicle(at, Fixed::Run, &args);
            }
            Kind::Ended => self.note_vehicle(at, Fixed::End, &[]),
            Kind::GuaranteeVoid { reason } => {
                self.note_vehicle(at, Fixed::GuaranteeVoid, &[(Fixed::Reason, Value::Text(reason.name()))]);
            }
            Kind::Admitted { task, bound, optional } => {
                let args = [time(Fixed::BoundNs, bound), (Fixed::Optional, Value::Flag(optional))];
                self.note_task(task, at, Fixed::Admission, &args);
            }
            Kind::TaskAdmitted { task, bound, first } => {
                let args = [time(Fixed::BoundNs, bound), number(Fixed::FirstNs, ns(first))];
                self.note_task(task, at, Fixed::TaskAdmitted, &args);
            }
            Kind::TaskDismissed { task } => self.note_task(task, at, Fixed::TaskDismissed, &[]),
            Kind::Deferred { task, arrival, pending } => {
                let args = [number(Fixed::ArrivalNs, ns(arrival)), number(Fixed::Pending, pending)];
                self.note_task(task, at, Fixed::Deferred, &args);
            }
            Kind::Forgone { task, arrival, count } => {
                let args = [number(Fixed::ArrivalNs, ns(arrival)), number(Fixed::Count, count)];
                self.note_task(task, at, Fixed::Forgone, &args);
            }
            Kind::Rejected { task, arrival, count } => {
                let args = [number(Fixed::ArrivalNs, ns(arrival)), number(Fixed::Count, count)];
                self.note_task(task, at, Fixed::Rejected, &args);
            }
            Kind::Withheld { task, arrival, count, level: which } => {
                let args = [
                    number(Fixed::ArrivalNs, ns(arrival)),
                    number(Fixed::Count, count),
                    level(Fixed::Level, Some(which)),
                ];
                self.note_task(task, at, Fixed::Withheld, &args);
            }
            Kind::Skipped { task, arrival } => {
                self.note_task(task, at, Fixed::Skipped, &[number(Fixed::ArrivalNs, ns(arrival))]);
            }
            Kind::Overran { job, segment, limit, execution, budget } => {
                let args = [
                    number(Fixed::Segment, segment),
                    (Fixed::Limit, Value::Text(limit.name())),
                    time(Fixed::ExecutionNs, execution),
                    time(Fixed::BudgetNs, budget),
                ];
                self.note_job(job, at, Fixed::Overrun, &args);
            }
            Kind::Missed { job, lateness, recent } => {
                let desc = self.desc(job.task);
                let args = [
                    time(Fixed::LatenessNs, lateness),
                    time(Fixed::DeadlineNs, desc.map_or(Duration::ZERO, |task| task.deadline)),
                    number(Fixed::Recent, recent),
                    number(Fixed::Window, desc.map_or(0, |task| task.miss_window)),
                ];
                self.note_job(job, at, Fixed::Miss, &args);
            }
            Kind::Exceeded { job, response, bound } => {
                let args = [time(Fixed::ResponseNs, response), time(Fixed::BoundNs, bound)];
                self.note_job(job, at, Fixed::BoundExceeded, &args);
            }
            Kind::Disturbed {
                job,
                wakeup_latency,
                wakeup_excess,
                steal,
                off_core,
                involuntary_switches,
                explained,
            } => {
                let args = [
                    time(Fixed::WakeupLatencyNs, wakeup_latency),
                    time(Fixed::WakeupExcessNs, wakeup_excess),
                    time(Fixed::StealNs, steal),
                    time(Fixed::OffCoreNs, off_core),
                    number(Fixed::InvoluntarySwitches, involuntary_switches),
                    (Fixed::Explained, Value::Flag(explained)),
                ];
                self.note_job(job, at, Fixed::Disturbance, &args);
            }
            Kind::StepExceeded { length, allowed, steal, off_core, explained } => {
                let args = [
                    time(Fixed::LengthNs, length),
                    time(Fixed::AllowedNs, allowed),
                    time(Fixed::StealNs, steal),
                    time(Fixed::OffCoreNs, off_core),
                    (Fixed::Explained, Value::Flag(explained)),
                ];
                self.note_vehicle(at, Fixed::StepExceeded, &args);
            }
            Kind::LaneStalled { job, lane, elapsed, allowed } => {
                let args = [
                    number(Fixed::Request, job.request),
                    (Fixed::Task, Value::Word(Word::Task(job.task))),
                    time(Fixed::ElapsedNs, elapsed),
                    time(Fixed::AllowedNs, allowed),
                ];
                if let Some(track) = self.lanes.get(lane.index()).map(|lane| lane.decisions) {
                    self.note_on(track, at, Fixed::LaneStall, &args);
                }
            }
            Kind::LoopStalled { due, late, allowed } => {
                let args = [number(Fixed::DueNs, ns(due)), time(Fixed::LateNs, late), time(Fixed::AllowedNs, allowed)];
                self.note_vehicle(at, Fixed::LoopStall, &args);
            }
            Kind::Watched { source, reading, asks } => {
                let asks = match asks {
                    Some(Asks::Level(level)) => Value::Word(Word::Level(level)),
                    Some(Asks::Mode(mode)) => Value::Word(Word::Mode(mode)),
                    None => Value::Text("none"),
                };
                let args =
                    [(Fixed::Source, Value::Text(source.name())), number(Fixed::Reading, reading), (Fixed::Asks, asks)];
                self.note_vehicle(at, Fixed::Watched, &args);
            }
            Kind::GivenBack { bytes } => {
                self.note_vehicle(at, Fixed::GivenBack, &[number(Fixed::Bytes, bytes.0)]);
                let track = self.given_back();
                self.encoder.counter(track, at, i64::try_from(bytes.0).unwrap_or(i64::MAX));
            }
            Kind::Pressure { .. } | Kind::Settled { .. } => self.note_pressure(at, kind),
            Kind::ModeRequested { .. } | Kind::ModeChanged { .. } => self.note_mode(at, kind),
            Kind::DomainFailed { .. } | Kind::DomainRestored { .. } => self.note_domain(at, kind),
            // Those that move jobs, which the timeline takes itself.
            Kind::Stepped { .. }
            | Kind::Submitted { .. }
            | Kind::Decided { .. }
            | Kind::Bound { .. }
            | Kind::Started { .. }
            | Kind::Paused { .. }
            | Kind::Completed { .. }
            | Kind::Aborted { .. }
            | Kind::Failed { .. }
            | Kind::Dropped { .. } => {}
        }
    }

    fn note_pressure(&mut self, at: u64, kind: &Kind) {
        match *kind {
            Kind::Pressure { from, to, settles } => {
                let mut args = vec![level(Fixed::From, from), level(Fixed::To, to)];
                args.extend(settles.map(|settles| time(Fixed::SettlesNs, settles)));
                let what = to.map(|to| What { name: Word::Level(to), category: Fixed::Pressure });
                let mut line = self.pressure;
                self.switch(&mut line, at, what, &[]);
                self.pressure = line;
                self.note_vehicle(at, Fixed::Pressure, &args);
                if to.is_none() {
                    self.settle(None, at);
                }
            }
            Kind::Settled { level: which, took, bound } => {
                let args = [level(Fixed::Level, Some(which)), time(Fixed::TookNs, took), time(Fixed::BoundNs, bound)];
                self.note_vehicle(at, Fixed::Settled, &args);
                self.settle(Some(which), at);
            }
            _ => {}
        }
    }

    fn note_mode(&mut self, at: u64, kind: &Kind) {
        let (name, from, to, lengths, what) = match *kind {
            Kind::ModeRequested { from, to, bound } => {
                let what = What { name: Word::Fixed(Fixed::Changing), category: Fixed::Mode };
                (Fixed::ModeRequested, from, to, [Some(time(Fixed::BoundNs, bound)), None], what)
            }
            Kind::ModeChanged { from, to, took, bound } => {
                let lengths = [Some(time(Fixed::BoundNs, bound)), Some(time(Fixed::TookNs, took))];
                (Fixed::ModeChanged, from, to, lengths, What { name: Word::Mode(to), category: Fixed::Mode })
            }
            _ => return,
        };
        let ends = [(Fixed::From, Value::Word(Word::Mode(from))), (Fixed::To, Value::Word(Word::Mode(to)))];
        let args: Vec<Arg<'_>> = ends.into_iter().chain(lengths.into_iter().flatten()).collect();
        let mut line = self.mode;
        self.switch(&mut line, at, Some(what), &args);
        self.mode = line;
        self.note_vehicle(at, name, &args);
    }

    fn note_domain(&mut self, at: u64, kind: &Kind) {
        let (domain, name, cause) = match *kind {
            Kind::DomainFailed { domain, cause, job } => (domain, Fixed::DomainFailed, Some((cause, job))),
            Kind::DomainRestored { domain } => (domain, Fixed::DomainRestored, None),
            _ => return,
        };
        let Some(mut line) = self.domains.get(domain.index()).copied() else { return };
        let mut args: Vec<Arg<'_>> = vec![(Fixed::Domain, Value::Word(Word::Domain(domain)))];
        if let Some((cause, job)) = cause {
            args.push((Fixed::Cause, Value::Text(cause.name())));
            if let Some(JobRef { task, request }) = job {
                args.extend([number(Fixed::Request, request), (Fixed::Task, Value::Word(Word::Task(task)))]);
            }
        }
        let what = cause.map(|_| What { name: Word::Fixed(Fixed::DomainDown), category: Fixed::Domain });
        self.switch(&mut line, at, what, &args);
        self.note_on(line.track, at, name, &args);
        if let Some(own) = self.domains.get_mut(domain.index()) {
            *own = line;
        }
    }

    /// What a line shows from now on.
    fn switch(&mut self, line: &mut Line, at: u64, what: Option<What>, args: &[Arg<'_>]) {
        let at = line.advance(at);
        if line.is_open {
            self.encoder.end(line.track, at, &[]);
        }
        line.is_open = what.is_some();
        if let Some(what) = what {
            self.encoder.begin(line.track, at, what, args, &[]);
        }
    }

    fn note_on(&mut self, track: TrackId, at: u64, name: Fixed, args: &[Arg<'_>]) {
        self.encoder.instant(track, at, What { name: Word::Fixed(name), category: Fixed::Event }, args, &[]);
    }

    fn note_vehicle(&mut self, at: u64, name: Fixed, args: &[Arg<'_>]) {
        self.note_on(self.vehicle, at, name, args);
    }

    /// Says something of a task.
    fn note_task(&mut self, task: TaskId, at: u64, name: Fixed, args: &[Arg<'_>]) {
        let Some(track) = self.tasks.get(task.index()).and_then(|own| own.track(None)) else { return };
        let of = [(Fixed::Task, Value::Word(Word::Task(task)))];
        self.note_on(track, at, name, &[&of, args].concat());
    }

    /// Says something of a job.
    pub(super) fn note_job(&mut self, job: JobRef, at: u64, name: Fixed, args: &[Arg<'_>]) {
        let Some(track) = self.tasks.get(job.task.index()).and_then(|own| own.track(Some(job.request))) else { return };
        let of = [number(Fixed::Request, job.request), (Fixed::Task, Value::Word(Word::Task(job.task)))];
        self.note_on(track, at, name, &[&of, args].concat());
    }
}
