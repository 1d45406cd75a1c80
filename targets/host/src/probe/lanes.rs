//! Measures each lane's dispatch round trip, and the lateness of the orchestration thread's timer.
//!
//! ```text
//!  pause ─▶ timer ─▶ step that releases all tasks      wake-up  = lateness + that step
//!  submit ─▶ hand-over ─▶ empty job ─▶ notice ─▶ end   dispatch = this way with both its steps + the step above, because
//!                                                      a job may end during such a step and is seen only after it
//! ```

use super::ProbeError;
use super::protocol::{LaneAnswer, LaneRequest, Request};
use super::statistics::Stats;
use aegis_core::desc::{LaneDesc, Policy, Release, SystemDesc, TaskDesc, Waiting};
use aegis_core::dispatch::{Event, State, step};
use aegis_core::trace::{Recorder, Ring};
use aegis_core::{Duration, Instant, LaneId, Priority, TaskId};
use aegis_linux::bell::Bell;
use aegis_linux::clock::Clock;
use aegis_linux::lane::{Fault, JobContext, Lane, LaneLink, LaneWork};
use aegis_linux::orchestrate::Timer;
use aegis_linux::realtime::{ORCHESTRATION_PRIORITY, set_up_thread};
use std::io;
use std::sync::Arc;

/// The times between two measurements, in turn, as between real jobs: the longer a core is idle, the deeper it sleeps
/// and the later it wakes.
const PAUSES: [Duration; 5] = [
    Duration::from_ns(1_000_000),
    Duration::from_ns(2_000_000),
    Duration::from_ns(5_000_000),
    Duration::from_ns(10_000_000),
    Duration::from_ns(20_000_000),
];

/// A job that does nothing.
struct Nothing;

impl LaneWork for Nothing {
    fn prepare(&mut self) -> Result<(), (Fault, String)> {
        Ok(())
    }

    fn run(&mut self, _job: &JobContext) -> Result<(), Fault> {
        Ok(())
    }
}

pub(super) fn measure_all(request: &Request) -> Result<Vec<LaneAnswer>, ProbeError> {
    request.lanes.iter().map(|lane| measure(request, lane)).collect()
}

fn measure(request: &Request, asked: &LaneRequest) -> Result<LaneAnswer, ProbeError> {
    let refused = |what: &'static str| move |error: io::Error| ProbeError::System { what, error };
    let waiting = Waiting::ALL.into_iter().find(|one| one.name() == asked.waiting);
    let unknown = || refused("a lane thread")(io::Error::other(format!("nothing waits \"{}\"", asked.waiting)));
    let waiting = waiting.ok_or_else(unknown)?;
    let bell = Arc::new(Bell::new(waiting).map_err(refused("a bell"))?);
    let desc = LaneDesc {
        // A handful of short names live until the probe ends.
        name: asked.name.clone().leak(),
        policy: Policy::FixedPriority,
        core: asked.core,
        ..LaneDesc::EMPTY
    };
    let system = plan_of(desc, request.orchestration_core, waiting);
    let lane = Lane::spawn(system, LaneId(0), Arc::clone(&bell), Nothing);
    let lane = lane.map_err(|error| refused("a lane thread")(io::Error::other(error)))?;
    for void in lane.voids() {
        eprintln!("{}", void.text);
    }
    let link = lane.link();
    let (runs, seconds, name) = (request.min_runs, request.min_seconds, asked.name.clone());
    // The state grows with the number of tasks, and with it what a step finds in the cache; the next larger one is measured.
    let series = match asked.tasks {
        0..=16 => series::<16>,
        17..=128 => series::<128>,
        _ => series::<1_024>,
    };
    let body = move || series(system, &link, &bell, runs, seconds, &name);
    let thread = std::thread::Builder::new().name("orchestration".to_owned()).spawn(body);
    let thread = thread.map_err(refused("the orchestration thread"))?;
    let result = thread.join().unwrap_or_else(|_| Err(io::Error::other("it panicked")));
    lane.close(std::time::Duration::from_secs(1));
    let (dispatch, wakeup) = result.map_err(refused("the orchestration thread"))?;
    Ok(LaneAnswer { name: asked.name.clone(), dispatch: Stats::of(dispatch), wakeup: Stats::of(wakeup) })
}

/// The smallest tables that a lane thread needs.
fn plan_of(lane: LaneDesc, orchestration_core: u16, waiting: Waiting) -> &'static SystemDesc {
    Box::leak(Box::new(SystemDesc {
        name: "probe",
        orchestration_core,
        waiting,
        lanes: Box::leak(Box::new([lane])),
        ..SystemDesc::EMPTY
    }))
}

type Series = (Vec<u64>, Vec<u64>);

/// The tables of a lane with this many tasks, none of which is ever late or over its budget.
fn with_tasks(system: &'static SystemDesc, tasks: usize, release: Release) -> SystemDesc {
    let ever = Duration::from_ns(u64::from(u32::MAX));
    let task = |number: u16| TaskDesc {
        release,
        priority: Priority(number),
        period: if release == Release::Timer { ever } else { Duration::from_ns(1) },
        deadline: ever,
        wcet: ever,
        budget: ever,
        miss_window: 10,
        response_bound: ever,
        ..TaskDesc::EMPTY
    };
    let tasks: Vec<TaskDesc> = (0_u16..=u16::MAX).take(tasks).map(task).collect();
    // Twice a lane; it lives until the probe ends.
    SystemDesc { tasks: tasks.leak(), ..*system }
}

/// One orchestration thread's measurements, with the dispatcher of a vehicle of `TASKS` tasks: timer lateness with a step
/// that releases every task at once, and dispatch round trips with the length of such a step added.
fn series<const TASKS: usize>(
    system: &'static SystemDesc,
    link: &LaneLink,
    bell: &Bell,
    min_runs: u64,
    min_seconds: u64,
    name: &str,
) -> io::Result<Series> {
    for void in set_up_thread("the orchestration thread", system.orchestration_core, ORCHESTRATION_PRIORITY) {
        eprintln!("{}", void.text);
    }
    let other = |text: &'static str| move |_| io::Error::other(text);
    let (one_by_one, all_at_once) =
        (with_tasks(system, TASKS, Release::Submitted), with_tasks(system, TASKS, Release::Timer));
    let mut state = new_state::<TASKS>(&one_by_one)?;
    let mut ring: Box<Ring<4_096>> = Box::default();
    let (writer, mut reader) = ring.split();
    let mut recorder = Recorder::new(writer);
    let clock = Clock::starting_in(Duration::ZERO);
    let mut timer = Timer::new(system.waiting)?;
    let (mut dispatch, mut wakeup) = (Vec::with_capacity(100_000), Vec::with_capacity(100_000));
    let end = Instant::from_ns(min_seconds.saturating_mul(1_000_000_000));
    for (run, pause) in (0_u64..).zip(PAUSES.iter().copied().cycle()) {
        while reader.dequeue().is_some() {}
        let mut fresh = new_state::<TASKS>(&all_at_once)?;
        let now = clock.now();
        if run % 1_000 == 0 {
            eprintln!("progress {name} {run} {}", min_runs.max(run));
        }
        if run >= min_runs.max(1) && now >= end {
            break;
        }
        let at = now.checked_add(pause).ok_or_else(|| io::Error::other("the clock has ended"))?;
        timer.arm(&clock, Some(at))?;
        timer.wait(bell)?;
        let woken = clock.now();
        let refused = other("the dispatcher refused a release");
        step(&all_at_once, &mut fresh, Event::Timer, woken, &mut recorder).map_err(refused)?;
        let released = clock.now();
        let burst = released.saturating_since(woken).as_ns();
        wakeup.push(released.saturating_since(at).as_ns());
        timer.arm(&clock, None)?;

        while reader.dequeue().is_some() {}
        let handed = clock.now();
        // The last task of the table, so that every decision looks at all of them.
        let task = TaskId(u16::try_from(TASKS.saturating_sub(1)).unwrap_or(u16::MAX));
        let submit = Event::Submit { task, arrival: handed };
        let refused = other("the dispatcher refused a job");
        let actions = step(&one_by_one, &mut state, submit, handed, &mut recorder).map_err(refused)?;
        let job = actions.start.first().copied().flatten().ok_or_else(|| io::Error::other("no job was started"))?;
        link.start(system, job, clock).map_err(|_| io::Error::other("the lane's mailbox was full"))?;
        let done = loop {
            timer.wait(bell)?;
            bell.hear();
            if let Some(done) = link.done() {
                break done;
            }
        };
        let (began, ended) = (done.execution.began, done.execution.ended);
        let completed = Event::Completed { lane: LaneId(0), began, ended };
        let refused = other("the dispatcher refused a completion");
        step(&one_by_one, &mut state, completed, clock.now(), &mut recorder).map_err(refused)?;
        dispatch.push(clock.now().saturating_since(handed).as_ns().saturating_add(burst));
    }
    Ok((dispatch, wakeup))
}

fn new_state<const TASKS: usize>(system: &SystemDesc) -> io::Result<Box<State<TASKS, 1, 1>>> {
    State::new(system).map(Box::new).map_err(|_| io::Error::other("the synthetic plan has another size"))
}
