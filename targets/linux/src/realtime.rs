//! The real-time set-up of threads and memory; each refusal is told, none ends the program.
//!
//! The orchestration thread is more important than a lane thread: where they share a core, a release is seen
//! while a job runs. A lane that spins for long under `SCHED_FIFO` may be stopped by the kernel's throttle,
//! which [`throttle_void`] compares with the plan. Kernels from 6.12 on also have a fair server
//! (`/sys/kernel/debug/sched/fair_server`), whose settings only root sees and which is not read here: by default both
//! leave real-time threads 95 % of each second.
// `sched_setscheduler` and `mallopt` have no safe wrapper in rustix.
#![allow(unsafe_code)]

use crate::machine::Void;
use aegis_core::Duration;
use aegis_core::desc::{SystemDesc, TaskDesc, Waiting};
use aegis_core::trace::VoidReason;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::{fs, io};

/// The `SCHED_FIFO` priority of the orchestration thread.
pub const ORCHESTRATION_PRIORITY: i32 = 80;
/// The `SCHED_FIFO` priority of every lane thread.
pub const LANE_PRIORITY: i32 = 70;

/// The `SCHED_FIFO` priority of the watching thread, on the orchestration thread's core: it delays neither that thread nor a lane.
pub const WATCH_PRIORITY: i32 = 75;

/// Binds the calling thread to one core and makes it a real-time thread; returns what was refused.
pub fn set_up_thread(who: &str, core: u16, priority: i32) -> Vec<Void> {
    let mut voids = Vec::new();
    if let Err(error) = pin(core) {
        let text = format!("{who} could not be bound to core {core}: {error}");
        voids.push(Void { reason: VoidReason::NotPinned, text });
    }
    if let Err(error) = fifo(priority) {
        let text = format!("{who} did not get SCHED_FIFO {priority}: {error}");
        voids.push(Void { reason: VoidReason::NoRealTimePriority, text });
    }
    voids
}

/// Binds the calling thread to one core.
///
/// # Errors
/// The core does not exist or is not allowed for this process.
pub fn pin(core: u16) -> io::Result<()> {
    let core = usize::from(core);
    if core >= CpuSet::MAX_CPU {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set)?;
    Ok(())
}

/// The cores of threads that have real-time priority: of lanes, of the orchestration thread, and of processes that have their own.
pub fn taken_cores(system: &SystemDesc) -> impl Iterator<Item = u16> + '_ {
    let processes = system.domains.iter().filter_map(|domain| domain.process.as_ref());
    let of_processes = processes.flat_map(|process| process.cores.iter().copied());
    system.lanes.iter().map(|lane| lane.core).chain([system.orchestration_core]).chain(of_processes)
}

/// The cores that the calling thread may use besides these.
fn others(cores: impl IntoIterator<Item = u16>) -> io::Result<CpuSet> {
    let mut set = sched_getaffinity(None)?;
    for core in cores.into_iter().map(usize::from).filter(|core| *core < CpuSet::MAX_CPU) {
        set.unset(core);
    }
    Ok(set)
}

/// Whether the calling thread may use any other core than these; false where the system does not say.
pub fn has_others(cores: impl IntoIterator<Item = u16>) -> bool {
    others(cores).is_ok_and(|set| set.count() > 0)
}

/// Whether the calling thread may use a core; false where the system does not say.
#[must_use]
pub fn may_use(core: u16) -> bool {
    let core = usize::from(core);
    core < CpuSet::MAX_CPU && sched_getaffinity(None).is_ok_and(|set| set.is_set(core))
}

/// Keeps the calling thread off these cores, unless the process may use no other.
///
/// # Errors
/// What the system says.
pub fn keep_off(cores: impl IntoIterator<Item = u16>) -> io::Result<()> {
    let set = others(cores)?;
    if set.count() > 0 {
        sched_setaffinity(None, &set)?;
    }
    Ok(())
}

/// Has something done that starts threads: those keep off these cores, unless the process may use no other. Of the calling thread
/// nothing changes.
///
/// # Errors
/// What the system says.
pub fn with_threads_off<T>(cores: impl IntoIterator<Item = u16>, start: impl FnOnce() -> T) -> io::Result<T> {
    let before = sched_getaffinity(None)?;
    keep_off(cores)?;
    let started = start();
    sched_setaffinity(None, &before)?;
    Ok(started)
}

/// Gives the calling thread `SCHED_FIFO` with this priority, 1 to 99.
///
/// # Errors
/// The process may not (`EPERM`), or the priority is out of range.
pub fn fifo(priority: i32) -> io::Result<()> {
    // SAFETY: `sched_param` is plain data, and all zeros is a valid value of it on every C library.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = priority;
    // SAFETY: thread 0 is the caller, and the parameters outlive the call.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Locks all present and future pages of the process into memory, and keeps freed heap memory.
///
/// # Errors
/// The limit `RLIMIT_MEMLOCK` is too low, or the process may not.
pub fn lock_memory() -> io::Result<()> {
    keep_heap();
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE)?;
    Ok(())
}

/// Tells the C library to give no heap memory back, so that a backend's allocation meets no new page later.
fn keep_heap() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: both only set limits of the allocator; they are documented to be callable at any time.
        unsafe {
            libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
            libc::mallopt(libc::M_MMAP_MAX, 0);
        }
    }
}

/// How long real-time threads of one core may run in each period.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Throttle {
    /// Microseconds of each period; −1: no limit.
    pub runtime_us: i64,
    /// The period in microseconds.
    pub period_us: i64,
}

impl Throttle {
    /// Reads the kernel's setting; no limit where the kernel has none.
    #[must_use]
    pub fn read() -> Self {
        let number = |name: &str| -> Option<i64> {
            fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?.trim().parse().ok()
        };
        Self {
            runtime_us: number("sched_rt_runtime_us").unwrap_or(-1),
            period_us: number("sched_rt_period_us").unwrap_or(1_000_000),
        }
    }
}

/// The reason why the throttle may stop a lane of this plan, if it may.
///
/// In any window of one throttle period P only jobs run that arrived in the window of length P + R before its
/// end, where R is the task's response bound. There are at most ⌈(P + R) / T⌉ of them, each occupying the core for
/// at most its WCET and the lane's dispatch overhead. Where the sum over all lanes of a core stays below the
/// granted runtime, the throttle never acts; where it does not, it may. One short busy period is not enough:
/// two of them with a short gap can use up one throttle period together. Threads that look again and again for what comes always need
/// all of it.
#[must_use]
pub fn throttle_void(throttle: Throttle, system: &SystemDesc) -> Option<Void> {
    let runtime_us = u64::try_from(throttle.runtime_us).ok()?;
    let period_ns = u64::try_from(throttle.period_us).ok()?.saturating_mul(1_000);
    let runtime_ns = runtime_us.saturating_mul(1_000);
    if system.waiting == Waiting::Polling && runtime_ns < period_ns {
        let text = format!(
            "the vehicle's threads look for what comes and never leave their cores (`waiting = \"polling\"`), but the system stops \
             real-time threads after {runtime_us} µs of each {} µs: sysctl kernel.sched_rt_runtime_us=-1, or wait \"blocking\"",
            period_ns / 1_000
        );
        return Some(Void { reason: VoidReason::RealTimeThrottle, text });
    }
    for lane in system.lanes {
        let core_tasks = system.tasks.iter().filter_map(|task| {
            let own = system.lanes.get(task.lane.index())?;
            (own.core == lane.core)
                .then(|| demand(task, own.segment_overhead().unwrap_or(Duration::MAX).as_ns(), period_ns))
        });
        let demand_ns = core_tasks.fold(0_u64, u64::saturating_add);
        if demand_ns >= runtime_ns {
            let text = format!(
                "lane \"{}\" may need core {} for {} µs within {} µs (its longest busy period is {} µs), but the system \
                 stops real-time threads after {runtime_us} µs: sysctl kernel.sched_rt_runtime_us=-1; from Linux 6.12 on the \
                 fair server may stop them too, which AegisRT does not read: /sys/kernel/debug/sched/fair_server",
                lane.name,
                lane.core,
                demand_ns / 1_000,
                period_ns / 1_000,
                lane.busy_period.as_ns() / 1_000,
            );
            return Some(Void { reason: VoidReason::RealTimeThrottle, text });
        }
    }
    None
}

/// How long one task may occupy its core within a window of `period_ns`, at most the whole window.
fn demand(task: &TaskDesc, overhead_ns: u64, period_ns: u64) -> u64 {
    let window = period_ns.saturating_add(task.response_bound.as_ns());
    let jobs = window.div_ceil(task.period.as_ns().max(1));
    jobs.saturating_mul(task.wcet.as_ns().saturating_add(overhead_ns)).min(period_ns)
}

#[cfg(test)]
mod tests {
    use super::{Throttle, pin, set_up_thread, throttle_void};
    use crate::fixture;
    use aegis_core::Duration;
    use aegis_core::desc::{SystemDesc, Waiting};
    use aegis_core::trace::VoidReason;

    #[test]
    fn a_refusal_names_the_thread_and_the_core() {
        std::thread::spawn(|| {
            let voids = set_up_thread("lane \"main\"", 1023, 1);
            assert_eq!(voids[0].reason, VoidReason::NotPinned);
            assert!(voids[0].text.starts_with("lane \"main\" could not be bound to core 1023"), "{:?}", voids[0]);
            assert!(pin(2000).is_err());
        })
        .join()
        .unwrap();
    }

    #[test]
    fn the_throttle_matters_only_where_a_lane_can_use_up_its_runtime() {
        let throttle = Throttle { runtime_us: 950_000, period_us: 1_000_000 };
        let light = fixture::system(&[(10, 3), (20, 5)]);
        assert_eq!(throttle_void(throttle, light), None);
        let heavy = fixture::system(&[(10, 9), (200, 18)]);
        let void = throttle_void(throttle, heavy).unwrap();
        assert_eq!(void.reason, VoidReason::RealTimeThrottle);
        assert!(void.text.contains("950000 µs") && void.text.contains("sched/fair_server"), "{}", void.text);
        assert_eq!(throttle_void(Throttle { runtime_us: -1, ..throttle }, heavy), None);
        assert_eq!(heavy.tasks[0].wcet, Duration::from_ns(9_000_000));
        let polling = SystemDesc { waiting: Waiting::Polling, ..*light };
        let void = throttle_void(throttle, &polling).unwrap();
        assert!(void.text.contains("never leave their cores") && void.text.contains("950000 µs of each 1000000 µs"));
        assert_eq!(throttle_void(Throttle { runtime_us: 1_000_000, ..throttle }, &polling), None);
        assert_eq!(throttle_void(Throttle { runtime_us: -1, ..throttle }, &polling), None);
    }
}
