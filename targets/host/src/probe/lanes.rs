//! Measures each lane's dispatch round trip, and the lateness of the orchestration thread's timer.

use super::ProbeError;
use super::protocol::{LaneAnswer, LaneRequest, Request};
use super::statistics::Stats;
use aegis_core::desc::{LaneDesc, MachineDesc, Policy, SystemDesc};
use aegis_core::dispatch::Job;
use aegis_core::{Duration, Instant, LaneId, TaskId, layout};
use aegis_linux::bell::Bell;
use aegis_linux::clock::Clock;
use aegis_linux::lane::{Fault, JobContext, Lane, LaneLink, LaneWork};
use aegis_linux::orchestrate::Timer;
use aegis_linux::realtime::{ORCHESTRATION_PRIORITY, set_up_thread};
use std::io;
use std::sync::Arc;

/// The time between two measurements: long enough for an idle core to fall asleep, as between real jobs.
const PAUSE: Duration = Duration::from_ns(1_000_000);

/// A job that does nothing.
struct Nothing;

impl LaneWork for Nothing {
    fn prepare(&mut self) -> Result<(), String> {
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
    let bell = Arc::new(Bell::new().map_err(refused("a bell"))?);
    let desc = LaneDesc {
        // A handful of short names live until the probe ends.
        name: asked.name.clone().leak(),
        policy: Policy::FixedPriority,
        core: asked.core,
        dispatch_overhead: Duration::ZERO,
        wakeup_latency: Duration::ZERO,
        busy_period: Duration::ZERO,
    };
    let system = plan_of(desc, request.orchestration_core);
    let lane = Lane::spawn(system, LaneId(0), Arc::clone(&bell), Nothing);
    let lane = lane.map_err(|error| refused("a lane thread")(io::Error::other(error)))?;
    for void in lane.voids() {
        eprintln!("{}", void.text);
    }
    let link = lane.link();
    let (runs, seconds, name) = (request.min_runs, request.min_seconds, asked.name.clone());
    let body = move || series(system, &link, &bell, runs, seconds, &name);
    let thread = std::thread::Builder::new().name("orchestration".to_owned()).spawn(body);
    let thread = thread.map_err(refused("the orchestration thread"))?;
    let result = thread.join().unwrap_or_else(|_| Err(io::Error::other("it panicked")));
    lane.close(std::time::Duration::from_secs(1));
    let (dispatch, wakeup) = result.map_err(refused("the orchestration thread"))?;
    Ok(LaneAnswer { name: asked.name.clone(), dispatch: Stats::of(dispatch), wakeup: Stats::of(wakeup) })
}

/// The smallest tables that a lane thread needs.
fn plan_of(lane: LaneDesc, orchestration_core: u16) -> &'static SystemDesc {
    Box::leak(Box::new(SystemDesc {
        layout: layout::TABLE_LAYOUT,
        name: "probe",
        generator: "",
        config_hash: [0; 32],
        manifest_hash: [0; 32],
        machine: MachineDesc { arch: "", cpu_model: "", cores: 0, governor: "" },
        orchestration_core,
        libraries: &[],
        assets: &[],
        lanes: Box::leak(Box::new([lane])),
        tasks: &[],
        models: &[],
        pools: &[],
    }))
}

type Series = (Vec<u64>, Vec<u64>);

/// One orchestration thread's measurements: dispatch round trips, timer lateness.
fn series(
    system: &SystemDesc,
    link: &LaneLink,
    bell: &Bell,
    min_runs: u64,
    min_seconds: u64,
    name: &str,
) -> io::Result<Series> {
    for void in set_up_thread("the orchestration thread", system.orchestration_core, ORCHESTRATION_PRIORITY) {
        eprintln!("{}", void.text);
    }
    let clock = Clock::starting_in(Duration::ZERO);
    let mut timer = Timer::new()?;
    let (mut dispatch, mut wakeup) = (Vec::with_capacity(100_000), Vec::with_capacity(100_000));
    let job = Job { task: TaskId(0), request: 0, arrival: Instant::START, deadline: Instant::START };
    let end = Instant::from_ns(min_seconds.saturating_mul(1_000_000_000));
    for run in 0_u64.. {
        let now = clock.now();
        if run % 1_000 == 0 {
            eprintln!("progress {name} {run} {}", min_runs.max(run));
        }
        if run >= min_runs.max(1) && now >= end {
            break;
        }
        let at = now.checked_add(PAUSE).ok_or_else(|| io::Error::other("the clock has ended"))?;
        timer.arm(&clock, Some(at))?;
        timer.wait(bell)?;
        wakeup.push(clock.now().saturating_since(at).as_ns());
        timer.arm(&clock, None)?;

        let handed = clock.now();
        link.start(system, job, clock).map_err(|_| io::Error::other("the lane's mailbox was full"))?;
        let seen = loop {
            timer.wait(bell)?;
            bell.hear();
            let seen = clock.now();
            if link.done().is_some() {
                break seen;
            }
        };
        dispatch.push(seen.saturating_since(handed).as_ns());
    }
    Ok((dispatch, wakeup))
}
