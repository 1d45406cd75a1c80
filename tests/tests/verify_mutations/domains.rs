//! What a fault domain's rules refuse.

use aegis_core::desc::{
    Answer, Backend, DomainDesc, FileDesc, MOST_DOMAINS, MemoryControl, ModeDesc, ModelDesc, PoolDesc, ProcessDesc,
    Release, RestartDesc, SegmentDesc, StageDesc, SystemDesc, TaskDesc, TensorLife,
};
use aegis_core::time::Duration;
use aegis_core::units::{ByteOffset, Bytes, DomainId, ModeId, ModelId, PoolId, TaskId};
use aegis_core::verify::{domains_hold, thread_waits_hold};

fn of(domains: usize, tasks: &[TaskDesc]) -> &'static SystemDesc {
    let domains = vec![DomainDesc { name: "domain", process: None }; domains].leak();
    Box::leak(Box::new(SystemDesc { tasks: tasks.to_vec().leak(), domains, ..SystemDesc::EMPTY }))
}

fn lies_in(domain: u16) -> TaskDesc {
    TaskDesc { domain: Some(DomainId(domain)), ..TaskDesc::EMPTY }
}

#[test]
fn a_domain_exists_and_only_who_lies_in_one_lets_it_fail() {
    assert!(domains_hold(of(0, &[TaskDesc::EMPTY])));
    assert!(domains_hold(of(2, &[lies_in(1)])) && !domains_hold(of(1, &[lies_in(1)])));
    assert!(domains_hold(of(MOST_DOMAINS, &[lies_in(63)])) && !domains_hold(of(MOST_DOMAINS + 1, &[lies_in(63)])));
    let answers = |task: TaskDesc| {
        let fail = Answer::FailDomain;
        [
            TaskDesc { on_overrun: fail, ..task },
            TaskDesc { on_miss: fail, ..task },
            TaskDesc { on_failure: fail, ..task },
        ]
    };
    assert!(answers(lies_in(0)).iter().all(|task| domains_hold(of(1, &[*task]))));
    assert!(answers(TaskDesc::EMPTY).iter().all(|task| !domains_hold(of(1, &[*task]))));
    for on_failure in [Answer::SkipNext, Answer::AbortJob] {
        assert!(!domains_hold(of(1, &[TaskDesc { on_failure, ..lies_in(0) }])), "a failed job has nothing left");
    }
}

#[test]
fn all_stages_of_a_task_lie_in_one_domain() {
    let stage = StageDesc { after: TaskId(0), earliest: Duration::ZERO, latest: Duration::ZERO };
    let later = |task: TaskDesc| TaskDesc { release: Release::Stage, stage: Some(stage), ..task };
    let holds = |first: TaskDesc, second: TaskDesc| domains_hold(of(2, &[first, later(second)]));
    assert!(holds(lies_in(1), lies_in(1)) && holds(TaskDesc::EMPTY, TaskDesc::EMPTY));
    assert!(
        !holds(lies_in(1), lies_in(0)) && !holds(lies_in(0), TaskDesc::EMPTY) && !holds(TaskDesc::EMPTY, lies_in(0))
    );
}

#[test]
fn an_event_waits_for_the_failure_of_each_domain_that_runs_models() {
    use aegis_core::desc::LaneDesc;
    let lane = |overhead, wait| LaneDesc {
        dispatch_overhead: Duration::from_ns(overhead),
        thread_wait: Duration::from_ns(wait),
        ..LaneDesc::EMPTY
    };
    let with_model = |domain| TaskDesc { model: Some(ModelId(0)), ..lies_in(domain) };
    // The other lane twice, and for each domain the dearest lane.
    for (tasks, failures) in [
        (vec![lies_in(0), lies_in(1)], 0),
        (vec![with_model(0), with_model(0), lies_in(1)], 1),
        (vec![with_model(0), with_model(1), with_model(1)], 2),
    ] {
        let holds = |less: [u64; 2]| {
            let lanes = vec![lane(30, 2 * 5 + failures * 30 - less[0]), lane(5, 2 * 30 + failures * 30 - less[1])];
            thread_waits_hold(&SystemDesc { lanes: lanes.leak(), ..*of(2, &tasks) })
        };
        assert!(holds([0, 0]) && !holds([1, 0]) && !holds([0, 1]), "{failures}");
    }
}

/// A task of the domain 0 that runs a model of so many files, whose pool is that of `pool`.
fn in_process(task: TaskDesc, files: usize, pool: Option<DomainId>, process: Option<ProcessDesc>) -> SystemDesc {
    let none = Bytes(0);
    let segment = SegmentDesc {
        file: FileDesc { name: "file", sha256: "", version: "" },
        engine: "",
        memory: MemoryControl::Measured,
        persistent_at: ByteOffset(0),
        persistent: none,
        load: &[],
        scratch_at: ByteOffset(0),
        scratch: none,
        runs: &[],
        reads: &[],
        writes: &[],
        launches: &[],
    };
    let model = ModelDesc {
        name: "model",
        backend: Backend::OnnxRuntime,
        engines: None,
        pool: PoolId(0),
        weights: none,
        tensors: TensorLife::Kept,
        inputs: &[],
        outputs: &[],
        carried: &[],
        segments: vec![segment; files].leak(),
    };
    let pool = PoolDesc {
        name: "pool",
        domain: pool,
        gpu: None,
        capacity: none,
        shares: None,
        weights: none,
        height: none,
        lower_bound: none,
        private: none,
        copy_per_mib: Duration::ZERO,
        page: none,
    };
    let task = TaskDesc { model: Some(ModelId(0)), ..task };
    SystemDesc {
        tasks: vec![task].leak(),
        models: vec![model].leak(),
        pools: vec![pool].leak(),
        domains: vec![DomainDesc { name: "domain", process }].leak(),
        ..SystemDesc::EMPTY
    }
}

#[test]
fn a_process_has_its_models_memory_and_the_time_to_run_their_segments() {
    let ns = Duration::from_ns;
    let process = |kill_after, hand_over| {
        let (kill_after, hand_over) = (ns(kill_after), ns(hand_over));
        Some(ProcessDesc {
            kill_after,
            hand_over,
            heartbeat: None,
            memory: None,
            restart: None,
            meanwhile: None,
            cores: &[],
        })
    };
    let own = Some(DomainId(0));
    let holds = |task, files, pool, process| domains_hold(&in_process(task, files, pool, process));
    // A job of one piece hands over each file.
    let whole = TaskDesc { wcet: ns(30), ..lies_in(0) };
    assert!(holds(whole, 3, own, process(30, 10)) && holds(whole, 1, own, process(u64::MAX, 30)));
    assert!(!holds(whole, 3, own, process(29, 10)), "killed within its WCET");
    assert!(
        !holds(whole, 4, own, process(30, 10)) && !holds(whole, 2, own, process(30, u64::MAX)),
        "hand-overs beyond it"
    );
    assert!(
        !holds(whole, 1, own, None)
            && !holds(whole, 1, None, process(30, 10))
            && !holds(whole, 1, Some(DomainId(1)), process(30, 10))
    );
    assert!(!holds(TaskDesc { domain: None, ..whole }, 1, own, process(30, 10)));
    assert!(holds(TaskDesc { domain: None, ..whole }, 1, None, None));
    // One that gives way hands over one file a segment.
    let segments = vec![ns(12), ns(18)].leak();
    let parts = TaskDesc { segments, ..whole };
    assert!(holds(parts, 2, own, process(18, 12)));
    assert!(!holds(parts, 2, own, process(17, 12)) && !holds(parts, 2, own, process(18, 13)));
    // Without a model nothing is handed over.
    assert!(domains_hold(of(1, &[whole])));
}

#[test]
fn a_process_is_started_again_as_often_as_is_counted_and_the_mode_meanwhile_has_nothing_of_it() {
    let ns = Duration::from_ns;
    let mode = |tasks| ModeDesc { name: "mode", tasks, lanes: &[], proven: &[], leaves: Duration::ZERO };
    let modes = vec![mode(&[TaskId(0), TaskId(1)]), mode(&[TaskId(1)])].leak();
    let holds = |max, within, back_off, meanwhile| {
        let restart = RestartDesc { max, within: ns(within), back_off: ns(back_off), probation: Duration::ZERO };
        let process = ProcessDesc {
            kill_after: ns(1),
            hand_over: ns(0),
            heartbeat: None,
            memory: None,
            restart: Some(restart),
            meanwhile,
            cores: &[],
        };
        let domains = vec![DomainDesc { name: "domain", process: Some(process) }].leak();
        let tasks = vec![lies_in(0), TaskDesc { domain: None, ..lies_in(0) }].leak();
        domains_hold(&SystemDesc { domains, modes, tasks, ..SystemDesc::EMPTY })
    };
    assert!(holds(1, 10, 10, None) && holds(16, 10, 1, Some(ModeId(1))));
    assert!(!holds(0, 10, 10, None) && !holds(17, 10, 10, None), "nobody remembers more");
    assert!(!holds(1, 9, 10, None), "it would never be counted");
    assert!(!holds(1, 10, 10, Some(ModeId(0))), "a task of it runs there");
    assert!(!holds(1, 10, 10, Some(ModeId(2))), "there is no such mode");
}

#[test]
fn threads_that_poll_have_a_core_each() {
    use aegis_core::desc::{LaneDesc, Waiting};
    use aegis_core::units::LaneId;
    let process = |cores: &[u16]| {
        let process = ProcessDesc {
            kill_after: Duration::MAX,
            hand_over: Duration::ZERO,
            heartbeat: None,
            memory: None,
            restart: None,
            meanwhile: None,
            cores: cores.to_vec().leak(),
        };
        DomainDesc { name: "domain", process: Some(process) }
    };
    // The first domain on both lanes, whose cores are 1 and 2, the second on the second one; the orchestration thread has core 0.
    let holds = |waiting, cores: [&[u16]; 2]| {
        let task = |domain, lane| TaskDesc { lane: LaneId(lane), ..lies_in(domain) };
        let base = in_process(task(0, 0), 1, Some(DomainId(0)), None);
        let models: Vec<_> = [0, 1].map(|pool| ModelDesc { pool: PoolId(pool), ..base.models[0] }).into();
        let pools: Vec<_> = [0, 1].map(|domain| PoolDesc { domain: Some(DomainId(domain)), ..base.pools[0] }).into();
        let with = |task, model| TaskDesc { model: Some(ModelId(model)), wcet: Duration::from_ns(1), ..task };
        let tasks = vec![with(task(0, 0), 0), with(task(0, 1), 0), with(task(0, 1), 0), with(task(1, 1), 1)];
        let lanes: Vec<_> = [1, 2].map(|core| LaneDesc { core, ..LaneDesc::EMPTY }).into();
        domains_hold(&SystemDesc {
            waiting,
            tasks: tasks.leak(),
            models: models.leak(),
            pools: pools.leak(),
            lanes: lanes.leak(),
            domains: cores.map(process).to_vec().leak(),
            ..base
        })
    };
    assert!(holds(Waiting::Blocking, [&[], &[]]) && holds(Waiting::Polling, [&[3, 4], &[5]]));
    assert!(!holds(Waiting::Blocking, [&[3, 4], &[5]]) && !holds(Waiting::Polling, [&[], &[]]));
    for wrong in [[&[3][..], &[5][..]], [&[3, 4], &[]], [&[3, 4, 6], &[5]], [&[3, 4], &[5, 6]]] {
        assert!(!holds(Waiting::Polling, wrong), "{wrong:?}");
    }
    // Of the orchestration thread, of a lane, twice of one process, of two processes.
    for shared in [[&[0, 4][..], &[5][..]], [&[3, 2], &[5]], [&[3, 3], &[5]], [&[3, 4], &[4]], [&[3, 4], &[1]]] {
        assert!(!holds(Waiting::Polling, shared), "{shared:?}");
    }
}
