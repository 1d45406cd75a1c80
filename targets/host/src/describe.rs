//! The plan inside a vehicle's binary, in words.

use aegis_core::Duration;
use aegis_core::TaskId;
use aegis_core::desc::{
    Answer, Asks, EngineDesc, LevelPoolDesc, Life, ModelDesc, OnStall, PoolDesc, SegmentDesc, SystemDesc, TensorDesc,
};
use aegis_linux::sources::shown;
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
    let (core, waiting) = (system.orchestration_core, system.waiting.name());
    let _ = writeln!(text, "orchestration on core {core}, threads wait {waiting}");
    if let Some(watchdog) = &system.watchdog {
        let device = watchdog.device.unwrap_or("no device");
        let answer = match watchdog.on_stall {
            OnStall::SwitchMode(mode) => format!("mode {}", asks(system, Asks::Mode(mode))),
            word => word.name().to_owned(),
        };
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
        if let Some(partition) = &lane.partition {
            let pool = system.pools.get(partition.pool.index());
            let device = pool.map_or("", |pool| pool.name);
            let gpu = pool.and_then(|pool| pool.gpu).map_or("", |gpu| gpu.name);
            let (sms, completion) = (partition.sms, partition.completion.name());
            let _ = writeln!(text, "  {sms} SMs of {device} ({gpu}), completion by {completion}");
        }
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
    watched(&mut text, system);
    domains(&mut text, system);
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
        let bytes = |(pool, left): (&PoolDesc, &LevelPoolDesc)| {
            let ends = left.unused.iter().map(|pages| (pages.at.0, pages.at.0.saturating_add(pages.size.0)));
            ends.map(|(at, end)| end.min(pool.height.0).saturating_sub(at)).fold(0, u64::saturating_add)
        };
        let unused = system.pools.iter().zip(level.pools).map(bytes).fold(0, u64::saturating_add);
        let name = level.name;
        let _ = writeln!(
            text,
            "\nlevel {name}: sheds {shed}, rejects {reject}, settles within {settles}, gives {unused} bytes of the arenas back"
        );
    }
}

/// The sources that ask for levels and modes.
fn watched(text: &mut String, system: &SystemDesc) {
    let Some(watch) = &system.watch else { return };
    let _ = writeln!(text, "\nwatched every {}, what is asked for is held for {}", ms(watch.interval), ms(watch.hold));
    for threshold in watch.thresholds {
        let source = threshold.source;
        let (from, until, what) =
            (shown(source, threshold.when), shown(source, threshold.until), asks(system, threshold.asks));
        let _ = writeln!(text, "  {:<16} {what:<16} from {from} until {until}", source.name());
    }
}

/// The name of a level or a mode.
fn asks(system: &SystemDesc, asks: Asks) -> &'static str {
    match asks {
        Asks::Level(level) => system.levels.get(level.index()).map_or("", |level| level.name),
        Asks::Mode(mode) => system.modes.get(mode.index()).map_or("", |mode| mode.name),
    }
}

/// The fault domains, what lies in each, and what lets it fail.
fn domains(text: &mut String, system: &SystemDesc) {
    for (number, domain) in system.domains.iter().enumerate() {
        let tasks = || system.tasks.iter().filter(|task| task.domain.is_some_and(|domain| domain.index() == number));
        let names: Vec<&str> = tasks().map(|task| task.name).collect();
        let _ = writeln!(text, "\ndomain {}: {}", domain.name, names.join(", "));
        for task in tasks() {
            let answers =
                [("an overrun", task.on_overrun), ("a miss", task.on_miss), ("a failed job", task.on_failure)];
            for (what, _) in answers.iter().filter(|(_, answer)| *answer == Answer::FailDomain) {
                let _ = writeln!(text, "  fails at {what} of {}", task.name);
            }
        }
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
        let own = system.models.iter().filter(|model| model.pool.index() == position);
        for (model, engines) in own.filter_map(|model| Some((model, model.engines.as_ref()?))) {
            let EngineDesc { library, version, precision, workspace } = engines;
            let (library, precision) = (library.name(), precision.name());
            let count = model.segments.len();
            let _ = writeln!(
                text,
                "  {} has {count} engines of {library} {version}, precision {precision}, at most {} bytes of workspace each, outside the arena",
                model.name, workspace.0
            );
        }
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

#[cfg(test)]
mod tests {
    use super::describe;
    use aegis_core::desc::{
        Asks, LevelDesc, ModeDesc, OnStall, SystemDesc, ThresholdDesc, WatchDesc, WatchdogDesc, WatchedSource,
    };
    use aegis_core::{Duration, LevelId, ModeId};

    #[test]
    fn what_sources_and_stalls_ask_for_is_told_by_name() {
        const MODE: ModeDesc = ModeDesc { name: "calm", tasks: &[], lanes: &[], proven: &[], leaves: Duration::ZERO };
        const LEVEL: LevelDesc = LevelDesc {
            name: "high",
            shed: &[],
            reject: &[],
            pools: &[],
            models: &[],
            moves: &[],
            settles: Duration::ZERO,
        };
        let second = Duration::from_ns(1_000_000_000);
        let of = |source, when, until, asks| ThresholdDesc { source, when, until, asks };
        let thresholds = vec![
            of(WatchedSource::MemorySome, 2_000, 1_050, Asks::Level(LevelId(0))),
            of(WatchedSource::FreeMemory, 512 << 20, 640 << 20, Asks::Mode(ModeId(1))),
        ];
        let system = SystemDesc {
            watchdog: Some(WatchdogDesc { timeout: second, device: None, on_stall: OnStall::SwitchMode(ModeId(1)) }),
            watch: Some(WatchDesc { interval: second, hold: second, thresholds: thresholds.leak() }),
            levels: &[LEVEL],
            modes: &[ModeDesc { name: "busy", ..MODE }, MODE],
            ..SystemDesc::EMPTY
        };
        let text = describe(&system);
        for line in [
            "watchdog     timeout 1000.000 ms, no device, at a stall mode calm",
            "watched every 1000.000 ms, what is asked for is held for 1000.000 ms",
            "  memory-some      high             from 20.00 % until 10.50 %",
            "  free-memory      calm             from 512.0 MiB until 640.0 MiB",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
