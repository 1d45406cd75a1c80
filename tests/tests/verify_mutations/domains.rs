//! What a fault domain's rules refuse.

use aegis_core::desc::{Answer, DomainDesc, MOST_DOMAINS, Release, StageDesc, SystemDesc, TaskDesc};
use aegis_core::time::Duration;
use aegis_core::units::{DomainId, ModelId, TaskId};
use aegis_core::verify::{domains_hold, thread_waits_hold};

fn of(domains: usize, tasks: &[TaskDesc]) -> &'static SystemDesc {
    let domains = vec![DomainDesc { name: "domain" }; domains].leak();
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
