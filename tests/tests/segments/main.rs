//! Real models, cut into segments and chained through one planned arena, compute what the whole models do: also where jobs
//! give way between segments, and where every byte that nothing keeps is overwritten before each of them.

// Overwrites and reads planned memory directly.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

#[path = "../planned_memory/local.rs"]
mod local;
mod vehicle;

use aegis_codegen::fetch::Kind;
use aegis_core::desc::{Life, MemoryControl, ModelDesc, SystemDesc};
use aegis_core::verify::scratch_is_its_own;
use aegis_host::arena::{Arena, BoundTensor};
use aegis_host::backend::{Engine, Place, PlannedMemory, RuntimeBackend as _, bound};
use aegis_host::onnx::{OnnxRuntime, unattributed};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// One model in an arena.
struct Chain {
    desc: &'static ModelDesc,
    engines: Vec<Box<dyn Engine>>,
    inputs: Vec<BoundTensor>,
    outputs: Vec<BoundTensor>,
}

impl Chain {
    fn load(
        runtime: &OnnxRuntime,
        system: &'static SystemDesc,
        model: usize,
        files: &[impl AsRef<Path>],
        arena: &Arc<Arena>,
    ) -> Self {
        let desc = &system.models[model];
        assert_eq!(files.len(), desc.segments.len(), "{}", desc.name);
        let engine = |(number, file): (usize, &_)| {
            let (segment, owns) = (&desc.segments[number], scratch_is_its_own(system, model, number));
            let memory = PlannedMemory::of(desc, segment, owns, &Place::of(arena)).unwrap();
            runtime.load(AsRef::<Path>::as_ref(file), memory).unwrap()
        };
        let tensors = |tensors: &[_]| tensors.iter().map(|tensor| bound(tensor, arena).unwrap()).collect();
        let engines = files.iter().enumerate().map(engine).collect();
        Self { desc, engines, inputs: tensors(desc.inputs), outputs: tensors(desc.outputs) }
    }

    /// What an application would write, the same for a series.
    fn fill(&mut self, series: u32) {
        let mut state = 0x2545_f491_u32 ^ series.wrapping_mul(0x9e37_79b9);
        for tensor in &mut self.inputs {
            // SAFETY: one thread uses the arenas.
            for value in unsafe { tensor.write::<f32>() }.unwrap() {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                *value = f32::from(u16::try_from(state >> 16).unwrap()) / 65_536.0;
            }
        }
    }

    /// Outputs by name.
    fn results(&self) -> BTreeMap<String, Vec<f32>> {
        // SAFETY: as above.
        let read = |tensor: &BoundTensor| (tensor.name.clone(), unsafe { tensor.read::<f32>() }.unwrap().to_vec());
        self.outputs.iter().map(read).collect()
    }

    fn run(&mut self, series: u32) -> BTreeMap<String, Vec<f32>> {
        self.fill(series);
        for engine in &mut self.engines {
            engine.run().unwrap();
        }
        self.results()
    }
}

/// How far a model's job is: the number of segments that have run; `None` where none has begun.
type Progress = Option<usize>;

/// Overwrites all of an arena but what loading left, what is kept, and what the jobs that have begun still need.
fn poison(system: &SystemDesc, progress: &[Progress], arena: &Arc<Arena>, byte: u8) {
    let mut kept: Vec<(u64, u64)> = vec![(system.pools[0].height.0, u64::MAX)];
    for (model, progress) in system.models.iter().zip(progress) {
        let loaded = model.segments.iter();
        kept.extend(loaded.map(|part| (part.persistent_at.0, part.persistent_at.0 + part.persistent.0)));
        for position in 0.. {
            let Some(tensor) = model.tensor(position) else { break };
            let is_needed = match (model.life(position).unwrap(), progress) {
                (Life::Kept, _) => true,
                (Life::Job { from, last }, Some(done)) => {
                    (position < model.inputs.len() || from < *done) && last >= *done
                }
                (Life::Job { .. }, None) => false,
            };
            if is_needed {
                kept.push((tensor.at.0, tensor.at.0 + tensor.size.0));
            }
        }
    }
    kept.sort_unstable();
    let mut at = 0;
    for (start, end) in kept {
        if let Some(length) = start.checked_sub(at).filter(|length| *length > 0) {
            let span = arena.span(at, length).unwrap();
            // SAFETY: nothing runs, and the plan keeps nothing here.
            unsafe { span.base().write_bytes(byte, span.length()) };
        }
        at = at.max(end);
    }
}

/// Runs one job of each model, in an order that the lane's policy allows: whatever is more important may begin at each
/// boundary, and completes before the lane goes back. Returns the outputs and how often a job gave way.
fn interleaved(
    system: &'static SystemDesc,
    chains: &mut [Chain],
    arena: &Arc<Arena>,
    series: u32,
    random: &mut fastrand::Rng,
) -> (Vec<BTreeMap<String, Vec<f32>>>, usize) {
    let mut progress: Vec<Progress> = vec![None; chains.len()];
    let mut results = vec![BTreeMap::new(); chains.len()];
    let mut begun: Vec<usize> = Vec::new();
    let mut gave_way = 0;
    // Tasks are in the order of their importance.
    let importance = |model: usize| {
        system.tasks.iter().position(|task| task.model.is_some_and(|runs| runs.index() == model)).unwrap()
    };
    let mut open: Vec<usize> = (0..chains.len()).collect();
    while !open.is_empty() || !begun.is_empty() {
        let running = begun.last().copied();
        let may_begin: Vec<usize> = match running {
            Some(running) => open.iter().copied().filter(|model| importance(*model) < importance(running)).collect(),
            None => open.clone(),
        };
        if !may_begin.is_empty() && (running.is_none() || random.bool()) {
            let next = may_begin[random.usize(..may_begin.len())];
            open.retain(|model| *model != next);
            gave_way += usize::from(running.is_some_and(|running| progress[running].is_some_and(|done| done > 0)));
            begun.push(next);
            progress[next] = Some(0);
            poison(system, &progress, arena, [0x00, 0xa5, 0xff, 0x7f][random.usize(..4)]);
            chains[next].fill(series);
        }
        let running = *begun.last().unwrap();
        let done = progress[running].unwrap();
        poison(system, &progress, arena, [0x00, 0xa5, 0xff, 0x7f][random.usize(..4)]);
        chains[running].engines[done].run().unwrap();
        progress[running] = Some(done + 1);
        if done + 1 == chains[running].engines.len() {
            results[running] = chains[running].results();
            progress[running] = None;
            begun.pop();
        }
    }
    (results, gave_way)
}

fn close(name: &str, one: &BTreeMap<String, Vec<f32>>, other: &BTreeMap<String, Vec<f32>>) {
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>(), "{name}");
    for (output, values) in one {
        let largest = values.iter().fold(1.0_f32, |largest, value| largest.max(value.abs()));
        let differ = values.iter().zip(&other[output]).filter(|(a, b)| (*a - *b).abs() > 1e-4 * largest).count();
        assert_eq!((differ, values.len()), (0, other[output].len()), "{name}: {output}");
    }
}

#[test]
fn jobs_that_give_way_between_segments_compute_what_whole_models_do() {
    let Some(whole) = local::plan("system.toml") else { return };
    let runtime = OnnxRuntime::open(&whole.file(Kind::Library, "onnxruntime")).unwrap();
    let arena = |system: &SystemDesc| Arena::map(system.pools[0].height.0, true).unwrap();
    let before = unattributed();
    let folder = tempfile::tempdir().unwrap();
    let system = vehicle::plan(&whole, folder.path());
    let shared = arena(system);
    let files = |model: &ModelDesc| vehicle::files(&whole, folder.path(), model.name);
    let load = |arena: &dyn Fn() -> Arc<Arena>| -> Vec<Chain> {
        let models = system.models.iter().enumerate();
        models.map(|(at, model)| Chain::load(&runtime, system, at, &files(model), &arena())).collect()
    };
    let mut together = load(&|| Arc::clone(&shared));
    let mut alone = load(&|| arena(system));
    let mut originals: Vec<Chain> = system
        .models
        .iter()
        .map(|model| {
            let at = whole.system.models.iter().position(|other| other.name == model.name).unwrap();
            let file = whole.file(Kind::Model, model.name);
            Chain::load(&runtime, whole.system, at, &[file], &arena(whole.system))
        })
        .collect();
    let mut random = fastrand::Rng::with_seed(7);
    let mut gave_way = 0;
    for series in 0..40 {
        let (results, times) = interleaved(system, &mut together, &shared, series, &mut random);
        gave_way += times;
        for (at, result) in results.iter().enumerate() {
            let name = system.models[at].name;
            // Each loaded session keeps to an order of its own, so sums may round otherwise: only `alone` is the same cut.
            let undisturbed = alone[at].run(series);
            close(name, &undisturbed, result);
            close(name, &originals[at].run(series), result);
        }
    }
    assert!(gave_way > 20, "{gave_way}");
    for chain in &together {
        assert!(chain.engines.iter().all(|engine| engine.control() == MemoryControl::Planned), "{}", chain.desc.name);
        assert!(chain.engines.iter().all(|engine| engine.scratch_use().refused == 0), "{}", chain.desc.name);
    }
    assert_eq!(unattributed(), before, "every request has a model");
    // What a waiting job keeps lies inside what others use: the plan is not one that would be right anyway.
    let inside = |at: usize, model: &ModelDesc| {
        (0..model.segments.len()).filter(|number| !scratch_is_its_own(system, at, *number)).count()
    };
    let inside: usize = system.models.iter().enumerate().map(|(at, model)| inside(at, model)).sum();
    let pool = &system.pools[0];
    println!(
        "{gave_way} times a job gave way; {inside} segments share their scratch with tensors of waiting jobs; {} bytes, \
         private {}, bound {}",
        pool.height.0, pool.private.0, pool.lower_bound.0
    );
    assert!(inside > 0);
    assert!(pool.height < pool.private);
}
