//! The memory map as SVG: events of a run to the right, offsets upwards, one column a model, one rectangle a block.
//!
//! Columns stand beside each other over one axis of offsets, so what lies at one height shares bytes. What is kept runs
//! through all columns. Lengths are integers, in thousandths of a pixel until they are printed.

use super::{ModelView, Pool, Region, Report, SegmentView, TensorView};
use crate::report::ink::{COLORS, Px, STYLE, Xml, number, share};
use crate::report::table::{beside, bytes};
use std::fmt::{self, Write as _};

const LEFT: u64 = 92_000;
const RIGHT: u64 = 28_000;
const LEAST_WIDTH: u64 = 900_000;
/// The height of the part that shows bytes.
const PANEL: u64 = 560_000;
/// Above it: title, figures, lanes and names of columns.
const HEAD: u64 = 118_000;
/// Where the names of lanes begin in it.
const LANES: u64 = 62_000;
/// Below it: events and the legend's first distance.
const FOOT: u64 = 58_000;
const ROW: u64 = 20_000;
/// Between columns, and more between lanes.
const GAP: u64 = 12_000;
const LANE_GAP: u64 = 34_000;
/// What is shorter would not be drawn.
const LEAST: u64 = 60;

/// Where one model's runs are drawn.
struct Column<'a> {
    model: &'a ModelView<'a>,
    /// The position of its colour.
    color: usize,
    x: u64,
    width: u64,
    /// The width of each run.
    run: u64,
}

impl<'a> Column<'a> {
    /// Each segment's recorded runs with their left sides, one place where a segment has none.
    fn parts(&self) -> impl Iterator<Item = (usize, &'a SegmentView<'a>, Option<usize>, u64)> + use<'a> {
        let runs = self.model.segments.iter().enumerate().flat_map(|(position, segment)| {
            let none = segment.runs.is_empty().then_some(None);
            (0..segment.runs.len()).map(Some).chain(none).map(move |run| (position, segment, run))
        });
        let (left, step) = (self.x, self.run + GAP / 2);
        runs.zip(0_u64..).map(move |((position, segment, run), number)| (position, segment, run, left + number * step))
    }

    /// The sides of the parts of some segments, both included.
    fn sides(&self, first: usize, last: usize) -> (u64, u64) {
        let of = || self.parts().filter(|(position, ..)| (first..=last).contains(position)).map(|(_, _, _, x)| x);
        let (first, last) = (of().min().unwrap_or(self.x), of().max().unwrap_or(self.x));
        // A column can be wider than its parts, for its name.
        let is_all = self.parts().count() == of().count();
        (first, if is_all { self.x + self.width } else { last + self.run })
    }
}

/// Tensors with what they are, their place, and the segments in which they are live if not always.
type Tensors = (&'static str, Region, Option<(usize, usize)>);

/// Tensors of one life that lie next to each other, as one.
fn merged(tensors: &[TensorView<'_>]) -> Vec<Tensors> {
    let mut all: Vec<Tensors> = Vec::new();
    for tensor in tensors {
        let what = if tensor.role == "carried" { "carried" } else { "inputs and outputs" };
        match all.last_mut() {
            Some((before, region, life))
                if *before == what && *life == tensor.segments && region.end == tensor.region.begin =>
            {
                region.end = tensor.region.end;
            }
            _ => all.push((what, tensor.region, tensor.segments)),
        }
    }
    all
}

/// One pool's map.
struct Map<'a> {
    pool: &'a Pool<'a>,
    columns: Vec<Column<'a>>,
    /// Where the panel ends to the right.
    right: u64,
    /// The page's `y` of the map's upper edge.
    top: u64,
}

/// Draws every pool with models, one below the other.
#[must_use]
pub fn render(report: &Report<'_>) -> String {
    let (maps, top) = maps(report, report.pools.iter());
    let width = width(report, &maps);
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_page(&mut text, report, &maps, Px(width), Px(top.max(60_000)));
    text
}

/// Draws one pool as a part of a page, which has the looks of its classes; `None` where no model lies there.
pub(in crate::report) fn inline(report: &Report<'_>, pool: &Pool<'_>) -> Option<String> {
    let (maps, height) = maps(report, std::iter::once(pool));
    // The page says itself what stands above the lanes.
    let (map, width, above, height) = (maps.first()?, Px(width(report, &maps)), Px(LANES), Px(height - LANES));
    let mut text = format!(
        "<svg class=\"map\" width=\"{width}\" viewBox=\"0 {above} {width} {height}\" role=\"img\" aria-label=\"Memory map of {}\">\n",
        Xml(pool.name)
    );
    // Writing to a string does not fail.
    let _ = map.write(&mut text, report.system);
    text.push_str("</svg>\n");
    Some(text)
}

/// The maps of pools with models, one below the other, and their height.
fn maps<'a>(report: &'a Report<'_>, pools: impl Iterator<Item = &'a Pool<'a>>) -> (Vec<Map<'a>>, u64) {
    let mut maps = Vec::new();
    let mut top = 0;
    for pool in pools {
        let columns = columns(report, pool);
        if let Some(right) = columns.iter().map(|column| column.x + column.width).max() {
            let map = Map { pool, columns, right, top };
            top += map.height();
            maps.push(map);
        }
    }
    (maps, top)
}

/// The width of a page of maps.
fn width(report: &Report<'_>, maps: &[Map<'_>]) -> u64 {
    let letters = |model: &ModelView<'_>| number(model.name.chars().count() + legend(model).chars().count());
    // Of a page's fonts the widest take about so much for a letter.
    let legends = report.models.iter().map(|model| letters(model) * 7_200 + 70_000);
    maps.iter().map(|map| map.right + RIGHT).chain(legends).fold(LEAST_WIDTH, u64::max)
}

/// What the legend says of a model behind its name.
fn legend(model: &ModelView<'_>) -> String {
    let peak = model.segments.iter().filter_map(SegmentView::peak).map(|(_, run)| run.peak_bytes).max();
    let peak = peak.map(|peak| format!(", at most {} live", bytes(peak)));
    let least = model.segments.iter().map(|segment| segment.control).max_by_key(|control| match *control {
        "measured" => 2,
        "capped" => 1,
        _ => 0,
    });
    let sum = |part: fn(&SegmentView<'_>) -> u64| model.segments.iter().map(part).fold(0, u64::saturating_add);
    let scratch = model.segments.iter().map(|segment| segment.scratch.bytes()).max().unwrap_or(0);
    let kept = model.tensors.iter().any(|tensor| tensor.segments.is_none());
    let carried = match model.bytes_of(&["carried"]) {
        0 => String::new(),
        carried => format!(", {} segments, carried {}", model.segments.len(), bytes(carried)),
    };
    format!(
        "on lane {}, {}: persistent {}, inputs and outputs {} ({}){carried}, scratch {}{}",
        model.lane,
        least.unwrap_or_default(),
        bytes(sum(|segment| segment.persistent.bytes())),
        bytes(model.bytes_of(&["input", "output"])),
        if kept { "kept" } else { "while a job runs" },
        bytes(scratch),
        peak.unwrap_or_default(),
    )
}

/// Lane by lane, so that what shares bytes stands side by side.
fn columns<'a>(report: &'a Report<'_>, pool: &Pool<'_>) -> Vec<Column<'a>> {
    let here = report.models.iter().enumerate().filter(|(_, model)| model.pool == pool.name);
    let mut here: Vec<(usize, &ModelView<'_>)> = here.collect();
    let first = |lane: &str| report.models.iter().position(|model| model.lane == lane);
    here.sort_by_key(|(index, model)| (first(model.lane), *index));
    let mut x = LEFT + GAP;
    let mut columns: Vec<Column<'_>> = Vec::with_capacity(here.len());
    for (color, model) in here {
        if let Some(before) = columns.last() {
            x += if before.model.lane == model.lane { GAP } else { LANE_GAP };
        }
        let parts = model.segments.iter().map(|segment| number(segment.runs.len()).max(1));
        let runs = parts.sum::<u64>().max(1);
        let events = model.segments.iter().flat_map(|segment| &segment.runs).map(|run| number(run.events));
        let events = events.max().unwrap_or(0);
        let run = (events * 2_500).clamp((180_000 / runs).max(100_000), (420_000 / runs).max(150_000));
        let letters = number(model.name.chars().count()) * 8_000;
        let width = (run * runs + (runs - 1) * GAP / 2).max(letters);
        columns.push(Column { model, color, x, width, run });
        x += width;
    }
    columns
}

fn write_page(text: &mut String, report: &Report<'_>, maps: &[Map<'_>], width: Px, height: Px) -> fmt::Result {
    writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">"
    )?;
    writeln!(text, "<title>Memory plan of {}</title>", Xml(report.system))?;
    write!(text, "<style>{STYLE}")?;
    for (index, (fill, line)) in COLORS.iter().enumerate() {
        write!(text, ".m{index}{{fill:{fill};stroke:{line}}}")?;
    }
    writeln!(text, "</style>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>")?;
    for map in maps {
        map.write(text, report.system)?;
    }
    if maps.is_empty() {
        writeln!(
            text,
            "<text x=\"24\" y=\"36\" class=\"title\">{}: no model in any memory</text>",
            Xml(report.system)
        )?;
    }
    writeln!(text, "</svg>")
}

impl Map<'_> {
    /// With head, foot and legend: a row for each model, and two that explain the signs.
    fn height(&self) -> u64 {
        HEAD + PANEL + FOOT + ROW * (number(self.columns.len()) + 2)
    }

    fn bottom(&self) -> u64 {
        self.top + HEAD + PANEL
    }

    /// The `y` of an offset.
    fn y(&self, offset: u64) -> u64 {
        self.bottom() - share(offset, self.pool.height_bytes, PANEL)
    }

    fn write(&self, text: &mut String, system: &str) -> fmt::Result {
        writeln!(text, "<g class=\"pool\" id=\"pool-{}\">", Xml(self.pool.name))?;
        self.write_head(text, system)?;
        self.write_axis(text)?;
        for column in &self.columns {
            self.write_kept(text, column)?;
        }
        for column in &self.columns {
            self.write_column(text, column)?;
        }
        self.write_limits(text)?;
        self.write_legend(text)?;
        writeln!(text, "</g>")
    }

    fn write_head(&self, text: &mut String, system: &str) -> fmt::Result {
        let pool = self.pool;
        let title = Px(self.top + 32_000);
        let (system, name) = (Xml(system), Xml(pool.name));
        writeln!(text, "<text x=\"24\" y=\"{title}\" class=\"title\">{system}: memory of {name}</text>")?;
        let lowest = if pool.optimal {
            ", the lowest".to_owned()
        } else {
            format!(", at least {}", bytes(pool.lower_bound_bytes))
        };
        writeln!(
            text,
            "<text x=\"24\" y=\"{}\" class=\"small\">arena {}{lowest} · private arenas would be {} · saves {} % · outside \
             {} · of {} granted{}</text>",
            Px(self.top + 52_000),
            bytes(pool.height_bytes),
            bytes(pool.private_bytes),
            pool.saved_percent,
            bytes(pool.weights_bytes),
            bytes(pool.capacity_bytes),
            Xml(&beside(&pool.beside, pool.taken_bytes)),
        )?;
        for column in &self.columns {
            let lane = column.model.lane;
            let of_lane = || self.columns.iter().filter(|other| other.model.lane == lane);
            let begin = of_lane().map(|other| other.x).min().unwrap_or(column.x);
            if begin == column.x {
                let end = of_lane().map(|other| other.x + other.width).max().unwrap_or(begin);
                let (begin, end, y) = (Px(begin), Px(end), self.top + 80_000);
                writeln!(
                    text,
                    "<text x=\"{begin}\" y=\"{}\" class=\"small\">lane {}</text>",
                    Px(y - 5_000),
                    Xml(lane)
                )?;
                writeln!(text, "<path d=\"M{begin} {}H{end}\" class=\"lane\"/>", Px(y))?;
            }
            let (x, name) = (Px(column.x), Xml(column.model.name));
            writeln!(text, "<text x=\"{x}\" y=\"{}\" class=\"name\">{name}</text>", Px(self.top + 99_000))?;
        }
        Ok(())
    }

    /// Columns, and a line of the grid at each multiple of a power of two.
    fn write_axis(&self, text: &mut String) -> fmt::Result {
        let (top, height) = (self.y(self.pool.height_bytes), self.pool.height_bytes);
        for column in &self.columns {
            let (x, y) = (Px(column.x), Px(top));
            let (width, height) = (Px(column.width), Px(PANEL));
            writeln!(text, "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" class=\"column\"/>")?;
        }
        let step = (height / 7).max(1).checked_next_power_of_two().unwrap_or(u64::MAX);
        let ticks = (0..8).map(|tick: u64| tick.saturating_mul(step));
        for tick in ticks.take_while(|tick| *tick < height) {
            let y = self.y(tick);
            writeln!(text, "<path d=\"M{} {}H{}\" class=\"grid\"/>", Px(LEFT), Px(y), Px(self.right))?;
            // The height has its own label.
            if y - top > 16_000 {
                let size = if tick == 0 { "0".to_owned() } else { bytes(tick).replace(".00 ", " ") };
                writeln!(
                    text,
                    "<text x=\"{}\" y=\"{}\" class=\"small end\">{size}</text>",
                    Px(LEFT - 8_000),
                    Px(y + 4_000)
                )?;
            }
        }
        let (x, y) = (Px(LEFT - 62_000), Px(top + PANEL / 2));
        writeln!(
            text,
            "<text x=\"{x}\" y=\"{y}\" transform=\"rotate(-90 {x} {y})\" class=\"small middle\">offset</text>"
        )
    }

    fn write_kept(&self, text: &mut String, column: &Column<'_>) -> fmt::Result {
        let model = column.model;
        let mut kept = |what: &str, region: Region| {
            let title = format!("{}, {what}: {} bytes at offset {}, always", model.name, region.bytes(), region.begin);
            self.write_region(text, region, (LEFT, self.right), ("kept", column.color), &title)?;
            let (low, high) = (self.y(region.begin), self.y(region.end));
            if low - high < 13_000 {
                return Ok(());
            }
            let (x, y) = (Px(LEFT + GAP + 6_000), Px(low.midpoint(high) + 4_000));
            writeln!(text, "<text x=\"{x}\" y=\"{y}\" class=\"note\">{}: {what}, kept</text>", Xml(model.name))
        };
        for segment in &model.segments {
            kept("persistent", segment.persistent)?;
        }
        for (what, region, life) in merged(&model.tensors) {
            if life.is_none() {
                kept(what, region)?;
            }
        }
        Ok(())
    }

    fn write_region(
        &self,
        text: &mut String,
        region: Region,
        (from, to): (u64, u64),
        (class, color): (&str, usize),
        title: &str,
    ) -> fmt::Result {
        if region.bytes() == 0 {
            return Ok(());
        }
        let y = self.y(region.end);
        let height = (self.y(region.begin) - y).max(LEAST);
        writeln!(
            text,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" class=\"{class} m{}\"><title>{}</title></rect>",
            Px(from),
            Px(y),
            Px(to - from),
            Px(height),
            color % COLORS.len(),
            Xml(title),
        )
    }

    fn write_column(&self, text: &mut String, column: &Column<'_>) -> fmt::Result {
        let model = column.model;
        let place = |region: Region| format!("{} bytes at offset {}", region.bytes(), region.begin);
        for (position, segment) in model.segments.iter().enumerate() {
            let (class, what) =
                if segment.is_capped() { ("capped", "that its runtime divides") } else { ("region", "of its runs") };
            let title = format!("{}, scratch {what}: {}", segment.name, place(segment.scratch));
            let sides = column.sides(position, position);
            self.write_region(text, segment.scratch, sides, (class, column.color), &title)?;
        }
        for (what, region, life) in merged(&model.tensors) {
            let Some((first, last)) = life else { continue };
            let title = format!("{}, {what}: {}, while a job runs", model.name, place(region));
            self.write_region(text, region, column.sides(first, last), ("job", column.color), &title)?;
        }
        let below = Px(self.bottom() + 16_000);
        let several = model.segments.len() > 1;
        for (position, segment, run, left) in column.parts() {
            let of = if several { (position + 1).to_string() } else { String::new() };
            let words = match run {
                Some(run) => {
                    self.write_run(text, column, segment, run, left)?;
                    let events = segment.runs.get(run).map_or(0, |run| run.events);
                    match (several, segment.runs.len() > 1) {
                        (true, true) => format!("{of}, run {}: {events}", run + 1),
                        (true, false) => format!("{of}: {events} events"),
                        (false, true) => format!("run {}: {events} events", run + 1),
                        (false, false) => format!("{events} events"),
                    }
                }
                None if several => format!("{of}: {}", segment.control),
                None => segment.control.to_owned(),
            };
            let x = Px(left + column.run / 2);
            writeln!(text, "<text x=\"{x}\" y=\"{below}\" class=\"small middle\">{words}</text>")?;
        }
        Ok(())
    }

    fn write_run(
        &self,
        text: &mut String,
        column: &Column<'_>,
        model: &SegmentView<'_>,
        run: usize,
        left: u64,
    ) -> fmt::Result {
        let (Some(sequence), Some(plan)) = (model.segment.runs.get(run), model.place.runs.get(run)) else {
            return Ok(());
        };
        let events = number(sequence.events());
        let x = |event: usize| left + share(number(event), events, column.run);
        for (index, (block, offset)) in sequence.blocks().iter().zip(&plan.offsets).enumerate() {
            let offset = model.scratch.begin.saturating_add(offset.0);
            let (begin, end) = (x(block.from), x(block.to));
            let y = self.y(offset.saturating_add(block.size));
            let (width, height) = ((end - begin).max(LEAST), (self.y(offset) - y).max(LEAST));
            let thin = if width.min(height) < 3_000 { " thin" } else { "" };
            let until =
                if block.to == sequence.events() { "the end".to_owned() } else { format!("event {}", block.to + 1) };
            write!(
                text,
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" class=\"block{thin} m{}\"><title>",
                Px(begin),
                Px(y),
                Px(width),
                Px(height),
                column.color % COLORS.len(),
            )?;
            writeln!(
                text,
                "{}, run {}, block {}: {} bytes at offset {offset}, from event {} until {until}</title></rect>",
                Xml(model.name),
                run + 1,
                index + 1,
                block.size,
                block.from + 1,
            )?;
        }
        let Some(view) = model.runs.get(run).filter(|run| run.peak_bytes > 0) else { return Ok(()) };
        let at = Px(x(plan.peak).midpoint(x(plan.peak + 1)));
        let high = model.scratch.begin.saturating_add(view.height_bytes);
        let (low, high) = (Px(self.y(model.scratch.begin)), Px(self.y(high)));
        writeln!(
            text,
            "<g><title>{}, run {}: most is live after event {}, {} bytes</title><path d=\"M{at} {low}V{high}\" \
             class=\"peak\"/><path d=\"M{at} {high}l-4 -7h8z\" class=\"tip\"/></g>",
            Xml(model.name),
            run + 1,
            plan.peak + 1,
            view.peak_bytes,
        )
    }

    fn write_limits(&self, text: &mut String) -> fmt::Result {
        let mut line = |class: &str, size: u64, shift: u64| {
            let y = self.y(size);
            writeln!(text, "<path d=\"M{} {}H{}\" class=\"{class}\"/>", Px(LEFT), Px(y), Px(self.right + GAP))?;
            let (x, y) = (Px(LEFT - 8_000), Px(y + shift));
            writeln!(text, "<text x=\"{x}\" y=\"{y}\" class=\"name end\">{}</text>", bytes(size))
        };
        line("height", self.pool.height_bytes, 4_000)?;
        if self.pool.optimal { Ok(()) } else { line("bound", self.pool.lower_bound_bytes, 18_000) }
    }

    fn write_legend(&self, text: &mut String) -> fmt::Result {
        let mut at = self.bottom() + FOOT - ROW / 2;
        for column in &self.columns {
            let model = column.model;
            let color = column.color % COLORS.len();
            writeln!(
                text,
                "<rect x=\"24\" y=\"{}\" width=\"14\" height=\"12\" class=\"block m{color}\"/>",
                Px(at - 10_000)
            )?;
            let (name, words) = (Xml(model.name), legend(model));
            let y = Px(at);
            writeln!(text, "<text x=\"46\" y=\"{y}\"><tspan class=\"name\">{name}</tspan> {}</text>", Xml(&words))?;
            at += ROW;
        }
        let y = at + ROW / 2;
        let mut x: u64 = 24_000;
        for (class, words) in [
            ("block", "a block of a run"),
            ("kept", "kept, never shared"),
            ("job", "tensors of a job"),
            ("capped", "divided by the runtime"),
        ] {
            let (at, up) = (Px(x), Px(y - 10_000));
            writeln!(text, "<rect x=\"{at}\" y=\"{up}\" width=\"22\" height=\"12\" class=\"{class} m7\"/>")?;
            x += 30_000;
            writeln!(text, "<text x=\"{}\" y=\"{}\" class=\"small\">{words}</text>", Px(x), Px(y))?;
            x += number(words.len()) * 6_000 + 14_000;
        }
        writeln!(text, "<path d=\"M{} {}v5m0 7l-4 -7h8z\" class=\"tip\"/>", Px(x + 5_000), Px(y - 10_000))?;
        writeln!(text, "<text x=\"{}\" y=\"{}\" class=\"small\">most is live here</text>", Px(x + 15_000), Px(y))
    }
}
