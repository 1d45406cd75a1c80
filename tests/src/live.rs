//! What of a plan's memory can be live at once, said from the plan's data alone: no code of planner or checker is used.
//!
//! A model does nothing, runs a segment (some recording, after some event), or waits before a segment. A lane runs one model at a
//! time; a job waits only where it has pieces and another of its lane may go before it. Whatever of two models of one lane these
//! rules let be live in one instant meets; models of different lanes, and of lanes that preempt anywhere, are in any two states.

use aegis_codegen::plan::{Level, Mode, Model, Plan, Segment, Step, Tensor};

/// When something of a model is live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// Always: what loading a segment took.
    Loaded,
    /// Always: a tensor.
    Kept,
    /// From the beginning of a job's segment to the end of another.
    Job(usize, usize),
    /// While a segment runs that keeps to a recording, after each event from one to before another.
    Block {
        /// The segment.
        segment: usize,
        /// The recording.
        run: usize,
        /// The request.
        from: usize,
        /// The return.
        to: usize,
    },
    /// While a segment runs.
    Segment(usize),
}

/// Something that lies in an arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Thing {
    /// Its model.
    pub model: usize,
    /// The pool.
    pub pool: u16,
    /// Its first byte.
    pub at: u64,
    /// The byte after its last.
    pub end: u64,
    /// When it is live.
    pub when: When,
    /// Of what all places of its pool are multiples.
    pub alignment: u64,
}

/// Of what all places of a pool are multiples: 64 bytes, and 256 where it is a GPU's memory.
///
/// # Panics
/// Where there is no such pool.
#[must_use]
pub fn alignment(plan: &Plan, pool: u16) -> u64 {
    if plan.pools[usize::from(pool)].gpu.is_some() { 256 } else { 64 }
}

impl Thing {
    /// Whether it shares a byte with another.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.pool == other.pool && self.at.max(other.at) < self.end.min(other.end)
    }

    /// What it takes of an arena, in whole steps of the alignment.
    #[must_use]
    pub const fn takes(&self) -> u64 {
        (self.end - self.at).next_multiple_of(self.alignment)
    }

    /// Whether nothing may ever share its bytes.
    #[must_use]
    pub const fn is_always(&self) -> bool {
        matches!(self.when, When::Loaded | When::Kept)
    }

    /// Whether it is live in a state of its model.
    #[must_use]
    pub fn is_live(&self, state: State) -> bool {
        match (self.when, state) {
            (When::Loaded | When::Kept, _) => true,
            (_, State::Idle) | (When::Block { .. } | When::Segment(_), State::Waits { .. }) => false,
            (When::Job(from, last), State::Runs { segment, .. }) => from <= segment && segment <= last,
            (When::Job(from, last), State::Waits { next }) => from < next && next <= last,
            (When::Block { segment, run, from, to }, State::Runs { segment: other, run: keeps_to, after }) => {
                segment == other && run == keeps_to && from <= after && after < to
            }
            (When::Segment(segment), State::Runs { segment: other, .. }) => segment == other,
        }
    }
}

/// What a model does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum State {
    /// No job of it has begun.
    Idle,
    /// A segment runs.
    Runs {
        /// The segment.
        segment: usize,
        /// The recording.
        run: usize,
        /// The event.
        after: usize,
    },
    /// A job has begun and waits.
    Waits {
        /// The next segment.
        next: usize,
    },
}

/// All things of a plan: of its own layout, or of a level's.
///
/// Of a level the places count, and nothing else: sizes, lives and events are those of the plan's models.
///
/// # Panics
/// Where a level's model is another than the plan's, or events contradict each other.
#[must_use]
pub fn things(plan: &Plan, level: Option<&Level>) -> Vec<Thing> {
    let places = level.map(|level| &level.models).filter(|models| !models.is_empty()).unwrap_or(&plan.models);
    assert_eq!(places.len(), plan.models.len(), "a level has other models");
    let mut all = Vec::new();
    for (number, (model, place)) in plan.models.iter().zip(places).enumerate() {
        if level.is_some_and(|level| is_shed(plan, level, number)) {
            continue;
        }
        let (pool, segments) = (model.pool, model.segments.iter().zip(&place.segments));
        assert_eq!((pool, model.segments.len()), (place.pool, place.segments.len()), "another model");
        let alignment = alignment(plan, pool);
        let mut add = |at: u64, size: u64, when| {
            all.push(Thing { model: number, pool, at, end: at.checked_add(size).unwrap(), when, alignment });
        };
        for (segment, (own, place)) in segments.enumerate() {
            assert_eq!((&own.reads, &own.writes), (&place.reads, &place.writes), "another model's segment");
            add(place.persistent_at, own.persistent_bytes, When::Loaded);
            if own.memory == "planned" {
                assert_eq!(own.runs.len(), place.runs.len(), "another model's recordings");
                for (run, (own, moved)) in own.runs.iter().zip(&place.runs).enumerate() {
                    for (size, at, from, to) in blocks(&own.steps, &moved.steps, alignment) {
                        add(place.scratch_at + at, size, When::Block { segment, run, from, to });
                    }
                }
            } else {
                add(place.scratch_at, own.scratch_bytes, When::Segment(segment));
            }
        }
        let lives = lives(model);
        let (own, moved): (Vec<_>, Vec<_>) = (tensors(model).collect(), tensors(place).collect());
        assert_eq!(own.len(), moved.len(), "another model's tensors");
        for ((tensor, moved), when) in own.iter().zip(moved).zip(lives) {
            add(moved.at, tensor.bytes, when);
        }
    }
    all
}

/// A model's tensors in the order in which segments name them.
pub fn tensors(model: &Model) -> impl Iterator<Item = &Tensor> {
    model.inputs.iter().chain(&model.outputs).chain(&model.carried)
}

/// When each tensor of a model is live.
///
/// # Panics
/// Where none writes what is not an input.
#[must_use]
pub fn lives(model: &Model) -> Vec<When> {
    let named = |list: &[u16], tensor: usize| list.iter().any(|named| usize::from(*named) == tensor);
    let numbers = 0..model.segments.len();
    let readers = |tensor: usize| numbers.clone().filter(move |at| named(&model.segments[*at].reads, tensor)).max();
    let writer = |tensor: usize| {
        let writers: Vec<usize> = numbers.clone().filter(|at| named(&model.segments[*at].writes, tensor)).collect();
        assert!(writers.len() == 1, "tensor {tensor} of {} is written by {writers:?}", model.name);
        writers[0]
    };
    let (inputs, outputs) = (model.inputs.len(), model.outputs.len());
    let of = |tensor: usize| {
        let bound = tensor < inputs + outputs;
        match (bound && model.tensors == "kept", tensor < inputs) {
            (true, _) => When::Kept,
            (_, true) => When::Job(0, readers(tensor).unwrap_or(0)),
            // The application reads outputs after the last segment.
            _ if bound => When::Job(writer(tensor), model.segments.len() - 1),
            _ => When::Job(writer(tensor), readers(tensor).unwrap_or(0).max(writer(tensor))),
        }
    };
    (0..tensors(model).count()).map(of).collect()
}

/// The blocks of a sequence in memory of this alignment, with sizes and events of one text and places of another: what it takes, where, and between which
/// events.
fn blocks(steps: &[Step], places: &[Step], alignment: u64) -> Vec<(u64, u64, usize, usize)> {
    assert_eq!(steps.len(), places.len(), "another sequence");
    let number = |value: i64| u64::try_from(value).unwrap();
    let mut found: Vec<(i64, (u64, u64, usize, usize))> = Vec::new();
    for (event, (own, place)) in steps.iter().zip(places).enumerate() {
        assert_eq!((own.len(), own[0]), (place.len(), place[0]), "another sequence");
        let live = found.iter_mut().find(|(slot, (.., to))| *slot == own[0] && *to == usize::MAX);
        if own.len() == 1 {
            live.expect("what is given back is live").1.3 = event;
        } else {
            assert!(live.is_none(), "a slot is taken twice");
            assert_eq!(own[1], place[1], "another size");
            found.push((
                own[0],
                (number(own[1]).max(1).next_multiple_of(alignment), number(place[2]), event, usize::MAX),
            ));
        }
    }
    found.into_iter().map(|(_, block)| block).collect()
}

/// Whether a level's shed tasks include the one that runs a model.
#[must_use]
pub fn is_shed(plan: &Plan, level: &Level, model: usize) -> bool {
    task_of(plan, model).is_some_and(|task| level.shed.iter().any(|shed| usize::from(*shed) == task))
}

/// The task that runs a model.
#[must_use]
pub fn task_of(plan: &Plan, model: usize) -> Option<usize> {
    plan.tasks.iter().position(|task| task.model.map(usize::from) == Some(model))
}

/// The lane on which models give way to each other at boundaries at most; `None` where one can lose the lane anywhere.
fn lane_of(plan: &Plan, model: usize) -> Option<usize> {
    let lane = usize::from(plan.tasks[task_of(plan, model)?].lane);
    (plan.lanes[lane].preemption != "full").then_some(lane)
}

/// All states of a model.
fn states(plan: &Plan, model: usize) -> Vec<State> {
    let segments = &plan.models[model].segments;
    let mut all = vec![State::Idle];
    for (segment, desc) in segments.iter().enumerate() {
        all.push(State::Runs { segment, run: 0, after: 0 });
        for (run, recording) in desc.runs.iter().enumerate() {
            all.extend((0..recording.steps.len()).map(|after| State::Runs { segment, run, after }));
        }
    }
    let has_pieces = task_of(plan, model).is_some_and(|task| plan.tasks[task].segments_ns.len() > 1);
    if has_pieces {
        all.extend((1..segments.len()).map(|next| State::Waits { next }));
    }
    all
}

/// Whether two models of a lane can be in these states at once.
fn permits(plan: &Plan, lane: usize, one: (usize, State), other: (usize, State)) -> bool {
    let desc = &plan.lanes[lane];
    let fixed = ["rate-monotonic", "deadline-monotonic", "fixed-priority"].contains(&desc.policy.as_str());
    let rank = |model: usize| task_of(plan, model).map(|task| plan.tasks[task].priority);
    let may_pass = |runs: usize, waits: usize| desc.preemption == "segments" && (!fixed || rank(runs) < rank(waits));
    match (one.1, other.1) {
        (State::Idle, _) | (_, State::Idle) => true,
        (State::Runs { .. }, State::Runs { .. }) => false,
        (State::Runs { .. }, State::Waits { .. }) => may_pass(one.0, other.0),
        (State::Waits { .. }, State::Runs { .. }) => may_pass(other.0, one.0),
        // One of them began, and came to its boundary, while the other waited.
        (State::Waits { .. }, State::Waits { .. }) => may_pass(one.0, other.0) || may_pass(other.0, one.0),
    }
}

/// Whether two models' tasks run in one mode, or there are no modes.
fn run_in_one_mode(plan: &Plan, one: usize, other: usize) -> bool {
    let has = |mode: &Mode, model: usize| mode_has(plan, mode, model);
    plan.modes.is_empty() || plan.modes.iter().any(|mode| has(mode, one) && has(mode, other))
}

/// Whether a mode has a model's task.
fn mode_has(plan: &Plan, mode: &Mode, model: usize) -> bool {
    task_of(plan, model).is_some_and(|own| mode.tasks.iter().any(|task| usize::from(task.task) == own))
}

/// Whether two things can be live at once.
#[must_use]
pub fn meet(plan: &Plan, one: &Thing, other: &Thing) -> bool {
    if one.pool != other.pool {
        return false;
    }
    if one.is_always() || other.is_always() {
        return true;
    }
    let live = |thing: &Thing| -> Vec<State> {
        states(plan, thing.model).into_iter().filter(|state| thing.is_live(*state)).collect()
    };
    if one.model == other.model {
        return live(one).into_iter().any(|state| other.is_live(state));
    }
    if !run_in_one_mode(plan, one.model, other.model) {
        return false;
    }
    match (lane_of(plan, one.model), lane_of(plan, other.model)) {
        (Some(lane), Some(same)) if lane == same => {
            let others = live(other);
            let alone =
                |state: &State| others.iter().all(|two| !permits(plan, lane, (one.model, *state), (other.model, *two)));
            !live(one).iter().all(alone)
        }
        _ => true,
    }
}

/// The bytes of a pool of which each two can be live at once, as many as a plan's bound claims: what is always there (of what
/// loading took only what it never gave back), and each lane's [`clique`].
#[must_use]
pub fn demand(plan: &Plan, level: Option<&Level>, things: &[Thing], pool: u16) -> u64 {
    let here = models(plan, level, pool);
    let loaded = here
        .iter()
        .flat_map(|model| &plan.models[*model].segments)
        .map(|segment| left_by_loading(segment, alignment(plan, pool)));
    let kept = things.iter().filter(|thing| thing.pool == pool && thing.when == When::Kept).map(Thing::takes);
    let cliques = clique(plan, level, things, pool);
    loaded.chain(kept).chain(cliques.into_iter().map(Thing::takes)).sum()
}

/// The models that have bytes in a pool.
fn models(plan: &Plan, level: Option<&Level>, pool: u16) -> Vec<usize> {
    let here =
        |model: &usize| plan.models[*model].pool == pool && !level.is_some_and(|level| is_shed(plan, level, *model));
    (0..plan.models.len()).filter(here).collect()
}

/// In the mode in which that is the most, for each lane the heaviest set of this kind: what a model has live while a segment of
/// it runs, and of each model whose job may wait meanwhile tensors that it keeps while it waits, somewhere, and all of which are
/// live in one of its segments. So each two things of the set can be live at once, though perhaps no instant has all of them.
#[must_use]
pub fn clique<'a>(plan: &Plan, level: Option<&Level>, things: &'a [Thing], pool: u16) -> Vec<&'a Thing> {
    let weight = |set: &Vec<&Thing>| set.iter().map(|thing| thing.takes()).sum::<u64>();
    let all = models(plan, level, pool);
    let of = |mode: &Mode| -> Vec<usize> { all.iter().copied().filter(|model| mode_has(plan, mode, *model)).collect() };
    let in_modes = plan.modes.iter().map(|mode| clique_of(plan, &of(mode), things));
    in_modes.max_by_key(weight).unwrap_or_else(|| clique_of(plan, &all, things))
}

fn clique_of<'a>(plan: &Plan, models: &[usize], things: &'a [Thing]) -> Vec<&'a Thing> {
    let mut groups: Vec<(Option<usize>, Vec<usize>)> = Vec::new();
    for model in models.iter().copied() {
        let lane = lane_of(plan, model);
        match groups.iter_mut().find(|(other, _)| lane.is_some() && *other == lane) {
            Some((_, group)) => group.push(model),
            None => groups.push((lane, vec![model])),
        }
    }
    let weight = |set: &Vec<&Thing>| set.iter().map(|thing| thing.takes()).sum::<u64>();
    let of = |model: usize| things.iter().filter(move |thing| thing.model == model && !thing.is_always());
    let mut all = Vec::new();
    for (lane, group) in groups {
        let candidates = group.iter().flat_map(|model| {
            let running = states(plan, *model).into_iter().filter(|state| matches!(state, State::Runs { .. }));
            running.map(move |state| (*model, state))
        });
        let sets = candidates.map(|(model, state)| {
            let mut set: Vec<&Thing> = of(model).filter(|thing| thing.is_live(state)).collect();
            for other in group.iter().filter(|other| **other != model) {
                let waits = states(plan, *other).into_iter().filter(|waits| matches!(waits, State::Waits { .. }));
                let may =
                    |waits: &State| lane.is_some_and(|lane| permits(plan, lane, (model, state), (*other, *waits)));
                let waits: Vec<State> = waits.filter(may).collect();
                let kept = |segment: usize| -> Vec<&Thing> {
                    let runs = State::Runs { segment, run: usize::MAX, after: 0 };
                    let waiting = |thing: &&Thing| waits.iter().any(|waits| thing.is_live(*waits));
                    of(*other).filter(|thing| thing.is_live(runs)).filter(waiting).collect()
                };
                let heaviest = (0..plan.models[*other].segments.len()).map(kept).max_by_key(weight);
                set.extend(heaviest.into_iter().flatten());
            }
            set
        });
        all.extend(sets.max_by_key(weight).unwrap_or_default());
    }
    all
}

fn left_by_loading(segment: &Segment, alignment: u64) -> u64 {
    let blocks = blocks(&segment.load, &segment.load, alignment);
    blocks.iter().filter(|(.., to)| *to == usize::MAX).map(|(size, ..)| size).sum()
}
