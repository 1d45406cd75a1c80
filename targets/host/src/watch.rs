//! Who is told that the vehicle is healthy, and the thread that tells it; and the threads that watch sources of pressure, clocks
//! and heat.
// Starting the thread that gives back memory of which the plan says that nobody uses it.
#![allow(unsafe_code)]

use crate::error::HostError;
use crate::reclaim::Reclaimer;
use aegis_core::desc::SystemDesc;
use aegis_linux::bell::Bell;
use aegis_linux::conditions::Conditions;
use aegis_linux::device::Device;
use aegis_linux::pulse::Pulse;
use aegis_linux::realtime::{WATCH_PRIORITY, set_up_thread};
use aegis_linux::reclaim::Reclaim;
use aegis_linux::service::Service;
use aegis_linux::sources::{Doors, SourceReport, Sources};
use aegis_linux::stall::Stall;
use aegis_linux::table::ms;
use aegis_linux::watchdog::{Hook, Watch, Watched};
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread::{Builder, Scope, ScopedJoinHandle};

/// The service manager, where one started this process.
///
/// # Errors
/// [`HostError::Watchdog`]: it cannot be reached; or it expects pets, or the application `pets`, although the manifest watches
/// nothing.
pub(crate) fn service(system: &SystemDesc, pets: bool) -> Result<Option<Service>, HostError> {
    if pets && system.watchdog.is_none() {
        let refused = "the application pets a watchdog, but the manifest has no [watchdog] that says when: add one";
        return Err(HostError::Watchdog(refused.to_owned()));
    }
    let unreachable =
        |error| HostError::Watchdog(format!("the service manager's NOTIFY_SOCKET cannot be used: {error}"));
    let service = Service::from_environment().map_err(unreachable)?;
    match service.as_ref().and_then(Service::watchdog) {
        Some(limit) if system.watchdog.is_none() => Err(HostError::Watchdog(format!(
            "the service manager ends this vehicle unless it is petted every {} ms (WatchdogSec), but the manifest has no \
             [watchdog]: add one, or leave WatchdogSec out of the unit",
            limit.as_millis()
        ))),
        _ => Ok(service),
    }
}

/// What the watching thread needs; `None` where the manifest watches nothing.
///
/// # Errors
/// [`HostError::File`] where the device cannot be opened.
pub(crate) fn watch<'a>(
    pulse: Option<&'a Pulse>,
    bell: &'a Bell,
    service: Option<&'a Service>,
    hook: Option<Hook>,
) -> Result<Option<Watch<'a>>, HostError> {
    let Some(pulse) = pulse else { return Ok(None) };
    let device = pulse.desc().device.map(|path| {
        let what = "the watchdog's device".to_owned();
        Device::open(Path::new(path)).map_err(|error| HostError::File { what, path: path.into(), error })
    });
    Ok(Some(Watch { pulse, bell, service, device: device.transpose()?, hook }))
}

/// Tells the service manager something that it may do without.
pub(crate) fn tell(service: Option<&Service>, message: impl FnOnce(&Service) -> io::Result<()>) {
    if let Some(Err(error)) = service.map(message) {
        log::error!("the service manager cannot be told: {error}");
    }
}

/// Starts the thread; it ends the process where the orchestration thread stands still and should have ended the vehicle.
pub(crate) fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    core: u16,
    watch: Watch<'scope>,
) -> io::Result<ScopedJoinHandle<'scope, Watched>> {
    Builder::new().name("watchdog".to_owned()).spawn_scoped(scope, move || {
        for void in set_up_thread("the watching thread", core, WATCH_PRIORITY) {
            log::warn!("{}", void.text);
        }
        let watched = watch.run();
        if watched.must_exit {
            log::error!(
                "exit 3: the orchestration thread stands still; there is no summary, and the trace is not complete"
            );
            std::process::exit(3);
        }
        watched
    })
}

/// The watching of what the plan watches of this machine; `None` where it watches nothing.
///
/// A plan that answers to a shortage that this machine does not tell of would leave the vehicle without the answer, so it does not
/// start.
///
/// # Errors
/// [`HostError::File`]: the machine does not have a source, or does not tell it as Linux does.
pub(crate) fn sources(system: &'static SystemDesc) -> Result<Option<Sources>, HostError> {
    Sources::open(Path::new("/proc"), system).map_err(|cannot| HostError::File {
        what: format!("the watched source {}", cannot.what.name()),
        path: cannot.path,
        error: cannot.error,
    })
}

/// Starts the thread that watches sources until `over`, without real-time priority.
pub(crate) fn spawn_sources<'scope>(
    scope: &'scope Scope<'scope, '_>,
    sources: Sources,
    doors: Doors<'scope>,
    over: &'scope AtomicBool,
) -> io::Result<ScopedJoinHandle<'scope, Vec<SourceReport>>> {
    Builder::new().name("sources".to_owned()).spawn_scoped(scope, move || sources.run(doors, over))
}

/// Starts the thread that gives memory back until `over`, without real-time priority.
pub(crate) fn spawn_reclaimer<'scope>(
    scope: &'scope Scope<'scope, '_>,
    reclaimer: Reclaimer,
    reclaim: &'scope Reclaim,
    over: &'scope AtomicBool,
) -> io::Result<ScopedJoinHandle<'scope, ()>> {
    // SAFETY: the reclaimer was made of the plan that core has proven and of the arenas that its models were loaded into, and the
    // loop that orders has told of no level that has settled before its shed tasks' last job was over.
    Builder::new().name("reclaim".to_owned()).spawn_scoped(scope, move || unsafe { reclaimer.run(reclaim, over) })
}

/// Starts the thread that looks at clocks, power and heat until `over`, without real-time priority.
pub(crate) fn spawn_conditions<'scope>(
    scope: &'scope Scope<'scope, '_>,
    conditions: &'scope Conditions,
    over: &'scope AtomicBool,
) -> io::Result<ScopedJoinHandle<'scope, ()>> {
    Builder::new().name("conditions".to_owned()).spawn_scoped(scope, move || conditions.run(over))
}

/// What stood still when the vehicle ended because of it.
pub(crate) fn stalled(system: &SystemDesc, stall: Stall) -> String {
    match stall {
        Stall::Lane { lane, job, elapsed, allowed } => {
            let task = system.tasks.get(job.task.index()).map_or("", |task| task.name);
            let lane = system.lanes.get(lane.index()).map_or("", |lane| lane.name);
            format!(
                "lane \"{lane}\" stood still: task \"{task}\", request {}, was in flight for {}, the watchdog allows {}",
                job.request,
                ms(elapsed),
                ms(allowed)
            )
        }
        Stall::Loop { late, allowed } => {
            format!(
                "the orchestration thread stood still: it was {} late, the watchdog allows {}",
                ms(late),
                ms(allowed)
            )
        }
    }
}
