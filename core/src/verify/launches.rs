//! Whether the launches of models that are kernels can be launched, and each is given only what is the model's own meanwhile.
//!
//! A buffer is a block of the segment's one recording, whose place the rules of memory prove. What is shown here is that no launch
//! is given a buffer before its request or after its return. What a kernel does with an address is not shown: it is the
//! application's code.

use super::terms::lane_of;
use crate::desc::{
    ArgumentDesc, Backend, LaunchDesc, MemoryControl, ModelDesc, Recording, SegmentDesc, Step, SystemDesc, TaskDesc,
};

/// Whether models of kernels have launches and no others have, whether these are within CUDA's limits and are given only tensors of
/// the model and buffers that are live, each tensor and each buffer at least once, and whether such models run on parts of GPUs.
#[must_use]
pub const fn launches_hold(system: &SystemDesc) -> bool {
    let mut models = system.models;
    while let [model, rest @ ..] = models {
        if !model_launches(model) {
            return false;
        }
        models = rest;
    }
    let mut tasks = system.tasks;
    while let [task, rest @ ..] = tasks {
        if !has_its_part(system, task) {
            return false;
        }
        tasks = rest;
    }
    true
}

/// Whether a task that runs kernels has a part of a GPU to run them on.
pub(super) const fn has_its_part(system: &SystemDesc, task: &TaskDesc) -> bool {
    let Some(model) = task.model else {
        return true;
    };
    match (system.models.split_at_checked(model.index()), lane_of(system, task)) {
        (Some((_, [model, ..])), Some(lane)) => !matches!(model.backend, Backend::Kernels) || lane.partition.is_some(),
        _ => false,
    }
}

const fn model_launches(model: &ModelDesc) -> bool {
    if !matches!(model.backend, Backend::Kernels) {
        return none_launches(model.segments);
    }
    let [segment] = model.segments else {
        return false;
    };
    let [recording] = segment.runs else {
        return false;
    };
    let planned = matches!(segment.memory, MemoryControl::Planned) && segment.load.is_empty();
    planned
        && model.carried.is_empty()
        && !segment.launches.is_empty()
        && segment.launches.len() <= LaunchDesc::MOST
        && each_is_sound(segment)
        && all_are_given(segment.reads, segment.launches)
        && all_are_given(segment.writes, segment.launches)
        && buffers_live(segment.launches, recording)
}

const fn none_launches(segments: &[SegmentDesc]) -> bool {
    let mut segments = segments;
    while let [segment, rest @ ..] = segments {
        if !segment.launches.is_empty() {
            return false;
        }
        segments = rest;
    }
    true
}

/// Whether each launch has a name and sizes that can be launched, and no tensor that the segment has not.
const fn each_is_sound(segment: &SegmentDesc) -> bool {
    let mut launches = segment.launches;
    while let [launch, rest @ ..] = launches {
        let named = !launch.kernel.is_empty() && launch.arguments.len() <= LaunchDesc::MOST_ARGUMENTS;
        if !named || !launch.is_within_limits() {
            return false;
        }
        let mut arguments = launch.arguments;
        while let [argument, others @ ..] = arguments {
            if let ArgumentDesc::Tensor(tensor) = argument
                && !has(segment.reads, *tensor)
                && !has(segment.writes, *tensor)
            {
                return false;
            }
            arguments = others;
        }
        launches = rest;
    }
    true
}

const fn has(positions: &[u16], wanted: u16) -> bool {
    let mut positions = positions;
    while let [position, rest @ ..] = positions {
        if *position == wanted {
            return true;
        }
        positions = rest;
    }
    false
}

/// Whether each of these tensors is an argument of some launch: what no kernel knows, none reads or writes.
const fn all_are_given(positions: &[u16], launches: &[LaunchDesc]) -> bool {
    let mut positions = positions;
    while let [position, rest @ ..] = positions {
        if !is_given(*position, launches) {
            return false;
        }
        positions = rest;
    }
    true
}

const fn is_given(tensor: u16, launches: &[LaunchDesc]) -> bool {
    let mut launches = launches;
    while let [launch, rest @ ..] = launches {
        let mut arguments = launch.arguments;
        while let [argument, others @ ..] = arguments {
            if matches!(argument, ArgumentDesc::Tensor(own) if *own == tensor) {
                return true;
            }
            arguments = others;
        }
        launches = rest;
    }
    false
}

/// Whether the recording is what the launches do: each buffer is requested for the launch that is the first to be given it, in the
/// order of the arguments. What is given back before a request may lie where the requested buffer does, so no launch from that one
/// on is given it.
const fn buffers_live(launches: &[LaunchDesc], recording: &Recording) -> bool {
    // What has not happened yet, and how many requests have.
    let (mut ahead, mut requested) = (recording.steps, 0_u16);
    let mut launches = launches;
    while let [launch, rest @ ..] = launches {
        let mut arguments = launch.arguments;
        while let [argument, others @ ..] = arguments {
            if matches!(argument, ArgumentDesc::Buffer(buffer) if *buffer == requested) {
                let [Step::Take { .. }, later @ ..] = after_returns(ahead) else {
                    return false;
                };
                ahead = later;
                requested = match requested.checked_add(1) {
                    Some(next) => next,
                    None => return false,
                };
            }
            arguments = others;
        }
        if !are_live(launch.arguments, recording, ahead.len()) {
            return false;
        }
        launches = rest;
    }
    after_returns(ahead).is_empty()
}

/// What follows the returns that come next.
const fn after_returns(steps: &[Step]) -> &[Step] {
    let mut steps = steps;
    while let [Step::Give { .. }, later @ ..] = steps {
        steps = later;
    }
    steps
}

/// Whether all buffers among arguments are live while so many steps are ahead.
const fn are_live(arguments: &[ArgumentDesc], recording: &Recording, ahead: usize) -> bool {
    let mut arguments = arguments;
    while let [argument, rest @ ..] = arguments {
        if let ArgumentDesc::Buffer(buffer) = argument
            && !is_live(recording, ahead, *buffer)
        {
            return false;
        }
        arguments = rest;
    }
    true
}

/// Whether the block of a request, counted from 0, has been requested and not been given back while so many steps are ahead.
const fn is_live(recording: &Recording, ahead: usize, buffer: u16) -> bool {
    let (mut steps, mut number, mut held) = (recording.steps, 0_u16, None);
    while let [step, rest @ ..] = steps {
        if steps.len() <= ahead {
            break;
        }
        match step {
            Step::Take { slot, .. } => {
                if number == buffer {
                    held = Some(*slot);
                }
                number = number.saturating_add(1);
            }
            Step::Give { slot } => {
                if let Some(own) = held
                    && own == *slot
                {
                    return false;
                }
            }
        }
        steps = rest;
    }
    held.is_some()
}

/// Whether two lists of launches are the same.
pub(super) const fn are_same_launches(launches: &[LaunchDesc], originals: &[LaunchDesc]) -> bool {
    let (mut launches, mut originals) = (launches, originals);
    while let ([launch, rest @ ..], [original, others @ ..]) = (launches, originals) {
        let same = are_same_bytes(launch.kernel.as_bytes(), original.kernel.as_bytes())
            && are_same_sides(launch.grid, original.grid)
            && are_same_sides(launch.block, original.block)
            && launch.shared.0 == original.shared.0
            && are_same_arguments(launch.arguments, original.arguments);
        if !same {
            return false;
        }
        launches = rest;
        originals = others;
    }
    launches.is_empty() && originals.is_empty()
}

const fn are_same_sides(sides: [u32; 3], originals: [u32; 3]) -> bool {
    let ([x, y, z], [other_x, other_y, other_z]) = (sides, originals);
    x == other_x && y == other_y && z == other_z
}

pub(super) const fn are_same_bytes(bytes: &[u8], originals: &[u8]) -> bool {
    let (mut bytes, mut originals) = (bytes, originals);
    while let ([byte, rest @ ..], [original, others @ ..]) = (bytes, originals) {
        if *byte != *original {
            return false;
        }
        bytes = rest;
        originals = others;
    }
    bytes.is_empty() && originals.is_empty()
}

const fn are_same_arguments(arguments: &[ArgumentDesc], originals: &[ArgumentDesc]) -> bool {
    use ArgumentDesc::{Buffer, Long, Tensor, Word};
    let (mut arguments, mut originals) = (arguments, originals);
    while let ([argument, rest @ ..], [original, others @ ..]) = (arguments, originals) {
        let same = match (argument, original) {
            (Tensor(one), Tensor(other)) | (Buffer(one), Buffer(other)) => *one == *other,
            (Word(one), Word(other)) => *one == *other,
            (Long(one), Long(other)) => *one == *other,
            _ => false,
        };
        if !same {
            return false;
        }
        arguments = rest;
        originals = others;
    }
    arguments.is_empty() && originals.is_empty()
}
