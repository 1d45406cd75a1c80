//! The worked examples of `docs/theory/`, recomputed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use aegis_codegen::analysis::edf::demand;
use aegis_codegen::analysis::sensitivity::Sensitivity;
use aegis_codegen::analysis::{Load, NoBound, Proof, fixed_priority};
use aegis_codegen::check::{Checked, Options, check};
use aegis_codegen::report::explain::{self, Kind};
use aegis_core::Duration;

fn load(cost: u64, period: u64, deadline: u64) -> Load {
    Load::whole(cost, period, deadline, 0)
}

#[test]
fn fixed_priority_c_responds_after_3500_in_its_second_instance() {
    let found =
        fixed_priority::analyse(&[load(1_000, 2_500, 2_500), load(1_000, 3_500, 3_250), load(1_000, 3_500, 3_250)]);
    let (bound, proof) = found[2].response.clone().unwrap();
    assert_eq!(bound.as_ns(), 3_500);
    let starts = [2_000, 6_000].map(Duration::from_ns).to_vec();
    let (blocking, busy_period) = (Duration::ZERO, Duration::from_ns(7_000));
    assert_eq!(proof, Proof::FixedPriority { blocking, busy_period, starts });
}

#[test]
fn edf_x_can_miss_behind_a_y_of_4_and_not_behind_one_of_3() {
    let (x, y, shorter) = (load(2, 5, 4), load(4, 20, 20), load(3, 20, 20));
    let busy = |loads: &[Load]| fixed_priority::busy_period(0, loads).unwrap();
    assert_eq!(demand::test(&[x, y], busy(&[x, y])), Err(NoBound::Demand { at: 4, needed: 5 }));
    assert_eq!(demand::test(&[x, shorter], busy(&[x, shorter])), Ok(()));
}

fn checked(text: &str) -> Checked {
    check("system.toml", text.to_owned(), Options::default()).unwrap()
}

/// The example vehicle that is only analysed.
fn shuttle() -> Checked {
    checked(include_str!("../../examples/shuttle/system.toml"))
}

#[test]
fn overheads_of_the_shuttle_enter_where_the_page_says() {
    let checked = shuttle();
    let (system, analysis) = (&checked.resolved.as_ref().unwrap().system, checked.analysis.as_ref().unwrap());
    let terms = |name: &str| {
        let position = system.tasks.iter().position(|task| task.name == name).unwrap();
        let found = explain::of(system, analysis, position).unwrap();
        let terms: Vec<(Kind, i128)> = found.terms.iter().map(|term| (term.kind, term.ns)).collect();
        (found.response_ns, terms)
    };
    let expected = vec![
        (Kind::WakeupLatency, 60_000),
        (Kind::ThreadWait, 140_000),
        (Kind::Blocking, 8_309_999),
        (Kind::Execution, 9_000_000),
        (Kind::Dispatch, 60_000),
        (Kind::Launch, 30_000),
        (Kind::DomainSwitch, 420_000),
        (Kind::ThreadWait, 420_000),
    ];
    assert_eq!(terms("detect"), (18_439_999, expected));
    // A later stage is released 1 ns after the bound of the stage before.
    let (first, second) = (terms("see.1"), terms("see.2"));
    assert_eq!((first.0, second.1.first()), (7_679_999, Some(&(Kind::EarlierStages, 7_680_000))));
    assert!(!second.1.iter().any(|(kind, _)| *kind == Kind::WakeupLatency));
    let (slot, terms) = terms("can");
    assert_eq!((slot, terms.first()), (6_780_000, Some(&(Kind::Slot, 4_390_000))));
}

#[test]
fn the_shuttles_points_certify_fuse_and_route() {
    let checked = shuttle();
    let plan = &checked.lock.as_ref().unwrap().plan;
    let lane = plan.lanes.iter().find(|lane| lane.name == "plan").unwrap();
    let blocked = [14_800_000, 34_800_000, 54_800_000, 74_800_000, 94_800_000].map(|due| (due, 9_159_999));
    assert_eq!(lane.points_ns, [&blocked[..], &[(99_800_000, 55_640_000)]].concat());
    assert_eq!(lane.busy_period_ns, 55_640_000);
    let bound = |name: &str| plan.tasks.iter().find(|task| task.name == name).unwrap().response_ns;
    assert_eq!([bound("fuse"), bound("route")], [9_359_999, 55_840_000]);
}

#[test]
fn sensitivity_of_x_and_y_is_where_the_demand_test_turns() {
    let text = r#"
        system = { name = "two", policy = "edf" }
        lane.main = { kind = "cpu", core = 1 }
        task.x = { lane = "main", period = "5ns", deadline = "4ns", wcet = "2ns" }
        task.y = { lane = "main", period = "20ns", wcet = "3ns" }
    "#;
    let checked = checked(text);
    let (system, analysis) = (&checked.resolved.as_ref().unwrap().system, checked.analysis.as_ref().unwrap());
    let sensitivity = Sensitivity::new(system, analysis).unwrap();
    let (x, y) = (sensitivity.limits(0).unwrap(), sensitivity.limits(1).unwrap());
    assert_eq!((x.wcet, x.period, x.deadline), ((2, Some(0)), (3, None), (4, Some(0))));
    assert_eq!((y.wcet, y.deadline), ((3, Some(0)), (5, Some(0))));
}

#[test]
fn the_failure_of_a_domain_keeps_the_lane_as_the_page_says() {
    let text = |kill: &str| {
        format!(
            "[system]\nname = \"page\"\npolicy = \"rate-monotonic\"\n\
             [device.cpu0]\nkind = \"cpu\"\nmemory = \"1MiB\"\n\
             [lane.main]\ndevice = \"cpu0\"\ncore = 1\ndispatch-overhead = \"20us\"\nwakeup-latency = \"50us\"\n\
             [domain.vision]\nhand-over = \"200us\"\nfault-blackout = \"2ms\"\n{kill}\
             [model.face]\nbackend = \"onnxruntime\"\nfile = \"face.onnx\"\ndomain = \"vision\"\n\
             [task.steer]\nlane = \"main\"\nperiod = \"20ms\"\nwcet = \"2ms\"\n\
             [task.see]\nlane = \"main\"\nmodel = \"face\"\nperiod = \"100ms\"\nwcet = \"6ms\"\n"
        )
    };
    for (kill, once, response, survives) in
        [("", 14_250_000, 22_599_999, false), ("kill-after = \"8ms\"\n", 10_050_000, 18_399_999, true)]
    {
        let checked = checked(&text(kill));
        let analysis = checked.analysis.as_ref().unwrap();
        let system = &checked.resolved.as_ref().unwrap().system;
        assert_eq!(analysis.tasks[0].bound(), Some(Duration::from_ns(8_349_999)));
        let [failure] = aegis_codegen::analysis::failures::analyse(system, analysis).try_into().unwrap();
        assert_eq!((&failure.once, &failure.tasks), (&vec![once], &vec![Some(Ok(Duration::from_ns(response))), None]));
        assert_eq!(failure.survives(system, 0), Some(survives));
        let warned = checked.findings.iter().any(|finding| finding.code == aegis_codegen::finding::Code::NotSurvived);
        assert_eq!(warned, !survives);
        // The hand-over has a name of its own among the terms.
        let see = explain::of(system, analysis, 1).unwrap();
        let handed = see.terms.iter().find(|term| term.kind == Kind::HandOver).unwrap();
        assert_eq!(handed.ns, 200_000);
        let words = explain::render(system, analysis, 0);
        let says = if survives { "1.6 ms before its deadline" } else { "2.6 ms AFTER its deadline" };
        assert!(
            words.contains("when the domain `vision` fails, its lane is kept for ") && words.contains(says),
            "{words}"
        );
        let shown = aegis_codegen::report::table::render(&checked);
        assert!(shown.contains("domain vision: a process of its own, killed "), "{shown}");
        assert_eq!(shown.contains("FAILS"), !survives, "{shown}");
        let json = aegis_codegen::report::json::render(&checked, "page", &text(kill), true, None).unwrap();
        assert!(json.contains(&format!("\"response_ns\": {response}")) && json.contains("\"kill_after_ns\""), "{json}");
    }
}
