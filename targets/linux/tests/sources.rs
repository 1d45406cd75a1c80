//! Watched sources of pressure with a real orchestration loop: files that stand in for Linux's ask by the application's own door.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy knows test functions only, not their helpers")]

mod common;

use aegis_core::desc::{Asks, LevelDesc, ModeDesc, SystemDesc, ThresholdDesc, WatchDesc, WatchedSource};
use aegis_core::trace::Kind;
use aegis_core::{Duration, LevelId, ModeId, TaskId};
use aegis_linux::modes::Modes;
use aegis_linux::pressure::Pressure;
use aegis_linux::sources::{Doors, SourceReport, Sources, closing};
use common::{Act, Ran, Scenario, drive_beside, fixture};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

fn sleep(ms: u64) {
    std::thread::sleep(std::time::Duration::from_millis(ms));
}

/// The length of each file there, of which the last part is empty lines.
const LENGTH: usize = 256;

/// A folder that stands in for `/proc`.
struct Proc(tempfile::TempDir);

impl Proc {
    /// No shortage.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("pressure")).unwrap();
        let proc = Self(folder);
        proc.memory("0.00");
        proc.free(4_000_000);
        proc
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    /// Whole or not at all, as the kernel's own: the readers keep their file open, so its contents change and not the file, in one write
    /// of always the same length, and nothing is cut off before.
    fn write(&self, name: &str, text: &str) {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(false).open(self.root().join(name)).unwrap();
        let whole = format!("{text:\n<LENGTH$}");
        assert_eq!(file.write(whole.as_bytes()).unwrap(), LENGTH);
    }

    fn memory(&self, some: &str) {
        let line = |what: &str, share: &str| format!("{what} avg10={share} avg60=0.00 avg300=0.00 total=1\n");
        self.write("pressure/memory", &(line("some", some) + &line("full", "0.00")));
    }

    fn free(&self, kib: u64) {
        self.write("meminfo", &format!("MemTotal: 9000000 kB\nMemAvailable:  {kib} kB\n"));
    }
}

/// The fixtures' times are shorter than a plan's may be, so that tests are.
fn watch(thresholds: Vec<ThresholdDesc>) -> Option<WatchDesc> {
    Some(WatchDesc { interval: fixture::ms(20), hold: fixture::ms(100), thresholds: thresholds.leak() })
}

/// Two levels; the severer one also by free memory.
fn with_levels() -> &'static SystemDesc {
    let base = fixture::system(&[(10, 1), (20, 1)]);
    let level = |name, shed| LevelDesc { name, shed, settles: fixture::ms(100), ..fixture::LEVEL };
    let levels = vec![level("high", &[][..]), level("critical", &[TaskId(0)][..])];
    let (some, free) = (WatchedSource::MemorySome, WatchedSource::FreeMemory);
    let asks = |level| Asks::Level(LevelId(level));
    let watch = watch(vec![
        ThresholdDesc { source: some, when: 2_000, until: 1_000, asks: asks(0) },
        ThresholdDesc { source: some, when: 5_000, until: 2_500, asks: asks(1) },
        ThresholdDesc { source: free, when: 512 << 20, until: 640 << 20, asks: asks(1) },
    ]);
    Box::leak(Box::new(SystemDesc { levels: levels.leak(), watch, ..*base }))
}

/// Runs a plan for so long beside its watching and an application.
fn run(
    system: &'static SystemDesc,
    proc: &Proc,
    for_ms: u64,
    application: impl FnOnce(&Pressure, &Modes) + Send,
) -> (Ran, Vec<SourceReport>) {
    let mut reports = Vec::new();
    let scenario = Scenario { for_ms: Some(for_ms), ..Scenario::of(Act::Spin(300)) };
    let ran = drive_beside::<2>(system, scenario, |_, pressure, modes| {
        let over = AtomicBool::new(false);
        let sources = Sources::open(proc.root(), system).unwrap().unwrap();
        reports = std::thread::scope(|scope| {
            let watching = scope.spawn(|| sources.run(Doors { pressure, modes }, &over));
            application(pressure, modes);
            over.store(true, Ordering::Release);
            watching.thread().unpark();
            watching.join().unwrap()
        });
    });
    assert_eq!((ran.report.broken, ran.report.drained, ran.heap_operations), (None, true, 0));
    (ran, reports)
}

/// Waits until something holds, for some seconds at most.
fn until(what: impl Fn() -> bool) -> bool {
    (0..400).any(|_| {
        sleep(10);
        what()
    })
}

/// What sources asked for, and what was changed, in the trace's order.
fn told(ran: &Ran) -> Vec<Kind> {
    let is_told =
        |kind: &Kind| matches!(kind, Kind::Watched { .. } | Kind::Pressure { .. } | Kind::ModeRequested { .. });
    ran.records.iter().map(|record| record.kind).filter(is_told).collect()
}

#[test]
fn a_source_that_crosses_a_threshold_asks_for_its_level_and_recovers() {
    let proc = Proc::new();
    let (ran, reports) = run(with_levels(), &proc, 6_000, |pressure, _| {
        sleep(100);
        assert_eq!(pressure.level(), None);
        proc.memory("20.00");
        assert!(until(|| pressure.level() == Some(LevelId(0))));
        // Between its threshold and its end nothing changes; a severer one is asked for although another source sees no shortage.
        proc.memory("10.01");
        proc.free(512 << 10);
        assert!(until(|| pressure.level() == Some(LevelId(1))));
        proc.free(640 << 10);
        assert!(until(|| pressure.level() == Some(LevelId(0))), "the milder one still holds");
        proc.memory("0.01");
        assert!(until(|| pressure.level().is_none()));
    });
    let (some, free, at) =
        (WatchedSource::MemorySome, WatchedSource::FreeMemory, |level| Some(Asks::Level(LevelId(level))));
    let watched = |source, reading, asks| Kind::Watched { source, reading, asks };
    let seen: Vec<Kind> = told(&ran).into_iter().filter(|kind| matches!(kind, Kind::Watched { .. })).collect();
    // Going back from the severer level the first threshold of it is told, which is that of the shares.
    let expected = [
        watched(some, 2_000, at(0)),
        watched(free, 512 << 20, at(1)),
        watched(some, 1_001, at(0)),
        watched(some, 1, None),
    ];
    assert_eq!(seen, expected);
    let levels: Vec<_> = told(&ran)
        .into_iter()
        .filter_map(|kind| match kind {
            Kind::Pressure { from, to, .. } => Some((from, to)),
            _ => None,
        })
        .collect();
    let (none, high, critical) = (None, Some(LevelId(0)), Some(LevelId(1)));
    assert_eq!(levels, [(none, high), (high, critical), (critical, high), (high, none)]);
    let report = |source, asked, worst| SourceReport { source, asked, worst: Some(worst), unreadable: 0 };
    assert_eq!(reports, [report(some, 1, 2_000), report(free, 1, 512 << 20)]);
    let lines = "watched memory-some: asked 1 times, at worst 20.00 %\nwatched free-memory: asked 1 times, at worst 512.0 MiB\n";
    assert_eq!(closing(&reports), lines);
}

#[test]
fn of_the_application_and_the_sources_the_severer_level_holds() {
    let proc = Proc::new();
    let (ran, _) = run(with_levels(), &proc, 5_000, |pressure, _| {
        sleep(50);
        proc.memory("30.00");
        assert!(until(|| pressure.level() == Some(LevelId(0))));
        pressure.request(Some(LevelId(1))).unwrap();
        assert!(until(|| pressure.level() == Some(LevelId(1))), "the application's is severer");
        // The source ends while the application's level holds, and the application then asks for none.
        proc.memory("0.00");
        sleep(400);
        assert_eq!(pressure.level(), Some(LevelId(1)));
        proc.memory("25.00");
        sleep(100);
        pressure.request(None).unwrap();
        assert!(until(|| pressure.level() == Some(LevelId(0))), "the source's is left");
    });
    let to: Vec<_> = told(&ran)
        .into_iter()
        .filter_map(|kind| match kind {
            Kind::Pressure { to, .. } => Some(to),
            _ => None,
        })
        .collect();
    assert_eq!(to, [Some(LevelId(0)), Some(LevelId(1)), Some(LevelId(0))]);
}

#[test]
fn what_cannot_be_read_any_more_is_counted_and_changes_nothing() {
    let proc = Proc::new();
    let (ran, reports) = run(with_levels(), &proc, 2_500, |pressure, _| {
        sleep(50);
        proc.memory("20.00");
        assert!(until(|| pressure.level() == Some(LevelId(0))));
        proc.write("pressure/memory", "some avg10=0.0");
        sleep(300);
        assert_eq!(pressure.level(), Some(LevelId(0)), "nothing says that it is over");
        proc.memory("0.00");
        assert!(until(|| pressure.level().is_none()));
    });
    assert_eq!(ran.levels.changes, 2);
    let (some, free) = (reports[0], reports[1]);
    assert!(some.unreadable >= 5 && free.unreadable == 0 && some.asked == 1, "{reports:?}");
    assert!(closing(&reports).contains(&format!("could not be read {} times\n", some.unreadable)));
}

#[test]
fn a_source_that_the_machine_does_not_have_or_tells_otherwise_keeps_the_vehicle_from_starting() {
    let (proc, system) = (Proc::new(), with_levels());
    assert!(Sources::open(proc.root(), fixture::system(&[(10, 1)])).unwrap().is_none(), "a plan that watches nothing");
    proc.write("meminfo", "MemTotal: 9000000 kB\n");
    let error = Sources::open(proc.root(), system).unwrap_err();
    let path = proc.root().join("meminfo");
    let text = format!("the watched source free-memory at {}: it has no line \"MemAvailable:\"", path.display());
    assert_eq!((error.what, error.to_string()), (WatchedSource::FreeMemory, text));
    std::fs::remove_file(proc.root().join("pressure/memory")).unwrap();
    let error = Sources::open(proc.root(), system).unwrap_err();
    assert_eq!((error.what, error.error.kind()), (WatchedSource::MemorySome, std::io::ErrorKind::NotFound));
}

/// Three modes of which two are asked for.
fn with_modes() -> &'static SystemDesc {
    let base = fixture::system(&[(10, 1), (20, 1)]);
    let mode = |name, own: &'static [TaskId]| ModeDesc {
        name,
        tasks: own,
        lanes: base.lanes,
        proven: own.iter().map(|task| base.tasks[task.index()]).collect::<Vec<_>>().leak(),
        leaves: fixture::ms(100),
    };
    let (one, both) = (&[TaskId(1)], &[TaskId(0), TaskId(1)]);
    let modes = vec![mode("driving", both), mode("careful", one), mode("crawling", one), mode("docking", both)];
    let source = WatchedSource::MemorySome;
    let watch = watch(vec![
        ThresholdDesc { source, when: 2_000, until: 1_000, asks: Asks::Mode(ModeId(1)) },
        ThresholdDesc { source, when: 5_000, until: 2_500, asks: Asks::Mode(ModeId(2)) },
    ]);
    Box::leak(Box::new(SystemDesc { modes: modes.leak(), watch, ..*base }))
}

#[test]
fn a_mode_that_a_source_asks_for_holds_until_it_ends_and_then_the_applications() {
    let proc = Proc::new();
    let (ran, reports) = run(with_modes(), &proc, 7_500, |_, modes| {
        let holds = |mode| until(|| modes.mode() == Some(ModeId(mode)));
        sleep(50);
        proc.memory("20.00");
        assert!(holds(1));
        // The application's own request waits for the end of the shortage; the last one counts.
        modes.request(ModeId(0)).unwrap();
        modes.request(ModeId(3)).unwrap();
        sleep(1_200);
        assert_eq!(modes.mode(), Some(ModeId(1)));
        proc.memory("70.00");
        assert!(holds(2));
        proc.memory("0.00");
        assert!(holds(3), "where the application asked to be");
        // One that never asked goes back to the first mode: here the application asks for that itself.
        modes.request(ModeId(0)).unwrap();
        assert!(holds(0));
    });
    let to: Vec<_> = told(&ran)
        .into_iter()
        .filter_map(|kind| match kind {
            Kind::ModeRequested { to, .. } => Some(to.0),
            _ => None,
        })
        .collect();
    assert_eq!(to, [1, 2, 3, 0]);
    let asks: Vec<_> = told(&ran)
        .into_iter()
        .filter_map(|kind| match kind {
            Kind::Watched { reading, asks, .. } => Some((reading, asks)),
            _ => None,
        })
        .collect();
    let mode = |mode| Some(Asks::Mode(ModeId(mode)));
    assert_eq!(asks, [(2_000, mode(1)), (7_000, mode(2)), (0, None)]);
    assert_eq!(reports[0].asked, 2);
}

#[test]
fn without_a_request_of_the_application_the_first_mode_holds_again() {
    let proc = Proc::new();
    run(with_modes(), &proc, 4_000, |_, modes| {
        sleep(50);
        proc.memory("20.00");
        assert!(until(|| modes.mode() == Some(ModeId(1))));
        proc.memory("0.00");
        assert!(until(|| modes.mode() == Some(ModeId(0))));
    });
}

#[test]
fn this_machines_own_sources_ask() {
    let base = with_levels();
    // As much is always free, so this asks at once; and the machine tells more of it never.
    let (source, asks) = (WatchedSource::FreeMemory, Asks::Level(LevelId(0)));
    let always = ThresholdDesc { source, when: u64::MAX - 1, until: u64::MAX, asks };
    let some = ThresholdDesc { source: WatchedSource::MemorySome, when: 10_000, until: 9_999, asks };
    let has_psi = Path::new("/proc/pressure/memory").exists();
    if !has_psi {
        eprintln!("only free memory is watched: this machine tells no pressure stall information");
    }
    let thresholds = if has_psi { vec![some, always] } else { vec![always] };
    let system: &SystemDesc = Box::leak(Box::new(SystemDesc { watch: watch(thresholds), ..*base }));
    let Ok(Some(sources)) = Sources::open(Path::new("/proc"), system) else {
        eprintln!("skipped: this machine tells neither free memory nor pressure stall information");
        return;
    };
    let mut reports = Vec::new();
    let scenario = Scenario { for_ms: Some(500), ..Scenario::of(Act::Spin(300)) };
    let ran = drive_beside::<2>(system, scenario, |_, pressure, modes| {
        let over = AtomicBool::new(false);
        reports = std::thread::scope(|scope| {
            let watching = scope.spawn(|| sources.run(Doors { pressure, modes }, &over));
            sleep(300);
            over.store(true, Ordering::Release);
            watching.join().unwrap()
        });
    });
    let free = reports.iter().find(|report| report.source == source).unwrap();
    assert!(free.asked == 1 && free.unreadable == 0 && free.worst.unwrap() > 0, "{reports:?}");
    assert_eq!((ran.report.broken, ran.levels.changes), (None, 1));
    assert_eq!(Duration::from_ns(1), fixture::LEVEL.settles);
}
