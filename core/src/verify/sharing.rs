//! Re-proves that only what is never live at once shares bytes.
//!
//! What can be live at once follows from the lanes. A lane has one segment in flight, so segments of one lane never run at
//! once. On a lane that preempts between segments, a job that has begun keeps, at a boundary, the tensors that a later segment
//! reads or the application still will; meanwhile whatever may go before it runs. Under fixed priorities only a more
//! important job can: a less important one never runs while one that has begun waits. Under other policies any other job of
//! the lane is assumed to. Lanes work at once, and so do, here, tasks of a lane that preempts anywhere. Tasks of which no mode has
//! both never do: a mode's own tasks begin when no job of a task that it does not have is left (`dispatch/mode.rs`).

use super::terms::lane_of;
use crate::desc::{
    GPU_ALIGNMENT, Life, MemoryControl, ModelDesc, Preemption, Recording, SegmentDesc, Step, SystemDesc, TaskDesc,
    occupied,
};
use crate::units::{Bytes, PoolId, TaskId};

/// A layout of a system's models: the system's own, or that of a level.
#[derive(Clone, Copy)]
pub(super) struct Layout<'a> {
    pub(super) system: &'a SystemDesc,
    /// As many as the system has, in their order.
    pub(super) models: &'a [ModelDesc],
    /// The tasks whose models hold no bytes.
    pub(super) shed: &'a [TaskId],
    /// The tasks of one mode, where only what runs in it counts.
    pub(super) mode: Option<&'a [TaskId]>,
}

/// The task that runs a model.
pub(super) const fn task_of(system: &SystemDesc, model: usize) -> Option<(usize, &'static TaskDesc)> {
    let mut tasks = system.tasks;
    let mut position: usize = 0;
    while let [task, rest @ ..] = tasks {
        if matches!(task.model, Some(runs) if runs.index() == model) {
            return Some((position, task));
        }
        position = position.saturating_add(1);
        tasks = rest;
    }
    None
}

/// Whether a list of tasks has one of this position.
pub(super) const fn lists(tasks: &[TaskId], position: usize) -> bool {
    let mut tasks = tasks;
    while let [task, rest @ ..] = tasks {
        if task.index() == position {
            return true;
        }
        tasks = rest;
    }
    false
}

impl Layout<'_> {
    /// The alignment of a pool; the greatest, where there is no such pool.
    pub(super) const fn alignment(&self, pool: PoolId) -> Bytes {
        alignment_of(self.system, pool)
    }

    /// The model at a position, if it holds bytes.
    pub(super) const fn model(&self, position: usize) -> Option<&ModelDesc> {
        let task = task_of(self.system, position);
        if let Some((task, _)) = task
            && lists(self.shed, task)
        {
            return None;
        }
        match (self.mode, task) {
            (None, _) => {}
            (Some(mode), Some((task, _))) if lists(mode, task) => {}
            (Some(_), _) => return None,
        }
        match self.models.split_at_checked(position) {
            Some((_, [model, ..])) => Some(model),
            _ => None,
        }
    }
}

/// The alignment of a system's pool; the greatest, where there is no such pool.
pub(super) const fn alignment_of(system: &SystemDesc, pool: PoolId) -> Bytes {
    match system.pools.split_at_checked(pool.index()) {
        Some((_, [pool, ..])) => pool.alignment(),
        _ => GPU_ALIGNMENT,
    }
}

/// How two models' jobs can meet.
#[derive(Clone, Copy)]
pub(super) enum Meeting {
    /// Never: no mode has both tasks.
    Never,
    /// At any instant: they are on different lanes, or nothing is known of them.
    Anyhow,
    /// Segments never at once; but one may run while the other's job waits at a boundary.
    AtBoundaries {
        /// Whether the first may run while the second waits.
        first_runs: bool,
        /// Whether the second may run while the first waits.
        second_runs: bool,
    },
}

/// How the jobs of two different models can meet.
pub(super) const fn meeting(system: &SystemDesc, first: usize, second: usize) -> Meeting {
    let (Some((first, one)), Some((second, other))) = (task_of(system, first), task_of(system, second)) else {
        return Meeting::Anyhow;
    };
    if !share_a_mode(system, first, second) {
        return Meeting::Never;
    }
    let Some(lane) = lane_of(system, one) else {
        return Meeting::Anyhow;
    };
    if one.lane.0 != other.lane.0 {
        return Meeting::Anyhow;
    }
    match lane.preemption {
        Preemption::Full => Meeting::Anyhow,
        Preemption::None => Meeting::AtBoundaries { first_runs: false, second_runs: false },
        Preemption::Segments => {
            let fixed = lane.policy.is_fixed_priority();
            Meeting::AtBoundaries {
                first_runs: gives_way(other) && (!fixed || one.priority.is_more_important_than(other.priority)),
                second_runs: gives_way(one) && (!fixed || other.priority.is_more_important_than(one.priority)),
            }
        }
    }
}

/// Whether some mode has both tasks, or there are no modes.
const fn share_a_mode(system: &SystemDesc, first: usize, second: usize) -> bool {
    let mut modes = system.modes;
    while let [mode, rest @ ..] = modes {
        if lists(mode.tasks, first) && lists(mode.tasks, second) {
            return true;
        }
        modes = rest;
    }
    system.modes.is_empty()
}

/// Whether a task's jobs come to boundaries at which the lane may be lost: those of one piece do not, whatever their models.
const fn gives_way(task: &TaskDesc) -> bool {
    task.segments.len() > 1
}

/// What a piece of memory is for.
#[derive(Clone, Copy)]
enum Use<'a> {
    /// It is always in use.
    Always,
    /// While this segment runs.
    Scratch(usize, &'a SegmentDesc),
    /// From one segment of a job to another.
    Tensor { from: usize, last: usize },
}

/// A range of bytes in a pool's arena.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) at: u64,
    pub(super) size: u64,
    used: Use<'a>,
}

/// The pieces of a model by number: for each segment its persistent region and its scratch, then the tensors. `None` after the
/// last, or where a tensor has no life.
pub(super) const fn piece(model: &ModelDesc, number: usize) -> Option<Piece<'_>> {
    let Some(regions) = model.segments.len().checked_mul(2) else {
        return None;
    };
    let Some(tensor) = number.checked_sub(regions) else {
        let (position, is_scratch) = (number >> 1, number & 1 == 1);
        let Some((_, [segment, ..])) = model.segments.split_at_checked(position) else {
            return None;
        };
        return Some(if is_scratch {
            Piece { at: segment.scratch_at.0, size: segment.scratch.0, used: Use::Scratch(position, segment) }
        } else {
            Piece { at: segment.persistent_at.0, size: segment.persistent.0, used: Use::Always }
        });
    };
    let (Some(desc), Some(life)) = (model.tensor(tensor), model.life(tensor)) else {
        return None;
    };
    let used = match life {
        Life::Kept => Use::Always,
        Life::Job { from, last } => Use::Tensor { from, last },
    };
    Some(Piece { at: desc.at.0, size: desc.size.0, used })
}

impl Piece<'_> {
    /// Whether what lies here is needed between jobs.
    pub(super) const fn is_kept(&self) -> bool {
        matches!(self.used, Use::Always)
    }

    /// Whether it begins where memory of this alignment may, and ends no higher than that.
    pub(super) const fn lies_below(&self, height: Bytes, alignment: Bytes) -> bool {
        matches!(self.at.checked_rem(alignment.0), Some(0))
            && matches!(self.at.checked_add(self.size), Some(end) if end <= height.0)
    }

    const fn overlaps(&self, other: &Self) -> bool {
        let (Some(end), Some(other_end)) = (self.at.checked_add(self.size), other.at.checked_add(other.size)) else {
            return true;
        };
        self.size > 0 && other.size > 0 && self.at < other_end && other.at < end
    }
}

/// Whether no two pieces of a pool share a byte that can be needed by both at once.
pub(super) const fn nothing_collides(layout: Layout<'_>) -> bool {
    let mut position: usize = 0;
    while position < layout.models.len() {
        let Some(next) = position.checked_add(1) else {
            return false;
        };
        if let Some(model) = layout.model(position) {
            if !collides_with_none(layout, (position, model), position) {
                return false;
            }
            let mut other = next;
            while other < layout.models.len() {
                if !collides_with_none(layout, (position, model), other) {
                    return false;
                }
                other = other.saturating_add(1);
            }
        }
        position = next;
    }
    true
}

/// Whether no piece of a model collides with one of another model, or with another of its own.
const fn collides_with_none(layout: Layout<'_>, (position, model): (usize, &ModelDesc), other: usize) -> bool {
    let Some(second) = layout.model(other) else {
        return true;
    };
    if model.pool.0 != second.pool.0 {
        return true;
    }
    let meeting = if position == other { None } else { Some(meeting(layout.system, position, other)) };
    let alignment = layout.alignment(model.pool);
    let mut number: usize = 0;
    while let Some(one) = piece(model, number) {
        let Some(next) = number.checked_add(1) else {
            return false;
        };
        let mut against = if position == other { next } else { 0 };
        while let Some(two) = piece(second, against) {
            if one.overlaps(&two) && !may_share(&one, &two, meeting, alignment) {
                return false;
            }
            against = against.saturating_add(1);
        }
        number = next;
    }
    true
}

/// Whether two pieces that overlap are never both needed; those of one model have no meeting.
const fn may_share(one: &Piece<'_>, two: &Piece<'_>, meeting: Option<Meeting>, alignment: Bytes) -> bool {
    match (one.used, two.used) {
        (Use::Always, _) | (_, Use::Always) => false,
        (Use::Scratch(..), Use::Scratch(..)) => match meeting {
            Some(Meeting::Anyhow) => false,
            Some(Meeting::AtBoundaries { .. } | Meeting::Never) | None => true,
        },
        (Use::Scratch(running, segment), Use::Tensor { from, last }) => {
            let needed = match meeting {
                Some(Meeting::Anyhow) => return false,
                Some(Meeting::Never) => false,
                Some(Meeting::AtBoundaries { first_runs, .. }) => first_runs && from < last,
                None => from <= running && running <= last,
            };
            !needed || leaves_out(segment, two, alignment)
        }
        (Use::Tensor { from, last }, Use::Scratch(running, segment)) => {
            let needed = match meeting {
                Some(Meeting::Anyhow) => return false,
                Some(Meeting::Never) => false,
                Some(Meeting::AtBoundaries { second_runs, .. }) => second_runs && from < last,
                None => from <= running && running <= last,
            };
            !needed || leaves_out(segment, one, alignment)
        }
        (Use::Tensor { from, last }, Use::Tensor { from: other_from, last: other_last }) => match meeting {
            Some(Meeting::Anyhow) => false,
            Some(Meeting::Never) => true,
            // At a boundary both are live, or one of them while a segment of the other's job runs.
            Some(Meeting::AtBoundaries { first_runs, second_runs }) => {
                !(first_runs && other_from < other_last || second_runs && from < last)
            }
            None => last < other_from || other_last < from,
        },
    }
}

/// Whether no block of a segment's runs shares a byte with a piece. Where its blocks are not planned, none is known to.
const fn leaves_out(segment: &SegmentDesc, piece: &Piece<'_>, alignment: Bytes) -> bool {
    if !matches!(segment.memory, MemoryControl::Planned) {
        return false;
    }
    let Some(piece_end) = piece.at.checked_add(piece.size) else {
        return false;
    };
    let mut runs: &[Recording] = segment.runs;
    while let [recording, rest @ ..] = runs {
        let mut steps = recording.steps;
        while let [step, rest @ ..] = steps {
            if let Step::Take { size, at, .. } = step {
                let (Some(begin), Some(length)) = (segment.scratch_at.0.checked_add(at.0), occupied(*size, alignment))
                else {
                    return false;
                };
                match begin.checked_add(length) {
                    Some(end) if end <= piece.at || piece_end <= begin => {}
                    _ => return false,
                }
            }
            steps = rest;
        }
        runs = rest;
    }
    true
}

/// Whether no tensor that may be live while the segment runs lies inside its scratch: then it may use all of it.
#[must_use]
pub const fn scratch_is_its_own(system: &SystemDesc, model: usize, segment: usize) -> bool {
    let Some((_, [own, ..])) = system.models.split_at_checked(model) else {
        return false;
    };
    let number = segment.saturating_mul(2).saturating_add(1);
    let Some(scratch) = piece(own, number) else {
        return false;
    };
    let mut others = system.models;
    let mut position: usize = 0;
    while let [other, rest @ ..] = others {
        let meeting = if position == model { None } else { Some(meeting(system, model, position)) };
        let mut number: usize = 0;
        while let Some(piece) = piece(other, number) {
            if matches!(piece.used, Use::Tensor { .. })
                && other.pool.0 == own.pool.0
                && scratch.overlaps(&piece)
                && !is_free_of(segment, &piece, meeting)
            {
                return false;
            }
            number = number.saturating_add(1);
        }
        position = position.saturating_add(1);
        others = rest;
    }
    true
}

/// Whether a tensor is never live while a segment runs.
const fn is_free_of(running: usize, tensor: &Piece<'_>, meeting: Option<Meeting>) -> bool {
    let Use::Tensor { from, last } = tensor.used else {
        return false;
    };
    match meeting {
        Some(Meeting::Anyhow) => false,
        Some(Meeting::Never) => true,
        Some(Meeting::AtBoundaries { first_runs, .. }) => !(first_runs && from < last),
        None => running < from || last < running,
    }
}
