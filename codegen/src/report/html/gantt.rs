//! The schedule behind a bound as SVG: a row for each task that the lane executes meanwhile, time to the right.
//!
//! Lengths are integers, in thousandths of a pixel until they are printed.

use super::format::Clock;
use crate::report::ink::{Px, Xml, number, share};
use crate::simulate::worst::{Piece, Schedule};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// The most tasks that have a row of their own; those that execute least share one.
const MOST_ROWS: usize = 24;
const LEFT: u64 = 168_000;
const WIDTH: u64 = 960_000;
const RIGHT: u64 = 16_000;
const ROW: u64 = 24_000;
const BAR: u64 = 16_000;
/// Above the rows, for the names of lines.
const HEAD: u64 = 26_000;
/// Below the rows, for the axis.
const FOOT: u64 = 40_000;
/// What is drawn nearer than this is drawn as one.
const NEAR: u64 = 400;

/// What a drawing is of.
pub(super) struct Gantt<'a> {
    /// Tells its ids from those of others on the page.
    pub(super) position: usize,
    pub(super) task: &'a str,
    /// Who blocks, if anybody does.
    pub(super) blocked_by: Option<&'a str>,
    pub(super) deadline: u64,
    pub(super) bound: Option<u64>,
    pub(super) schedule: &'a Schedule,
    pub(super) clock: Clock,
}

/// A row: whose it is, and what is drawn in it.
struct Row<'a> {
    label: String,
    class: &'static str,
    pieces: Vec<&'a Piece>,
}

impl Gantt<'_> {
    /// Draws it.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    /// What it shows, in a sentence.
    pub(super) fn sentence(&self) -> String {
        let (schedule, clock) = (self.schedule, self.clock);
        let response = clock.long(schedule.response());
        let mut text = format!("The job of {} arrives at 0 and is complete after {response}", self.task);
        let _ = match self.bound {
            Some(bound) if bound == schedule.response() => write!(text, ", which is exactly its bound"),
            Some(bound) => write!(text, "; its bound is {}", clock.long(bound)),
            None => Ok(()),
        };
        let late = schedule.response().checked_sub(self.deadline).filter(|late| *late > 0);
        let _ = match late {
            Some(late) => write!(text, ", {} after its deadline", clock.long(late)),
            None => write!(text, ", before its deadline of {}", clock.short(i128::from(self.deadline))),
        };
        let mut others: BTreeMap<&str, u64> = BTreeMap::new();
        for piece in schedule.pieces.iter().filter(|piece| !piece.is_own) {
            let length = others.entry(piece.task).or_default();
            *length = length.saturating_add(piece.end.saturating_sub(piece.start));
        }
        let mut others: Vec<(&str, u64)> = others.into_iter().collect();
        others.sort_by_key(|(name, length)| (std::cmp::Reverse(*length), *name));
        let more = others.len().saturating_sub(MOST_NAMED);
        let named: Vec<String> =
            others.iter().take(MOST_NAMED).map(|(name, length)| format!("{name} {}", clock.long(*length))).collect();
        if !named.is_empty() {
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let _ = write!(text, ". Its lane executes meanwhile: {}{more}", named.join(", "));
        }
        text.push('.');
        text
    }

    fn write(&self, text: &mut String) -> fmt::Result {
        let rows = self.rows();
        let chart = HEAD + ROW * number(rows.len());
        let height = Px(chart + FOOT);
        let (position, width) = (self.position, Px(WIDTH));
        writeln!(
            text,
            "<svg class=\"gantt\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"gantt-{position}-title \
             gantt-{position}-desc\">"
        )?;
        writeln!(text, "<title id=\"gantt-{position}-title\">Worst case of {}</title>", Xml(self.task))?;
        writeln!(text, "<desc id=\"gantt-{position}-desc\">{}</desc>", Xml(&self.sentence()))?;
        self.write_axis(text, chart)?;
        for (row, index) in rows.iter().zip(0_u64..) {
            self.write_row(text, row, HEAD + ROW * index)?;
        }
        self.write_lines(text, chart)?;
        writeln!(text, "</svg>")
    }

    /// Its own row first, then who blocks, then the others as they come.
    fn rows(&self) -> Vec<Row<'_>> {
        let mut of: BTreeMap<&str, Vec<&Piece>> = BTreeMap::new();
        for piece in &self.schedule.pieces {
            of.entry(piece.task).or_default().push(piece);
        }
        let own = of.remove(self.task).unwrap_or_default();
        let mut rows = vec![Row { label: self.task.to_owned(), class: "own", pieces: own }];
        let mut others: Vec<(&str, Vec<&Piece>)> = of.into_iter().collect();
        let length = |pieces: &[&Piece]| pieces.iter().map(|piece| piece.end.saturating_sub(piece.start)).sum::<u64>();
        others.sort_by_key(|(name, pieces)| (self.blocked_by != Some(*name), std::cmp::Reverse(length(pieces)), *name));
        let rest = if others.len() > MOST_ROWS { others.split_off(MOST_ROWS) } else { Vec::new() };
        others.sort_by_key(|(name, pieces)| {
            (self.blocked_by != Some(*name), pieces.first().map(|piece| piece.start), *name)
        });
        for (name, pieces) in others {
            let blocks = self.blocked_by == Some(name);
            let label = if blocks { format!("{name} (blocks)") } else { name.to_owned() };
            rows.push(Row { label, class: if blocks { "block" } else { "other" }, pieces });
        }
        if !rest.is_empty() {
            let label = format!("{} other tasks", rest.len());
            let mut pieces: Vec<&Piece> = rest.into_iter().flat_map(|(_, pieces)| pieces).collect();
            pieces.sort_by_key(|piece| piece.start);
            rows.push(Row { label, class: "other", pieces });
        }
        rows
    }

    /// Where the drawing ends: at the completion, and at bound and deadline where these are not far.
    fn end(&self) -> u64 {
        let schedule = self.schedule;
        let length = schedule.end.saturating_sub(schedule.begin);
        let near = schedule.end.saturating_add(length / 2);
        let lines = [self.bound.unwrap_or(0), self.deadline].map(|line| schedule.arrival.saturating_add(line));
        lines.into_iter().filter(|line| *line <= near).fold(schedule.end, u64::max)
    }

    fn x(&self, at: u64) -> u64 {
        let begin = self.schedule.begin;
        let length = self.end().saturating_sub(begin).max(1);
        LEFT + share(at.saturating_sub(begin).min(length), length, WIDTH - LEFT - RIGHT)
    }

    /// A line of the grid at each multiple of a round number, counted from the arrival.
    fn write_axis(&self, text: &mut String, chart: u64) -> fmt::Result {
        let (begin, end, arrival) = (self.schedule.begin, self.end(), self.schedule.arrival);
        let step = step(end.saturating_sub(begin));
        let before = arrival.saturating_sub(begin) / step;
        let first = arrival.saturating_sub(before.saturating_mul(step));
        let ticks = (0..32_u64).map(|tick| first.saturating_add(tick.saturating_mul(step)));
        for at in ticks.take_while(|at| *at <= end) {
            let x = Px(self.x(at));
            writeln!(text, "<path class=\"grid\" d=\"M{x} {}V{}\"/>", Px(HEAD - 4_000), Px(chart + 4_000))?;
            let words = self.clock.short(i128::from(at) - i128::from(arrival));
            writeln!(text, "<text class=\"tick\" x=\"{x}\" y=\"{}\">{words}</text>", Px(chart + 18_000))?;
        }
        let (x, y) = (Px(LEFT), Px(chart + 35_000));
        writeln!(text, "<text class=\"axis\" x=\"{x}\" y=\"{y}\">time from the arrival of the job</text>")
    }

    fn write_row(&self, text: &mut String, row: &Row<'_>, top: u64) -> fmt::Result {
        let (y, name) = (Px(top + 16_000), Xml(&row.label));
        // A long name is made to fit.
        let fit =
            if row.label.chars().count() > 22 { " textLength=\"156\" lengthAdjust=\"spacingAndGlyphs\"" } else { "" };
        let right = Px(LEFT - 10_000);
        writeln!(text, "<text class=\"label {}\" x=\"{right}\" y=\"{y}\"{fit}>{name}</text>", row.class)?;
        let (left, right) = (Px(LEFT), Px(WIDTH - RIGHT));
        writeln!(text, "<path class=\"base\" d=\"M{left} {}H{right}\"/>", Px(top + ROW - 2_000))?;
        // Begin of the overheads, of the execution, end, and how many pieces.
        let mut drawn: Vec<(u64, u64, u64, &Piece, u64)> = Vec::new();
        for piece in &row.pieces {
            let (start, began, end) = (self.x(piece.start), self.x(piece.began), self.x(piece.end));
            match drawn.last_mut() {
                Some((from, _, until, first, pieces))
                    if start.saturating_sub(*until) < NEAR
                        && (end - *from < 6_000 || end - start < 1_500)
                        && first.is_own == piece.is_own =>
                {
                    *until = end;
                    *pieces += 1;
                }
                _ => drawn.push((start, began, end, piece, 1)),
            }
        }
        for (start, began, end, piece, pieces) in drawn {
            let y = top + (ROW - BAR) / 2;
            let class = match row.class {
                "own" if !piece.is_own => "earlier",
                other => other,
            };
            let times = |at: u64| self.clock.short(i128::from(at) - i128::from(self.schedule.arrival));
            let what = if pieces > 1 {
                format!("{}: {pieces} pieces from {}", piece.task, times(piece.start))
            } else {
                format!("{}: {} to {}", piece.task, times(piece.start), times(piece.end))
            };
            let (width, height) = (Px((end - start).max(NEAR)), Px(BAR));
            let (x, y) = (Px(start), Px(y));
            writeln!(
                text,
                "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"><title>{}</title></rect>",
                Xml(&what)
            )?;
            if began - start >= NEAR && pieces == 1 {
                let width = Px(began - start);
                writeln!(text, "<rect class=\"over\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>")?;
            }
        }
        let own = row.label.strip_suffix(" (blocks)").unwrap_or(&row.label);
        for (at, _) in self.schedule.arrivals.iter().filter(|(_, task)| *task == own) {
            let (x, y) = (Px(self.x(*at)), Px(top + 1_000));
            writeln!(text, "<path class=\"arrival\" d=\"M{x} {y}v6m-2.5 -2.5l2.5 2.5l2.5 -2.5\"/>")?;
        }
        Ok(())
    }

    /// Arrival, bound and deadline.
    fn write_lines(&self, text: &mut String, chart: u64) -> fmt::Result {
        let arrival = self.schedule.arrival;
        let mut line = |class: &str, at: u64, words: &str, anchor: &str| {
            let x = self.x(at);
            writeln!(text, "<path class=\"line {class}\" d=\"M{} {}V{}\"/>", Px(x), Px(HEAD - 8_000), Px(chart))?;
            let y = Px(HEAD - 12_000);
            writeln!(
                text,
                "<text class=\"mark {class}\" text-anchor=\"{anchor}\" x=\"{}\" y=\"{y}\">{words}</text>",
                Px(x)
            )
        };
        let end = self.end();
        let shown = |at: u64| arrival.saturating_add(at) <= end;
        line("arrived", arrival, "arrival", if self.x(arrival) < LEFT + 40_000 { "start" } else { "middle" })?;
        let bound = self.bound.filter(|bound| shown(*bound));
        let both =
            bound.is_some_and(|bound| bound.abs_diff(self.deadline) < end.saturating_sub(self.schedule.begin) / 12);
        if let Some(bound) = bound {
            // Beside the deadline's, away from it.
            let anchor = match (both, bound <= self.deadline) {
                (true, true) => "end",
                (true, false) => "start",
                (false, _) => "middle",
            };
            line("bound", arrival.saturating_add(bound), "R", anchor)?;
        }
        if shown(self.deadline) {
            let at = arrival.saturating_add(self.deadline);
            let anchor = match (both, bound.is_some_and(|bound| bound <= self.deadline)) {
                (true, true) => "start",
                (true, false) => "end",
                (false, _) => "middle",
            };
            line("deadline", at, "D", anchor)?;
        } else {
            let words = format!("deadline at {} →", self.clock.short(i128::from(self.deadline)));
            let (x, y) = (Px(WIDTH - RIGHT), Px(chart + 35_000));
            writeln!(text, "<text class=\"mark deadline\" text-anchor=\"end\" x=\"{x}\" y=\"{y}\">{words}</text>")?;
        }
        Ok(())
    }
}

/// How many interferers a sentence names.
const MOST_NAMED: usize = 12;

/// One, two or five times a power of ten, of which a length has five to twelve.
fn step(length: u64) -> u64 {
    let mut power: u64 = 1;
    loop {
        for digit in [1, 2, 5] {
            let step = power.saturating_mul(digit);
            if length / step <= 10 {
                return step;
            }
        }
        power = power.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::{Gantt, step};
    use crate::report::html::format::Clock;
    use crate::simulate::worst::{Piece, Schedule};

    #[test]
    fn steps_of_an_axis_are_round_and_few() {
        assert_eq!((step(0), step(10), step(11), step(95), step(110)), (1, 1, 2, 10, 20));
        assert!(step(u64::MAX) > u64::MAX / 20);
    }

    #[test]
    fn a_drawing_names_who_blocks_and_who_interferes_and_escapes_them() {
        let piece = |task, is_own, start: u64| Piece { task, is_own, start, began: start + 10, end: start + 1_000_000 };
        let schedule = Schedule {
            begin: 0,
            arrival: 1,
            end: 3_000_000,
            pieces: vec![piece("low", false, 0), piece("a<b", false, 1_000_000), piece("own", true, 2_000_000)],
            arrivals: vec![(1, "a<b"), (1, "own")],
            is_periodic: false,
        };
        let gantt = Gantt {
            position: 0,
            task: "own",
            blocked_by: Some("low"),
            deadline: 2_500_000,
            bound: Some(2_999_999),
            schedule: &schedule,
            clock: Clock::of(None),
        };
        let (sentence, text) = (gantt.sentence(), gantt.render());
        assert!(sentence.contains("exactly its bound, 0.5\u{a0}ms after its deadline"), "{sentence}");
        assert!(sentence.contains("a<b 1\u{a0}ms, low 1\u{a0}ms"), "{sentence}");
        assert!(text.contains(">low (blocks)</text>") && text.contains(">a&lt;b</text>"), "{text}");
        assert!(text.contains(">D</text>") && text.contains(">R</text>"), "{text}");
    }
}
