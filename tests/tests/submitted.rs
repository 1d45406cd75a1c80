//! Tasks that the application submits: what they cost is counted, what assumes strict periods leaves them out, and the table
//! says where their releases come from.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

use aegis_codegen::check::{Checked, Options, check};
use aegis_codegen::tables;
use aegis_core::desc::Release;
use aegis_core::dispatch::{Event, Refused, State, step};
use aegis_core::trace::Discard;
use aegis_core::{Instant, TaskId};

const TWO_LANES: &str = "\
system = { name = \"lab\", policy = \"rate-monotonic\" }
lane.main = { kind = \"cpu\", core = 1, dispatch-overhead = \"20us\", wakeup-latency = \"50us\" }
lane.side = { kind = \"cpu\", core = 2, dispatch-overhead = \"7us\", wakeup-latency = \"50us\" }
task.steer = { lane = \"main\", period = \"10ms\", wcet = \"2ms\" }
task.ask = { lane = \"side\", period = \"40ms\", wcet = \"8ms\" }
task.tell = { lane = \"side\", period = \"60ms\", wcet = \"8ms\" }
";

fn checked(text: String) -> Checked {
    let checked = check("system.toml", text, Options { exact: true, ..Options::default() }).unwrap();
    assert!(checked.passes(), "{:#?}", checked.findings);
    checked
}

#[test]
fn each_lane_waits_for_a_submission_of_each_such_task() {
    let waits = |checked: &Checked| -> Vec<u64> {
        checked.resolved.as_ref().unwrap().system.lanes.iter().map(|lane| lane.thread_wait.as_ns()).collect()
    };
    // The other lane's overhead twice, for what happens there.
    let periodic = checked(TWO_LANES.to_owned());
    assert_eq!(waits(&periodic), [14_000, 40_000]);
    let submitted = checked(TWO_LANES.replace("wcet = \"8ms\"", "wcet = \"8ms\", release = \"submitted\""));
    // And two submissions of tasks on the second lane, on that lane too.
    assert_eq!(waits(&submitted), [28_000, 54_000]);
    let bound = |checked: &Checked, task: usize| checked.analysis.as_ref().unwrap().tasks[task].bound().unwrap();
    for task in 0..3 {
        assert!(bound(&submitted, task) > bound(&periodic, task));
    }
    // The exact analysis is of strictly periodic tasks.
    let exact = |checked: &Checked, task: usize| checked.analysis.as_ref().unwrap().tasks[task].exact.is_some();
    assert_eq!([0, 1, 2].map(|task| exact(&periodic, task)), [true; 3]);
    assert_eq!([0, 1, 2].map(|task| exact(&submitted, task)), [true, false, false]);
}

#[test]
fn the_table_says_so_and_the_dispatcher_takes_them_a_period_apart() {
    let lock = checked(
        TWO_LANES.replace("wcet = \"8ms\" }\ntask.tell", "wcet = \"8ms\", release = \"submitted\" }\ntask.tell"),
    )
    .lock;
    let lock = lock.unwrap();
    assert!(lock.text().unwrap().contains("submitted = true"));
    let system = tables::leak(&lock).unwrap();
    let releases: Vec<Release> = system.tasks.iter().map(|task| task.release).collect();
    assert_eq!(releases, [Release::Timer, Release::Submitted, Release::Timer]);
    let mut state: State<3, 2, 4> = State::new(system).unwrap();
    let at = |ms: u64| Instant::from_ns(ms * 1_000_000);
    let mut submit =
        |ms| step(system, &mut state, Event::Submit { task: TaskId(1), arrival: at(ms) }, at(ms), &mut Discard);
    assert!(submit(5).is_ok());
    assert_eq!(submit(44).unwrap_err(), Refused::TooEarly { earliest: at(45) });
    assert!(submit(45).is_ok());
}
