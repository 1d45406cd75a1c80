//! A plan, and records of every kind.

#![allow(dead_code, reason = "each test uses its part")]

use aegis_core::desc::{Asks, LaneDesc, SystemDesc, TaskDesc, WatchedSource};
use aegis_core::dispatch::Event;
use aegis_core::trace::{Cause, JobRef, Kind, Limit, Loss, Reason, Record, StateKey, VoidReason};
use aegis_core::{Bytes, DomainId, Duration, Instant, LaneId, LevelId, ModeId, ModelId, TaskId};
use aegis_trace::{Header, Note, Records, Stream, Writer, open};
use fastrand::Rng;
use std::path::Path;

const TASKS: &[TaskDesc] =
    &[TaskDesc { name: "face", ..TaskDesc::EMPTY }, TaskDesc { name: "signs", ..TaskDesc::EMPTY }];
const LANES: &[LaneDesc] = &[LaneDesc { name: "main", ..LaneDesc::EMPTY }];
/// Two tasks on one lane.
pub(crate) const PLAN: &SystemDesc =
    &SystemDesc { name: "fixture", config_hash: [0xab; 32], tasks: TASKS, lanes: LANES, ..SystemDesc::EMPTY };

/// A number of any length in binary digits, the longest ones among them.
fn any(random: &mut Rng) -> u64 {
    random.u64(..).checked_shr(random.u32(0..64)).unwrap_or_default()
}

/// The fields of records, with tasks and lanes below a number.
struct Fields<'a>(&'a mut Rng, u16);

impl Fields<'_> {
    fn ns(&mut self) -> Duration {
        Duration::from_ns(any(self.0))
    }
    fn at(&mut self) -> Instant {
        Instant::from_ns(any(self.0))
    }
    fn task(&mut self) -> TaskId {
        TaskId(self.0.u16(..) % self.1)
    }
    fn lane(&mut self) -> LaneId {
        LaneId(self.0.u16(..) % self.1)
    }
    fn job(&mut self) -> JobRef {
        JobRef { task: self.task(), request: any(self.0) }
    }
    fn level(&mut self) -> Option<LevelId> {
        self.0.bool().then(|| LevelId(self.0.u16(..)))
    }
    fn mode(&mut self) -> ModeId {
        ModeId(self.0.u16(..))
    }
    fn domain(&mut self) -> DomainId {
        DomainId(self.0.u16(..))
    }
    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.0.usize(..all.len())]
    }
    fn loss(&mut self) -> Loss {
        self.of(&Loss::ALL)
    }
    fn maybe<T>(&mut self, some: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.0.bool().then(|| some(self))
    }

    fn events(&mut self) -> Vec<Event> {
        let (lane, began, ended) = (self.lane(), self.at(), self.at());
        vec![
            Event::Timer,
            Event::Submit { task: self.task(), arrival: self.at() },
            Event::Completed { lane, began, ended },
            Event::Failed { lane, began, ended },
            Event::Lost { lane, began, ended, loss: self.loss() },
            Event::Preempted { lane, began, ended },
            Event::Stop { end: self.at() },
            Event::Pressure { level: self.level() },
            Event::Mode { mode: self.mode() },
            Event::Fail { domain: self.domain(), loss: self.maybe(Self::loss) },
            Event::Restored { domain: self.domain() },
            Event::Admit { task: self.task() },
            Event::Dismiss { task: self.task() },
        ]
    }

    fn kinds(&mut self) -> Vec<Kind> {
        use WatchedSource::{CpuSome, FreeMemory, IoFull, IoSome, MemoryFull, MemorySome};
        let (job, lane, task, explained) = (self.job(), self.lane(), self.task(), self.0.bool());
        let (began, ended, response, execution) = (self.at(), self.at(), self.ns(), self.ns());
        let (arrival, bound, segment) = (self.at(), self.ns(), self.0.u16(..));
        let reason = self.of(&[
            Reason::OnlyOneWaiting,
            Reason::ArrivedFirst,
            Reason::MoreImportant,
            Reason::EarlierDeadline,
            Reason::EqualDeadlineFirstInTable,
            Reason::InTable,
            Reason::InGap,
        ]);
        let causes = [Cause::Overrun, Cause::Miss, Cause::Failure, Cause::Outside, Cause::Process(self.loss())];
        let asks = [Some(Asks::Level(LevelId(self.0.u16(..)))), Some(Asks::Mode(self.mode())), None];
        let mut kinds = vec![
            Kind::Began { config_hash: std::array::from_fn(|_| self.0.u8(..)) },
            Kind::Ended,
            Kind::Admitted { task, bound, optional: explained },
            Kind::GuaranteeVoid { reason: self.of(&VoidReason::ALL) },
            Kind::Submitted { job, arrival, queue_depth: segment },
            Kind::Deferred { task, arrival, pending: segment },
            Kind::Forgone { task, arrival, count: segment },
            Kind::TaskAdmitted { task, bound, first: arrival },
            Kind::TaskDismissed { task },
            Kind::Rejected { task, arrival, count: any(self.0) },
            Kind::Withheld { task, arrival, count: any(self.0), level: LevelId(segment) },
            Kind::Pressure { from: self.level(), to: self.level(), settles: self.maybe(Self::ns) },
            Kind::Settled { level: LevelId(segment), took: response, bound },
            Kind::ModeRequested { from: self.mode(), to: self.mode(), bound },
            Kind::ModeChanged { from: self.mode(), to: self.mode(), took: response, bound },
            Kind::Watched {
                source: self.of(&[MemorySome, MemoryFull, IoSome, IoFull, CpuSome, FreeMemory]),
                reading: any(self.0),
                asks: self.of(&asks),
            },
            Kind::GivenBack { bytes: Bytes(any(self.0)) },
            Kind::Skipped { task, arrival },
            Kind::Decided {
                lane,
                chosen: job,
                runner_up: self.maybe(Self::job),
                reason,
                queue_depth: segment,
                state: StateKey(any(self.0)),
            },
            Kind::Bound { job, lane, model: ModelId(segment) },
            Kind::Started { job, lane },
            Kind::Overran { job, segment, limit: self.of(&[Limit::Job, Limit::Segment]), execution, budget: bound },
            Kind::Paused { job, lane, began, ended },
            Kind::Completed { job, lane, began, ended, response, execution },
            Kind::Aborted { job, lane, segment, began, ended, response, execution },
            Kind::Failed { job, lane },
            Kind::DomainFailed { domain: self.domain(), cause: self.of(&causes), job: self.maybe(Self::job) },
            Kind::DomainRestored { domain: self.domain() },
            Kind::Dropped { task, count: self.0.u32(..) },
            Kind::Missed { job, lateness: response, recent: self.0.u8(..) },
            Kind::Exceeded { job, response, bound },
            Kind::Disturbed {
                job,
                wakeup_latency: bound,
                wakeup_excess: self.ns(),
                steal: response,
                off_core: execution,
                involuntary_switches: self.0.u32(..),
                explained,
            },
            Kind::StepExceeded { length: bound, allowed: self.ns(), steal: response, off_core: execution, explained },
            Kind::LaneStalled { job, lane, elapsed: response, allowed: bound },
            Kind::LoopStalled { due: began, late: response, allowed: bound },
        ];
        kinds.extend(self.events().into_iter().map(|event| Kind::Stepped { event }));
        kinds
    }
}

/// One of every kind, and one step of every event.
pub(crate) fn kinds(random: &mut Rng) -> Vec<Kind> {
    Fields(random, u16::MAX).kinds()
}

/// The same of the plan's first task and lane.
pub(crate) fn kinds_of_plan(random: &mut Rng) -> Vec<Kind> {
    Fields(random, 1).kinds()
}

/// `count` records of random kinds at rising times, some of them with a gap before.
pub(crate) fn records(random: &mut Rng, count: usize) -> Vec<Record> {
    let (mut sequence, mut at) = (0_u64, 0_u64);
    let mut records = Vec::new();
    while records.len() < count {
        let mut kinds = kinds(random);
        random.shuffle(&mut kinds);
        for kind in kinds {
            records.push(Record { sequence, at: Instant::from_ns(at), kind });
            sequence += 1 + if random.u8(..) < 8 { random.u64(1..100) } else { 0 };
            at += random.u64(0..1_000_000);
        }
    }
    records.truncate(count);
    records
}

/// Records that name only what the plan has, numbered from 0: jobs that are submitted and completed.
pub(crate) fn jobs(count: u64) -> impl Iterator<Item = Record> {
    (0..count).map(|sequence| {
        let (at, job) = (Instant::from_ns(sequence * 1_000), JobRef { task: TaskId(1), request: sequence / 2 });
        let (response, execution) = (Duration::from_ns(900), Duration::from_ns(800));
        let kind = match sequence % 2 {
            0 => Kind::Submitted { job, arrival: at, queue_depth: 1 },
            _ => Kind::Completed { job, lane: LaneId(0), began: at, ended: at, response, execution },
        };
        Record { sequence, at, kind }
    })
}

/// The bytes of a trace of one part whose blocks have `each` records.
pub(crate) fn written(records: &[Record], each: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(PLAN, Stream::new(&mut bytes));
    for some in records.chunks(each) {
        some.iter().for_each(|record| writer.push(record).unwrap());
        writer.flush().unwrap();
    }
    drop(writer);
    bytes
}

/// All that can be read of a trace, with what is missing.
pub(crate) fn read(path: &Path) -> (Header, Vec<Record>, Vec<Note>) {
    let (header, mut records) = open(path).unwrap();
    let all = records.by_ref().map(Result::unwrap).collect();
    (header, all, Records::notes(&records).to_vec())
}
