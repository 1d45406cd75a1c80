//! One run of the dispatcher against a virtual clock.

use super::patterns::{Arrival, has_slots};
use super::recorded::{Ending, Pieces, Spent};
use super::witness::Given;
use super::{QUEUE, SimulationError, modes};
use aegis_core::desc::{LaneDesc, Preemption, SystemDesc, TaskDesc};
use aegis_core::dispatch::{Event, Job, Refused, State, count_unfinished, step};
use aegis_core::trace::Sink;
use aegis_core::{Duration, Instant, LaneId, TaskId};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// How long overheads and executions take.
pub(super) enum Spend {
    /// As long as the plan permits.
    Most,
    /// Drawn from what the plan permits; half of the executions are full ones.
    Random(fastrand::Rng),
    /// As a witness says; as long as permitted where it says nothing.
    Given(Given),
    /// As was recorded; as long as permitted where nothing was.
    Recorded(Pieces),
}

/// What a lane's running piece has before it.
#[derive(Clone, Copy, Default)]
struct Piece {
    /// Tells this piece's events from those of earlier ones.
    serial: u64,
    task: usize,
    began: u64,
    end: u64,
    ending: Ending,
}

/// What is left of a job that was preempted.
type Rest = Option<Spent>;

/// An event of a lane: when, which kind (ends go before preemptions), the lane, the piece.
type Happening = Reverse<(u64, bool, u16, u64)>;

pub(super) struct Run<const TASKS: usize, const LANES: usize> {
    system: &'static SystemDesc,
    state: Box<State<TASKS, LANES, QUEUE>>,
    happenings: BinaryHeap<Happening>,
    pieces: Vec<Piece>,
    /// Per task, on lanes that preempt anywhere.
    rests: Vec<Rest>,
    /// Per task, whether it has slots.
    has_slots: Vec<bool>,
    serial: u64,
    /// Arrivals that were refused, by task.
    refused: Vec<u64>,
    spend: Spend,
    wake_at: Option<Instant>,
    /// The last step's time.
    last: Instant,
}

impl<const TASKS: usize, const LANES: usize> Run<TASKS, LANES> {
    pub(super) fn new(system: &'static SystemDesc, spend: Spend) -> Result<Self, SimulationError> {
        let state = State::new(system).map_err(|_| SimulationError::TooLarge)?;
        Ok(Self {
            system,
            state: Box::new(state),
            happenings: BinaryHeap::new(),
            pieces: vec![Piece::default(); system.lanes.len()],
            rests: vec![None; system.tasks.len()],
            has_slots: (0u16..).zip(system.tasks).map(|(id, _)| has_slots(system, id)).collect(),
            serial: 0,
            refused: vec![0; system.tasks.len()],
            spend,
            wake_at: None,
            last: Instant::START,
        })
    }

    /// At one instant arrivals come first, what goes first ahead, then the timer, then ends: a decision knows every
    /// job that is seen at its instant.
    ///
    /// `requests` are instants at which something else is asked for, such as a mode, which comes before all else of that instant.
    /// Where a change is under way then, nothing happens; nor does an arrival of a task that no mode has which holds.
    ///
    /// Returns how many pieces that should be recorded are not, and how many arrivals were refused, by task.
    pub(super) fn run(
        mut self,
        arrivals: Vec<Arrival>,
        requests: Vec<(u64, Event)>,
        seen: &mut impl Sink,
    ) -> Result<(u64, Vec<u64>), SimulationError> {
        let mut arrivals: BinaryHeap<Reverse<Arrival>> = arrivals.into_iter().map(Reverse).collect();
        let mut requests = requests.into_iter().peekable();
        loop {
            let request = requests.peek().map(|(at, _)| *at);
            let arrival = arrivals.peek().map(|Reverse(arrival)| arrival.seen);
            let timer = self.wake_at.map(Instant::as_ns);
            let happening = self.happenings.peek().map(|Reverse(happening)| happening.0);
            let Some(now) = [arrival, timer, happening].into_iter().flatten().min() else {
                count_unfinished(self.system, &mut self.state, self.last, seen);
                let assumed = if let Spend::Recorded(pieces) = &self.spend { pieces.assumed } else { 0 };
                return Ok((assumed, self.refused));
            };
            let mode = self.state.mode();
            if let Some(at) = request.filter(|at| *at <= now) {
                let Some((_, event)) = requests.next() else { continue };
                match self.step(event, at, seen) {
                    Err(SimulationError::Refused(Refused::ChangingMode { .. })) => {}
                    Err(SimulationError::Refused(refused)) if self.passes_over(refused) => {}
                    other => other?,
                }
            } else if arrival == Some(now) {
                let Some(Reverse(Arrival { task, arrival, .. })) = arrivals.pop() else { continue };
                let event = Event::Submit { task: TaskId(task), arrival: Instant::from_ns(arrival) };
                let begun = self.serial;
                match self.step(event, now, seen) {
                    // What came before the mode that holds, and what comes too soon after its first job.
                    Err(SimulationError::Refused(Refused::NotInMode { .. } | Refused::TooEarly { .. }))
                        if mode.is_some() => {}
                    // What comes after its task's domain has failed.
                    Err(SimulationError::Refused(Refused::DomainFailed { .. })) => {}
                    Err(SimulationError::Refused(refused)) if self.passes_over(refused) => {
                        if let Some(own) = self.refused.get_mut(usize::from(task)) {
                            *own = own.saturating_add(1);
                        }
                    }
                    other => {
                        other?;
                        self.plan_preemption(task, begun, now).ok_or(SimulationError::Overflow)?;
                    }
                }
            } else if timer == Some(now) {
                self.step(Event::Timer, now, seen)?;
            } else {
                let Some(Reverse((_, is_preemption, lane, serial))) = self.happenings.pop() else { continue };
                self.happen(is_preemption, lane, serial, now, seen)?;
            }
            if let (Some(from), Some(to), Spend::Random(random)) = (mode, self.state.mode(), &mut self.spend)
                && from != to
            {
                let first = modes::beginners(self.system, (from, to), self.last.as_ns(), random);
                arrivals.extend(first.ok_or(SimulationError::Overflow)?.into_iter().map(Reverse));
            }
        }
    }

    /// Whether a refusal is what another plan than the recorded one may answer.
    const fn passes_over(&self, refused: Refused) -> bool {
        matches!(self.spend, Spend::Recorded(_))
            && !matches!(refused, Refused::OutOfRange | Refused::ClockWentBack { .. })
    }

    /// A piece ends or is cut off, unless it is gone.
    fn happen(
        &mut self,
        is_preemption: bool,
        lane: u16,
        serial: u64,
        now: u64,
        seen: &mut impl Sink,
    ) -> Result<(), SimulationError> {
        let Some(piece) = self.pieces.get(usize::from(lane)).copied() else { return Ok(()) };
        if piece.serial != serial || (is_preemption && piece.end < now) {
            return Ok(());
        }
        let began = Instant::from_ns(piece.began.min(now));
        let (lane, ended) = (LaneId(lane), Instant::from_ns(now.min(piece.end)));
        if is_preemption {
            let (overhead, execution) =
                (piece.began.saturating_sub(now), piece.end.saturating_sub(piece.began.max(now)));
            let rest = Spent { overhead, execution, notice: 0, ending: piece.ending };
            if let Some(slot) = self.rests.get_mut(piece.task) {
                *slot = Some(rest);
            }
            return self.step(Event::Preempted { lane, began, ended }, now, seen);
        }
        let begun = self.serial;
        let event = match piece.ending {
            Ending::Well => Event::Completed { lane, began, ended },
            Ending::Failed => Event::Failed { lane, began, ended },
            Ending::Lost(loss) => Event::Lost { lane, began, ended, loss },
        };
        self.step(event, now, seen)?;
        // A hand-over to a lane that preempts is like an arrival there.
        for (id, task) in (0u16..).zip(self.system.tasks) {
            if task.stage.is_some_and(|stage| stage.after.index() == piece.task) {
                self.plan_preemption(id, begun, now).ok_or(SimulationError::Overflow)?;
            }
        }
        Ok(())
    }

    /// After an arrival on a lane that preempts anywhere: what ran before it, up to the serial number `begun`, is cut off
    /// once its region has ended.
    fn plan_preemption(&mut self, arrived: u16, begun: u64, now: u64) -> Option<()> {
        let lane_id = self.system.tasks.get(usize::from(arrived))?.lane;
        let lane = self.system.lanes.get(lane_id.index())?;
        if lane.preemption != Preemption::Full || self.state.running(lane_id).is_none() {
            return Some(());
        }
        let piece = self.pieces.get(lane_id.index()).filter(|piece| piece.serial <= begun);
        let Some(piece) = piece else { return Some(()) };
        let region = self.system.tasks.get(piece.task)?.region.as_ns().saturating_sub(1);
        let delay = match &mut self.spend {
            Spend::Random(random) => random.u64(0..=region),
            // In the worst pattern only what began before all else is in a region; a region of the job in question would
            // keep others waiting instead.
            Spend::Most | Spend::Given(_) | Spend::Recorded(_) if piece.serial == 1 => region,
            Spend::Most | Spend::Given(_) | Spend::Recorded(_) => 0,
        };
        let at = now.checked_add(delay)?;
        if at < piece.end {
            self.happenings.push(Reverse((at, true, lane_id.0, piece.serial)));
        }
        Some(())
    }

    fn step(&mut self, event: Event, now: u64, seen: &mut impl Sink) -> Result<(), SimulationError> {
        let at = Instant::from_ns(now);
        let actions = step(self.system, &mut self.state, event, at, seen).map_err(SimulationError::Refused)?;
        (self.wake_at, self.last) = (actions.wake_at, at);
        for (lane, job) in (0u16..).zip(actions.start) {
            if let Some(job) = job {
                self.begin(lane, &job, now).ok_or(SimulationError::Overflow)?;
            }
        }
        Ok(())
    }

    /// Lets a piece begin.
    fn begin(&mut self, lane: u16, job: &Job, now: u64) -> Option<()> {
        let task = self.system.tasks.get(job.task.index())?;
        let desc = self.system.lanes.get(usize::from(lane))?;
        let rest = self.rests.get_mut(job.task.index())?.take();
        let Spent { overhead, execution, notice, ending } = match rest {
            Some(rest) => rest,
            None => {
                let in_slot = self.has_slots.get(job.task.index()).is_some_and(|has| *has);
                self.spend.of(desc, task, job, in_slot)?
            }
        };
        let began = now.checked_add(overhead)?;
        let end = began.checked_add(execution)?;
        self.serial = self.serial.checked_add(1)?;
        let serial = self.serial;
        *self.pieces.get_mut(usize::from(lane))? = Piece { serial, task: job.task.index(), began, end, ending };
        self.happenings.push(Reverse((end.checked_add(notice)?, false, lane, serial)));
        Some(())
    }
}

impl Spend {
    /// What a fresh segment takes.
    fn of(&mut self, lane: &LaneDesc, task: &TaskDesc, job: &Job, in_slot: bool) -> Option<Spent> {
        let whole = [task.wcet];
        let segments: &[Duration] = if task.segments.is_empty() { &whole } else { task.segments };
        let execution = segments.get(usize::from(job.segment))?.as_ns();
        let mut overhead = lane.segment_overhead()?.as_ns();
        if in_slot {
            // The slot is seen late.
            overhead = overhead.checked_add(lane.lateness()?.as_ns())?;
        }
        let (overhead, execution) = match self {
            Self::Most => (overhead, execution),
            Self::Random(random) => {
                let share = u128::from(execution).checked_mul(u128::from(task.bcet.as_ns()))?;
                let shortest = u64::try_from(share.div_ceil(u128::from(task.wcet.as_ns().max(1)))).ok()?.max(1);
                let execution = if random.bool() { execution } else { random.u64(shortest..=execution) };
                (random.u64(0..=overhead), execution)
            }
            Self::Given(given) => given.of(job).unwrap_or((overhead, execution)),
            Self::Recorded(pieces) => match pieces.of(job) {
                Some(spent) => return Some(spent),
                None => (overhead, execution),
            },
        };
        Some(Spent { overhead, execution, notice: 0, ending: Ending::Well })
    }
}
