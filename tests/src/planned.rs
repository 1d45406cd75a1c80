//! Systems made of numbers, and the descriptors of their plans.

use aegis_codegen::analysis::{self, Load, is_schedulable};
use aegis_codegen::certify::certify;
use aegis_codegen::lock::{Input, Lock, sha256};
use aegis_codegen::system::{Conditions, Domain, Lane, Machine, Mode, System, Task, thread_waits};
use aegis_codegen::{memory, tables};
use aegis_core::desc::{Answer, LaneDesc, Policy, Preemption, Release, SystemDesc, TaskDesc, Waiting};
use aegis_core::time::Duration;
use aegis_core::units::Priority;

/// A lane without device; overheads in nanoseconds.
#[must_use]
pub fn lane(name: &str, policy: Policy, dispatch_overhead: u64, wakeup_latency: u64) -> Lane {
    Lane {
        name: name.to_owned(),
        device: None,
        policy,
        optimal: false,
        preemption: Preemption::None,
        core: 1,
        partition: None,
        dispatch_overhead: Duration::from_ns(dispatch_overhead),
        launch_overhead: Duration::ZERO,
        domain_switch: Duration::ZERO,
        blackout: Duration::ZERO,
        thread_wait: Duration::ZERO,
        wakeup_latency: Duration::from_ns(wakeup_latency),
        span: 0..0,
    }
}

/// A task without model, with its WCET as budget; times in nanoseconds.
#[must_use]
pub fn task(name: &str, lane: usize, load: Load) -> Task {
    Task {
        name: name.to_owned(),
        lane,
        model: None,
        domain: None,
        period: Duration::from_ns(load.period),
        deadline: Duration::from_ns(load.deadline),
        phase: Duration::ZERO,
        submitted: false,
        defers: false,
        optional: false,
        jitter: Duration::from_ns(load.jitter),
        priority: None,
        after: None,
        bcet: Duration::ZERO,
        wcet: Duration::from_ns(load.cost),
        hand_over: Duration::ZERO,
        handed: false,
        segments: Vec::new(),
        region: Duration::ZERO,
        suspension: Duration::ZERO,
        budget: Duration::from_ns(load.cost),
        memory: None,
        on_overrun: Answer::Continue,
        on_miss: Answer::Continue,
        on_failure: Answer::Continue,
        miss_window: 10,
        span: 0..0,
        deadline_span: 0..0,
    }
}

/// A system without devices and models; each lane gets a core of its own, and waits for the orchestration thread at least as long
/// as the checker demands.
#[must_use]
pub fn system(mut lanes: Vec<Lane>, tasks: Vec<Task>) -> System {
    for (lane, core) in lanes.iter_mut().zip(1..) {
        lane.core = core;
    }
    let mut system = System {
        name: "numbers".to_owned(),
        file: "system.toml".to_owned(),
        orchestration_core: 0,
        waiting: Waiting::Blocking,
        conditions: Conditions::default(),
        watchdog: None,
        watch: None,
        machine: Machine::default(),
        libraries: Vec::new(),
        assets: Vec::new(),
        devices: Vec::new(),
        lanes,
        models: Vec::new(),
        tasks,
        chains: Vec::new(),
        levels: Vec::new(),
        modes: Vec::new(),
        domains: Vec::new(),
    };
    share_thread(&mut system);
    system
}

/// Lets each lane wait for the orchestration thread at least as long as the checker demands.
fn share_thread(system: &mut System) {
    let dispatch: Vec<Duration> = system.lanes.iter().map(|lane| lane.dispatch_overhead).collect();
    let submitted = system.tasks.iter().filter(|task| task.submitted).map(|task| task.lane);
    let waits = thread_waits(&dispatch, submitted, system.changes());
    for (lane, wait) in system.lanes.iter_mut().zip(waits) {
        lane.thread_wait = lane.thread_wait.max(wait.expect("the overheads sum"));
    }
}

/// A system with modes: each lane also waits for a change of the mode.
#[must_use]
pub fn with_modes(mut system: System, modes: Vec<Mode>) -> System {
    system.modes = modes;
    share_thread(&mut system);
    system
}

/// A system with fault domains: each lane also waits for the return of those that are started again.
#[must_use]
pub fn with_domains(mut system: System, domains: Vec<Domain>) -> System {
    system.domains = domains;
    share_thread(&mut system);
    system
}

/// The lock of a system, by the generator's own rooms; `None` where a task is not schedulable.
///
/// # Panics
/// Where a schedulable system cannot be certified.
#[must_use]
pub fn lock(system: &System) -> Option<Lock> {
    let analysis = analysis::analyse(system);
    let lanes_settle = analysis.lanes.iter().all(|lane| lane.busy_period.is_ok());
    if !lanes_settle || (0..system.tasks.len()).any(|task| !is_schedulable(system, &analysis, task)) {
        return None;
    }
    let priorities: Vec<_> = analysis.tasks.iter().map(|task| task.priority).collect();
    let layout = memory::plan(system, &priorities).expect("sizes sum");
    let plan = certify(system, &analysis, &layout).expect("what is schedulable can be certified");
    let input = Input { path: "system.toml".to_owned(), sha256: sha256(b"") };
    Some(Lock::new(plan, vec![input]).expect("a plan is TOML"))
}

/// The descriptors of a system's plan, re-proven by the core; `None` where a task is not schedulable.
///
/// The descriptors live until the process ends.
///
/// # Panics
/// Where the core refuses the plan.
#[must_use]
pub fn plan(system: &System) -> Option<&'static SystemDesc> {
    let desc = tables::leak(&lock(system)?).expect("a plan has tables");
    assert_eq!(aegis_core::verify::verify(desc), Ok(()), "the core refuses the plan of {system:#?}");
    Some(desc)
}

/// The same descriptors with other tasks.
#[must_use]
pub fn with_tasks(desc: &SystemDesc, tasks: Vec<TaskDesc>) -> &'static SystemDesc {
    Box::leak(Box::new(SystemDesc { tasks: tasks.leak(), ..*desc }))
}

/// Descriptors of one lane that claim every deadline without any proof: to show that something is missed.
#[must_use]
pub fn unproven(policy: Policy, loads: &[Load]) -> &'static SystemDesc {
    let lane = LaneDesc { name: "main", policy, core: 1, busy_period: Duration::from_ns(1), ..LaneDesc::EMPTY };
    let tasks: Vec<TaskDesc> = (0u16..).zip(loads).map(|(index, load)| submitted(index, load)).collect();
    Box::leak(Box::new(SystemDesc {
        name: "numbers",
        generator: "a test",
        lanes: vec![lane].leak(),
        tasks: tasks.leak(),
        ..SystemDesc::EMPTY
    }))
}

fn submitted(index: u16, load: &Load) -> TaskDesc {
    TaskDesc {
        name: "task",
        release: Release::Submitted,
        priority: Priority(index),
        period: Duration::from_ns(load.period),
        deadline: Duration::from_ns(load.deadline),
        jitter: Duration::from_ns(load.jitter),
        wcet: Duration::from_ns(load.cost),
        budget: Duration::from_ns(load.cost),
        miss_window: 10,
        queue: 64,
        response_bound: Duration::from_ns(load.deadline),
        ..TaskDesc::EMPTY
    }
}
