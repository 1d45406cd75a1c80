//! The models of the plan that is mutated: planned and capped, kept and not, cut and whole; their devices, of which one shares
//! another's memory; and two levels of pressure.

use aegis_codegen::system::{Device, File, Gpu, Level, Model, Segment, Sequence, Tensor};
use aegis_core::desc::{Backend, ElementType, MemoryControl, TensorLife};
use aegis_core::time::Duration;
use aegis_core::units::Bytes;

fn tensor(name: &str, elements: u32) -> Tensor {
    Tensor {
        name: name.to_owned(),
        element: ElementType::F32,
        shape: vec![elements, 3],
        size: Bytes(u64::from(elements) * 12),
    }
}

fn segment(name: &str, weights: u64, reads: &[usize], writes: &[usize]) -> Segment {
    Segment {
        file: File { name: name.to_owned(), sha256: "0".repeat(64), version: String::new() },
        engine: String::new(),
        weights: Bytes(weights),
        memory: MemoryControl::Planned,
        load: Sequence::default(),
        runs: Vec::new(),
        scratch: Bytes(0),
        reads: reads.to_vec(),
        writes: writes.to_vec(),
        launches: Vec::new(),
    }
}

fn planned(segment: Segment, load: &[i64], runs: &[&[i64]]) -> Segment {
    let sequence = |events: &[i64]| Sequence::new(events).unwrap();
    Segment { load: sequence(load), runs: runs.iter().map(|run| sequence(run)).collect(), ..segment }
}

fn capped(segment: Segment, scratch: u64) -> Segment {
    Segment { memory: MemoryControl::Capped, scratch: Bytes(scratch), ..segment }
}

/// Two inputs, an output, no cut.
fn whole(name: &str, tensors: TensorLife, elements: u32, segment: Segment) -> Model {
    Model {
        name: name.to_owned(),
        backend: Backend::OnnxRuntime,
        engines: None,
        domain: None,
        tensors,
        inputs: vec![tensor("in", elements), tensor("more", 16)],
        outputs: vec![tensor("out", elements + 1)],
        carried: Vec::new(),
        segments: vec![segment],
        span: 0..0,
    }
}

/// The model four times as large. In the memory of a GPU, whose alignment is four times that of a CPU's, it takes as many steps.
fn fourfold(model: Model) -> Model {
    let tensor = |tensor: Tensor| {
        let shape = tensor.shape.iter().copied().chain([4]).collect();
        Tensor { shape, size: Bytes(4 * tensor.size.0), ..tensor }
    };
    let tensors = |all: Vec<Tensor>| all.into_iter().map(tensor).collect::<Vec<Tensor>>();
    let sequence = |sequence: &Sequence| {
        let mut events = vec![0; sequence.events()];
        for (number, block) in (1..).zip(sequence.blocks()) {
            events[block.from] = i64::try_from(4 * block.size).unwrap();
            if let Some(given) = events.get_mut(block.to) {
                *given = -number;
            }
        }
        Sequence::new(&events).unwrap()
    };
    let segment = |segment: Segment| Segment {
        load: sequence(&segment.load),
        runs: segment.runs.iter().map(sequence).collect(),
        scratch: Bytes(4 * segment.scratch.0),
        ..segment
    };
    Model {
        inputs: tensors(model.inputs),
        outputs: tensors(model.outputs),
        carried: tensors(model.carried),
        segments: model.segments.into_iter().map(segment).collect(),
        ..model
    }
}

/// All models: two of the lane "main", one of "side", two of "edf", three of "segmented", two of "edf-segments".
pub(super) fn models() -> Vec<Model> {
    let of = |name: &str, weights| segment(name, weights, &[0, 1], &[2]);
    let (kept, job) = (TensorLife::Kept, TensorLife::Job);
    let one: &[&[i64]] = &[&[200, 64, -1, 128, 1, -2, -3, -4]];
    let two: &[&[i64]] = &[&[700, 700, -1, 300, -2, -3], &[700, 300, -2, -1, 700, -3]];
    let short: &[&[i64]] = &[&[64, 300, -1, -2], &[64, 300, -1, 364, -2, -3]];
    vec![
        whole("one", kept, 10, planned(of("one", 1_000), &[8, 100, 8], one)),
        whole("two", job, 33, planned(of("two", 500), &[], two)),
        fourfold(whole("three", kept, 16, capped(of("three", 77), 128))),
        whole("four", kept, 5, planned(of("four", 9), &[64], &[&[100, 200, -2, -1]])),
        whole("five", job, 6, capped(of("five", 1), 900)),
        fourfold(halves()),
        fourfold(whole("short", job, 20, planned(of("short", 5), &[200], short))),
        fourfold(thirds()),
        fourfold(two_parts()),
        fourfold(three_parts()),
    ]
}

/// Three segments: the second reads an input, the first writes an output, and the third reads what the first handed on.
fn thirds() -> Model {
    let at = |number: usize, reads: &[usize], writes: &[usize]| segment(&format!("thirds#{number}"), 3, reads, writes);
    Model {
        inputs: vec![tensor("in", 8), tensor("late", 12)],
        outputs: vec![tensor("early", 9), tensor("out", 4)],
        carried: vec![tensor("far", 43), tensor("near", 42)],
        segments: vec![
            planned(at(1, &[0], &[2, 4, 5]), &[64], &[&[768, 172, -1, 576, -2, -3]]),
            planned(at(2, &[1, 5], &[]), &[], &[&[300, 704, -2, 44, -1, -3], &[300, 704, -2, 44, -3, -1]]),
            planned(at(3, &[4], &[3]), &[], &[&[128, 684, -2, 364, -1, -3]]),
        ],
        ..whole("thirds", TensorLife::Job, 1, segment("", 0, &[], &[]))
    }
}

/// Three segments of which the second is capped; its inputs and outputs are kept.
fn halves() -> Model {
    let at = |number: usize, reads: &[usize], writes: &[usize]| segment(&format!("halves#{number}"), 2, reads, writes);
    Model {
        carried: vec![tensor("first", 34), tensor("second", 40)],
        segments: vec![
            planned(at(1, &[0, 1], &[3]), &[], &[&[492, 704, -1, 364, -2, -3]]),
            capped(at(2, &[3], &[4]), 500),
            planned(at(3, &[4], &[2]), &[], &[&[704, 812, -1, -2]]),
        ],
        ..whole("halves", TensorLife::Kept, 3, segment("", 0, &[], &[]))
    }
}

fn two_parts() -> Model {
    let at = |number: usize, reads: &[usize], writes: &[usize]| segment(&format!("two#{number}"), 4, reads, writes);
    Model {
        carried: vec![tensor("hidden", 28)],
        segments: vec![
            planned(at(1, &[0], &[3]), &[], &[&[192, 748, -1, 704, -2, -3]]),
            planned(at(2, &[1, 3], &[2]), &[], &[&[320, 492, -1, 300, -2, -3]]),
        ],
        ..whole("two-parts", TensorLife::Job, 6, segment("", 0, &[], &[]))
    }
}

fn three_parts() -> Model {
    let at = |number: usize, reads: &[usize], writes: &[usize]| segment(&format!("three#{number}"), 6, reads, writes);
    Model {
        carried: vec![tensor("long", 6), tensor("thin", 49)],
        segments: vec![
            planned(at(1, &[0, 1], &[3]), &[32], &[&[44, 576, -1, -2]]),
            planned(at(2, &[3], &[4]), &[], &[&[684, 128, -1, 576, -2, -3], &[684, 128, -2, 576, -1, -3]]),
            planned(at(3, &[3, 4], &[2]), &[], &[&[192, 128, -1, 684, -2, -3]]),
        ],
        ..whole("three-parts", TensorLife::Job, 14, segment("", 0, &[], &[]))
    }
}

/// Three memories, of which the last is the first one's. The second and the third are those of GPUs, of which the second is divided
/// whole, but for what is in no group; copies of the second's inputs and outputs count with the first, as the third's do.
pub(super) fn devices() -> Vec<Device> {
    let gpu = |(ordinal, context_bytes, staging)| Gpu {
        ordinal,
        name: "lab".to_owned(),
        driver: "13.0".to_owned(),
        compute_capability: (9, 0),
        sms: 28,
        unit: 8,
        units: 3,
        context_bytes,
        staging: Some(staging),
    };
    let device = |name: &str, memory, shares, own: Option<(u16, Option<u64>, u16)>| Device {
        name: name.to_owned(),
        memory: Bytes(memory),
        shares,
        copy_per_mib: Some(Duration::from_ns(1_000_000)),
        page: None,
        part: None,
        gpu: own.map(gpu),
        span: 0..0,
    };
    vec![
        device("cpu0", 150_000, None, None),
        device("gpu0", 60_000, None, Some((0, Some(700), 0))),
        device("shared", 150_000, Some(0), Some((1, None, 2))),
    ]
}

/// One that sheds two tasks and rejects one, and one that sheds what lies low, and compacts.
pub(super) fn levels() -> Vec<Level> {
    let level = |name: &str, shed: &[usize], reject: &[usize], compact| Level {
        name: name.to_owned(),
        shed: shed.to_vec(),
        reject: reject.to_vec(),
        compact,
        span: 0..0,
    };
    vec![level("high", &[5, 15], &[6], false), level("critical", &[0, 9], &[], true)]
}
