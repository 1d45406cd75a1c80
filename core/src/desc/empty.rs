//! Descriptors of nothing, to say only what matters: `LaneDesc { name: "main", ..LaneDesc::EMPTY }`. A plan spells all of it out.

use super::{
    Answer, Certificate, ConditionsDesc, LaneDesc, MachineDesc, Policy, Preemption, Release, SystemDesc, TaskDesc,
    Waiting,
};
use crate::layout::TABLE_LAYOUT;
use crate::time::Duration;
use crate::units::{LaneId, Priority};

impl SystemDesc {
    /// A plan without lanes and tasks, for no machine.
    pub const EMPTY: Self = Self {
        layout: TABLE_LAYOUT,
        name: "",
        generator: "",
        config_hash: [0; 32],
        manifest_hash: [0; 32],
        machine: MachineDesc { arch: "", cpu_model: "", cores: 0, governor: "" },
        conditions: ConditionsDesc::EMPTY,
        orchestration_core: 0,
        waiting: Waiting::Blocking,
        watchdog: None,
        watch: None,
        libraries: &[],
        assets: &[],
        lanes: &[],
        tasks: &[],
        models: &[],
        pools: &[],
        levels: &[],
        modes: &[],
        domains: &[],
    };
}

impl LaneDesc {
    /// A lane without name, overheads and proof, whose jobs run to completion by fixed priorities.
    pub const EMPTY: Self = Self {
        name: "",
        policy: Policy::FixedPriority,
        preemption: Preemption::None,
        core: 0,
        partition: None,
        dispatch_overhead: Duration::ZERO,
        launch_overhead: Duration::ZERO,
        domain_switch: Duration::ZERO,
        thread_wait: Duration::ZERO,
        wakeup_latency: Duration::ZERO,
        busy_period: Duration::ZERO,
        points: &[],
        hyperperiod: Duration::ZERO,
        slots: &[],
    };
}

impl TaskDesc {
    /// A task of the first lane that takes no time and proves nothing; one that is released needs a period.
    pub const EMPTY: Self = Self {
        name: "",
        lane: LaneId(0),
        model: None,
        domain: None,
        release: Release::Timer,
        defers: false,
        optional: false,
        priority: Priority(0),
        period: Duration::ZERO,
        deadline: Duration::ZERO,
        phase: Duration::ZERO,
        jitter: Duration::ZERO,
        stage: None,
        bcet: Duration::ZERO,
        wcet: Duration::ZERO,
        segments: &[],
        region: Duration::ZERO,
        budget: Duration::ZERO,
        on_overrun: Answer::Continue,
        on_miss: Answer::Continue,
        on_failure: Answer::Continue,
        miss_window: 1,
        queue: 1,
        response_bound: Duration::ZERO,
        certificate: Certificate::Unproven,
    };
}
