//! The memory plan for people and machines: where everything lies, what that saves, and what forbids more.
//!
//! [`of`] gathers the figures, schema `aegis.plan/2`; [`text`] prints them, [`svg`] draws the map.

mod levels;
pub mod svg;
pub mod text;

use crate::check::Checked;
use crate::memory::{Layout, Placement, SegmentPlace};
use crate::report::json::{FindingView, findings};
use crate::system::{Lane, Model, Segment, Sequence, System};
use aegis_core::desc::{MemoryControl, Preemption};
use aegis_core::units::{ByteOffset, Bytes};
pub use levels::LevelView;
use serde::Serialize;

/// The schema's name.
pub const SCHEMA: &str = "aegis.plan/2";

/// Everything that `aegis plan` says.
#[derive(Serialize)]
pub struct Report<'a> {
    schema: &'a str,
    /// The vehicle's name, or the manifest's path where it could not be read.
    pub system: &'a str,
    verdict: &'a str,
    /// One per device, in order.
    pub pools: Vec<Pool<'a>>,
    /// The models that have a place, in manifest order.
    pub models: Vec<ModelView<'a>>,
    /// What is left under memory pressure, in manifest order.
    pub levels: Vec<LevelView<'a>>,
    findings: Vec<FindingView<'a>>,
}

/// One device's memory.
#[derive(Serialize)]
pub struct Pool<'a> {
    /// The device's name.
    pub name: &'a str,
    /// What the device grants: its own, or that of the device that it shares.
    pub capacity_bytes: u64,
    /// The device whose memory it draws on; null where it has its own.
    pub shares: Option<&'a str>,
    /// The other devices that draw on the same memory.
    #[serde(skip)]
    pub beside: Vec<&'a str>,
    /// What all devices of this memory take of it together: their arenas, and what backends hold outside.
    pub taken_bytes: u64,
    /// The arena's length.
    pub height_bytes: u64,
    /// No layout is lower.
    pub lower_bound_bytes: u64,
    /// Whether the arena is as long as the bound.
    pub optimal: bool,
    /// What backends hold outside the arena.
    pub weights_bytes: u64,
    /// Of a GPU: what its driver takes; null where nobody measured it, and of a CPU.
    pub context_bytes: Option<u64>,
    /// Of a GPU: what its models have of the CPU's memory, from and to which inputs and outputs are copied.
    pub pinned_bytes: u64,
    /// The device with whose memory that counts; null where no device is of a CPU, and of a CPU.
    pub pinned_with: Option<&'a str>,
    /// Whether it is a GPU that lanes have parts of.
    #[serde(skip)]
    pub is_gpu: bool,
    /// The GPUs whose copies count with its memory, with their bytes.
    #[serde(skip)]
    pub copied_with: Vec<(&'a str, u64)>,
    /// The arena's length if no two models shared a byte.
    pub private_bytes: u64,
    /// What sharing saves.
    pub saved_bytes: u64,
    /// The same of `private_bytes`, rounded down.
    pub saved_percent: u64,
    /// What lies apart from everything: persistent regions, and inputs and outputs that are kept.
    pub kept_bytes: u64,
    /// What stands most in the way of saving more.
    pub forbids_most: Option<Forbids<'a>>,
}

/// Two models that cannot share memory.
#[derive(Serialize)]
pub struct Forbids<'a> {
    /// Their names.
    pub models: [&'a str; 2],
    /// Their lanes.
    pub lanes: [&'a str; 2],
    /// Why they cannot.
    pub reason: Reason,
    /// What would be saved if nothing of the two sides ever needed its bytes at once.
    pub bytes: u64,
}

/// Why two models cannot share memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// They run on different lanes, which work at once.
    Lanes,
    /// A job that gives way keeps its scratch, or both have begun at once.
    Preemption,
    /// A job of the second waits at a boundary, and keeps what its later segments read, while one of the first runs.
    Waiting,
}

/// One model's place.
#[derive(Serialize)]
pub struct ModelView<'a> {
    /// The model's name.
    pub name: &'a str,
    /// The device whose arena it lies in.
    pub pool: &'a str,
    /// The lane that runs it.
    pub lane: &'a str,
    /// What its backend holds outside the arena.
    pub weights_bytes: u64,
    /// Its inputs, outputs, and what its segments hand to later ones.
    pub tensors: Vec<TensorView<'a>>,
    /// Its segments; one where it is not cut.
    pub segments: Vec<SegmentView<'a>>,
}

/// One segment's place.
#[derive(Serialize)]
pub struct SegmentView<'a> {
    /// The model's name, with the segment's number where there are more.
    pub name: &'a str,
    /// How far its memory is planned: `planned`, `capped` or `measured`.
    pub control: &'a str,
    /// What it takes while it is loaded, and holds for ever.
    pub persistent: Region,
    /// What its runs use. Tensors that are live meanwhile may lie inside, where no block does.
    pub scratch: Region,
    /// Its recorded runs.
    pub runs: Vec<RunView>,
    #[serde(skip)]
    segment: &'a Segment,
    #[serde(skip)]
    place: &'a SegmentPlace,
}

/// One tensor's place.
#[derive(Serialize)]
pub struct TensorView<'a> {
    /// The name in the model's files.
    pub name: &'a str,
    /// `input`, `output` or `carried`.
    pub role: &'a str,
    /// Where it lies, with what rounds it up to the alignment.
    pub region: Region,
    /// Its own bytes.
    pub bytes: u64,
    /// The positions of the segments of a job from whose beginning and to whose end it is live; null: always.
    pub segments: Option<(usize, usize)>,
}

/// A half-open part of an arena, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Region {
    /// The first byte.
    pub begin: u64,
    /// The byte after the last.
    pub end: u64,
}

impl Region {
    const fn from(begin: ByteOffset, length: u64) -> Self {
        Self { begin: begin.0, end: begin.0.saturating_add(length) }
    }

    /// Where a tensor lies, with what aligns the next one.
    fn of(at: ByteOffset, tensor: &crate::system::Tensor, alignment: Bytes) -> Self {
        Self::from(at, tensor.size.0.checked_next_multiple_of(alignment.0).unwrap_or(u64::MAX))
    }

    /// How many bytes it has.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.end.saturating_sub(self.begin)
    }
}

/// One recorded run.
#[derive(Clone, Serialize)]
pub struct RunView {
    /// Requests and returns.
    pub events: usize,
    /// Requests.
    pub blocks: usize,
    /// The length that its layout takes of the scratch.
    pub height_bytes: u64,
    /// What is live at once at most.
    pub peak_bytes: u64,
    /// The event, from 1, after which that is live; null where there is none.
    pub peak_event: Option<usize>,
}

impl SegmentView<'_> {
    /// The recorded run that needs most, the first of equals, with its position.
    fn peak(&self) -> Option<(usize, &RunView)> {
        self.runs.iter().enumerate().rev().max_by_key(|(_, run)| run.peak_bytes)
    }

    /// Whether the runtime's own sequence divides its scratch.
    fn is_capped(&self) -> bool {
        self.segment.memory == MemoryControl::Capped
    }
}

impl ModelView<'_> {
    /// The bytes of tensors of some roles.
    fn bytes_of(&self, roles: &[&str]) -> u64 {
        let those = self.tensors.iter().filter(|tensor| roles.contains(&tensor.role));
        those.map(|tensor| tensor.bytes).fold(0, u64::saturating_add)
    }

    /// What it keeps always, and never shares.
    fn kept(&self) -> u64 {
        let tensors = self.tensors.iter().filter(|tensor| tensor.segments.is_none()).map(|tensor| tensor.region);
        let regions = self.segments.iter().map(|segment| segment.persistent).chain(tensors);
        regions.map(Region::bytes).fold(0, u64::saturating_add)
    }
}

/// Gathers the plan of a check. `name` stands for the system where the manifest could not be read; `text` is the
/// manifest's.
#[must_use]
pub fn of<'a>(checked: &'a Checked, name: &'a str, text: &str) -> Report<'a> {
    let system = checked.resolved.as_ref().map(|resolved| &resolved.system);
    let (pools, models, levels) = match (system, &checked.layout) {
        (Some(system), Some(layout)) => {
            let models = models(system, layout);
            let settles = checked.lock.as_ref().map(|lock| lock.plan.levels.iter().map(|level| level.settles_ns));
            let settles: Vec<u64> = settles.into_iter().flatten().collect();
            (pools(system, layout, &models), models, levels::of(system, layout, &settles))
        }
        _ => (Vec::new(), Vec::new(), Vec::new()),
    };
    Report {
        schema: SCHEMA,
        system: system.map_or(name, |system| &system.name),
        verdict: if checked.passes() { "pass" } else { "fail" },
        pools,
        models,
        levels,
        findings: findings(&checked.findings, text),
    }
}

impl Report<'_> {
    /// The report as JSON.
    ///
    /// # Errors
    /// Only what the serializer says, which is an internal error.
    pub fn json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

fn lane_of(system: &System, model: usize) -> Option<&Lane> {
    let task = system.tasks.iter().find(|task| task.model == Some(model))?;
    system.lanes.get(task.lane)
}

/// The models that some task runs on a lane with a device: the others have no bytes in any arena.
fn models<'a>(system: &'a System, layout: &'a Layout) -> Vec<ModelView<'a>> {
    let view = |(index, (model, placement)): (usize, (&'a Model, &'a Placement))| {
        let lane = lane_of(system, index)?;
        let device = system.devices.get(system.home(lane.device?, model.domain))?;
        Some(ModelView {
            name: &model.name,
            pool: &device.name,
            lane: &lane.name,
            weights_bytes: model.weights()?.0,
            tensors: tensors(model, placement, device.alignment()),
            segments: model.segments.iter().zip(&placement.segments).map(segment).collect(),
        })
    };
    system.models.iter().zip(&layout.models).enumerate().filter_map(view).collect()
}

fn segment<'a>((segment, place): (&'a Segment, &'a SegmentPlace)) -> SegmentView<'a> {
    SegmentView {
        name: &segment.file.name,
        control: segment.memory.name(),
        persistent: Region::from(place.persistent, place.load.height.0),
        scratch: Region::from(place.scratch, place.scratch_bytes.0),
        runs: segment.runs.iter().zip(&place.runs).map(|(run, plan)| run_view(run, plan)).collect(),
        segment,
        place,
    }
}

fn run_view(run: &Sequence, plan: &crate::memory::SequencePlan) -> RunView {
    RunView {
        events: run.events(),
        blocks: run.blocks().len(),
        height_bytes: plan.height.0,
        peak_bytes: plan.lower_bound.0,
        peak_event: (!run.is_empty()).then_some(plan.peak.saturating_add(1)),
    }
}

fn tensors<'a>(model: &'a Model, placement: &Placement, alignment: Bytes) -> Vec<TensorView<'a>> {
    let (inputs, kept) = (model.inputs.len(), model.inputs.len().saturating_add(model.outputs.len()));
    let places = model.all_tensors().zip(&placement.tensors).zip(model.lives()).enumerate();
    let view =
        |(position, ((tensor, at), segments)): (usize, ((&'a crate::system::Tensor, &ByteOffset), _))| TensorView {
            name: &tensor.name,
            role: match position {
                _ if position < inputs => "input",
                _ if position < kept => "output",
                _ => "carried",
            },
            region: Region::of(*at, tensor, alignment),
            bytes: tensor.size.0,
            segments,
        };
    places.map(view).collect()
}

/// The GPUs that name a device as the one with whose memory their copies count, with their bytes.
fn copied_with<'a>(system: &'a System, layout: &Layout, device: &crate::system::Device) -> Vec<(&'a str, u64)> {
    let gpus = system.devices.iter().zip(&layout.pools);
    let here = gpus.filter(|(gpu, pool)| pool.pinned.0 > 0 && system.staging_name(gpu) == Some(&device.name));
    here.map(|(gpu, pool)| (gpu.name.as_str(), pool.pinned.0)).collect()
}

fn pools<'a>(system: &'a System, layout: &Layout, models: &[ModelView<'a>]) -> Vec<Pool<'a>> {
    let pool = |(position, (device, pool)): (usize, (&'a crate::system::Device, &crate::memory::Pool))| {
        let saved = pool.private.0.saturating_sub(pool.height.0);
        let here = models.iter().filter(|model| model.pool == device.name);
        let kept = here.map(ModelView::kept);
        Pool {
            name: &device.name,
            capacity_bytes: device.memory.0,
            shares: system.shared_name(device),
            beside: layout.beside(system, position),
            taken_bytes: layout.taken(system, position),
            height_bytes: pool.height.0,
            lower_bound_bytes: pool.lower_bound.0,
            optimal: pool.height == pool.lower_bound,
            weights_bytes: pool.weights.0,
            context_bytes: device.context().map(|bytes| bytes.0),
            pinned_bytes: pool.pinned.0,
            pinned_with: system.staging_name(device),
            is_gpu: device.gpu.is_some(),
            copied_with: copied_with(system, layout, device),
            private_bytes: pool.private.0,
            saved_bytes: saved,
            saved_percent: pool.saved_percent(),
            kept_bytes: kept.fold(0, u64::saturating_add),
            forbids_most: pool.forbids_most.and_then(|(first, second, bytes)| {
                let (one, other) = (system.models.get(first)?, system.models.get(second)?);
                let (lane, beside) = (lane_of(system, first)?, lane_of(system, second)?);
                let reason = match () {
                    () if lane.name != beside.name => Reason::Lanes,
                    () if lane.preemption == Preemption::Segments => Reason::Waiting,
                    () => Reason::Preemption,
                };
                Some(Forbids {
                    models: [&one.name, &other.name],
                    lanes: [&lane.name, &beside.name],
                    reason,
                    bytes: bytes.0,
                })
            }),
        }
    };
    system.devices.iter().zip(&layout.pools).enumerate().map(pool).collect()
}
