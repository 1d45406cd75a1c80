//! What a trace observed of each task, beside what was proven: histograms of responses.
//!
//! A histogram has a fixed number of bins over what the plan knows, so a trace of any length needs no more memory.

use super::format::{Clock, Data, percent, ratio};
use crate::analysis::Analysis;
use crate::report::ink::{Px, Xml, share};
use crate::system::System;
use std::fmt::Write as _;

/// How many bins a histogram has; what is longer than all of them is counted in one more.
const BINS: u64 = 64;

/// The responses of all tasks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Observed {
    /// The trace's name.
    file: String,
    tasks: Vec<Histogram>,
    /// What of the trace is missing.
    notes: Vec<String>,
}

/// The responses of one task.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Histogram {
    name: String,
    /// Of one bin, in nanoseconds.
    width: u64,
    bins: Vec<u64>,
    jobs: u64,
    aborted: u64,
    longest: u64,
    misses: u64,
    exceeded: u64,
    bound: Option<u64>,
    deadline: u64,
}

/// One job's end, as a trace tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Response {
    /// The task's position in the system.
    pub task: usize,
    /// From arrival to the end, in nanoseconds.
    pub response_ns: u64,
    /// Whether it was aborted, and delivered nothing.
    pub aborted: bool,
}

impl Observed {
    /// Nothing yet of the tasks of a system.
    #[must_use]
    pub fn new(file: &str, system: &System, analysis: &Analysis) -> Self {
        let histogram = |(task, result): (&crate::system::Task, &crate::analysis::TaskResult)| {
            let (bound, deadline) = (result.bound().map(|bound| bound.as_ns()), task.deadline.as_ns());
            // The last bin ends behind both lines.
            let length = deadline.max(bound.unwrap_or(0));
            let width = length.div_ceil(BINS.saturating_sub(4)).max(1);
            Histogram {
                name: task.name.clone(),
                width,
                bins: vec![0; usize::try_from(BINS).unwrap_or(1).saturating_add(1)],
                jobs: 0,
                aborted: 0,
                longest: 0,
                misses: 0,
                exceeded: 0,
                bound,
                deadline,
            }
        };
        Self {
            file: file.to_owned(),
            tasks: system.tasks.iter().zip(&analysis.tasks).map(histogram).collect(),
            notes: Vec::new(),
        }
    }

    /// Counts a job of a task that the system has.
    pub fn add(&mut self, job: Response) {
        let Some(own) = self.tasks.get_mut(job.task) else { return };
        let bin = usize::try_from((job.response_ns / own.width).min(BINS)).unwrap_or(usize::MAX);
        if let Some(slot) = own.bins.get_mut(bin) {
            *slot = slot.saturating_add(1);
        }
        let counts = [
            (&mut own.jobs, true),
            (&mut own.aborted, job.aborted),
            (&mut own.misses, job.response_ns > own.deadline),
            (&mut own.exceeded, own.bound.is_some_and(|bound| job.response_ns > bound)),
        ];
        for (count, happened) in counts {
            *count = count.saturating_add(u64::from(happened));
        }
        own.longest = own.longest.max(job.response_ns);
    }

    /// Says what of the trace is missing.
    pub fn note(&mut self, what: String) {
        self.notes.push(what);
    }
}

/// What was observed of one task, for the page.
pub(super) struct ObservedRow<'a> {
    pub(super) name: &'a str,
    pub(super) jobs: u64,
    pub(super) aborted: u64,
    pub(super) longest: Data,
    pub(super) bound: Option<Data>,
    /// The longest as a share of the bound.
    pub(super) share: Option<String>,
    pub(super) deadline: Data,
    pub(super) exceeded: u64,
    pub(super) misses: u64,
    pub(super) histogram: String,
}

impl Observed {
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The tasks of which a job ended.
    pub(super) fn rows(&self, clock: Clock) -> Vec<ObservedRow<'_>> {
        let seen = self.tasks.iter().enumerate().filter(|(_, own)| own.jobs > 0);
        seen.map(|(position, own)| ObservedRow {
            name: &own.name,
            jobs: own.jobs,
            aborted: own.aborted,
            longest: clock.up(own.longest),
            bound: own.bound.map(|bound| clock.up(bound)),
            share: own.bound.map(|bound| percent(ratio(own.longest, bound))),
            deadline: clock.down(own.deadline),
            exceeded: own.exceeded,
            misses: own.misses,
            histogram: own.draw(position, clock),
        })
        .collect()
    }
}

const WIDTH: u64 = 960_000;
const TOP: u64 = 24_000;
const HEIGHT: u64 = 110_000;

impl Histogram {
    fn x(&self, ns: u64) -> u64 {
        let whole = self.width.saturating_mul(BINS.saturating_add(1));
        share(ns, whole, WIDTH)
    }

    fn draw(&self, position: usize, clock: Clock) -> String {
        let most = self.bins.iter().copied().max().unwrap_or(1).max(1);
        let (name, jobs) = (Xml(&self.name), self.jobs);
        let (down, up) = (|ns: u64| clock.short(i128::from(ns)), |ns: u64| clock.long(ns));
        let proven = self.bound.map_or_else(|| "no bound".to_owned(), |bound| format!("bound {}", up(bound)));
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "<svg class=\"histogram\" viewBox=\"0 0 960 166\" role=\"img\" aria-labelledby=\"seen-{position}-title \
             seen-{position}-desc\"><title id=\"seen-{position}-title\">Observed responses of {name}</title><desc \
             id=\"seen-{position}-desc\">{jobs} jobs, longest {}, {proven}, deadline {}.</desc>",
            up(self.longest),
            down(self.deadline),
        );
        let bottom = TOP + HEIGHT;
        for (bin, (jobs, begin)) in
            self.bins.iter().zip((0_u64..).map(|bin| bin.saturating_mul(self.width))).enumerate()
        {
            if *jobs == 0 {
                continue;
            }
            let (x, end) = (self.x(begin), self.x(begin.saturating_add(self.width)));
            // One job among millions is seen, too.
            let height = share(*jobs, most, HEIGHT).max(2_000);
            let beyond = u64::try_from(bin).is_ok_and(|bin| bin == BINS);
            let (class, until) = if beyond {
                ("late", " and more".to_owned())
            } else {
                ("seen", format!(" to {}", up(begin.saturating_add(self.width))))
            };
            let _ = write!(
                text,
                "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{jobs} jobs: {}{until}</title></rect>",
                Px(x),
                Px(bottom - height),
                Px(end.saturating_sub(x).saturating_sub(1_000).max(500)),
                Px(height),
                down(begin),
            );
        }
        let _ = write!(text, "<path class=\"base\" d=\"M0 {}H960\"/>", Px(bottom));
        let mut line = |class: &str, at: u64, words: &str, y: u64| {
            let x = self.x(at);
            let anchor = if x > WIDTH / 2 { "end" } else { "start" };
            let near = if x > WIDTH / 2 { x.saturating_sub(4_000) } else { x + 4_000 };
            let _ = write!(
                text,
                "<path class=\"line {class}\" d=\"M{x} 6V{}\"/><text class=\"mark {class}\" text-anchor=\"{anchor}\" \
                 x=\"{}\" y=\"{}\">{words}</text>",
                Px(bottom + 4_000),
                Px(near),
                Px(y),
                x = Px(x),
            );
        };
        if let Some(bound) = self.bound {
            line("bound", bound, &format!("R {}", up(bound)), 14_000);
        }
        line("deadline", self.deadline, &format!("D {}", down(self.deadline)), bottom + 30_000);
        // What is longer than all bins stands at the last one.
        let at = self.longest.min(self.width.saturating_mul(BINS));
        line("longest", at, &format!("longest {}", up(self.longest)), bottom + 16_000);
        text.push_str("</svg>\n");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{BINS, Histogram, Observed, Response};
    use crate::report::html::format::Clock;

    #[test]
    fn responses_are_counted_against_bound_and_deadline_and_none_is_lost_beyond_the_bins() {
        let own = Histogram {
            name: "a<b".to_owned(),
            width: 10,
            bins: vec![0; usize::try_from(BINS).unwrap() + 1],
            jobs: 0,
            aborted: 0,
            longest: 0,
            misses: 0,
            exceeded: 0,
            bound: Some(400),
            deadline: 600,
        };
        let mut observed = Observed { file: "run".to_owned(), tasks: vec![own], notes: Vec::new() };
        for (response_ns, aborted) in [(9, false), (10, false), (401, true), (5_000, false)] {
            observed.add(Response { task: 0, response_ns, aborted });
        }
        observed.add(Response { task: 1, response_ns: 1, aborted: false });
        let own = &observed.tasks[0];
        assert_eq!((own.jobs, own.aborted, own.exceeded, own.misses, own.longest), (4, 1, 2, 1, 5_000));
        assert_eq!((own.bins[0], own.bins[1], own.bins[40], own.bins.last()), (1, 1, 1, Some(&1)));
        let rows = observed.rows(Clock::of(None));
        assert!(rows[0].histogram.contains("Observed responses of a&lt;b"), "{}", rows[0].histogram);
        assert_eq!(rows[0].histogram.matches("<rect").count(), 4);
        // Rounded up, and not to where its line stands.
        for shown in
            ["longest 0.005\u{a0}ms, bound 0.001\u{a0}ms, deadline 0\u{a0}ms.", ">longest 0.005\u{a0}ms</text>"]
        {
            assert!(rows[0].histogram.contains(shown), "{shown}: {}", rows[0].histogram);
        }
    }
}
