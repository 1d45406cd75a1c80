//! What readings ask for: no clock, no file, no thread.
//!
//! ```text
//!                 one of its thresholds is crossed
//!   a level: OFF ─────────────────────────────────▶ ON       asked for: the severest level that is ON
//!              ▲                                     │          a severer one at once,
//!              └──── all of its thresholds are over ─┘          a milder one only `hold` after the last change
//! ```
//!
//! Between a threshold's `when` and its `until` a level stays as it is, and so it does where a reading is missing. What was asked
//! for is given up only at a look at which every source of it is readable. So between two changes of what is asked for lies
//! `hold` at least, unless the second one is for something severer; and of those there can be as many in a row as there are
//! levels, less one.

use aegis_core::Duration;
use aegis_core::desc::{Asks, ThresholdDesc, WatchedSource};

/// The readings of one look, in the order of [`WatchedSource::ALL`]; `None` where there is none.
pub type Readings = [Option<u64>; WatchedSource::ALL.len()];

/// A source's place in [`Readings`].
#[must_use]
pub fn place(source: WatchedSource) -> usize {
    WatchedSource::ALL.iter().position(|other| *other == source).unwrap_or(0)
}

/// What is to be asked for, and because of which reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// A level or a mode; `None`: nothing any more.
    pub asks: Option<Asks>,
    /// Whether it is severer than what was asked for before.
    pub is_severer: bool,
    /// The first threshold of it that is crossed; where it is milder the first one of what was asked for before.
    pub threshold: ThresholdDesc,
    /// That source's reading.
    pub reading: u64,
}

/// A level or a mode.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Step {
    asks: Asks,
    thresholds: Vec<ThresholdDesc>,
    is_on: bool,
}

/// Decides for all levels, or for all modes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decider {
    hold: Duration,
    /// From the mildest to the severest.
    steps: Vec<Step>,
    /// The one that is asked for.
    asked: Option<usize>,
    /// When that last changed, in nanoseconds.
    since: u64,
}

impl Decider {
    /// Nothing is asked for. Of thresholds the milder ones come first.
    #[must_use]
    pub fn new(hold: Duration, thresholds: impl Iterator<Item = ThresholdDesc>) -> Self {
        let mut steps: Vec<Step> = Vec::new();
        for threshold in thresholds {
            match steps.last_mut().filter(|step| step.asks == threshold.asks) {
                Some(step) => step.thresholds.push(threshold),
                None => steps.push(Step { asks: threshold.asks, thresholds: vec![threshold], is_on: false }),
            }
        }
        Self { hold, steps, asked: None, since: 0 }
    }

    /// What a look changes, if anything. Time does not go backwards.
    pub fn decide(&mut self, now_ns: u64, readings: &Readings) -> Option<Decision> {
        for step in &mut self.steps {
            let mut of = step.thresholds.iter().map(|threshold| (threshold, reading(threshold, readings)));
            let mut all = of.clone();
            if of.any(|(threshold, reading)| reading.is_some_and(|reading| threshold.is_crossed(reading))) {
                step.is_on = true;
            } else if all.all(|(threshold, reading)| reading.is_some_and(|reading| threshold.is_over(reading))) {
                step.is_on = false;
            }
        }
        let severest = self.steps.iter().rposition(|step| step.is_on);
        let (from, is_severer) = (self.asked, severest > self.asked);
        if severest == from || !is_severer && now_ns.saturating_sub(self.since) < self.hold.as_ns() {
            return None;
        }
        let step = self.steps.get(severest.filter(|_| is_severer).or(from)?)?;
        let mut readable = step.thresholds.iter().map(|threshold| Some((*threshold, reading(threshold, readings)?)));
        let (threshold, reading) = if is_severer {
            readable.flatten().find(|(threshold, reading)| threshold.is_crossed(*reading))?
        } else {
            let first = readable.next().flatten()?;
            if !readable.all(|one| one.is_some()) {
                return None;
            }
            first
        };
        (self.asked, self.since) = (severest, now_ns);
        let asks = severest.and_then(|severest| self.steps.get(severest)).map(|step| step.asks);
        Some(Decision { asks, is_severer, threshold, reading })
    }
}

fn reading(threshold: &ThresholdDesc, readings: &Readings) -> Option<u64> {
    readings.get(place(threshold.source)).copied().flatten()
}
