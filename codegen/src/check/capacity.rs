//! What is wrong with a memory plan, in findings.

use super::budgets::{self, Taken};
use crate::finding::{Code, Finding};
use crate::memory::{Layout, LevelLayout, LevelPool, Pool};
use crate::system::{Device, Level, System};

/// Findings of the memory plan: one a device that its models exceed, with those of the devices that share its memory.
pub(super) fn judge(system: &System, layout: &Layout) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (position, device) in system.devices.iter().enumerate().filter(|(_, device)| device.shares.is_none()) {
        let drawing = layout.drawing(system, position);
        let draws = |pool: usize| drawing.clone().any(|(other, _)| other == pool);
        let needed = drawing.clone().fold(0_u128, |sum, (_, pool)| {
            sum.saturating_add(u128::from(pool.height.0)).saturating_add(u128::from(pool.weights.0))
        });
        if needed <= u128::from(device.memory.0) {
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
    findings.extend(budgets::judge(system, layout));
    let levels = system.levels.iter().zip(&layout.levels);
    findings.extend(levels.filter_map(|(level, left)| without_effect(system, layout, level, left)));
    findings
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
