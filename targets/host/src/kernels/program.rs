//! What a model of kernels does in one run.

use crate::backend::Port;
use aegis_core::Bytes;
use aegis_core::desc::{ArgumentDesc, LaunchDesc, ModelDesc, Recording, SegmentDesc, Step, TensorDesc, occupied};
use aegis_cuda::Shape;

/// What a kernel is given for a parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Argument {
    /// The address of an input, or, counted on from the inputs, of an output.
    Tensor(usize),
    /// The address of a buffer, by the position of its request in a run.
    Buffer(usize),
    /// 32 bits.
    Word(u32),
    /// 64 bits.
    Long(u64),
}

/// One launch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Launch {
    /// The kernel's name in the file.
    pub kernel: String,
    /// How often, and with what.
    pub shape: Shape,
    /// One for each parameter.
    pub arguments: Vec<Argument>,
}

/// All launches of one run, and what they are given.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Program {
    /// What the application fills.
    pub inputs: Vec<Port>,
    /// What it reads.
    pub outputs: Vec<Port>,
    /// The requests of one run for buffers: a size in bytes, or −k where the k-th, from 1, is given back.
    pub run: Vec<i64>,
    /// In order.
    pub launches: Vec<Launch>,
}

impl Program {
    /// That of a segment in a plan; `None` where it is none of kernels, or names what is not there.
    #[must_use]
    pub fn of(model: &ModelDesc, segment: &SegmentDesc) -> Option<Self> {
        let [recording] = segment.runs else { return None };
        let launch = |launch: &LaunchDesc| {
            let arguments = launch.arguments.iter().map(|argument| {
                Some(match argument {
                    ArgumentDesc::Tensor(tensor) => Argument::Tensor(position(segment, *tensor)?),
                    ArgumentDesc::Buffer(buffer) => Argument::Buffer(usize::from(*buffer)),
                    ArgumentDesc::Word(word) => Argument::Word(*word),
                    ArgumentDesc::Long(long) => Argument::Long(*long),
                })
            });
            let shared = u32::try_from(launch.shared.0).ok()?;
            let shape = Shape { grid: launch.grid, block: launch.block, shared };
            Some(Launch { kernel: launch.kernel.to_owned(), shape, arguments: arguments.collect::<Option<_>>()? })
        };
        let ports = |positions: &[u16]| {
            let tensors = positions.iter().map(|position| model.tensor(usize::from(*position)).map(port));
            tensors.collect::<Option<Vec<_>>>()
        };
        Some(Self {
            inputs: ports(segment.reads)?,
            outputs: ports(segment.writes)?,
            run: events(recording)?,
            launches: segment.launches.iter().map(launch).collect::<Option<_>>()?,
        })
    }
}

/// Where a segment has a tensor of the model: among what it reads, and counted on from there among what it writes.
fn position(segment: &SegmentDesc, tensor: u16) -> Option<usize> {
    segment.reads.iter().chain(segment.writes).position(|own| *own == tensor)
}

fn port(tensor: &'static TensorDesc) -> Port {
    let shape = tensor.shape.iter().copied().map(i64::from).collect();
    Port { name: tensor.name.to_owned(), element: tensor.element, shape }
}

/// The requests of a recording, without their places.
pub(super) fn events(recording: &Recording) -> Option<Vec<i64>> {
    // By slot the block that has it.
    let mut blocks: Vec<(u16, i64)> = Vec::new();
    let mut taken = 0_i64;
    let event = |step: &Step| match step {
        Step::Take { size, slot, .. } => {
            taken = taken.checked_add(1)?;
            blocks.retain(|(own, _)| own != slot);
            blocks.push((*slot, taken));
            i64::try_from(size.0).ok()
        }
        Step::Give { slot } => {
            let (_, block) = blocks.iter().find(|(own, _)| own == slot)?;
            Some(block.saturating_neg())
        }
    };
    recording.steps.iter().map(event).collect()
}

/// The offsets of a recording's blocks, in the order of their requests, and the end of the highest, in memory of this alignment.
pub(super) fn places(recording: &Recording, alignment: Bytes) -> (Vec<u64>, u64) {
    let blocks = recording.steps.iter().filter_map(|step| match step {
        Step::Take { size, at, .. } => {
            Some((at.0, at.0.saturating_add(occupied(*size, alignment).unwrap_or(u64::MAX))))
        }
        Step::Give { .. } => None,
    });
    let (offsets, ends): (Vec<u64>, Vec<u64>) = blocks.unzip();
    (offsets, ends.into_iter().max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::{Argument, Program, events, places};
    use aegis_core::desc::{
        ALIGNMENT, ArgumentDesc, Backend, ElementType, FileDesc, LaunchDesc, MemoryControl, ModelDesc, Recording,
        SegmentDesc, Step, TensorDesc, TensorLife,
    };
    use aegis_core::{ByteOffset, Bytes, PoolId};

    const RUN: Recording = Recording {
        steps: &[
            Step::lowest(100, 0, 0),
            Step::above(64, 128, 1, 0),
            Step::give(0),
            Step::lowest(32, 0, 0),
            Step::give(1),
            Step::give(0),
        ],
        peak: 1,
    };

    #[test]
    fn requests_and_places_follow_from_a_recording() {
        assert_eq!(events(&RUN), Some(vec![100, 64, -1, 32, -2, -3]));
        assert_eq!(places(&RUN, ALIGNMENT), (vec![0, 128, 0], 192));
        assert_eq!(places(&Recording { steps: &[], peak: 0 }, ALIGNMENT), (vec![], 0));
        const NEVER_TAKEN: Recording = Recording { steps: &[Step::give(3)], peak: 0 };
        assert_eq!(events(&NEVER_TAKEN), None);
    }

    const TENSOR: TensorDesc =
        TensorDesc { name: "x", element: ElementType::F32, shape: &[2, 8], at: ByteOffset(0), size: Bytes(64) };
    const SEGMENT: SegmentDesc = SegmentDesc {
        file: FileDesc { name: "edge", sha256: "", version: "" },
        engine: "",
        memory: MemoryControl::Planned,
        persistent_at: ByteOffset(0),
        persistent: Bytes(0),
        load: &[],
        scratch_at: ByteOffset(0),
        scratch: Bytes(192),
        runs: &[RUN],
        reads: &[0],
        writes: &[1],
        launches: &[LaunchDesc {
            kernel: "blur",
            grid: [4, 2, 1],
            block: [8, 8, 2],
            shared: Bytes(1_024),
            arguments: &[
                ArgumentDesc::Tensor(1),
                ArgumentDesc::Buffer(2),
                ArgumentDesc::Word(7),
                ArgumentDesc::Long(u64::MAX),
                ArgumentDesc::Tensor(0),
            ],
        }],
    };
    const MODEL: ModelDesc = ModelDesc {
        name: "edge",
        backend: Backend::Kernels,
        engines: None,
        pool: PoolId(0),
        weights: Bytes(0),
        tensors: TensorLife::Job,
        inputs: &[TENSOR],
        outputs: &[TensorDesc { name: "y", element: ElementType::I32, ..TENSOR }],
        carried: &[],
        segments: &[SEGMENT],
    };

    #[test]
    fn a_plans_segment_is_a_program_and_one_that_names_what_is_not_there_is_none() {
        let program = Program::of(&MODEL, &SEGMENT).unwrap();
        let names = |ports: &[crate::backend::Port]| ports.iter().map(|port| port.name.clone()).collect::<String>();
        assert_eq!((names(&program.inputs), names(&program.outputs)), ("x".into(), "y".into()));
        assert_eq!((&program.inputs[0].shape, program.outputs[0].element), (&vec![2, 8], ElementType::I32));
        let launch = &program.launches[0];
        assert_eq!((launch.kernel.as_str(), launch.shape.grid, launch.shape.shared), ("blur", [4, 2, 1], 1_024));
        let expected = [
            Argument::Tensor(1),
            Argument::Buffer(2),
            Argument::Word(7),
            Argument::Long(u64::MAX),
            Argument::Tensor(0),
        ];
        assert_eq!(launch.arguments, expected);
        for broken in [
            SegmentDesc { runs: &[], ..SEGMENT },
            SegmentDesc { writes: &[], ..SEGMENT },
            SegmentDesc { reads: &[0, 9], ..SEGMENT },
        ] {
            assert_eq!(Program::of(&MODEL, &broken), None);
        }
    }
}
