//! From raw to real: a manifest without an error has everything, and here it is put together.

use super::check::{Links, policy_of};
use super::model::{Asset, Device, Lane, Manifest, Model, Runtime, Task};
use super::raw::{self, Raw};

/// The validated manifest; `None` where something was reported as an error.
pub(crate) fn build(raw: Raw, links: &Links) -> Option<Manifest> {
    let policies: Option<Vec<_>> = raw.lanes.iter().map(|lane| policy_of(&raw, lane)).collect();
    let mut lanes = Vec::new();
    for ((lane, device), (policy, policy_span)) in raw.lanes.into_iter().zip(&links.devices).zip(policies?) {
        lanes.push(Lane {
            name: lane.name,
            device: *device,
            core: lane.core?,
            policy,
            policy_span,
            overheads: lane.overheads?,
            span: lane.span,
        });
    }
    let system = raw.system?;
    let mut tasks = Vec::new();
    for ((task, lane), model) in raw.tasks.into_iter().zip(&links.lanes).zip(&links.models) {
        tasks.push(build_task(task, (*lane)?, *model, system.margin_ppm)?);
    }
    Some(Manifest {
        name: system.name?,
        crate_dir: system.crate_dir?,
        policy: system.policy?.into_inner(),
        orchestration_core: system.orchestration_core?.0,
        margin_ppm: system.margin_ppm,
        runtimes: raw.runtimes.into_iter().map(build_runtime).collect::<Option<_>>()?,
        devices: raw.devices.into_iter().map(build_device).collect::<Option<_>>()?,
        lanes,
        models: raw.models.into_iter().map(build_model).collect::<Option<_>>()?,
        assets: raw.assets.into_iter().map(build_asset).collect::<Option<_>>()?,
        tasks,
    })
}

fn build_runtime(raw: raw::Runtime) -> Option<Runtime> {
    Some(Runtime {
        name: raw.name,
        version: raw.version?,
        source: raw.source?,
        source_aarch64: raw.source_aarch64,
        span: raw.span,
    })
}

fn build_device(raw: raw::Device) -> Option<Device> {
    Some(Device {
        name: raw.name,
        memory: raw.memory?,
        cpu_model: raw.cpu_model,
        governor: raw.governor,
        span: raw.span,
    })
}

fn build_model(raw: raw::Model) -> Option<Model> {
    Some(Model { name: raw.name, source: raw.source?, backend: raw.backend?, inputs: raw.inputs, span: raw.span })
}

fn build_asset(raw: raw::Asset) -> Option<Asset> {
    Some(Asset { name: raw.name, source: raw.source?, span: raw.span })
}

fn build_task(raw: raw::Task, lane: usize, model: Option<usize>, system_margin_ppm: u64) -> Option<Task> {
    Some(Task {
        name: raw.name,
        lane,
        model,
        period: raw.period?,
        deadline: raw.deadline?,
        phase: raw.phase,
        jitter: raw.jitter,
        priority: raw.priority,
        execution: raw.execution?,
        bcet: raw.bcet,
        hooks: raw.hooks.map_or(aegis_core::Duration::ZERO, toml::Spanned::into_inner),
        margin_ppm: raw.margin_ppm.map_or(system_margin_ppm, toml::Spanned::into_inner),
        budget: raw.budget,
        on_overrun: raw.on_overrun,
        span: raw.span,
    })
}
