//! Jobs in flight, and the tracks that their slices lie on.

use super::encode::{Encode, Flow, TrackId, What};
use super::memory::Share;
use super::words::{Fixed, Word};
use aegis_core::desc::SystemDesc;
use aegis_core::trace::{JobRef, Reason, StateKey};
use aegis_core::{Instant, TaskId};

/// A track of slices, and up to when it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) track: TrackId,
    /// Nothing begins before it.
    pub(super) cursor: u64,
    pub(super) is_open: bool,
}

impl Line {
    pub(super) const fn new(track: TrackId) -> Self {
        Self { track, cursor: 0, is_open: false }
    }

    /// An instant that is not before what is written, which it moves on.
    pub(super) fn advance(&mut self, at: u64) -> u64 {
        self.cursor = self.cursor.max(at);
        self.cursor
    }
}

/// A job that has been released and has not ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub(super) request: u64,
    /// Its line among its task's; `None` where its release is among the lost records, until its arrival is known.
    pub(super) slot: Option<usize>,
    pub(super) arrival: u64,
    /// Since when it waits: its release, or the end of its last piece.
    pub(super) waits_from: u64,
    /// Its next segment, or the one that runs.
    pub(super) segment: u16,
    pub(super) has_failed: bool,
    /// Whether its flow has begun.
    pub(super) flows: bool,
    /// The flow from the stage before it.
    pub(super) taken: Option<u64>,
    pub(super) memory: Share,
}

impl InFlight {
    /// One without a line.
    pub(super) fn new(request: u64, arrival: u64, waits_from: u64) -> Self {
        let memory = Share::default();
        Self {
            request,
            slot: None,
            arrival,
            waits_from,
            segment: 0,
            has_failed: false,
            flows: false,
            taken: None,
            memory,
        }
    }

    /// The flows that begin and end where the job is seen first, and how many; none later.
    pub(super) fn first_flows(&mut self) -> Option<([Flow; 2], usize)> {
        if std::mem::replace(&mut self.flows, true) {
            return None;
        }
        let begins = Flow::Begins(self.request);
        Some(self.taken.map_or(([begins; 2], 1), |taken| ([begins, Flow::Ends(taken)], 2)))
    }

    /// Shows that it waited, if it did.
    pub(super) fn wait_until(&mut self, encoder: &mut impl Encode, line: &mut Line, until: u64) {
        if until <= self.waits_from {
            return;
        }
        let from = self.waits_from;
        let what = What { name: Word::Fixed(Fixed::Waits), category: Fixed::Wait };
        let flows = self.first_flows();
        encoder.begin(line.track, from, what, &[], flows.as_ref().map_or(&[], |(flows, count)| &flows[..*count]));
        encoder.end(line.track, until, &[]);
        line.advance(until);
        self.waits_from = until;
    }
}

/// A task: its lines, and its jobs in order of their requests.
#[derive(Debug)]
pub(super) struct TaskLine {
    pub(super) group: TrackId,
    /// One, and as many more as jobs of the task were in flight at once.
    pub(super) slots: Vec<Line>,
    pub(super) slack: TrackId,
    pub(super) jobs: Vec<InFlight>,
    /// The job that ended last, and its line.
    pub(super) ended: Option<(u64, usize)>,
    /// The job that completed last, and its arrival.
    pub(super) completed: Option<(u64, u64)>,
}

impl TaskLine {
    pub(super) fn position(&self, request: u64) -> Option<usize> {
        self.jobs.iter().position(|job| job.request == request)
    }

    pub(super) fn job(&mut self, request: u64) -> Option<&mut InFlight> {
        self.jobs.iter_mut().find(|job| job.request == request)
    }

    /// The track for what is said of a job, or of the task.
    pub(super) fn track(&self, request: Option<u64>) -> Option<TrackId> {
        let in_flight = request.and_then(|request| self.jobs.iter().find(|job| job.request == request)?.slot);
        let ended = self.ended.filter(|(ended, _)| Some(*ended) == request).map(|(_, slot)| slot);
        self.slots.get(in_flight.or(ended).unwrap_or(0)).map(|line| line.track)
    }
}

/// What was decided of a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decision {
    pub(super) at: u64,
    pub(super) chosen: JobRef,
    pub(super) runner_up: Option<JobRef>,
    pub(super) reason: Reason,
    pub(super) queue_depth: u16,
    pub(super) state: StateKey,
}

/// What a lane runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) job: JobRef,
    pub(super) started: u64,
    pub(super) decision: Option<Decision>,
}

/// A lane.
#[derive(Debug)]
pub(super) struct LaneLine {
    pub(super) line: Line,
    pub(super) decisions: TrackId,
    pub(super) queue_depth: TrackId,
    pub(super) waiting: u16,
    pub(super) decided: Option<Decision>,
    pub(super) running: Option<Running>,
    /// What the job that runs read at its start, as flows.
    pub(super) reads: Vec<u64>,
    /// Used again and again.
    pub(super) flows: Vec<Flow>,
}

/// Who hands something over to whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Edge {
    pub(super) from: TaskId,
    pub(super) to: TaskId,
    /// The completion of the one releases the other's job; otherwise a job of the other reads at its start.
    pub(super) is_stage: bool,
}

/// All hand-overs, by who gives and who takes.
#[derive(Debug)]
pub(super) struct Edges {
    all: Vec<Edge>,
    from: Vec<Vec<u16>>,
    to: Vec<Vec<u16>>,
}

impl Edges {
    /// Those between stages and within chains.
    pub(super) fn of(system: &SystemDesc, chains: &[super::Chain]) -> Self {
        let tasks = (0_u16..).map(TaskId).zip(system.tasks);
        let stages = tasks.filter_map(|(to, task)| Some(Edge { from: task.stage?.after, to, is_stage: true }));
        let mut all: Vec<Edge> = stages.collect();
        for chain in chains {
            for (before, after) in chain.members.iter().zip(chain.members.iter().skip(1)) {
                let edge = Edge { from: before.1, to: after.0, is_stage: false };
                if !all.contains(&edge) {
                    all.push(edge);
                }
            }
        }
        let of = |end: fn(&Edge) -> TaskId| -> Vec<Vec<u16>> {
            let task = |id: usize| (0_u16..).zip(&all).filter(move |(_, edge)| end(edge).index() == id);
            (0..system.tasks.len()).map(|id| task(id).map(|(number, _)| number).collect()).collect()
        };
        let (from, to) = (of(|edge| edge.from), of(|edge| edge.to));
        Self { all, from, to }
    }

    /// What a task hands over, by numbers.
    pub(super) fn from(&self, task: TaskId) -> &[u16] {
        self.from.get(task.index()).map_or(&[], Vec::as_slice)
    }

    /// What it takes, with who gives it.
    pub(super) fn to(&self, task: TaskId, is_stage: bool) -> impl Iterator<Item = (u16, TaskId)> {
        let numbers = self.to.get(task.index()).map_or(&[][..], Vec::as_slice);
        let edges = numbers.iter().filter_map(|number| Some((*number, self.all.get(usize::from(*number))?)));
        edges.filter(move |(_, edge)| edge.is_stage == is_stage).map(|(number, edge)| (number, edge.from))
    }
}

/// The number of the flow of a job's output over a hand-over; jobs' own flows have the number of their request.
pub(super) fn handed(edge: u16, request: u64) -> u64 {
    (u64::from(edge).saturating_add(1) << 48) ^ request
}

/// An instant's nanoseconds.
pub(super) const fn ns(instant: Instant) -> u64 {
    instant.as_ns()
}
