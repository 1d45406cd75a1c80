//! What a plan watches: the checker takes exactly the thresholds that make sense, as every reading shows it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "a test may stop")]

use aegis_core::desc::{
    Asks, BETWEEN_LEVELS, LevelDesc, ModeDesc, ModelDesc, OnStall, SystemDesc, TensorLife, ThresholdDesc, WatchDesc,
    WatchdogDesc, WatchedSource,
};
use aegis_core::verify::watch_holds;
use aegis_core::{Bytes, Duration, LevelId, ModeId, PoolId};

const LEVEL: LevelDesc =
    LevelDesc { name: "", shed: &[], reject: &[], pools: &[], models: &[], moves: &[], settles: Duration::ZERO };
const MODEL: ModelDesc = ModelDesc {
    name: "",
    backend: aegis_core::desc::Backend::OnnxRuntime,
    engines: None,
    pool: PoolId(0),
    weights: Bytes(0),
    tensors: TensorLife::Kept,
    inputs: &[],
    outputs: &[],
    carried: &[],
    segments: &[],
};
const MODE: ModeDesc = ModeDesc { name: "", tasks: &[], lanes: &[], proven: &[], leaves: Duration::ZERO };

/// Two levels, a third one that compacts, and two modes.
const SYSTEM: SystemDesc = SystemDesc {
    levels: &[LEVEL, LEVEL, LevelDesc { models: &[MODEL], ..LEVEL }],
    modes: &[MODE, MODE],
    ..SystemDesc::EMPTY
};
const SECOND: Duration = Duration::from_ns(1_000_000_000);

fn holds(interval: Duration, hold: Duration, thresholds: &[ThresholdDesc]) -> bool {
    // The checker only reads them.
    let thresholds: &'static [ThresholdDesc] = thresholds.to_vec().leak();
    watch_holds(&SystemDesc { watch: Some(WatchDesc { interval, hold, thresholds }), ..SYSTEM })
}

/// Greater than every value that is tried.
const READINGS: std::ops::RangeInclusive<u64> = 0..=6;

/// Whether a threshold makes sense, by all readings.
fn alone(threshold: &ThresholdDesc) -> bool {
    let can_be_gone_to = match threshold.asks {
        Asks::Level(level) => level.0 < 2,
        Asks::Mode(mode) => mode.0 < 2,
    };
    let mut readings = READINGS;
    let never_both = readings.clone().all(|reading| !(threshold.is_crossed(reading) && threshold.is_over(reading)));
    let can_be_crossed = readings.clone().any(|reading| threshold.is_crossed(reading));
    can_be_gone_to
        && never_both
        && can_be_crossed
        && readings.any(|reading| threshold.is_over(reading))
        && threshold.when > 0
}

/// Whether two of one list make sense together, the first one standing before.
fn together(milder: &ThresholdDesc, severer: &ThresholdDesc) -> bool {
    let (own, other) = match (milder.asks, severer.asks) {
        (Asks::Level(own), Asks::Level(other)) => (own.0, other.0),
        (Asks::Mode(own), Asks::Mode(other)) => (own.0, other.0),
        _ => return true,
    };
    let mut readings = READINGS;
    own <= other
        && (milder.source != severer.source
            || own != other
                && readings.clone().all(|reading| milder.is_crossed(reading) || !severer.is_crossed(reading))
                && readings.clone().any(|reading| milder.is_crossed(reading) && !severer.is_crossed(reading))
                && readings.all(|reading| severer.is_over(reading) || !milder.is_over(reading)))
}

fn every_threshold() -> Vec<ThresholdDesc> {
    let mut all = Vec::new();
    for source in [WatchedSource::MemorySome, WatchedSource::IoFull, WatchedSource::FreeMemory] {
        for asks in (0..4).map(|level| Asks::Level(LevelId(level))).chain((0..3).map(|mode| Asks::Mode(ModeId(mode)))) {
            for when in 0..=3 {
                all.extend((0..=3).map(|until| ThresholdDesc { source, when, until, asks }));
            }
        }
    }
    all
}

#[test]
fn exactly_the_thresholds_that_make_sense_by_every_reading_are_taken() {
    let all = every_threshold();
    let (mut taken, mut refused) = (0, 0);
    for one in &all {
        assert_eq!(holds(SECOND, SECOND, &[*one]), alone(one), "{one:?}");
        for other in &all {
            let expected = alone(one) && alone(other) && together(one, other);
            assert_eq!(holds(SECOND, SECOND, &[*one, *other]), expected, "{one:?} {other:?}");
            if expected { taken += 1 } else { refused += 1 }
        }
    }
    println!("{taken} pairs taken, {refused} refused");
    assert!(taken > 1_000 && refused > 1_000, "{taken} {refused}");
}

#[test]
fn of_three_thresholds_any_two_are_compared() {
    let of = |level, when| ThresholdDesc {
        source: WatchedSource::MemorySome,
        when,
        until: 1,
        asks: Asks::Level(LevelId(level)),
    };
    let between = ThresholdDesc { source: WatchedSource::IoSome, ..of(0, 5) };
    assert!(holds(SECOND, SECOND, &[of(0, 5), between, of(1, 6)]));
    assert!(!holds(SECOND, SECOND, &[of(0, 5), between, of(1, 5)]));
    assert!(!holds(SECOND, SECOND, &[of(0, 5), between, of(0, 6)]));
}

#[test]
fn a_share_is_at_most_the_whole_and_times_lie_in_their_ranges() {
    let threshold = |source, when, until| ThresholdDesc { source, when, until, asks: Asks::Mode(ModeId(1)) };
    let one = threshold(WatchedSource::CpuSome, WatchedSource::WHOLE, 0);
    assert!(holds(SECOND, SECOND, &[one]));
    assert!(!holds(SECOND, SECOND, &[ThresholdDesc { when: WatchedSource::WHOLE + 1, ..one }]));
    assert!(holds(SECOND, SECOND, &[threshold(WatchedSource::FreeMemory, u64::MAX - 1, u64::MAX)]));
    assert!(!holds(SECOND, SECOND, &[]), "nothing is watched");
    let ns = |length: Duration, more: i64| Duration::from_ns(length.as_ns().checked_add_signed(more).unwrap());
    assert_eq!(WatchDesc::SHORTEST, BETWEEN_LEVELS);
    for (interval, hold, expected) in [
        (WatchDesc::SHORTEST, WatchDesc::SHORTEST, true),
        (ns(WatchDesc::SHORTEST, -1), SECOND, false),
        (WatchDesc::LONGEST, WatchDesc::LONGEST, true),
        (ns(WatchDesc::LONGEST, 1), WatchDesc::LONGEST_HOLD, false),
        (WatchDesc::LONGEST, ns(WatchDesc::LONGEST, -1), false),
        (SECOND, WatchDesc::LONGEST_HOLD, true),
        (SECOND, ns(WatchDesc::LONGEST_HOLD, 1), false),
    ] {
        assert_eq!(holds(interval, hold, &[one]), expected, "{interval:?} {hold:?}");
    }
}

#[test]
fn the_mode_that_answers_a_stall_exists() {
    for (mode, expected) in [(0, true), (1, true), (2, false), (u16::MAX, false)] {
        let on_stall = OnStall::SwitchMode(ModeId(mode));
        let watchdog = Some(WatchdogDesc { timeout: SECOND, device: None, on_stall });
        assert_eq!(watch_holds(&SystemDesc { watchdog, ..SYSTEM }), expected, "{mode}");
    }
    assert!(watch_holds(&SYSTEM));
}
