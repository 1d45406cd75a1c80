//! What is done under memory pressure.

use super::ModelDesc;
use crate::time::Duration;
use crate::units::{ByteOffset, Bytes, ModelId, TaskId};

/// The least time between two changes of the level, or of the mode: a change is a step of the orchestration thread, and the
/// analysis allows for one that goes before an event.
pub const BETWEEN_LEVELS: Duration = Duration::from_ns(1_000_000_000);

/// A planned answer to memory pressure.
///
/// While it holds, the tasks of `shed` release nothing and their models' memory is given back, and arrivals of `reject` are
/// refused. Everything else goes on as proven: a bound that allows for all tasks also holds where some never arrive.
#[derive(Clone, Copy, Debug)]
pub struct LevelDesc {
    /// The name in the manifest.
    pub name: &'static str,
    /// The tasks that stop, in the order of the tasks.
    pub shed: &'static [TaskId],
    /// The tasks whose arrivals are refused, likewise; their memory stays.
    pub reject: &'static [TaskId],
    /// For each pool, in their order, what is left in use.
    pub pools: &'static [LevelPoolDesc],
    /// Where everything lies, for each of the system's models and in their order, if the level compacts; those of shed tasks
    /// hold no bytes. Empty where everything stays where it is.
    pub models: &'static [ModelDesc],
    /// The kept tensors that move, if the level compacts: they are copied in this order when it is entered, and back in the
    /// reverse order when it is left. So no copy destroys what a later one reads. A copy may overlap its own source, so it is one
    /// as `memmove` does it. What a shed model kept is lost: its place may be another's at this level, so it is loaded anew.
    pub moves: &'static [MoveDesc],
    /// How long it takes from the order until the level's memory is all that is in use, at most: jobs of shed tasks that have
    /// arrived come to their end; where something moves, those of all tasks, while nothing is released, and it is copied. That is
    /// from the layout without pressure; from another level that compacts, leaving that one comes before.
    pub settles: Duration,
}

/// What is left of a pool at a level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LevelPoolDesc {
    /// What backends hold besides the arena, for the models that stay.
    pub weights: Bytes,
    /// Nothing above this much of the arena is in use.
    pub height: Bytes,
    /// No layout of the models that stay is lower, if all of it may move.
    pub lower_bound: Bytes,
    /// What of the pool is copied when the level is entered or left.
    pub copied: Bytes,
    /// The pages that can be given back once the level has settled, in their order: nothing lies there that a task that stays
    /// uses, or that a shed one's model keeps between its jobs. Empty where the pool has no pages, or something moves.
    pub unused: &'static [PagesDesc],
}

/// Whole pages of a pool's arena, one behind the other. The last may reach beyond the arena's end, which is in the middle of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PagesDesc {
    /// Where they begin, a multiple of [`super::PoolDesc::page`].
    pub at: ByteOffset,
    /// Their length, likewise, more than zero.
    pub size: Bytes,
}

/// A kept tensor that lies elsewhere at a level. Its places are those of its model in the system and in the level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MoveDesc {
    /// The model.
    pub model: ModelId,
    /// The tensor's position among the model's, see [`ModelDesc::tensor`].
    pub tensor: u16,
}
