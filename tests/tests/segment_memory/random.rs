//! Random systems whose models are cut: lanes of every kind, tensors of every life, sequences of any shape.

use aegis_codegen::analysis::Load;
use aegis_codegen::system::{
    Device, Domain, File, Lane, Level, Mode, Model, Part, Process, Segment, Sequence, System, Task, Tensor,
};
use aegis_core::desc::{Answer, Backend, ElementType, MemoryControl, Policy, Preemption, TensorLife};
use aegis_core::time::Duration;
use aegis_core::units::{Bytes, Priority};
use aegis_tests::planned::{lane, system, task, with_modes};
use fastrand::Rng;

/// How large a random system is.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) lanes: usize,
    pub(crate) models: usize,
    pub(crate) segments: usize,
    /// Requests of a run.
    pub(crate) blocks: usize,
    /// Carried tensors of a boundary.
    pub(crate) carried: usize,
    /// The most steps of the alignment that a tensor or block takes.
    pub(crate) steps: u64,
    /// Whether something may be capped, loaded, of a domain, or of a level.
    pub(crate) extras: bool,
}

/// Whether something happens that does so once in `times`.
fn once(rng: &mut Rng, times: u32) -> bool {
    rng.u32(..times) == 0
}

fn tensor(rng: &mut Rng, name: String, size: Size) -> Tensor {
    // Mostly not a whole multiple of the alignment.
    let bytes = rng.u64(0..size.steps) * 64 + [64, 64, 40, 1][rng.usize(..4)];
    let shape = vec![u32::try_from(bytes).unwrap()];
    Tensor { name, element: ElementType::U8, shape, size: Bytes(bytes) }
}

/// Requests and returns in random order; everything is given back unless `keeps`.
fn sequence(rng: &mut Rng, size: Size, keeps: bool) -> Sequence {
    let mut events: Vec<i64> = Vec::new();
    let mut live: Vec<i64> = Vec::new();
    let mut open = rng.usize(1..=size.blocks);
    let mut taken = 0;
    while open > 0 || !live.is_empty() {
        if open > 0 && (live.is_empty() || rng.bool()) {
            open -= 1;
            taken += 1;
            live.push(taken);
            events.push(i64::try_from(rng.u64(0..size.steps) * 64 + [64, 64, 1, 0][rng.usize(..4)]).unwrap());
        } else if open == 0 && keeps {
            break;
        } else {
            events.push(-live.swap_remove(rng.usize(..live.len())));
        }
    }
    Sequence::new(&events).unwrap()
}

/// A model of which each segment reads and writes at random what it may.
fn model(rng: &mut Rng, number: usize, size: Size) -> Model {
    let segments = rng.usize(1..=size.segments);
    let [inputs, outputs] = [(); 2].map(|()| rng.usize(0..=if size.extras { 2 } else { 1 }));
    let carried = if segments > 1 { rng.usize(0..=size.carried * (segments - 1)) } else { 0 };
    let all = inputs + outputs + carried;
    let mut writers: Vec<usize> = (0..all).map(|_| rng.usize(..segments)).collect();
    for writer in writers.iter_mut().skip(inputs + outputs) {
        *writer = rng.usize(..segments - 1);
    }
    let parts = (0..segments).map(|at| {
        let may_read = |tensor: &usize| *tensor < inputs || writers[*tensor] < at;
        let reads = (0..all).filter(may_read).filter(|_| rng.bool()).collect();
        let writes = (inputs..all).filter(|tensor| writers[*tensor] == at).collect();
        let capped = size.extras && once(rng, 6);
        let recordings = if capped { 0 } else { 1 + usize::from(once(rng, 3)) };
        Segment {
            file: File { name: format!("m{number}#{at}"), sha256: "0".repeat(64), version: String::new() },
            engine: String::new(),
            weights: Bytes(rng.u64(..100)),
            memory: if capped { MemoryControl::Capped } else { MemoryControl::Planned },
            load: if size.extras && once(rng, 3) { sequence(rng, size, true) } else { Sequence::default() },
            runs: (0..recordings).map(|_| sequence(rng, size, false)).collect(),
            scratch: Bytes(if capped { rng.u64(..400) } else { 0 }),
            reads,
            writes,
            launches: Vec::new(),
        }
    });
    let segments = parts.collect();
    let mut tensors =
        |kind: &str, count: usize| (0..count).map(|at| tensor(rng, format!("{kind}{at}"), size)).collect();
    let [inputs, outputs, carried] = [tensors("in", inputs), tensors("out", outputs), tensors("on", carried)];
    let tensors = if once(rng, 4) { TensorLife::Kept } else { TensorLife::Job };
    let domain = (size.extras && once(rng, 8)).then_some(0);
    Model {
        name: format!("m{number}"),
        backend: Backend::OnnxRuntime,
        engines: None,
        domain,
        tensors,
        inputs,
        outputs,
        carried,
        segments,
        span: 0..0,
    }
}

fn random_lane(rng: &mut Rng, number: usize) -> Lane {
    let policies = [Policy::RateMonotonic, Policy::FixedPriority, Policy::EarliestDeadlineFirst];
    let mut lane = lane(&format!("lane{number}"), policies[rng.usize(..3)], 0, 0);
    lane.preemption = match rng.u32(..12) {
        0 => Preemption::Full,
        1 | 2 => Preemption::None,
        _ => Preemption::Segments,
    };
    // All in one memory, mostly.
    lane.device = Some(usize::from(number > 0 && once(rng, 4)));
    lane
}

/// A task for a model: in the model's segments, or now and then in one piece.
fn random_task(rng: &mut Rng, model: &Model, lane: usize, desc: &Lane, rank: u16) -> Task {
    let lengths: Vec<u64> = model.segments.iter().map(|_| rng.u64(2..=12)).collect();
    let cost: u64 = lengths.iter().sum();
    // At most four of them share a lane: a fifth of it each, and time to wait.
    let period = cost * rng.u64(5..=9) + rng.u64(..20);
    let mut task = task(&model.name, lane, Load::whole(cost, period, period * rng.u64(2..=4), 0));
    task.priority = (desc.policy == Policy::FixedPriority).then_some(Priority(rank));
    task.on_overrun = [Answer::SkipNext, Answer::Continue, Answer::AbortJob][rng.usize(..3)];
    task.on_miss = [Answer::SkipNext, Answer::Continue, Answer::AbortJob][rng.usize(..3)];
    let in_pieces = desc.preemption == Preemption::Segments && !once(rng, 10);
    if in_pieces {
        task.segments = lengths.into_iter().map(Duration::from_ns).collect();
    }
    task
}

/// A system of `size`, seeded.
pub(crate) fn random_system(rng: &mut Rng, size: Size) -> System {
    let lanes: Vec<Lane> = (0..rng.usize(1..=size.lanes)).map(|number| random_lane(rng, number)).collect();
    let models: Vec<Model> = (0..rng.usize(2..=size.models)).map(|number| model(rng, number, size)).collect();
    let mut ranks: Vec<u16> = (0..4).collect();
    rng.shuffle(&mut ranks);
    let tasks: Vec<Task> = (models.iter().zip(&ranks).enumerate())
        .map(|(number, (model, rank))| {
            let on = if once(rng, 3) { rng.usize(..lanes.len()) } else { 0 };
            Task { model: Some(number), domain: model.domain, ..random_task(rng, model, on, &lanes[on], *rank) }
        })
        .collect();
    let mut system = system(lanes, tasks);
    let device = |name: &str, shares| Device {
        name: name.to_owned(),
        memory: Bytes(1 << 20),
        shares,
        copy_per_mib: Some(Duration::from_ns(1_000)),
        page: None,
        part: None,
        gpu: None,
        span: 0..0,
    };
    let shares = once(rng, 2).then_some(0);
    system.devices = vec![device("one", None), device("two", shares)];
    if models.iter().any(|model| model.domain.is_some()) {
        let (hand_over, blackout) = (Duration::ZERO, Duration::ZERO);
        let process = Process {
            kill_after: Duration::MAX,
            hand_over,
            blackout,
            heartbeat: None,
            memory: None,
            restart: None,
            meanwhile: None,
            cores: Vec::new(),
        };
        let name = "apart".to_owned();
        system.domains = vec![Domain { name, process: Some(process), untrusted: None, span: 0..0 }];
        let part = |of| Some(Part { of, domain: 0 });
        let parts = [device("one.apart", Some(0)), device("two.apart", shares.or(Some(1)))];
        system.devices.extend(parts.into_iter().zip(0..).map(|(device, of)| Device { part: part(of), ..device }));
    }
    if size.extras && once(rng, 2) {
        system.levels = (0..rng.usize(1..=2)).map(|number| random_level(rng, number, models.len())).collect();
    }
    system.models = models;
    system
}

/// The same system with two or three modes instead of levels, each task in one at least, and those of a lane often in the same.
pub(crate) fn with_random_modes(rng: &mut Rng, system: System) -> System {
    let mut modes: Vec<Vec<usize>> = vec![Vec::new(); rng.usize(2..=3)];
    for (task, desc) in system.tasks.iter().enumerate() {
        let own = if rng.bool() { desc.lane % modes.len() } else { rng.usize(..modes.len()) };
        for (number, mode) in modes.iter_mut().enumerate() {
            if number == own || once(rng, 4) {
                mode.push(task);
            }
        }
    }
    modes.retain(|mode| !mode.is_empty());
    let mode = |(number, tasks)| Mode { name: format!("mode{number}"), tasks, span: 0..0 };
    with_modes(System { levels: Vec::new(), ..system }, modes.into_iter().enumerate().map(mode).collect())
}

fn random_level(rng: &mut Rng, number: usize, tasks: usize) -> Level {
    let stays = rng.usize(..tasks);
    let shed = (0..tasks).filter(|task| *task != stays && rng.bool()).collect();
    Level { name: format!("level{number}"), shed, reject: Vec::new(), compact: !once(rng, 4), span: 0..0 }
}
