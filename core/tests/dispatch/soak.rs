//! A long run: very many dispatches with the ring of records behind them, read too slowly now and then.
//!
//! Two lanes, one of fixed priorities between segments and one under EDF; jobs take anything from nothing to a little more than
//! their WCET, steps come late, and the level of pressure comes and goes. What is lost of the records is what the gaps in their
//! numbers say, exactly, and no job is lost or run twice.

use crate::bench::{EDF, FP, lane, system, task};
use aegis_core::desc::{LaneDesc, LevelDesc, Preemption, Release, SystemDesc, TaskDesc};
use aegis_core::dispatch::{Event, State, step};
use aegis_core::trace::{Kind, Recorder, Ring, Sink};
use aegis_core::{Duration, Instant, LaneId, LevelId, Priority, TaskId};

const TASKS: usize = 8;
const LANES: usize = 2;
const QUEUE: usize = 4;

fn ns(ns: u64) -> Duration {
    Duration::from_ns(ns)
}

fn plan() -> &'static SystemDesc {
    let times = [(100, 9), (130, 14), (170, 20), (410, 60), (90, 11), (150, 21), (210, 30), (330, 41)];
    let tasks = (0_u16..).zip(times).map(|(number, (period, wcet))| TaskDesc {
        release: Release::Timer,
        period: ns(period),
        deadline: ns(period),
        phase: ns(u64::from(number) * 7),
        wcet: ns(wcet),
        budget: ns(wcet),
        response_bound: ns(2 * period),
        priority: Priority(number),
        segments: if number < 4 { vec![ns(wcet / 3), ns(wcet - wcet / 3)].leak() } else { &[] },
        queue: 2,
        ..task(number / 4, 0)
    });
    let lanes = vec![LaneDesc { preemption: Preemption::Segments, ..lane(FP, 1) }, lane(EDF, 1)];
    let plan = system(lanes, tasks.collect());
    let shed: &[TaskId] = &[TaskId(3), TaskId(6)];
    let level =
        LevelDesc { name: "high", shed, reject: &[TaskId(7)], pools: &[], models: &[], moves: &[], settles: ns(1_000) };
    Box::leak(Box::new(SystemDesc { levels: vec![level].leak(), ..*plan }))
}

/// Counts every record, also those that the ring does not take.
struct Counting<'a> {
    recorder: Recorder<'a>,
    submitted: u64,
    started: u64,
    paused: u64,
    completed: u64,
    overran: u64,
    changes: u64,
    settled: u64,
    withheld: u64,
}

impl Sink for Counting<'_> {
    fn record(&mut self, at: Instant, kind: Kind) {
        match kind {
            Kind::Submitted { .. } => self.submitted += 1,
            Kind::Started { .. } => self.started += 1,
            Kind::Paused { .. } => self.paused += 1,
            Kind::Completed { .. } => self.completed += 1,
            Kind::Overran { .. } => self.overran += 1,
            Kind::Pressure { .. } => self.changes += 1,
            Kind::Settled { .. } => self.settled += 1,
            Kind::Withheld { count, .. } => self.withheld += count,
            _ => {}
        }
        self.recorder.record(at, kind);
    }
}

#[test]
fn of_very_many_dispatches_none_is_lost_and_lost_records_are_counted_exactly() {
    let is_long = std::env::var_os("AEGIS_LONG").is_some_and(|value| value == "1");
    let dispatches: u64 = if is_long { 1_000_000_000 } else { 300_000 };
    let system = plan();
    let mut state: State<TASKS, LANES, QUEUE> = State::new(system).unwrap();
    let mut ring: Box<Ring<4_096>> = Box::default();
    let (writer, mut reader) = ring.split();
    let recorder = Recorder::new(writer);
    let mut sink = Counting {
        recorder,
        submitted: 0,
        started: 0,
        paused: 0,
        completed: 0,
        overran: 0,
        changes: 0,
        settled: 0,
        withheld: 0,
    };
    let mut random = 11_u64;
    let mut draw = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    // Of each lane when its segment ends.
    let mut ends: [Option<u64>; LANES] = [None; LANES];
    let (mut now, mut wake, mut sleeps) = (0_u64, Some(0_u64), 0_u64);
    let (mut expected, mut gaps, mut read, mut overflows) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut read_all = |expected: &mut u64| {
        let before = gaps;
        while let Some(record) = reader.dequeue() {
            gaps += record.sequence - *expected;
            *expected = record.sequence + 1;
            read += 1;
        }
        overflows += u64::from(gaps > before);
        (gaps, read, overflows)
    };
    while sink.started < dispatches {
        let first = (0..LANES).filter_map(|lane| Some((ends[lane]?, lane))).min();
        let (at, event) = match (first, wake) {
            (Some((end, lane)), wake) if wake.is_none_or(|wake| end <= wake) => {
                let (id, began) = (LaneId(u16::try_from(lane).unwrap()), end.saturating_sub(draw(30)));
                ends[lane] = None;
                let ended = Instant::from_ns(end);
                (end, Event::Completed { lane: id, began: Instant::from_ns(began), ended })
            }
            (_, Some(wake)) => (wake, Event::Timer),
            (_, None) => panic!("nothing is to come"),
        };
        let event = if event == Event::Timer && draw(1_000) == 0 {
            Event::Pressure { level: state.level().is_none().then_some(LevelId(0)) }
        } else {
            event
        };
        now = now.max(at + if draw(8) == 0 { draw(200) } else { 0 });
        let actions = step(system, &mut state, event, Instant::from_ns(now), &mut sink).unwrap();
        for (lane, job) in actions.start.iter().enumerate() {
            let Some(job) = job else { continue };
            assert_eq!(ends[lane], None, "one segment a lane");
            let task = &system.tasks[job.task.index()];
            let length = task.segments.get(usize::from(job.segment)).copied().unwrap_or(task.wcet).as_ns();
            ends[lane] = Some(now + draw(length + 2));
        }
        wake = actions.wake_at.map(Instant::as_ns);
        // The ring takes the records of some hundred steps; now and then its reader sleeps for longer.
        sleeps = if draw(3_000) == 0 { draw(2_500) } else { sleeps.saturating_sub(1) };
        if sleeps == 0 && draw(40) == 0 {
            read_all(&mut expected);
        }
    }
    let (gaps, read, overflows) = read_all(&mut expected);
    // Records that were lost after the last one that was read leave no gap yet.
    let lost = gaps + (sink.recorder.numbered() - expected);
    assert_eq!((lost, read + lost), (sink.recorder.lost(), sink.recorder.numbered()));
    let waiting: usize = (0..).take(TASKS).map(|task| state.waiting(TaskId(task)).count()).sum();
    let running = (0..).take(LANES).filter(|lane| state.running(LaneId(*lane)).is_some()).count();
    let there = u64::try_from(waiting + running).unwrap();
    assert_eq!(sink.submitted, sink.completed + there, "no job is lost or run twice");
    assert_eq!(sink.started, sink.paused + sink.completed + u64::try_from(running).unwrap());
    let Counting { started, paused, overran, changes, settled, withheld, .. } = sink;
    let numbered = sink.recorder.numbered();
    println!("{started} dispatches, {numbered} records, {lost} lost in {overflows} overflows, {now} ns");
    println!("{paused} paused, {overran} overruns, {changes} changes of level, {settled} settled, {withheld} withheld");
    // What else a long run is to meet, each many times.
    assert!([paused, overran, withheld].iter().all(|count| *count > 1_000), "{paused} {overran} {withheld}");
    assert!(changes > 20 && settled > 10 && settled <= changes.div_ceil(2), "{changes} {settled}");
    assert!(lost > 0 && overflows > 0 && read > 1_000_000, "{lost} lost in {overflows} overflows, {read} read");
}
