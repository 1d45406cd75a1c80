//! The memory part of a plan: places, steps with what a checker needs to follow them, and levels of pressure.

use super::{NotCertifiable, index};
use crate::analysis::Analysis;
use crate::memory::{LevelLayout, Placement, SegmentPlace, SequencePlan};
use crate::plan;
use crate::system::{Level, Segment, Sequence, System, Tensor};
use aegis_core::time::Duration;
use aegis_core::units::ByteOffset;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// All models at their places.
pub(super) fn models(system: &System, placed: &[Placement]) -> Result<Vec<plan::Model>, NotCertifiable> {
    let models = system.models.iter().zip(placed).map(|(model, placement)| {
        let mut offsets = placement.tensors.iter();
        let segments = model.segments.iter().zip(&placement.segments);
        Ok(plan::Model {
            name: model.name.clone(),
            backend: model.backend.name().to_owned(),
            engines: model.engines.clone(),
            pool: index(placement.pool)?,
            weights_bytes: model.weights().ok_or(NotCertifiable::Tables)?.0,
            tensors: model.tensors.name().to_owned(),
            inputs: tensors(&model.inputs, &mut offsets),
            outputs: tensors(&model.outputs, &mut offsets),
            carried: tensors(&model.carried, &mut offsets),
            segments: segments.map(segment).collect::<Result<_, _>>()?,
        })
    });
    models.collect()
}

fn segment((segment, place): (&Segment, &SegmentPlace)) -> Result<plan::Segment, NotCertifiable> {
    Ok(plan::Segment {
        name: segment.file.name.clone(),
        sha256: segment.file.sha256.clone(),
        engine_sha256: segment.engine.clone(),
        memory: segment.memory.name().to_owned(),
        persistent_at: place.persistent.0,
        persistent_bytes: place.load.height.0,
        load: steps(&segment.load, &place.load)?,
        scratch_at: place.scratch.0,
        scratch_bytes: place.scratch_bytes.0,
        reads: segment.reads.iter().copied().map(index).collect::<Result<_, _>>()?,
        writes: segment.writes.iter().copied().map(index).collect::<Result<_, _>>()?,
        runs: segment.runs.iter().zip(&place.runs).map(recording).collect::<Result<_, _>>()?,
        launches: segment.launches.clone(),
    })
}

/// A level; `places` are the tasks' positions in the plan.
pub(super) fn level(
    system: &System,
    analysis: &Analysis,
    (desc, level): (&Level, &LevelLayout),
    places: &[usize],
) -> Result<plan::Level, NotCertifiable> {
    let positions = |tasks: &[usize]| {
        let positions = tasks.iter().map(|task| index(places.get(*task).copied().ok_or(NotCertifiable::Tables)?));
        let mut positions = positions.collect::<Result<Vec<u16>, _>>()?;
        positions.sort_unstable();
        Ok::<_, NotCertifiable>(positions)
    };
    Ok(plan::Level {
        name: desc.name.clone(),
        shed: positions(&desc.shed)?,
        reject: positions(&desc.reject)?,
        moves: level
            .moves
            .iter()
            .map(|(model, tensor)| Ok((index(*model)?, index(*tensor)?)))
            .collect::<Result<_, _>>()?,
        settles_ns: settles(system, analysis, (desc, level)).ok_or(NotCertifiable::Tables)?.as_ns(),
        pools: level
            .pools
            .iter()
            .map(|pool| plan::LevelPool {
                weights_bytes: pool.weights.0,
                height_bytes: pool.height.0,
                lower_bound_bytes: pool.lower_bound.0,
                copied_bytes: pool.copied.0,
                unused: pool.unused.iter().map(|pages| (pages.start, pages.end.saturating_sub(pages.start))).collect(),
            })
            .collect(),
        models: level.models.as_ref().map_or(Ok(Vec::new()), |placed| models(system, placed))?,
    })
}

/// How long a level takes to settle, at most; [`Duration::MAX`] where a task without a bound has to be waited for.
///
/// Where nothing moves: until the last job of a shed task that had arrived is complete. Where something moves: until the last
/// job of any task is, and the copies after. (That no lane is busy for longer than its busy period would not do: at its end
/// a job may hand over to a later stage on another lane.)
fn settles(system: &System, analysis: &Analysis, (desc, level): (&Level, &LevelLayout)) -> Option<Duration> {
    let waits_for = |task: &usize| level.models.is_some() || desc.shed.contains(task);
    let tasks = analysis.tasks.iter().enumerate().filter(|(task, _)| waits_for(task));
    let longest = tasks.map(|(_, task)| task.bound().unwrap_or(Duration::MAX)).max().unwrap_or(Duration::ZERO);
    if longest == Duration::MAX {
        return Some(longest);
    }
    // Each copy takes as long as one of as many whole MiB.
    let copies = level.moves.iter().map(|(model, tensor)| {
        let placed = level.models.as_ref()?.get(*model)?;
        let rate = system.devices.get(placed.pool)?.copy_per_mib?.as_ns();
        let bytes = system.models.get(*model)?.all_tensors().nth(*tensor)?.size.0;
        bytes.div_ceil(1 << 20).checked_mul(rate).map(Duration::from_ns)
    });
    copies.into_iter().try_fold(longest, |sum, time| sum.checked_add(time?))
}

fn recording((sequence, plan): (&Sequence, &SequencePlan)) -> Result<plan::Recording, NotCertifiable> {
    let peak = u32::try_from(plan.peak).map_err(|_| NotCertifiable::Tables)?;
    Ok(plan::Recording { peak, steps: steps(sequence, plan)? })
}

/// A sequence with its offsets, and for each request what a checker needs to insert it: a slot, and the slot below.
fn steps(sequence: &Sequence, plan: &SequencePlan) -> Result<Vec<plan::Step>, NotCertifiable> {
    // What happens at each event: the block, and whether it is taken.
    let mut events: Vec<Option<(usize, bool)>> = vec![None; sequence.events()];
    for (position, block) in sequence.blocks().iter().enumerate() {
        *events.get_mut(block.from).ok_or(NotCertifiable::Tables)? = Some((position, true));
        if let Some(event) = events.get_mut(block.to) {
            *event = Some((position, false));
        }
    }
    let mut slots: Vec<usize> = vec![0; sequence.blocks().len()];
    let mut free = BinaryHeap::new();
    let mut used = 0;
    // Slots by offset.
    let mut live: BTreeMap<u64, usize> = BTreeMap::new();
    let mut steps = Vec::with_capacity(events.len());
    let number = |value: u64| i64::try_from(value).map_err(|_| NotCertifiable::Tables);
    let short = |slot: usize| index(slot).map(i64::from);
    for event in events {
        let (position, taken) = event.ok_or(NotCertifiable::Tables)?;
        let block = sequence.blocks().get(position).ok_or(NotCertifiable::Tables)?;
        let offset = plan.offsets.get(position).ok_or(NotCertifiable::Tables)?.0;
        let slot = slots.get_mut(position).ok_or(NotCertifiable::Tables)?;
        if taken {
            *slot = free.pop().map_or(used, |Reverse(slot)| slot);
            used = used.max(slot.checked_add(1).ok_or(NotCertifiable::Tables)?);
            let below = live.range(..offset).next_back().map_or(Ok(-1), |(_, slot)| short(*slot))?;
            live.insert(offset, *slot);
            steps.push(vec![short(*slot)?, number(block.size)?, number(offset)?, below]);
        } else {
            live.remove(&offset);
            free.push(Reverse(*slot));
            steps.push(vec![short(*slot)?]);
        }
    }
    Ok(steps)
}

/// Tensors with the next offsets.
fn tensors<'a>(tensors: &[Tensor], offsets: &mut impl Iterator<Item = &'a ByteOffset>) -> Vec<plan::Tensor> {
    let placed = tensors.iter().zip(offsets).map(|(tensor, at)| plan::Tensor {
        name: tensor.name.clone(),
        element: tensor.element.name().to_owned(),
        shape: tensor.shape.clone(),
        at: at.0,
        bytes: tensor.size.0,
    });
    placed.collect()
}
