//! What readings ask for: the decider beside a slow and obvious model, on random thresholds, readings and times.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy knows test functions only, not their helpers")]

use aegis_core::desc::{Asks, LevelDesc, SystemDesc, ThresholdDesc, WatchDesc, WatchedSource};
use aegis_core::verify::watch_holds;
use aegis_core::{Duration, LevelId};
use aegis_linux::sources::decide::{Decider, Decision, Readings, place};
use proptest::prelude::*;

const LEVEL: LevelDesc =
    LevelDesc { name: "", shed: &[], reject: &[], pools: &[], models: &[], moves: &[], settles: Duration::ZERO };
const SOURCES: [WatchedSource; 3] = [WatchedSource::MemorySome, WatchedSource::MemoryFull, WatchedSource::FreeMemory];
const HOLD: u64 = 5_000_000_000;

/// Everything that was read, and what followed.
struct Model {
    levels: Vec<Vec<ThresholdDesc>>,
    history: Vec<(u64, Readings)>,
    /// When what was asked for, as a number of levels from the mildest on.
    asked: Vec<(u64, usize)>,
}

impl Model {
    fn reading(threshold: &ThresholdDesc, readings: &Readings) -> Option<u64> {
        readings[place(threshold.source)]
    }

    fn is_crossed(&self, level: usize, readings: &Readings) -> bool {
        let mut of = self.levels[level].iter();
        of.any(|one| Self::reading(one, readings).is_some_and(|reading| one.is_crossed(reading)))
    }

    fn is_over(&self, level: usize, readings: &Readings) -> bool {
        let mut of = self.levels[level].iter();
        of.all(|one| Self::reading(one, readings).is_some_and(|reading| one.is_over(reading)))
    }

    /// Whether a level was crossed at some look, and not over at a later one.
    fn is_on(&self, level: usize) -> bool {
        let crossed = self.history.iter().rposition(|(_, readings)| self.is_crossed(level, readings));
        crossed
            .is_some_and(|crossed| !self.history[crossed..].iter().any(|(_, readings)| self.is_over(level, readings)))
    }

    /// How many levels from the mildest on are asked for after this look.
    fn look(&mut self, now: u64, readings: Readings) -> usize {
        self.history.push((now, readings));
        let severest =
            (0..self.levels.len()).filter(|level| self.is_on(*level)).map(|level| level + 1).max().unwrap_or(0);
        let (since, before) = self.asked.last().copied().unwrap_or((0, 0));
        let may_leave = || {
            let mut of = self.levels[before - 1].iter();
            now - since >= HOLD && of.all(|one| Self::reading(one, &readings).is_some())
        };
        if severest > before || severest < before && may_leave() {
            self.asked.push((now, severest));
        }
        self.asked.last().map_or(0, |(_, level)| *level)
    }
}

/// Levels whose thresholds rise by each source.
fn levels() -> impl Strategy<Value = Vec<Vec<ThresholdDesc>>> {
    let rises = prop::collection::vec((any::<[bool; 3]>(), 1_u64..4, 0_u64..3), 1..=4);
    rises.prop_map(|rises| {
        let (mut when, mut levels) = (3_u64, Vec::new());
        for (number, (chosen, rise, room)) in (0..).zip(rises) {
            when += rise;
            let until = when - 1 - room.min(rise - 1);
            let asks = Asks::Level(LevelId(number));
            let mut chosen: Vec<WatchedSource> =
                SOURCES.into_iter().zip(chosen).filter(|(_, is)| *is).map(|(source, _)| source).collect();
            if chosen.is_empty() {
                chosen.push(SOURCES[usize::from(number) % 3]);
            }
            // The less is free the severer it is.
            let threshold = |source: WatchedSource| match source.is_short_when_low() {
                true => ThresholdDesc { source, when: 40 - when, until: 40 - until, asks },
                false => ThresholdDesc { source, when, until, asks },
            };
            levels.push(chosen.into_iter().map(threshold).collect());
        }
        levels
    })
}

/// What each source is read as, now and then not at all, and how long after the last look.
fn looks() -> impl Strategy<Value = Vec<([u64; 3], [u8; 3], u64)>> {
    prop::collection::vec((prop::array::uniform3(0_u64..22), any::<[u8; 3]>(), 1_000_000_000_u64..3_000_000_000), 1..80)
}

fn of_look((values, missing, _): &([u64; 3], [u8; 3], u64)) -> Readings {
    let mut readings: Readings = [None; WatchedSource::ALL.len()];
    for ((source, value), missing) in SOURCES.into_iter().zip(values).zip(missing) {
        let value = if source.is_short_when_low() { 40 - value } else { *value };
        readings[place(source)] = (*missing >= 20).then_some(value);
    }
    readings
}

/// The level that is asked for, as the model counts.
fn number(asks: Option<Asks>) -> usize {
    match asks {
        Some(Asks::Level(level)) => usize::from(level.0) + 1,
        Some(Asks::Mode(_)) => panic!("there are no modes"),
        None => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_decider_is_the_slow_model_and_never_flaps(levels in levels(), looks in looks()) {
        let thresholds = levels.concat();
        // Only what the checker takes is decided on.
        let watch = Some(WatchDesc {
            interval: WatchDesc::SHORTEST,
            hold: Duration::from_ns(HOLD),
            thresholds: thresholds.clone().leak(),
        });
        prop_assert!(watch_holds(&SystemDesc { watch, levels: &[LEVEL; 4], ..SystemDesc::EMPTY }), "{thresholds:?}");
        let mut decider = Decider::new(Duration::from_ns(HOLD), thresholds.iter().copied());
        let mut model = Model { levels, history: Vec::new(), asked: Vec::new() };
        let (mut now, mut asked, mut changes) = (1_u64, 0, Vec::<(u64, Decision)>::new());
        for look in &looks {
            now += look.2;
            let readings = of_look(look);
            let decision = decider.decide(now, &readings);
            let expected = model.look(now, readings);
            if let Some(decision) = decision {
                let to = number(decision.asks);
                prop_assert_eq!((to > asked, to == asked), (decision.is_severer, false));
                // It says why: a threshold of what is asked for that is crossed, or of what is left, and what was read of it.
                let of = number(Some(decision.threshold.asks));
                prop_assert_eq!(of, to.max(asked));
                prop_assert_eq!(Model::reading(&decision.threshold, &readings), Some(decision.reading));
                prop_assert_eq!(decision.is_severer, decision.threshold.is_crossed(decision.reading) && decision.is_severer);
                asked = to;
                changes.push((now, decision));
            }
            prop_assert_eq!(asked, expected);
            // What is crossed now is asked for now, or something severer.
            for level in 0..model.levels.len() {
                prop_assert!(!model.is_crossed(level, &readings) || asked > level);
            }
        }
        // Something milder follows no sooner than it may; and what is severer only ever climbs.
        for pair in changes.windows(2) {
            let [(before, _), (after, decision)] = pair else { panic!("two of them") };
            prop_assert!(decision.is_severer || after - before >= HOLD);
        }
        let milder = changes.iter().filter(|(_, decision)| !decision.is_severer).count();
        let most = usize::try_from(now / HOLD).unwrap();
        prop_assert!(milder <= most && changes.len() <= (most + 1) * (model.levels.len() + 1), "{milder} in {now} ns");
    }
}

/// Two levels by one source, in percent.
fn two() -> Decider {
    let level = |level, when, until| ThresholdDesc {
        source: WatchedSource::MemorySome,
        when,
        until,
        asks: Asks::Level(LevelId(level)),
    };
    Decider::new(Duration::from_ns(HOLD), [level(0, 20, 10), level(1, 60, 30)].into_iter())
}

#[test]
fn readings_that_tremble_around_a_threshold_ask_once() {
    let mut decider = two();
    let mut changes = Vec::new();
    for (look, reading) in
        (1..).zip([19, 20, 19, 21, 11, 20, 60, 59, 31, 60, 30, 30, 30, 30, 30, 10, 20, 10, 10, 10, 10, 10])
    {
        let mut readings: Readings = [None; WatchedSource::ALL.len()];
        readings[place(WatchedSource::MemorySome)] = Some(reading);
        let decision = decider.decide(look * 1_000_000_000, &readings);
        changes.extend(decision.map(|decision| (look, decision.reading, number(decision.asks))));
    }
    // The severer level ends at the 11th look, at which it has been held for 4 s; and the milder one at the 16th, and again at the
    // 18th, after which it is held until 5 s after it was gone to.
    assert_eq!(changes, [(2, 20, 1), (7, 60, 2), (12, 30, 1), (18, 10, 0)]);
}

#[test]
fn without_readings_nothing_changes() {
    let mut decider = two();
    let mut readings: Readings = [None; WatchedSource::ALL.len()];
    assert_eq!(decider.decide(1, &readings), None);
    readings[place(WatchedSource::MemorySome)] = Some(100);
    assert_eq!(number(decider.decide(2, &readings).unwrap().asks), 2);
    for look in 3..100 {
        assert_eq!(decider.decide(look * HOLD, &[None; WatchedSource::ALL.len()]), None);
    }
    readings[place(WatchedSource::MemorySome)] = Some(0);
    assert_eq!(number(decider.decide(100 * HOLD, &readings).unwrap().asks), 0, "from the severest to none at once");
}
