//! The memory plan as text.

use super::{Forbids, LevelView, ModelView, Pool, Reason, Region, Report, SegmentView};
use crate::report::table::{beside, bytes, table};
use aegis_core::time::Duration;
use comfy_table::CellAlignment;
use std::fmt::Write as _;

/// Renders pools and models; empty where nothing was planned.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let mut text = String::new();
    for pool in &report.pools {
        let models: Vec<&ModelView<'_>> = report.models.iter().filter(|model| model.pool == pool.name).collect();
        // Writing to a string does not fail.
        let _ = write_pool(&mut text, pool, &models);
    }
    for level in &report.levels {
        let _ = write_level(&mut text, level);
    }
    text
}

fn both(size: u64) -> String {
    if size < 1_024 { format!("{size} B") } else { format!("{} ({size} B)", bytes(size)) }
}

fn region(region: Region) -> String {
    match region.bytes() {
        0 => "-".to_owned(),
        size => format!("[{}, {}) {}", region.begin, region.end, bytes(size)),
    }
}

fn write_pool(text: &mut String, pool: &Pool<'_>, models: &[&ModelView<'_>]) -> std::fmt::Result {
    let beside = beside(&pool.beside, pool.taken_bytes);
    writeln!(text, "memory {}: {} granted{beside}", pool.name, both(pool.capacity_bytes))?;
    if models.is_empty() {
        writeln!(text, "  no model lies here")?;
        write_besides(text, pool)?;
        return writeln!(text);
    }
    writeln!(text, "  arena        {}", both(pool.height_bytes))?;
    if pool.optimal {
        writeln!(text, "  lower bound  the same: it is the lowest, the models' witnesses need as much")?;
    } else {
        let gap = pool.height_bytes.saturating_sub(pool.lower_bound_bytes);
        writeln!(text, "  lower bound  {}: a gap of {} is open", both(pool.lower_bound_bytes), both(gap))?;
    }
    writeln!(text, "  outside      {} that backends hold, not shared", both(pool.weights_bytes))?;
    write_besides(text, pool)?;
    writeln!(text, "  private      {} if no two models shared a byte", both(pool.private_bytes))?;
    writeln!(text, "  saved        {} %, {}", pool.saved_percent, both(pool.saved_bytes))?;
    match &pool.forbids_most {
        Some(forbids) => writeln!(text, "  forbids more {}", why(forbids))?,
        None => writeln!(
            text,
            "  forbids more nothing that runs at once; what remains beside the largest run is kept memory, {}",
            both(pool.kept_bytes)
        )?,
    }
    let header =
        ["model", "lane", "control", "persistent", "inputs + outputs", "scratch", "runs", "blocks", "peak live"];
    let mut rows = table(&header);
    for model in models {
        for (position, segment) in model.segments.iter().enumerate() {
            rows.add_row([
                segment.name.to_owned(),
                model.lane.to_owned(),
                segment.control.to_owned(),
                region(segment.persistent),
                if position == 0 { tensors(model) } else { String::new() },
                region(segment.scratch),
                segment.runs.len().to_string(),
                list(segment.runs.iter().map(|run| run.blocks.to_string())),
                peak(segment),
            ]);
        }
    }
    for column in rows.column_iter_mut().skip(6).take(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(text, "{rows}\n")
}

/// What is taken besides arena and weights.
fn write_besides(text: &mut String, pool: &Pool<'_>) -> std::fmt::Result {
    match pool.context_bytes {
        Some(context) => {
            writeln!(text, "  context      {} that the driver takes for the process and its parts", both(context))?
        }
        None if pool.is_gpu => writeln!(
            text,
            "  context      not measured, so not counted: `aegis device probe` tells what the driver takes"
        )?,
        None => {}
    }
    if pool.pinned_bytes > 0 && pool.pinned_with != Some(pool.name) {
        let counted = match pool.pinned_with {
            Some(with) => format!("counted with {with}"),
            None => "not counted: no device is of a CPU".to_owned(),
        };
        writeln!(
            text,
            "  pinned       {} of the CPU's memory for inputs and outputs, {counted}",
            both(pool.pinned_bytes)
        )?;
    }
    for (gpu, pinned) in &pool.copied_with {
        let of = if *gpu == pool.name { String::new() } else { format!(" of {gpu}") };
        writeln!(text, "  pinned       {} for inputs and outputs{of} that hooks see", both(*pinned))?;
    }
    Ok(())
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { "-".to_owned() } else { items.join(" + ") }
}

/// A model's tensors in one cell.
fn tensors(model: &ModelView<'_>) -> String {
    let bound = model.bytes_of(&["input", "output"]);
    let kept = model.tensors.iter().any(|tensor| tensor.segments.is_none());
    let carried = match model.bytes_of(&["carried"]) {
        0 => String::new(),
        carried => format!("; carried {}", both(carried)),
    };
    format!("{}, {}{carried}", both(bound), if kept { "kept" } else { "job" })
}

/// A level of pressure in a few lines.
fn write_level(text: &mut String, level: &LevelView<'_>) -> std::fmt::Result {
    writeln!(text, "pressure {}", level.name)?;
    for (what, tasks) in [("sheds", &level.shed), ("rejects", &level.reject)] {
        if !tasks.is_empty() {
            writeln!(text, "  {what:<12} {}", tasks.join(", "))?;
        }
    }
    for pool in &level.pools {
        let open = match pool.height_bytes.saturating_sub(pool.lower_bound_bytes) {
            0 => "no layout of what stays is lower".to_owned(),
            gap => format!("{} above what no layout of it undercuts", both(gap)),
        };
        writeln!(text, "  {:<12} arena {} in use, {open}", pool.name, both(pool.height_bytes))?;
        writeln!(
            text,
            "  {:<12} {} less than without pressure, {} held outside{}",
            "",
            both(pool.given_back_bytes),
            both(pool.weights_bytes),
            beside(&pool.beside, pool.taken_bytes)
        )?;
        if let Some(unused) = pool.unused_bytes {
            writeln!(
                text,
                "  {:<12} {} given back while the vehicle runs, in whole pages: what loading took stays",
                "",
                both(unused)
            )?;
        }
    }
    match level.copied_bytes {
        Some(copied) => {
            writeln!(text, "  compacts     {} of kept tensors are copied while nothing runs", both(copied))?;
            for copy in &level.moves {
                let (from, to) = (region(copy.from), region(copy.to));
                writeln!(text, "  {:<12} {}: {} from {from} to {to}", "", copy.model, copy.tensor)?;
            }
        }
        None if level.compact && level.pools.iter().any(|pool| pool.unused_bytes.is_some()) => {
            writeln!(text, "  compacts     page by page: nothing moves")?
        }
        None if level.compact => {
            writeln!(text, "  compacts     no lower layout was found that copies can reach, so nothing moves")?
        }
        None => {}
    }
    match level.settles_ns {
        Some(ns) => writeln!(text, "  settles      within {}\n", crate::check::show(Duration::from_ns(ns))),
        None => writeln!(text, "  settles      not known: the schedule is not proven\n"),
    }
}

fn peak(model: &SegmentView<'_>) -> String {
    let Some((position, run)) = model.peak() else { return "-".to_owned() };
    let Some(event) = run.peak_event else { return "-".to_owned() };
    let of = if model.runs.len() > 1 { format!(" of run {}", position.saturating_add(1)) } else { String::new() };
    format!("{} after event {event}{of}", both(run.peak_bytes))
}

/// Why two models cannot share, and what that costs.
fn why(forbids: &Forbids<'_>) -> String {
    let ([one, other], [lane, beside], saved) = (forbids.models, forbids.lanes, both(forbids.bytes));
    match forbids.reason {
        Reason::Lanes => format!(
            "{one} (lane {lane}) and {other} (lane {beside}) can run at once; if these lanes never did, {saved} more \
             would be saved"
        ),
        Reason::Waiting => format!(
            "a job of {other} waits at a boundary while {one} runs (lane {lane}), and keeps what it still needs; if it \
             never did, at most {saved} more would be saved"
        ),
        Reason::Preemption => format!(
            "{one} and {other} (lane {lane}) can both have begun, and a job that gives way keeps its scratch; if they \
             never did, {saved} more would be saved"
        ),
    }
}
