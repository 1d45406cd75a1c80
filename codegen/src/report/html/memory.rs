//! The memory of each device: what lies where, the lower bound and what sharing saves, and what is left under pressure.

use super::format::{Data, bytes};
use super::tasks::State;
use crate::check::show;
use crate::report::ink::{COLORS, STYLE};
use crate::report::memory::{LevelView, Pool, Reason, Report, svg};
use aegis_core::Duration;
use std::fmt::Write as _;

/// A device's memory.
pub(super) struct PoolView<'a> {
    pub(super) name: &'a str,
    pub(super) shares: Option<&'a str>,
    pub(super) capacity: Data,
    pub(super) taken: Data,
    pub(super) state: State,
    pub(super) arena: Data,
    pub(super) lower_bound: Data,
    pub(super) optimal: bool,
    pub(super) private: Data,
    pub(super) saved: Data,
    pub(super) saved_percent: u64,
    pub(super) weights: Data,
    /// What of it stands in the way of saving more.
    pub(super) forbids: Option<String>,
    /// The map; `None` where no model lies there.
    pub(super) map: Option<String>,
}

/// All devices' memory.
pub(super) fn pools<'a>(report: &Report<'a>) -> Vec<PoolView<'a>> {
    report.pools.iter().map(|pool| view(report, pool)).collect()
}

fn view<'a>(report: &Report<'a>, pool: &Pool<'a>) -> PoolView<'a> {
    PoolView {
        name: pool.name,
        shares: pool.shares,
        capacity: Data::bytes_down(pool.capacity_bytes),
        taken: Data::bytes(pool.taken_bytes),
        state: State::of(pool.taken_bytes <= pool.capacity_bytes),
        arena: Data::bytes(pool.height_bytes),
        lower_bound: Data::bytes(pool.lower_bound_bytes),
        optimal: pool.optimal,
        private: Data::bytes(pool.private_bytes),
        saved: Data::bytes_down(pool.saved_bytes),
        saved_percent: pool.saved_percent,
        weights: Data::bytes(pool.weights_bytes),
        forbids: pool.forbids_most.as_ref().map(|forbids| {
            let [one, other] = forbids.models;
            let why = match forbids.reason {
                Reason::Lanes => "run on different lanes, which work at once",
                Reason::Preemption => "may have begun at once, since jobs give way",
                Reason::Waiting => "may have begun at once, since jobs give way between segments",
            };
            format!("{one} and {other} {why}: that costs up to {}", bytes(forbids.bytes))
        }),
        map: svg::inline(report, pool),
    }
}

/// The looks of maps, for maps only, and the colours of the page's other drawings.
pub(super) fn style() -> String {
    let mut text = String::new();
    for rule in STYLE.split_inclusive('}') {
        let Some((selectors, looks)) = rule.split_once('{') else { continue };
        let scoped: Vec<String> = selectors.split(',').map(|selector| format!(".map {selector}")).collect();
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}{{{looks}", scoped.join(","));
    }
    for (index, (fill, line)) in COLORS.iter().enumerate() {
        // What of black and white is readable on it.
        let ink = if matches!(index, 0 | 7) { "#fff" } else { "#000" };
        let _ = writeln!(text, ".map .m{index}{{fill:{fill};stroke:{line}}}");
        let _ = writeln!(text, ".load rect.c{index}{{fill:{fill}}}.load text.c{index}{{fill:{ink}}}");
    }
    text.push_str(DARK);
    text
}

/// What of maps is not readable on a dark page.
const DARK: &str = "@media screen and (prefers-color-scheme:dark){\
.map text,.map .note{fill:var(--ink)}.map .small{fill:var(--soft)}\
.map .column{fill:var(--faint)}.map .grid{stroke:var(--line)}\
.map .height,.map .peak{stroke:var(--ink)}.map .bound{stroke:var(--fail)}\
.map .tip{fill:var(--ink);stroke:var(--paper)}}\n";

/// A level of memory pressure.
pub(super) struct LevelRow<'a> {
    pub(super) name: &'a str,
    pub(super) stops: String,
    pub(super) rejects: String,
    pub(super) copied: Option<Data>,
    pub(super) settles: Option<String>,
    /// For each device what is left of the arena, and what is given back.
    pub(super) pools: Vec<(&'a str, Data, Data)>,
}

/// All levels.
pub(super) fn levels<'a>(levels: &[LevelView<'a>]) -> Vec<LevelRow<'a>> {
    let names = |tasks: &[&str]| if tasks.is_empty() { "–".to_owned() } else { tasks.join(", ") };
    let row = |level: &LevelView<'a>| LevelRow {
        name: level.name,
        stops: names(&level.shed),
        rejects: names(&level.reject),
        copied: level.copied_bytes.map(Data::bytes),
        settles: level.settles_ns.map(|ns| show(Duration::from_ns(ns))),
        pools: level
            .pools
            .iter()
            .map(|pool| (pool.name, Data::bytes(pool.height_bytes), Data::bytes_down(pool.given_back_bytes)))
            .collect(),
    };
    levels.iter().map(row).collect()
}
