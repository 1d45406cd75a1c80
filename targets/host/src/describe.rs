//! The plan inside a vehicle's binary, in words.

use aegis_core::Duration;
use aegis_core::desc::{ModelDesc, SystemDesc, TensorDesc};
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
                "  {:<16} {model:<16} period {:>12}  deadline {:>12}  priority {:>3}  wcet {:>12}  bound {:>12}",
                task.name,
                ms(task.period),
                ms(task.deadline),
                task.priority.0,
                ms(task.wcet),
                ms(task.response_bound)
            );
        }
    }
    memory(&mut text, system);
    text
}

fn memory(text: &mut String, system: &SystemDesc) {
    for (position, pool) in system.pools.iter().enumerate() {
        let _ = writeln!(
            text,
            "\nmemory {}: arena {} bytes (at least {}, private arenas: {}), weights {}, of {}",
            pool.name, pool.height.0, pool.lower_bound.0, pool.private.0, pool.weights.0, pool.capacity.0
        );
        let models = system.models.iter().filter(|model| model.pool.index() == position);
        let mut regions: Vec<(u64, u64, String)> = models.flat_map(regions).collect();
        regions.sort();
        for (lower, upper, what) in regions {
            let _ = writeln!(text, "  [{lower:>12}, {upper:>12})  {what}");
        }
    }
}

fn regions(model: &ModelDesc) -> Vec<(u64, u64, String)> {
    let region = |at: u64, size: u64, what: String| (at, at.saturating_add(size), format!("{} {what}", model.name));
    let tensor =
        |kind: &str, tensor: &TensorDesc| region(tensor.at.0, tensor.size.0, format!("{kind} {}", tensor.name));
    let mut regions = vec![region(
        model.scratch_at.0,
        model.scratch.0,
        format!("scratch, {}, {} recorded runs", model.memory.name(), model.runs.len()),
    )];
    if model.persistent.0 > 0 {
        regions.push(region(model.persistent_at.0, model.persistent.0, "persistent".to_owned()));
    }
    regions.extend(model.inputs.iter().map(|input| tensor("input", input)));
    regions.extend(model.outputs.iter().map(|output| tensor("output", output)));
    regions
}

fn ms(value: Duration) -> String {
    aegis_linux::table::ms(value)
}
