//! The plan inside a vehicle's binary, in words.

use aegis_core::Duration;
use aegis_core::TaskId;
use aegis_core::desc::{Life, ModelDesc, PoolDesc, SegmentDesc, SystemDesc, TensorDesc};
use aegis_linux::summary::hex;
use std::fmt::Write as _;

/// What `--describe` prints.
#[must_use]
pub(crate) fn describe(system: &SystemDesc) -> String {
    let mut text = String::new();
    let machine = &system.machine;
    let governor = if machine.governor.is_empty() { "no clock governor" } else { machine.governor };
    let _ = writeln!(text, "vehicle      {}", system.name);
    let _ = writeln!(text, "plan         sha256 {}", hex(&system.config_hash));
    let _ = writeln!(text, "manifest     sha256 {}", hex(&system.manifest_hash));
    let _ = writeln!(text, "generator    {}, table layout {}", system.generator, system.layout);
    let (arch, model, cores) = (machine.arch, machine.cpu_model, machine.cores);
    let _ = writeln!(text, "machine      {arch}, {model}, {cores} cores, {governor}");
    for library in system.libraries {
        let _ = writeln!(text, "library      {} {}, sha256 {}", library.name, library.version, library.sha256);
    }
    let _ = writeln!(text, "orchestration on core {}", system.orchestration_core);
    if let Some(watchdog) = &system.watchdog {
        let (device, answer) = (watchdog.device.unwrap_or("no device"), watchdog.on_stall.name());
        let _ = writeln!(text, "watchdog     timeout {}, {device}, at a stall {answer}", ms(watchdog.timeout));
    }
    for (position, lane) in system.lanes.iter().enumerate() {
        let (overhead, latency) =
            (ms(lane.segment_overhead().unwrap_or(Duration::MAX)), ms(lane.lateness().unwrap_or(Duration::MAX)));
        let (name, core, policy) = (lane.name, lane.core, lane.policy.name());
        let _ = writeln!(
            text,
            "\nlane {name}: core {core}, {policy}, dispatch overhead {overhead}, wake-up latency {latency}, busy at most {}",
            ms(lane.busy_period)
        );
        for task in system.tasks.iter().filter(|task| task.lane.index() == position) {
            let model =
                task.model.and_then(|model| system.models.get(model.index())).map_or("no model", |model| model.name);
            let _ = writeln!(
                text,
                "  {:<16} {model:<16} period {:>12}  deadline {:>12}  priority {:>3}  wcet {:>12}  bound {:>12}{}{}",
                task.name,
                ms(task.period),
                ms(task.deadline),
                task.priority.0,
                ms(task.wcet),
                ms(task.response_bound),
                pieces(task.segments.len()),
                if task.optional { "  optional: released once it is admitted" } else { "" }
            );
        }
    }
    modes(&mut text, system);
    memory(&mut text, system);
    text
}

/// The modes and levels that the application can ask for.
fn modes(text: &mut String, system: &SystemDesc) {
    for mode in system.modes {
        let _ = writeln!(text, "\nmode {}: leaving it takes at most {}", mode.name, ms(mode.leaves));
        for task in mode.proven {
            let _ = writeln!(text, "  {:<16} bound {:>12}", task.name, ms(task.response_bound));
        }
    }
    for level in system.levels {
        let names = |tasks: &[TaskId]| {
            let names = tasks.iter().filter_map(|task| Some(system.tasks.get(task.index())?.name));
            let names = names.collect::<Vec<_>>().join(", ");
            if names.is_empty() { "nothing".to_owned() } else { names }
        };
        let (shed, reject, settles) = (names(level.shed), names(level.reject), ms(level.settles));
        let _ = writeln!(text, "\nlevel {}: sheds {shed}, rejects {reject}, settles within {settles}", level.name);
    }
}

/// What a task's line says of the pieces of its jobs; nothing where they are one piece.
fn pieces(segments: usize) -> String {
    if segments > 1 { format!("  in {segments} segments") } else { String::new() }
}

fn memory(text: &mut String, system: &SystemDesc) {
    for (position, pool) in system.pools.iter().enumerate() {
        let _ = writeln!(
            text,
            "\nmemory {}: arena {} bytes (at least {}, private arenas: {}), weights {}, of {}{}",
            pool.name,
            pool.height.0,
            pool.lower_bound.0,
            pool.private.0,
            pool.weights.0,
            pool.capacity.0,
            beside(system, position)
        );
        let models = system.models.iter().filter(|model| model.pool.index() == position);
        let mut regions: Vec<(u64, u64, String)> = models.flat_map(regions).collect();
        regions.sort();
        for (lower, upper, what) in regions {
            let _ = writeln!(text, "  [{lower:>12}, {upper:>12})  {what}");
        }
    }
}

/// With which pools a pool shares its capacity; nothing where it has it alone.
fn beside(system: &SystemDesc, pool: usize) -> String {
    let owner = |position: usize, pool: &PoolDesc| pool.shares.map_or(position, |owner| owner.index());
    let own = system.pools.get(pool).map(|desc| owner(pool, desc));
    let others = system.pools.iter().enumerate().filter(|(position, _)| *position != pool);
    let others = others.filter(|(position, desc)| Some(owner(*position, desc)) == own).map(|(_, desc)| desc.name);
    let names: Vec<&str> = others.collect();
    if names.is_empty() { String::new() } else { format!(", shared with {}", names.join(", ")) }
}

fn regions(model: &ModelDesc) -> Vec<(u64, u64, String)> {
    let region = |at: u64, size: u64, what: String| (at, at.saturating_add(size), format!("{} {what}", model.name));
    let tensor =
        |kind: &str, tensor: &TensorDesc| region(tensor.at.0, tensor.size.0, format!("{kind} {}", tensor.name));
    let of_segment = |(position, segment): (usize, &SegmentDesc)| {
        let which = if model.segments.len() > 1 { format!("segment {} ", number(position)) } else { String::new() };
        let (control, runs) = (segment.memory.name(), segment.runs.len());
        let scratch = format!("{which}scratch, {control}, {runs} recorded runs");
        let persistent = (segment.persistent.0 > 0)
            .then(|| region(segment.persistent_at.0, segment.persistent.0, format!("{which}persistent")));
        [Some(region(segment.scratch_at.0, segment.scratch.0, scratch)), persistent].into_iter().flatten()
    };
    let mut regions: Vec<_> = model.segments.iter().enumerate().flat_map(of_segment).collect();
    regions.extend(model.inputs.iter().map(|input| tensor("input", input)));
    regions.extend(model.outputs.iter().map(|output| tensor("output", output)));
    let before = model.inputs.len().saturating_add(model.outputs.len());
    regions.extend(model.carried.iter().enumerate().map(|(position, carried)| {
        let life = match model.life(before.saturating_add(position)) {
            Some(Life::Job { from, last }) => format!(" from segment {} to {}", number(from), number(last)),
            Some(Life::Kept) | None => String::new(),
        };
        region(carried.at.0, carried.size.0, format!("carried {}{life}", carried.name))
    }));
    regions
}

/// People count from 1.
const fn number(position: usize) -> usize {
    position.saturating_add(1)
}

fn ms(value: Duration) -> String {
    aegis_linux::table::ms(value)
}
