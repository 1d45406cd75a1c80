//! A lock's plan as core's descriptors: for `aegis verify`, simulation and tests, without rustc in between.

mod pool;

use crate::engines::Built;
use crate::launches::{Argument, ArgumentKind, Launch};
use crate::lock::Lock;
use crate::plan::{Certificate, Plan, Tensor};
use aegis_core::desc::{
    Answer, ArgumentDesc, Asks, Backend, Certificate as CertificateDesc, ConditionsDesc, ElementType, EngineDesc,
    EngineLibrary, FileDesc, LaneDesc, LaunchDesc, LevelDesc, LevelPoolDesc, LimitDesc, MachineDesc, MemoryControl,
    ModeDesc, ModelDesc, MoveDesc, OnStall, PagesDesc, PartitionDesc, Point, Policy, Precision, Preemption, Quantity,
    Recording, Release, SegmentDesc, Slot, StageDesc, Start, Step, Subject, SystemDesc, TaskDesc, TensorDesc,
    TensorLife, ThresholdDesc, Waiting, WatchDesc, WatchdogDesc, WatchedSource,
};
use aegis_core::units::{ByteOffset, Bytes, DomainId, LaneId, LevelId, ModeId, ModelId, PoolId, Priority, TaskId};
use aegis_core::{Duration, layout::TABLE_LAYOUT};
use pool::{domain, pool};

/// A name in the lock that this version does not know.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the lock's {what} `{value}` is not one of this version's")]
pub struct Unknown {
    what: &'static str,
    value: String,
}

/// The descriptors of a lock. They live until the process ends, as descriptors in a vehicle do: call it once a plan.
///
/// # Errors
/// [`Unknown`].
pub fn leak(lock: &Lock) -> Result<&'static SystemDesc, Unknown> {
    let plan = &lock.plan;
    let lanes = plan.lanes.iter().map(lane).collect::<Result<Vec<_>, _>>()?;
    let tasks = plan.tasks.iter().map(task).collect::<Result<Vec<_>, _>>()?;
    let models = plan.models.iter().map(model).collect::<Result<Vec<_>, _>>()?;
    let levels = plan.levels.iter().map(level).collect::<Result<Vec<_>, _>>()?;
    let modes = plan.modes.iter().map(|one| mode(one, &lanes, &tasks)).collect::<Vec<_>>();
    Ok(Box::leak(Box::new(SystemDesc {
        layout: TABLE_LAYOUT,
        name: text(&plan.name),
        generator: crate::lock::TOOL,
        config_hash: bytes(&lock.lock.plan_sha256),
        manifest_hash: bytes(&lock.manifest_hash()),
        machine: machine(plan),
        conditions: conditions(&plan.conditions)?,
        orchestration_core: plan.orchestration_core,
        waiting: waiting("waiting", &plan.waiting)?,
        watchdog: plan.watchdog.as_ref().map(watchdog).transpose()?,
        watch: plan.watch.as_ref().map(watch).transpose()?,
        libraries: files(&plan.libraries),
        assets: files(&plan.assets),
        lanes: slice(lanes),
        tasks: slice(tasks),
        models: slice(models),
        pools: slice(plan.pools.iter().map(pool).collect()),
        levels: slice(levels),
        modes: slice(modes),
        domains: slice(plan.domains.iter().map(domain).collect()),
    })))
}

/// The position after a word and a space.
fn position(text: &str, word: &str) -> Option<u16> {
    text.strip_prefix(word)?.parse().ok()
}

/// An answer to overruns, misses or failed jobs: its name, or `mode` and the position of the mode that it changes to.
fn answer(what: &'static str, text: &str) -> Result<Answer, Unknown> {
    let word = Answer::ALL.into_iter().find(|answer| answer.name() == text);
    word.or_else(|| Some(Answer::SwitchMode(ModeId(position(text, "mode ")?))))
        .ok_or_else(|| Unknown { what, value: text.to_owned() })
}

fn text(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

fn slice<T>(items: Vec<T>) -> &'static [T] {
    Box::leak(items.into_boxed_slice())
}

fn bytes(digits: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
        *byte = pair.unwrap_or(0);
    }
    bytes
}

fn machine(plan: &Plan) -> MachineDesc {
    let machine = &plan.machine;
    MachineDesc {
        arch: text(&machine.arch),
        cpu_model: text(&machine.cpu_model),
        cores: machine.cores,
        governor: text(&machine.governor),
    }
}

fn conditions(conditions: &crate::plan::Conditions) -> Result<ConditionsDesc, Unknown> {
    let limit = |limit: &crate::plan::Limit| {
        let known = Quantity::ALL.into_iter().find(|what| what.name() == limit.what);
        let core = || Some(Subject::Core(position(&limit.of, "core ")?));
        let of = core().or_else(|| Some(Subject::Pool(PoolId(position(&limit.of, "pool ")?))));
        Ok(LimitDesc {
            of: of.ok_or_else(|| Unknown { what: "core or pool", value: limit.of.clone() })?,
            what: known.ok_or_else(|| Unknown { what: "quantity", value: limit.what.clone() })?,
            value: limit.value,
        })
    };
    Ok(ConditionsDesc {
        recheck: Duration::from_ns(conditions.recheck_ns),
        power_mode: text(&conditions.power_mode),
        limits: slice(conditions.limits.iter().map(limit).collect::<Result<_, _>>()?),
    })
}

fn watchdog(watchdog: &crate::plan::Watchdog) -> Result<WatchdogDesc, Unknown> {
    let word = OnStall::ALL.into_iter().find(|answer| answer.name() == watchdog.on_stall);
    let known = word.or_else(|| Some(OnStall::SwitchMode(ModeId(position(&watchdog.on_stall, "mode ")?))));
    Ok(WatchdogDesc {
        timeout: Duration::from_ns(watchdog.timeout_ns),
        device: watchdog.device.as_deref().map(text),
        on_stall: known.ok_or_else(|| Unknown { what: "answer to a stall", value: watchdog.on_stall.clone() })?,
    })
}

fn watch(watch: &crate::plan::Watch) -> Result<WatchDesc, Unknown> {
    let threshold = |threshold: &crate::plan::Threshold| {
        let known = WatchedSource::ALL.into_iter().find(|source| source.name() == threshold.source);
        let level = || Some(Asks::Level(LevelId(position(&threshold.asks, "level ")?)));
        let asks = level().or_else(|| Some(Asks::Mode(ModeId(position(&threshold.asks, "mode ")?))));
        Ok(ThresholdDesc {
            source: known.ok_or_else(|| Unknown { what: "watched source", value: threshold.source.clone() })?,
            when: threshold.when,
            until: threshold.until,
            asks: asks.ok_or_else(|| Unknown { what: "threshold's level or mode", value: threshold.asks.clone() })?,
        })
    };
    Ok(WatchDesc {
        interval: Duration::from_ns(watch.interval_ns),
        hold: Duration::from_ns(watch.hold_ns),
        thresholds: slice(watch.thresholds.iter().map(threshold).collect::<Result<_, _>>()?),
    })
}

fn files(files: &[crate::system::File]) -> &'static [FileDesc] {
    let file = |file: &crate::system::File| FileDesc {
        name: text(&file.name),
        sha256: text(&file.sha256),
        version: text(&file.version),
    };
    slice(files.iter().map(file).collect())
}

/// The policy of a name.
///
/// # Errors
/// [`Unknown`].
pub fn policy(name: &str) -> Result<Policy, Unknown> {
    let all = [
        Policy::RateMonotonic,
        Policy::DeadlineMonotonic,
        Policy::FixedPriority,
        Policy::EarliestDeadlineFirst,
        Policy::TimeTriggered,
    ];
    let known = all.into_iter().find(|policy| policy.name() == name);
    known.ok_or_else(|| Unknown { what: "policy", value: name.to_owned() })
}

/// The backend of a name.
///
/// # Errors
/// [`Unknown`].
pub fn backend(name: &str) -> Result<Backend, Unknown> {
    let known = Backend::ALL.into_iter().find(|backend| backend.name() == name);
    known.ok_or_else(|| Unknown { what: "backend", value: name.to_owned() })
}

/// The element type of a name.
///
/// # Errors
/// [`Unknown`].
pub fn element(name: &str) -> Result<ElementType, Unknown> {
    let all = [ElementType::F32, ElementType::I64, ElementType::I32, ElementType::U8];
    let known = all.into_iter().find(|element| element.name() == name);
    known.ok_or_else(|| Unknown { what: "element type", value: name.to_owned() })
}

fn preemption(name: &str) -> Result<Preemption, Unknown> {
    let known = [Preemption::None, Preemption::Segments, Preemption::Full].into_iter().find(|one| one.name() == name);
    known.ok_or_else(|| Unknown { what: "preemption", value: name.to_owned() })
}

fn lane(lane: &crate::plan::Lane) -> Result<LaneDesc, Unknown> {
    let slots = lane.slots.iter().map(|(at, task)| Slot { at: Duration::from_ns(*at), task: TaskId(*task) });
    Ok(LaneDesc {
        name: text(&lane.name),
        policy: policy(&lane.policy)?,
        preemption: preemption(&lane.preemption)?,
        core: lane.core,
        partition: lane.partition.as_ref().map(partition).transpose()?,
        dispatch_overhead: Duration::from_ns(lane.dispatch_overhead_ns),
        launch_overhead: Duration::from_ns(lane.launch_overhead_ns),
        domain_switch: Duration::from_ns(lane.domain_switch_ns),
        thread_wait: Duration::from_ns(lane.thread_wait_ns),
        wakeup_latency: Duration::from_ns(lane.wakeup_latency_ns),
        busy_period: Duration::from_ns(lane.busy_period_ns),
        points: points(&lane.points_ns),
        hyperperiod: Duration::from_ns(lane.hyperperiod_ns),
        slots: slice(slots.collect()),
    })
}

fn partition(partition: &crate::plan::Partition) -> Result<PartitionDesc, Unknown> {
    let completion = waiting("completion", &partition.completion)?;
    let switch = Duration::from_ns(partition.switch_ns);
    Ok(PartitionDesc { pool: PoolId(partition.pool), sms: partition.sms, completion, switch })
}

fn waiting(what: &'static str, word: &str) -> Result<Waiting, Unknown> {
    let known = Waiting::ALL.into_iter().find(|waiting| waiting.name() == word);
    known.ok_or_else(|| Unknown { what, value: word.to_owned() })
}

fn points(points: &[(u64, u64)]) -> &'static [Point] {
    let point = |(at, by): &(u64, u64)| Point { deadline: Duration::from_ns(*at), finish: Duration::from_ns(*by) };
    slice(points.iter().map(point).collect())
}

fn certificate(certificate: &Certificate) -> CertificateDesc {
    match certificate {
        Certificate::Unproven {} => CertificateDesc::Unproven,
        Certificate::Table {} => CertificateDesc::Table,
        Certificate::Edf { starts_ns } => {
            let start = |(deadline, start): &(u64, u64)| Start {
                deadline: Duration::from_ns(*deadline),
                start: Duration::from_ns(*start),
            };
            CertificateDesc::Edf { starts: slice(starts_ns.iter().map(start).collect()) }
        }
        Certificate::Gaps { blocking_ns, busy_period_ns, starts_ns } => CertificateDesc::Gaps {
            blocking: Duration::from_ns(*blocking_ns),
            busy_period: Duration::from_ns(*busy_period_ns),
            starts: slice(starts_ns.iter().map(|start| Duration::from_ns(*start)).collect()),
        },
        Certificate::FixedPriority { blocking_ns, busy_period_ns, starts_ns } => CertificateDesc::FixedPriority {
            blocking: Duration::from_ns(*blocking_ns),
            busy_period: Duration::from_ns(*busy_period_ns),
            starts: slice(starts_ns.iter().map(|start| Duration::from_ns(*start)).collect()),
        },
    }
}

fn task(task: &crate::plan::Task) -> Result<TaskDesc, Unknown> {
    Ok(TaskDesc {
        name: text(&task.name),
        lane: LaneId(task.lane),
        model: task.model.map(ModelId),
        domain: task.domain.map(DomainId),
        release: match (task.stage.is_some(), task.submitted) {
            (true, _) => Release::Stage,
            (false, true) => Release::Submitted,
            (false, false) => Release::Timer,
        },
        defers: task.defers,
        optional: task.optional,
        priority: Priority(task.priority),
        period: Duration::from_ns(task.period_ns),
        deadline: Duration::from_ns(task.deadline_ns),
        phase: Duration::from_ns(task.phase_ns),
        jitter: Duration::from_ns(task.jitter_ns),
        stage: task.stage.as_ref().map(|stage| StageDesc {
            after: TaskId(stage.after),
            earliest: Duration::from_ns(stage.earliest_ns),
            latest: Duration::from_ns(stage.latest_ns),
        }),
        bcet: Duration::from_ns(task.bcet_ns),
        wcet: Duration::from_ns(task.wcet_ns),
        segments: slice(task.segments_ns.iter().map(|segment| Duration::from_ns(*segment)).collect()),
        region: Duration::from_ns(task.region_ns),
        budget: Duration::from_ns(task.budget_ns),
        on_overrun: answer("on-overrun", &task.on_overrun)?,
        on_miss: answer("on-miss", &task.on_miss)?,
        on_failure: answer("on-failure", &task.on_failure)?,
        miss_window: task.miss_window,
        queue: task.queue,
        response_bound: Duration::from_ns(task.response_ns),
        certificate: certificate(&task.certificate),
    })
}

fn model(model: &crate::plan::Model) -> Result<ModelDesc, Unknown> {
    Ok(ModelDesc {
        name: text(&model.name),
        backend: backend(&model.backend)?,
        engines: model.engines.as_ref().map(engines).transpose()?,
        pool: PoolId(model.pool),
        weights: Bytes(model.weights_bytes),
        tensors: tensor_life(&model.tensors)?,
        inputs: tensors(&model.inputs)?,
        outputs: tensors(&model.outputs)?,
        carried: tensors(&model.carried)?,
        segments: slice(model.segments.iter().map(segment).collect::<Result<_, _>>()?),
    })
}

fn engines(built: &Built) -> Result<EngineDesc, Unknown> {
    let library = EngineLibrary::ALL.into_iter().find(|library| library.name() == built.library);
    let precision = Precision::ALL.into_iter().find(|precision| precision.name() == built.precision);
    Ok(EngineDesc {
        library: library.ok_or_else(|| Unknown { what: "library of engines", value: built.library.clone() })?,
        version: text(&built.version),
        precision: precision.ok_or_else(|| Unknown { what: "precision", value: built.precision.clone() })?,
        workspace: Bytes(built.workspace_bytes),
    })
}

fn segment(segment: &crate::plan::Segment) -> Result<SegmentDesc, Unknown> {
    Ok(SegmentDesc {
        file: FileDesc { name: text(&segment.name), sha256: text(&segment.sha256), version: "" },
        engine: text(&segment.engine_sha256),
        memory: control(&segment.memory)?,
        persistent_at: ByteOffset(segment.persistent_at),
        persistent: Bytes(segment.persistent_bytes),
        load: steps(&segment.load)?,
        scratch_at: ByteOffset(segment.scratch_at),
        scratch: Bytes(segment.scratch_bytes),
        runs: slice(segment.runs.iter().map(recording).collect::<Result<_, _>>()?),
        reads: slice(segment.reads.clone()),
        writes: slice(segment.writes.clone()),
        launches: slice(segment.launches.iter().map(launch).collect::<Result<_, _>>()?),
    })
}

fn launch(launch: &Launch) -> Result<LaunchDesc, Unknown> {
    Ok(LaunchDesc {
        kernel: text(&launch.kernel),
        grid: launch.grid,
        block: launch.block,
        shared: Bytes(launch.shared),
        arguments: slice(launch.arguments.iter().map(argument).collect::<Result<_, _>>()?),
    })
}

fn argument(argument: &Argument) -> Result<ArgumentDesc, Unknown> {
    let Argument(kind, number) = *argument;
    let unknown = || Unknown { what: "argument of a launch", value: format!("{kind:?} {number}") };
    Ok(match kind {
        ArgumentKind::Tensor => ArgumentDesc::Tensor(u16::try_from(number).map_err(|_| unknown())?),
        ArgumentKind::Buffer => ArgumentDesc::Buffer(u16::try_from(number).map_err(|_| unknown())?),
        ArgumentKind::Word => ArgumentDesc::Word(u32::try_from(number).map_err(|_| unknown())?),
        ArgumentKind::Long => ArgumentDesc::Long(number.cast_unsigned()),
    })
}

fn level(level: &crate::plan::Level) -> Result<LevelDesc, Unknown> {
    let tasks = |tasks: &[u16]| slice(tasks.iter().copied().map(TaskId).collect());
    let pool = |pool: &crate::plan::LevelPool| LevelPoolDesc {
        weights: Bytes(pool.weights_bytes),
        height: Bytes(pool.height_bytes),
        lower_bound: Bytes(pool.lower_bound_bytes),
        copied: Bytes(pool.copied_bytes),
        unused: slice(
            pool.unused.iter().map(|(at, size)| PagesDesc { at: ByteOffset(*at), size: Bytes(*size) }).collect(),
        ),
    };
    Ok(LevelDesc {
        name: text(&level.name),
        shed: tasks(&level.shed),
        reject: tasks(&level.reject),
        pools: slice(level.pools.iter().map(pool).collect()),
        models: slice(level.models.iter().map(model).collect::<Result<_, _>>()?),
        moves: slice(
            level.moves.iter().map(|(model, tensor)| MoveDesc { model: ModelId(*model), tensor: *tensor }).collect(),
        ),
        settles: Duration::from_ns(level.settles_ns),
    })
}

/// A mode with the system's lanes and tasks as they are in it. What the lock does not have for it is missing in it, too, so that
/// the checker refuses it.
fn mode(mode: &crate::plan::Mode, lanes: &[LaneDesc], tasks: &[TaskDesc]) -> ModeDesc {
    let place = |slot: &Slot| {
        let place = mode.tasks.iter().position(|task| task.task == slot.task.0);
        Slot { task: TaskId(place.and_then(|place| u16::try_from(place).ok()).unwrap_or(u16::MAX)), ..*slot }
    };
    let lane = |(own, lane): (&crate::plan::ModeLane, &LaneDesc)| LaneDesc {
        busy_period: Duration::from_ns(own.busy_period_ns),
        points: points(&own.points_ns),
        slots: slice(lane.slots.iter().map(place).collect()),
        ..*lane
    };
    // One for each lane, or none at all.
    let own_lanes = if mode.lanes.len() == lanes.len() { mode.lanes.as_slice() } else { &[] };
    let proven = mode.tasks.iter().filter_map(|own| {
        let response_bound = Duration::from_ns(own.response_ns);
        let task = tasks.get(usize::from(own.task))?;
        Some(TaskDesc { response_bound, certificate: certificate(&own.certificate), ..*task })
    });
    ModeDesc {
        name: text(&mode.name),
        tasks: slice(mode.tasks.iter().map(|own| TaskId(own.task)).collect()),
        lanes: slice(own_lanes.iter().zip(lanes).map(lane).collect()),
        proven: slice(proven.collect()),
        leaves: Duration::from_ns(mode.leaves_ns),
    }
}

/// The grade of memory control of a name.
///
/// # Errors
/// [`Unknown`].
pub fn control(name: &str) -> Result<MemoryControl, Unknown> {
    let all = [MemoryControl::Planned, MemoryControl::Capped, MemoryControl::Measured];
    let known = all.into_iter().find(|control| control.name() == name);
    known.ok_or_else(|| Unknown { what: "grade of memory control", value: name.to_owned() })
}

fn tensor_life(name: &str) -> Result<TensorLife, Unknown> {
    let known = [TensorLife::Kept, TensorLife::Job].into_iter().find(|life| life.name() == name);
    known.ok_or_else(|| Unknown { what: "life of tensors", value: name.to_owned() })
}

fn recording(recording: &crate::plan::Recording) -> Result<Recording, Unknown> {
    Ok(Recording { steps: steps(&recording.steps)?, peak: recording.peak })
}

fn steps(steps: &[crate::plan::Step]) -> Result<&'static [Step], Unknown> {
    let unknown = |step: &crate::plan::Step| Unknown { what: "step", value: format!("{step:?}") };
    let step = |step: &crate::plan::Step| {
        let slot = |number: i64| u16::try_from(number).map_err(|_| unknown(step));
        let bytes = |number: i64| u64::try_from(number).map_err(|_| unknown(step));
        match *step.as_slice() {
            [own] => Ok(Step::give(slot(own)?)),
            [own, size, at, -1] => Ok(Step::lowest(bytes(size)?, bytes(at)?, slot(own)?)),
            [own, size, at, below] => Ok(Step::above(bytes(size)?, bytes(at)?, slot(own)?, slot(below)?)),
            _ => Err(unknown(step)),
        }
    };
    Ok(slice(steps.iter().map(step).collect::<Result<_, _>>()?))
}

fn tensors(tensors: &[Tensor]) -> Result<&'static [TensorDesc], Unknown> {
    Ok(slice(tensors.iter().map(tensor).collect::<Result<_, _>>()?))
}

fn tensor(tensor: &Tensor) -> Result<TensorDesc, Unknown> {
    Ok(TensorDesc {
        name: text(&tensor.name),
        element: element(&tensor.element)?,
        shape: slice(tensor.shape.clone()),
        at: ByteOffset(tensor.at),
        size: Bytes(tensor.bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::{Answer, ModeId, answer};

    #[test]
    fn an_answer_is_a_word_or_names_a_mode_by_its_position() {
        assert_eq!(answer("on-miss", "mode 3").unwrap(), Answer::SwitchMode(ModeId(3)));
        for word in Answer::ALL {
            assert_eq!(answer("on-miss", word.name()).unwrap(), word);
        }
        for text in ["mode", "mode ", "mode x", "mode 65536", "modes 1", "mode -1", "skip"] {
            assert!(answer("on-miss", text).is_err(), "{text}");
        }
    }
}
