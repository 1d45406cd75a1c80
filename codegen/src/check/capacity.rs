//! What is wrong with a memory plan, in findings.

use super::budgets::{self, Taken};
use crate::finding::{Code, Finding};
use crate::memory::{Layout, LevelLayout, LevelPool, Pool};
use crate::system::{Device, Level, System};

/// Less than this is little for what nobody measured that a driver takes: more than that of any device that was measured.
const ROOM_FOR_CONTEXT: u64 = 1 << 30;

/// Findings of the memory plan: one a device that its models exceed, with those of the devices that share its memory, or that they
/// exceed with what else counts there, or that may be exceeded by what was not measured.
pub(super) fn judge(system: &System, layout: &Layout) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (position, device) in system.devices.iter().enumerate().filter(|(_, device)| device.shares.is_none()) {
        let drawing = layout.drawing(system, position);
        let draws = |pool: usize| drawing.clone().any(|(other, _)| other == pool);
        let needed = drawing.clone().fold(0_u128, |sum, (_, pool)| {
            sum.saturating_add(u128::from(pool.height.0)).saturating_add(u128::from(pool.weights.0))
        });
        if needed <= u128::from(device.memory.0) {
            findings.extend(beside_models(system, layout, position, needed));
            continue;
        }
        let message = format!(
            "the models need {needed} bytes of device `{}`, which grants {} bytes",
            device.name, device.memory.0
        );
        let mut finding = Finding::error(Code::MemoryExceeded, message);
        for (other, pool) in drawing.clone() {
            let Some(own) = system.devices.get(other) else { continue };
            let text = format!("arena {} bytes, weights {} bytes", pool.height.0, pool.weights.0);
            finding = if other == position {
                finding.at(&system.file, own.span.clone(), text)
            } else {
                finding.also(&system.file, own.span.clone(), format!("shares it: {text}"))
            };
        }
        let residents = system.models.iter().zip(&layout.models).filter(|(_, placement)| draws(placement.pool));
        for (model, placement) in residents {
            finding = finding.also(&system.file, model.span.clone(), Taken::of(model, placement).to_string());
        }
        findings.push(finding.help("grant more memory, use smaller models, or move a lane to another device"));
    }
    findings.extend((0..system.domains.len()).filter_map(|domain| process(system, layout, domain)));
    findings.extend(budgets::judge(system, layout));
    let levels = system.levels.iter().zip(&layout.levels);
    findings.extend(levels.filter_map(|(level, left)| without_effect(system, layout, level, left)));
    findings
}

/// Where a device's models fit: whether they do beside what its driver and copies take, or may not where nobody knows.
fn beside_models(system: &System, layout: &Layout, position: usize, models: u128) -> Option<Finding> {
    let device = system.devices.get(position)?;
    let name = &device.name;
    let (granted, taken) = (device.memory.0, layout.taken(system, position));
    let unknown = |(_, own): &(&Pool, &Device)| own.gpu.is_some() && own.context().is_none();
    let drawing = || layout.drawing(system, position).filter_map(|(at, pool)| Some((pool, system.devices.get(at)?)));
    if taken <= granted {
        let (_, first) = drawing().find(unknown)?;
        let left = granted.saturating_sub(taken);
        if left >= ROOM_FOR_CONTEXT {
            return None;
        }
        let message = format!(
            "of the {granted} bytes that device `{name}` grants {left} are left, and nobody measured what the driver of `{}` takes \
             of them",
            first.name
        );
        let finding = Finding::warning(Code::ContextUnknown, message);
        let text = format!("its profile has no `context-bytes` and `part-bytes`; counted are {taken} bytes");
        let help = "write its profile with `aegis device probe`, or grant more";
        return Some(finding.at(&system.file, first.span.clone(), text).help(help));
    }
    let message = format!(
        "the models need {models} bytes of device `{name}`, which grants {granted} bytes, and with what drivers and copies take \
         that is {taken} bytes"
    );
    let mut finding = Finding::error(Code::DeviceExceeded, message);
    for (pool, own) in drawing() {
        let context = match own.context() {
            Some(context) => format!(", its driver {} bytes", context.0),
            None if own.gpu.is_some() => ", its driver what nobody measured".to_owned(),
            None => String::new(),
        };
        let text = format!("arena {} bytes, weights {} bytes{context}", pool.height.0, pool.weights.0);
        finding = if own.name == *name {
            finding.at(&system.file, own.span.clone(), text)
        } else {
            finding.also(&system.file, own.span.clone(), format!("shares it: {text}"))
        };
    }
    for (gpu, pinned) in layout.copied_with(system, position) {
        let span = system.devices.get(gpu)?.span.clone();
        let text = format!("inputs and outputs of its models have {} bytes of the CPU's memory", pinned.0);
        finding = finding.also(&system.file, span, text);
    }
    Some(finding.help(format!("grant {taken} bytes, give fewer lanes parts of the device, or use smaller models")))
}

/// A domain whose process may have less than its models take.
fn process(system: &System, layout: &Layout, domain: usize) -> Option<Finding> {
    let desc = system.domains.get(domain)?;
    let limit = desc.process.as_ref()?.memory?;
    let parts = system
        .devices
        .iter()
        .zip(&layout.pools)
        .filter(|(device, _)| device.part.is_some_and(|part| part.domain == domain));
    // The arena is a shared object, which the limit of private memory does not count.
    let taken = parts.map(|(_, pool)| pool.weights.0).fold(0, u64::saturating_add);
    if taken < limit.0 {
        return None;
    }
    let message = format!(
        "the process of the domain `{}` may have {} bytes of private memory, and its models' weights take {taken} of them",
        desc.name, limit.0
    );
    let finding = Finding::error(Code::ProcessMemory, message).at(&system.file, desc.span.clone(), "this domain");
    Some(finding.help("grant it more: the runtime's own memory and stacks come on top"))
}

/// A warning where a level sheds models or compacts, and nothing is given back.
fn without_effect(system: &System, layout: &Layout, level: &Level, left: &LevelLayout) -> Option<Finding> {
    let sheds = level.shed.iter().any(|task| system.tasks.get(*task).is_some_and(|task| task.model.is_some()));
    let pools = || system.devices.iter().zip(layout.pools.iter().zip(&left.pools));
    // Those in which something lies.
    let devices = || pools().filter(|(_, (whole, _))| whole.height.0 > 0);
    let gives_back = devices().any(|(device, (whole, left))| is_less(device, whole, left));
    // Where memory has pages nothing has to move.
    let has_pages = devices().all(|(device, _)| device.page.is_some());
    let (what, help) = if level.compact && left.models.is_none() && !has_pages {
        ("compacts, but no lower layout was found that copies can reach", "leave out `compact`, or shed another task")
    } else if (sheds || level.compact) && !gives_back {
        let help = if has_pages { "shed another task" } else { "shed another task, or let the level compact" };
        ("gives no memory back", help)
    } else {
        return None;
    };
    let in_use = |(device, (whole, left)): (&Device, (&Pool, &LevelPool))| {
        let bytes = if device.page.is_some() {
            whole.height.0.saturating_sub(left.unused_bytes(whole.height))
        } else {
            left.height.0
        };
        format!("{bytes} of {} bytes of the arena of `{}`", whole.height.0, device.name)
    };
    let in_use: Vec<String> = devices().map(in_use).collect();
    let message = format!("pressure level `{}` {what}: {} stay in use", level.name, in_use.join(" and "));
    let finding = Finding::warning(Code::LevelWithoutEffect, message);
    Some(finding.at(&system.file, level.span.clone(), "this level").help(help))
}

/// Whether a level leaves less of a device in use: in whole pages where it has them, otherwise as planned, weights included.
fn is_less(device: &Device, whole: &Pool, left: &LevelPool) -> bool {
    if device.page.is_some() {
        return !left.unused.is_empty();
    }
    left.height < whole.height || left.weights < whole.weights
}
