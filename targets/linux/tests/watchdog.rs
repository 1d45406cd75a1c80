//! Fault injection: a vehicle that stands still sees it, records it, answers as declared, and is petted no more.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy knows test functions only, not their helpers")]

mod common;

use aegis_core::desc::{ModeDesc, OnStall, SystemDesc, WatchdogDesc};
use aegis_core::trace::Kind;
use aegis_core::{Duration, Instant, LaneId, ModeId, TaskId};
use aegis_linux::orchestrate::Broken;
use aegis_linux::stall::Stall;
use common::{Act, Delay, Ran, Scenario, drive_beside, fixture};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::thread::JoinHandle;

/// A device that is a file, and the socket of a service manager.
struct Watchers {
    _folder: tempfile::TempDir,
    device: &'static str,
    manager: &'static str,
    /// How often the manager is petted until it is told to quit.
    heard: JoinHandle<u64>,
}

impl Watchers {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let leak =
            |name: &str| -> &'static str { folder.path().join(name).into_os_string().into_string().unwrap().leak() };
        let (device, manager) = (leak("watchdog"), leak("notify"));
        std::fs::write(device, "").unwrap();
        let socket = UnixDatagram::bind(manager).unwrap();
        // A socket holds few messages that are not read.
        let heard = std::thread::spawn(move || {
            let (mut heard, mut buffer) = (0, [0; 64]);
            loop {
                let length = socket.recv(&mut buffer).unwrap();
                match &buffer[..length] {
                    b"WATCHDOG=1" => heard += 1,
                    other => break assert_eq!(other, b"quit", "{heard}"),
                }
            }
            heard
        });
        Self { _folder: folder, device, manager, heard }
    }

    /// How often each of both was petted, and whether the device was told to stop counting.
    fn pets(self) -> (u64, u64, bool) {
        UnixDatagram::unbound().unwrap().send_to(b"quit", self.manager).unwrap();
        let heard = self.heard.join().unwrap();
        let written = std::fs::read(Path::new(self.device)).unwrap();
        let (pets, closed) = match written.split_last() {
            Some((b'V', rest)) => (rest, true),
            _ => (written.as_slice(), false),
        };
        assert!(pets.iter().all(|byte| *byte == 0), "{written:?}");
        (u64::try_from(pets.len()).unwrap(), heard, closed)
    }

    /// A run of 400 ms with a job every 10 ms and a timeout of 60 ms; the watching thread looks every 30 ms.
    fn run(&self, on_stall: OnStall, scenario: Scenario) -> Ran {
        let watchdog = WatchdogDesc { timeout: fixture::ms(60), device: Some(self.device), on_stall };
        let (watchdog, manager) = (Some(watchdog), Some(self.manager));
        let scenario = Scenario { for_ms: Some(400), watchdog, manager, ..scenario };
        drive_beside::<1>(fixture::system(&[(10, 5)]), scenario, |_, _, _| {})
    }

    /// The same with two tasks, of which a second mode has only the first one; the run takes as long as told.
    fn run_in_modes(&self, scenario: Scenario) -> Ran {
        let base = fixture::system(&[(10, 5), (20, 5)]);
        let mode = |name, own: &'static [TaskId]| ModeDesc {
            name,
            tasks: own,
            lanes: base.lanes,
            proven: base.tasks.get(..own.len()).unwrap(),
            leaves: fixture::ms(100),
        };
        let modes = vec![mode("all", &[TaskId(0), TaskId(1)]), mode("less", &[TaskId(0)])];
        let system = Box::leak(Box::new(SystemDesc { modes: modes.leak(), ..*base }));
        let on_stall = OnStall::SwitchMode(ModeId(1));
        let watchdog = WatchdogDesc { timeout: fixture::ms(60), device: Some(self.device), on_stall };
        let (watchdog, manager) = (Some(watchdog), Some(self.manager));
        drive_beside::<2>(system, Scenario { watchdog, manager, ..scenario }, |_, _, _| {})
    }
}

fn lane_stalls(ran: &Ran) -> Vec<(Instant, u64, Duration, Duration)> {
    let stalls = ran.records.iter().filter_map(|record| match record.kind {
        Kind::LaneStalled { job, lane: LaneId(0), elapsed, allowed } => {
            Some((record.at, job.request, elapsed, allowed))
        }
        _ => None,
    });
    stalls.collect()
}

/// The third job sleeps for 200 ms; it may take 5 ms, 0.2 ms of overheads and the timeout.
const STALL: Scenario = Scenario::of(Act::StallOnce { request: 3, for_ms: 200 });
const ALLOWED: Duration = Duration::from_ns(65_200_000);

#[test]
fn a_healthy_vehicle_is_petted_to_its_end_and_stops_the_device_then() {
    // Where the machine itself stands still for so long, the vehicle is right to say so; then another run shows it.
    for _ in 0..5 {
        let watchers = Watchers::new();
        let ran = watchers.run(OnStall::StopPetting, Scenario::of(Act::Spin(500)));
        assert_eq!((ran.report.broken, ran.report.drained, ran.heap_operations), (None, true, 0));
        let watched = ran.watched.unwrap();
        let (written, heard, closed) = watchers.pets();
        assert_eq!([ran.pets, written, heard], [watched.pets; 3], "all of them or none");
        if (ran.report.lane_stalls, ran.report.loop_stalls, watched.overdue) == (0, 0, 0) {
            assert!(watched.pets >= 5 && closed, "{watched:?}");
            return;
        }
    }
    panic!("the machine stood still for 60 ms in each of five runs of 400 ms");
}

#[test]
fn a_lane_that_stalls_is_recorded_when_its_time_is_over_and_petting_pauses_until_it_moves() {
    let watchers = Watchers::new();
    let ran = watchers.run(OnStall::Record, STALL);
    assert_eq!((ran.report.broken, ran.report.drained), (None, true));
    let stalls = lane_stalls(&ran);
    assert_eq!(stalls.len(), 1, "once for each segment that stalls: {stalls:?}");
    let (at, request, elapsed, allowed) = stalls[0];
    assert_eq!((request, allowed, ran.report.lane_stalls), (3, ALLOWED, 1));
    // It is seen while the segment runs, not at its end.
    assert!(elapsed >= ALLOWED && elapsed < fixture::ms(190), "{elapsed:?}");
    let moves = ran.records.iter().find_map(|record| match record.kind {
        Kind::Completed { job, ended, .. } if job.request == 3 => Some(ended),
        _ => None,
    });
    assert!(moves.unwrap() > at);
    // 400 ms without the 135 ms of the stall, a pet each 30 ms; more would mean that it was petted meanwhile.
    let (pets, heard, closed) = watchers.pets();
    assert!((3..=11).contains(&pets) && heard == pets && closed, "{pets} {heard} {closed}");
    assert_eq!(ran.heap_operations, 0);
}

#[test]
fn a_vehicle_that_is_to_stop_petting_never_pets_again_and_leaves_the_device_counting() {
    let watchers = Watchers::new();
    let ran = watchers.run(OnStall::StopPetting, STALL);
    assert_eq!((ran.report.broken, ran.report.drained), (None, true));
    assert_eq!(lane_stalls(&ran).len(), 1);
    // The stall is seen at about 85 ms.
    let (pets, heard, closed) = watchers.pets();
    assert!(pets <= 5 && heard == pets && !closed, "{pets} {heard} {closed}");
}

#[test]
fn a_vehicle_that_is_to_exit_ends_with_the_stall_and_names_it() {
    let watchers = Watchers::new();
    let ran = watchers.run(OnStall::Exit, STALL);
    let Some(Broken::Stalled(Stall::Lane { lane, job, elapsed, allowed })) = ran.report.broken else {
        panic!("{:?}", ran.report);
    };
    assert_eq!((lane, job.request, allowed), (LaneId(0), 3, ALLOWED));
    assert!(elapsed >= ALLOWED && ran.report.ended < Instant::from_ns(220_000_000), "{:?}", ran.report);
    assert!(!watchers.pets().2);
}

#[test]
fn an_orchestration_thread_that_stands_still_is_seen_while_it_does() {
    // From 50 ms to about 250 ms it looks at nothing.
    let delay = Some(Delay { arrival_ms: 50, for_ms: 200 });
    for on_stall in [OnStall::Record, OnStall::StopPetting] {
        let watchers = Watchers::new();
        let ran = watchers.run(on_stall, Scenario { delay, ..Scenario::of(Act::Spin(500)) });
        assert_eq!((ran.report.broken, ran.report.drained), (None, true));
        assert!(ran.watched.unwrap().overdue >= 1 && ran.report.loop_stalls >= 1, "{:?} {:?}", ran.watched, ran.report);
        let late = ran.records.iter().filter_map(|record| match record.kind {
            Kind::LoopStalled { late, allowed, .. } => Some((late, allowed)),
            _ => None,
        });
        let (late, allowed) = late.max().unwrap();
        assert!(late >= fixture::ms(190) && allowed == fixture::ms(60), "{late:?}");
        let (pets, _, closed) = watchers.pets();
        let most = if on_stall == OnStall::Record { 11 } else { 5 };
        assert!(pets <= most && closed == (on_stall == OnStall::Record), "{on_stall:?}: {pets} {closed}");
    }
    // The thread ends the vehicle itself when it wakes; had it not, the watching thread would have said that somebody must.
    let watchers = Watchers::new();
    let delay = Some(Delay { arrival_ms: 50, for_ms: 300 });
    let ran = watchers.run(OnStall::Exit, Scenario { delay, ..Scenario::of(Act::Spin(500)) });
    assert!(matches!(ran.report.broken, Some(Broken::Stalled(Stall::Loop { .. }))), "{:?}", ran.report);
    assert!(ran.watched.unwrap().must_exit, "after another 60 ms: {:?}", ran.watched);
}

/// When something is recorded first.
fn first(ran: &Ran, is: impl Fn(&Kind) -> bool) -> Option<Instant> {
    ran.records.iter().find(|record| is(&record.kind)).map(|record| record.at)
}

#[test]
fn a_stall_that_is_answered_with_a_mode_asks_for_it_at_once_and_it_is_there_when_the_lane_goes_on() {
    let watchers = Watchers::new();
    let ran = watchers.run_in_modes(Scenario { for_ms: Some(600), ..STALL });
    assert_eq!((ran.report.broken, ran.report.drained, ran.report.changing), (None, true, None));
    let stalled = first(&ran, |kind| matches!(kind, Kind::LaneStalled { .. })).unwrap();
    let asked = first(&ran, |kind| matches!(kind, Kind::ModeRequested { from: ModeId(0), to: ModeId(1), .. })).unwrap();
    let changed = first(&ran, |kind| matches!(kind, Kind::ModeChanged { to: ModeId(1), .. })).unwrap();
    let moves = first(&ran, |kind| matches!(kind, Kind::Completed { job, .. } if job.request == 3)).unwrap();
    // In the turn that records the stall; the end is not before the lane goes on, which is later than planned.
    assert!(stalled <= asked && asked.saturating_since(stalled) < fixture::ms(50), "{stalled:?} {asked:?}");
    assert!(asked < moves && moves <= changed, "{asked:?} {moves:?} {changed:?}");
    assert_eq!((ran.modes.requested, ran.modes.changed, ran.heap_operations), (1, 1, 0));
    // Nothing arrives any more of the task that the mode does not have, and petting goes on once the lane does.
    let late = |record: &&aegis_core::trace::Record| matches!(record.kind, Kind::Submitted { job, arrival, .. } if job.task == TaskId(1) && arrival > asked);
    assert_eq!(ran.records.iter().filter(late).count(), 0);
    let (pets, heard, closed) = watchers.pets();
    assert!(pets >= 3 && heard == pets && closed, "{pets} {heard} {closed}");
}

#[test]
fn a_lane_that_never_goes_on_keeps_the_change_from_ending_and_the_run_says_so() {
    let watchers = Watchers::new();
    // The run ends at 200 ms and waits for 10 s more, but the job sleeps for longer.
    let stuck = Scenario::of(Act::StallOnce { request: 3, for_ms: 11_000 });
    let ran = watchers.run_in_modes(Scenario { for_ms: Some(200), ..stuck });
    assert_eq!((ran.report.drained, ran.report.changing), (false, Some(ModeId(1))));
    assert_eq!((ran.modes.requested, ran.modes.changed, ran.report.lane_stalls), (1, 0, 1));
    let (pets, _, closed) = watchers.pets();
    assert!(pets <= 5 && !closed, "nobody is petted while the lane stands still: {pets}");
}

#[test]
fn an_orchestration_thread_that_stood_still_asks_for_the_mode_when_it_turns_again() {
    let watchers = Watchers::new();
    let delay = Some(Delay { arrival_ms: 50, for_ms: 200 });
    let ran = watchers.run_in_modes(Scenario { for_ms: Some(600), delay, ..Scenario::of(Act::Spin(500)) });
    assert_eq!((ran.report.broken, ran.report.drained), (None, true));
    let stalled = first(&ran, |kind| matches!(kind, Kind::LoopStalled { .. })).unwrap();
    let asked = first(&ran, |kind| matches!(kind, Kind::ModeRequested { to: ModeId(1), .. })).unwrap();
    assert!(stalled <= asked && asked.saturating_since(stalled) < fixture::ms(50), "{stalled:?} {asked:?}");
    assert_eq!((ran.modes.requested, ran.modes.changed), (1, 1));
}
