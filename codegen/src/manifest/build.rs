//! From raw to real: a manifest without an error has everything, and here it is put together.

use std::ops::RangeInclusive;

use aegis_core::desc::{Answer, Asks, Backend, OnStall, RestartDesc, ThresholdDesc, WatchDesc};
use aegis_core::time::Duration;
use aegis_core::units::{Bytes, LevelId, ModeId, Priority};
use toml::Spanned;

use super::check::{Links, is_optimal, kind_of, policy_of};
use super::model::{
    Asset, Chain, Device, Domain, Exceedance, Lane, Manifest, Mode, Model, Pressure, Restart, Runtime, Task, Watch,
    Watchdog, WcetFrom,
};
use super::raw::{self, Member, Raw, RawAnswer, RawStall, Thresholds, WcetKeys};

/// The validated manifest; `None` where something was reported as an error.
pub(crate) fn build(raw: Raw, links: &Links) -> Option<Manifest> {
    let watch = build_watch(&raw)?;
    let mut of_lanes = Vec::new();
    for (index, lane) in raw.lanes.iter().enumerate() {
        let (policy, policy_span) = policy_of(&raw, lane)?;
        let tasks = raw.tasks.iter().zip(&links.lanes).filter(|(_, link)| **link == Some(index)).map(|(task, _)| task);
        let optimal = is_optimal(lane, policy, tasks);
        of_lanes.push((policy, policy_span, kind_of(&raw, links, index)?, optimal));
    }
    let mut lanes = Vec::new();
    for ((lane, device), (policy, policy_span, kind, optimal)) in
        raw.lanes.into_iter().zip(&links.devices).zip(of_lanes)
    {
        lanes.push(Lane {
            name: lane.name,
            device: *device,
            kind,
            core: lane.core?,
            partition: lane.gpu.partition()?,
            policy,
            policy_span,
            preemption: lane.preemption?.0,
            launch: lane.launch,
            optimal,
            overheads: lane.overheads?,
            span: lane.span,
        });
    }
    let mut chains = Vec::new();
    for (chain, members) in raw.chains.into_iter().zip(&links.chains) {
        let members = members.as_ref()?.iter().map(|member| stages(raw.members.get(*member)?));
        let tasks = members.collect::<Option<Vec<_>>>()?;
        chains.push(build_chain(chain, tasks)?);
    }
    let mut pressure = Vec::new();
    for (level, found) in raw.pressure.into_iter().zip(&links.pressure) {
        let ranges = |found: &Option<Vec<usize>>| {
            found.as_ref()?.iter().map(|member| stages(raw.members.get(*member)?)).collect::<Option<Vec<_>>>()
        };
        pressure.push(build_pressure(level, ranges(&found.shed)?, ranges(&found.reject)?)?);
    }
    let mut modes = Vec::new();
    for (mode, found) in raw.modes.into_iter().zip(&links.modes) {
        let members = found.as_ref()?.iter().map(|member| Some(raw.members.get(*member)?.tasks.start));
        let mut tasks = members.collect::<Option<Vec<usize>>>()?;
        tasks.sort_unstable();
        modes.push(Mode { name: mode.name, tasks, span: mode.span });
    }
    let owned: Vec<_> =
        raw.devices.iter().map(|device| device.memory.as_ref().map(|memory| *memory.get_ref())).collect();
    let mut devices = Vec::new();
    for (device, shares) in raw.devices.into_iter().zip(&links.shares) {
        let of_owner = || Some(Spanned::new(device.shares.as_ref()?.span(), owned.get((*shares)?).copied().flatten()?));
        let memory = device.memory.clone().or_else(of_owner)?;
        devices.push(build_device(device, memory, *shares)?);
    }
    let system = raw.system?;
    let watchdog = match raw.watchdog {
        Some(raw) => {
            let on_stall = match raw.on_stall? {
                RawStall::Word(word) => word,
                RawStall::Mode(_) => OnStall::SwitchMode(ModeId(u16::try_from(links.on_stall?).ok()?)),
            };
            Some(Watchdog { timeout: raw.timeout?, device: raw.device?, on_stall })
        }
        None => None,
    };
    let mut tasks = Vec::new();
    let all = raw.tasks.into_iter().zip(&links.lanes).zip(&links.models).zip(&links.domains).zip(&links.answers);
    for ((((task, lane), model), domain), answers) in all {
        tasks.push(build_task(task, (*lane)?, (*model, *domain), *answers, (system.margin_ppm, &system.wcet))?);
    }
    let mut models = Vec::new();
    for (model, domain) in raw.models.into_iter().zip(&links.model_domains) {
        models.push(build_model(model, *domain)?);
    }
    let mut domains = Vec::new();
    for ((domain, meanwhile), lanes) in raw.domains.into_iter().zip(&links.meanwhile).zip(&links.domain_lanes) {
        domains.push(build_domain(domain, *meanwhile, lanes)?);
    }
    Some(Manifest {
        pace: 1,
        name: system.name?,
        crate_dir: system.crate_dir?,
        policy: system.policy?.into_inner(),
        orchestration_core: system.orchestration_core?.0,
        waiting: system.waiting?,
        watchdog,
        watch,
        margin_ppm: system.margin_ppm,
        recheck: system.conditions.recheck?,
        power_mode: system.conditions.power_mode,
        runtimes: raw.runtimes.into_iter().map(build_runtime).collect::<Option<_>>()?,
        devices,
        lanes,
        models,
        assets: raw.assets.into_iter().map(build_asset).collect::<Option<_>>()?,
        domains,
        tasks,
        chains,
        pressure,
        modes,
    })
}

/// What is watched, where anything is; the outer one is `None` where some of it cannot be read.
fn build_watch(raw: &Raw) -> Option<Option<Watch>> {
    fn of(thresholds: &Thresholds, position: u16, asks: fn(u16) -> Asks) -> Option<Vec<ThresholdDesc>> {
        let one = |threshold: &raw::Threshold| {
            let (source, when, until) = (threshold.source, *threshold.when.get_ref(), *threshold.until.get_ref());
            ThresholdDesc { source, when, until, asks: asks(position) }
        };
        Some(thresholds.as_ref()?.iter().map(one).collect())
    }
    let levels = raw
        .pressure
        .iter()
        .zip(0..=u16::MAX)
        .map(|(level, position)| of(&level.thresholds, position, |position| Asks::Level(LevelId(position))));
    let modes = raw.modes.iter().zip(0..=u16::MAX);
    let modes = modes.map(|(mode, position)| of(&mode.thresholds, position, |position| Asks::Mode(ModeId(position))));
    let thresholds = levels.chain(modes).collect::<Option<Vec<_>>>()?.concat();
    let (interval, hold) = match &raw.watch {
        Some(watch) => (watch.interval?, watch.hold?),
        None => (Manifest::WATCH_INTERVAL, Manifest::WATCH_HOLD),
    };
    debug_assert!(interval >= WatchDesc::SHORTEST && hold >= interval);
    Some((!thresholds.is_empty()).then_some(Watch { interval, hold, thresholds }))
}

/// The positions of a member's stages.
fn stages(member: &Member) -> Option<RangeInclusive<usize>> {
    Some(member.tasks.start..=member.tasks.end.checked_sub(1)?)
}

fn build_chain(raw: raw::Chain, tasks: Vec<RangeInclusive<usize>>) -> Option<Chain> {
    Some(Chain {
        name: raw.name,
        tasks,
        max_reaction: raw.max_reaction,
        max_age: raw.max_age,
        communication: raw.communication?.0,
        span: raw.span,
    })
}

fn build_pressure(
    raw: raw::Pressure,
    shed: Vec<RangeInclusive<usize>>,
    reject: Vec<RangeInclusive<usize>>,
) -> Option<Pressure> {
    Some(Pressure { name: raw.name, shed, reject, compact: raw.compact?.0, span: raw.span })
}

fn build_runtime(raw: raw::Runtime) -> Option<Runtime> {
    Some(Runtime {
        name: raw.name,
        version: raw.version?,
        source: raw.source?,
        source_aarch64: raw.source_aarch64,
        beside: raw.beside?,
        span: raw.span,
    })
}

fn build_device(raw: raw::Device, memory: Spanned<Bytes>, shares: Option<usize>) -> Option<Device> {
    Some(Device {
        name: raw.name,
        kind: raw.kind?,
        domain_switch: raw.domain_switch,
        blackouts: raw.gpu.blackouts,
        memory,
        shares,
        copy_per_mib: raw.copy_per_mib,
        page_size: raw.page_size,
        cpu_model: raw.cpu_model,
        governor: raw.governor,
        ordinal: raw.gpu.ordinal?,
        profile: raw.gpu.profile,
        locked: raw.conditions.locked,
        max_temperature: raw.conditions.max_temperature,
        span: raw.span,
    })
}

fn build_model(raw: raw::Model, domain: Option<usize>) -> Option<Model> {
    let is_of_kernels = raw.backend == Some(Backend::Kernels);
    if is_of_kernels && raw.kernels.is_none() {
        return None;
    }
    Some(Model {
        name: raw.name,
        sources: raw.sources?,
        backend: raw.backend?,
        engines: if raw.provider.sound { raw.provider.engines } else { return None },
        domain,
        inputs: raw.inputs,
        tensors: raw.tensors?,
        kernels: raw.kernels,
        untrusted: raw.untrusted.is_some(),
        span: raw.span,
    })
}

fn build_domain(raw: raw::Domain, meanwhile: Option<usize>, lanes: &[Option<usize>]) -> Option<Domain> {
    let restart = match raw.restart {
        Some(restart) => Some(build_restart(restart?)),
        None => None,
    };
    // A name that refers to nothing was reported.
    if raw.meanwhile.is_some() && meanwhile.is_none() {
        return None;
    }
    let cores = raw.cores?.into_iter().zip(lanes).map(|((_, core), lane)| Some(((*lane)?, core?)));
    let mut cores = cores.collect::<Option<Vec<_>>>()?;
    cores.sort_by_key(|(lane, _)| *lane);
    Some(Domain {
        restart,
        meanwhile,
        name: raw.name,
        hand_over: raw.hand_over,
        blackout: raw.blackout,
        kill_after: raw.kill_after,
        heartbeat: raw.heartbeat,
        memory: raw.memory,
        cores,
        span: raw.span,
    })
}

fn build_restart(raw: raw::Restart) -> Restart {
    let within = raw.within.into_inner();
    let back_off_span = raw.back_off.as_ref().map_or(raw.span, Spanned::span);
    let policy = RestartDesc {
        max: u16::from(raw.max.into_inner()),
        within,
        back_off: raw.back_off.map_or(Restart::BACK_OFF.min(within), Spanned::into_inner),
        probation: raw.probation.map_or(within, Spanned::into_inner),
    };
    Restart { policy, blackout: raw.blackout.map_or(Duration::ZERO, Spanned::into_inner), back_off_span }
}

fn build_asset(raw: raw::Asset) -> Option<Asset> {
    Some(Asset { name: raw.name, source: raw.source?, span: raw.span })
}

fn build_task(
    raw: raw::Task,
    lane: usize,
    (model, domain): (Option<usize>, Option<usize>),
    modes: [Option<usize>; 3],
    (system_margin_ppm, system_wcet): (u64, &WcetKeys),
) -> Option<Task> {
    let [overrun, miss, failure] = modes;
    let priority = raw.number().map(|(number, span)| Spanned::new(span, Priority(number)));
    Some(Task {
        name: raw.name,
        after: raw.after,
        domain,
        lane,
        model,
        period: raw.period?,
        deadline: raw.deadline?,
        phase: raw.phase,
        submitted: raw.submitted.is_some(),
        defers: raw.deferred.is_some(),
        optional: raw.optional.is_some(),
        jitter: raw.jitter.map_or(Duration::ZERO, Spanned::into_inner),
        priority,
        execution: raw.execution?,
        region: raw.region,
        suspension: raw.suspension,
        bcet: raw.bcet,
        hooks: raw.hooks.map_or(Duration::ZERO, Spanned::into_inner),
        margin_ppm: raw.margin_ppm.map_or(system_margin_ppm, Spanned::into_inner),
        wcet_from: wcet_from(&raw.wcet, system_wcet)?,
        budget: raw.budget,
        on_overrun: answer(raw.on_overrun, overrun)?,
        on_miss: answer(raw.on_miss, miss)?,
        on_failure: answer(raw.on_failure, failure)?,
        miss_window: raw.miss_window,
        span: raw.span,
    })
}

/// What becomes a task's WCET: its own keys, or else the system's.
fn wcet_from(own: &WcetKeys, system: &WcetKeys) -> Option<WcetFrom> {
    let is_tail = own.is_tail(Some(system))?;
    let given = |keys: &WcetKeys| keys.exceedance.as_ref().map(|exceedance| *exceedance.get_ref());
    let exceedance = given(own).or_else(|| given(system)).unwrap_or(Exceedance::DEFAULT);
    Some(if is_tail { WcetFrom::Tail(exceedance) } else { WcetFrom::Maximum })
}

/// An answer, with the position of the mode that it names.
fn answer(raw: RawAnswer, mode: Option<usize>) -> Option<Answer> {
    Some(match raw {
        RawAnswer::Default => Answer::Continue,
        RawAnswer::Word(word) => word.into_inner(),
        RawAnswer::Mode(_) => Answer::SwitchMode(ModeId(u16::try_from(mode?).ok()?)),
    })
}
