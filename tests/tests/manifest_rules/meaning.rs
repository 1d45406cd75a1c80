//! What accepted manifests mean, with what they leave out, and how many of everything they may have.

use crate::{crowd, parse_checked, valid, valid_memory, valid_modes, valid_parts, valid_watch, valid_watchdog};
use aegis_codegen::finding::{Code, Finding};
use aegis_codegen::manifest::{
    Client, Communication, Exceedance, Execution, LaneKind, Manifest, Model, Overheads, Source, WcetFrom, unbuildable,
};
use aegis_core::desc::{Answer, Asks, OnStall, Policy, Preemption, ThresholdDesc, WatchedSource};
use aegis_core::{LevelId, ModeId};
use std::fmt::Write as _;

#[test]
fn a_valid_manifest_means_what_it_says_and_defaults_are_filled_in() {
    let manifest = parse_checked("valid.toml", &valid()).0.unwrap();
    assert_eq!(manifest.name.get_ref(), "twin");
    assert_eq!(manifest.crate_dir.get_ref(), ".");
    assert_eq!((manifest.orchestration_core, manifest.margin_ppm), (0, 1_250_000));
    assert_eq!(manifest.devices[0].memory.get_ref().0, 256 << 20);
    let [main, control] = manifest.lanes.as_slice() else { panic!("two lanes in file order") };
    assert_eq!((main.device, main.policy), (Some(0), Policy::RateMonotonic));
    assert!(matches!(&main.overheads, Overheads::Declared { wakeup, .. } if wakeup.get_ref().as_ns() == 50_000));
    assert_eq!((control.device, control.policy), (None, Policy::FixedPriority));
    assert!(matches!(control.overheads, Overheads::Zero));
    let face = &manifest.models[0];
    assert!(matches!(&face.sources[0], Source::Package { client: Client::Npm, .. }));
    assert_eq!((face.inputs[0].0.get_ref().as_str(), &face.inputs[0].1), ("input", &vec![1, 128, 128, 3]));
    let names: Vec<_> = manifest.tasks.iter().map(|task| task.name.get_ref().as_str()).collect();
    assert_eq!(names, ["detect", "listen", "brake", "steer"], "in file order");
    let [detect, listen, brake, steer] = manifest.tasks.as_slice() else { panic!("four tasks") };
    assert_eq!((detect.lane, detect.model, detect.deadline.get_ref().as_ns()), (0, Some(0), 33_000_000));
    assert_eq!(detect.budget.time.as_ref().map(|budget| budget.get_ref().as_ns()), Some(3_000_000));
    assert_eq!((listen.deadline.get_ref().as_ns(), listen.margin_ppm), (40_000_000, 1_250_000));
    assert!(matches!(&listen.execution, Execution::Profile(path) if path.get_ref() == "profiles/lab/voice.toml"));
    assert_eq!((brake.lane, brake.model, brake.jitter.as_ns(), brake.hooks.as_ns()), (1, None, 0, 0));
    assert!(matches!(&steer.execution, Execution::Wcet(wcet) if wcet.get_ref().as_ns() == 1_500_000));
    assert_eq!(steer.priority.as_ref().map(|priority| priority.get_ref().0), Some(1));
    assert_eq!(&valid()[steer.span.clone()], "[task.steer]");
    assert_eq!(manifest.tasks.iter().filter(|task| task.lane == 1).count(), 2);
}

#[test]
fn a_wcet_is_the_longest_with_margin_or_from_a_tail_by_the_tasks_word_before_the_systems() {
    let profile = "profile = \"profiles/lab/voice.toml\"";
    let from = |system: &str, task: &str| {
        let text = valid().replace("name = \"twin\"", &format!("name = \"twin\"\n{system}"));
        let text = text.replace(profile, &format!("{profile}\n{task}"));
        let manifest = parse_checked("valid.toml", &text).0.unwrap();
        assert_eq!(manifest.tasks[0].wcet_from, manifest.tasks[2].wcet_from, "of declared ones it says nothing");
        manifest.tasks[1].wcet_from
    };
    let tail = |text| WcetFrom::Tail(Exceedance::parse(text).unwrap());
    assert_eq!(from("", ""), WcetFrom::Maximum);
    assert_eq!(from("", "wcet-from = \"max\"\nmargin = 2"), WcetFrom::Maximum);
    assert_eq!(from("", "wcet-from = \"tail\""), tail("1e-9"));
    assert_eq!(from("", "wcet-from = \"tail\"\nexceedance = \"1e-12\""), tail("1e-12"));
    assert_eq!(from("wcet-from = \"tail\"\nexceedance = \"1e-6\"", ""), tail("1e-6"));
    assert_eq!(from("wcet-from = \"tail\"", "exceedance = \"1e-3\""), tail("1e-3"));
    assert_eq!(from("exceedance = \"1e-6\"", "wcet-from = \"tail\""), tail("1e-6"));
}

#[test]
fn a_budget_has_time_memory_and_streams() {
    let text = valid().replace("{ time = \"3ms\" }", "{ memory = \"64MiB\", streams = 1 }");
    let budget = parse_checked("valid.toml", &text).0.unwrap().tasks[0].budget.clone();
    assert!(budget.time.is_none());
    assert_eq!(budget.memory.map(|memory| memory.get_ref().0), Some(64 << 20));
    assert_eq!(budget.streams.map(|streams| *streams.get_ref()), Some(1));
    let text = valid_parts().replace("jitter = \"1ms\"\nstages", "jitter = \"1ms\"\nbudget = { streams = 3 }\nstages");
    let manifest = parse_checked("valid-parts.toml", &text).0.unwrap();
    let streams: Vec<_> = manifest.tasks[5..8].iter().map(|task| task.budget.streams.is_some()).collect();
    assert_eq!(streams, [true, false, false], "it is the whole task's, and said once");
}

#[test]
fn parts_chains_and_domains_mean_what_they_say() {
    let text = valid_parts();
    let manifest = parse_checked("valid-parts.toml", &text).0.unwrap();
    let lanes: Vec<_> = manifest.lanes.iter().map(|lane| (lane.kind, lane.preemption, lane.optimal)).collect();
    use LaneKind::{Cpu, Gpu};
    assert_eq!(
        lanes,
        [
            (Gpu, Preemption::Segments, false),
            (Cpu, Preemption::Full, false),
            (Cpu, Preemption::None, true),
            (Cpu, Preemption::None, false),
            (Cpu, Preemption::None, false),
            (Gpu, Preemption::None, false),
            (Gpu, Preemption::None, true),
        ]
    );
    assert_eq!((manifest.lanes[0].launch.as_ns(), manifest.lanes[3].launch.as_ns()), (5_000, 1_000));
    assert!(matches!(manifest.lanes[3].overheads, Overheads::Zero));
    assert_eq!(manifest.lanes[4].policy, Policy::TimeTriggered);
    let devices: Vec<_> = manifest
        .devices
        .iter()
        .map(|device| (device.kind, device.domain_switch.as_ref().map(|switch| switch.get_ref().as_ns())))
        .collect();
    assert_eq!(devices, [(Cpu, None), (Gpu, Some(200_000))]);
    assert_eq!(manifest.domains[0].name.get_ref(), "perception");
    assert_eq!(manifest.models[0].domain, Some(0));

    let names: Vec<_> = manifest.tasks.iter().map(|task| task.name.get_ref().as_str()).collect();
    let stages = ["track.1", "track.2", "track.3"];
    assert_eq!(
        names,
        [&["face", "grid", "scan", "plan", "log"][..], &stages, &["sort", "steer", "report", "learn"]].concat()
    );
    let domains: Vec<_> = manifest.tasks.iter().map(|task| task.domain.is_some()).collect();
    assert_eq!(domains, [true, true, true, false, false, true, true, true, false, false, false, false]);
    let times = |execution: &Execution| match execution {
        Execution::Wcet(wcet) => vec![wcet.get_ref().as_ns()],
        Execution::Segments(segments) => segments.iter().map(|segment| segment.get_ref().as_ns()).collect(),
        Execution::Profile(_) => Vec::new(),
    };
    assert_eq!(times(&manifest.tasks[1].execution), [2_000_000, 3_000_000]);
    assert_eq!(manifest.tasks[3].region.as_ref().map(|region| region.get_ref().as_ns()), Some(1_000_000));
    assert_eq!(manifest.tasks[4].suspension.as_ref().map(|time| time.get_ref().as_ns()), Some(5_000_000));
    let track = &manifest.tasks[5..8];
    assert_eq!(track.iter().map(|task| task.after).collect::<Vec<_>>(), [None, Some(5), Some(6)]);
    assert_eq!(track.iter().map(|task| task.lane).collect::<Vec<_>>(), [2, 0, 3]);
    assert_eq!(track.iter().map(|task| task.jitter.as_ns()).collect::<Vec<_>>(), [1_000_000, 0, 0]);
    assert!(track.iter().all(|task| task.phase.as_ns() == 2_000_000 && task.deadline.get_ref().as_ns() == 30_000_000));
    assert_eq!(
        track.iter().map(|task| times(&task.execution)).collect::<Vec<_>>(),
        [vec![1_000_000], vec![1_000_000, 2_000_000], vec![2_000_000]]
    );
    let numbers: Vec<_> =
        track.iter().map(|task| task.priority.as_ref().map(|priority| priority.get_ref().0)).collect();
    assert_eq!(numbers, [None, None, Some(1)]);
    assert!(text[track[0].span.clone()].starts_with("{ lane = \"found\""));

    let [brake, save] = manifest.chains.as_slice() else { panic!("two chains in file order") };
    assert_eq!((&brake.tasks, brake.communication), (&vec![5..=7, 9..=9], Communication::Register));
    assert_eq!(brake.max_reaction.as_ref().map(|time| time.get_ref().as_ns()), Some(100_000_000));
    assert_eq!(brake.max_age.as_ref().map(|time| time.get_ref().as_ns()), Some(80_000_000));
    assert_eq!((&save.tasks, save.communication), (&vec![3..=3, 4..=4], Communication::Let));
    assert!(save.max_reaction.is_none());
}

#[test]
fn a_stage_may_have_a_model_with_its_profile_and_lies_in_its_domain() {
    let text = r#"
        system = { name = "staged", policy = "rate-monotonic" }
        device.cpu0 = { kind = "cpu", memory = "64MiB" }
        domain.perception = {}
        lane.main = { device = "cpu0", core = 1, dispatch-overhead = "1us", wakeup-latency = "1us" }
        lane.spare = { kind = "cpu", core = 2 }
        model.face = { backend = "onnxruntime", file = "face.onnx", domain = "perception" }
        [task.track]
        period = "40ms"
        stages = [
            { lane = "spare", wcet = "1ms" },
            { lane = "main", model = "face", profile = "face.toml", hooks = "1ms", margin = 2 },
            { lane = "spare", wcet = "2ms" },
        ]
    "#;
    let (manifest, findings) = parse_checked("staged.toml", text);
    assert!(findings.is_empty(), "{findings:#?}");
    let track = &manifest.unwrap().tasks;
    assert!(matches!(&track[1].execution, Execution::Profile(path) if path.get_ref() == "face.toml"));
    assert_eq!((track[1].hooks.as_ns(), track[1].margin_ppm), (1_000_000, 2_000_000));
    let of = |stage: usize| (track[stage].model, track[stage].domain);
    assert_eq!([of(0), of(1), of(2)], [(None, Some(0)), (Some(0), Some(0)), (None, Some(0))], "all stages lie in one");
}

#[test]
fn a_cut_model_has_one_file_for_each_segment() {
    let manifest = parse_checked("valid-memory.toml", &valid_memory()).0.unwrap();
    let [scene, voice] = manifest.models.as_slice() else { panic!("two models in file order") };
    let paths = |model: &Model| {
        let path = |source: &Source| match source {
            Source::File { path } => path.get_ref().clone(),
            Source::Package { .. } => panic!("no package here"),
        };
        model.sources.iter().map(path).collect::<Vec<_>>()
    };
    assert_eq!(paths(scene), ["parts/scene.1.onnx", "parts/scene.2.onnx", "parts/scene.3.onnx"]);
    assert_eq!((scene.segment_name(0).as_str(), scene.segment_name(2).as_str()), ("scene.1", "scene.3"));
    assert_eq!((paths(voice), voice.segment_name(0).as_str()), (vec!["voice.onnx".to_owned()], "voice"));
    assert!(matches!(&manifest.tasks[0].execution, Execution::Profile(_)) && !manifest.tasks[0].hooks.is_zero());
    // The lane gives way between files, so nothing but the runtime and a profile is missing.
    let messages: Vec<_> =
        unbuildable("valid-memory.toml", &manifest).into_iter().map(|finding| finding.message).collect();
    assert!(!messages.iter().any(|message| message.contains("preemption")), "{messages:#?}");
}

#[test]
fn devices_that_share_a_memory_have_one_budget() {
    let text = valid_memory();
    let manifest = parse_checked("valid-memory.toml", &text).0.unwrap();
    let [cpu, gpu] = manifest.devices.as_slice() else { panic!("two devices in file order") };
    assert_eq!((cpu.shares, gpu.shares), (None, Some(0)));
    assert_eq!(cpu.memory.get_ref(), gpu.memory.get_ref());
    assert_eq!((&text[cpu.memory.span()], &text[gpu.memory.span()]), ("\"256MiB\"", "\"cpu0\""));
    let copy = [cpu, gpu].map(|device| device.copy_per_mib.as_ref().map(|time| time.get_ref().as_ns()));
    assert_eq!(copy, [Some(400_000), Some(100_000)]);
    assert!(cpu.page_size.is_none() && gpu.page_size.is_none());
    let text = text.replace("copy-per-mib = \"100us\"", "page-size = \"2MiB\"");
    let gpu = parse_checked("valid.toml", &text).0.unwrap().devices.swap_remove(1);
    assert_eq!((gpu.page_size.map(|size| size.get_ref().0), gpu.copy_per_mib.is_none()), (Some(2 << 20), true));
}

#[test]
fn a_vehicle_watches_itself_as_it_says_and_by_default_stops_petting() {
    let text = valid_watchdog();
    let watchdog = |text: &str| parse_checked("valid-watchdog.toml", text).0.unwrap().watchdog;
    let given = watchdog(&text).unwrap();
    assert_eq!((given.timeout.get_ref().as_ns(), given.on_stall), (500_000_000, OnStall::Exit));
    assert_eq!(given.device.as_ref().map(|device| device.get_ref().as_str()), Some("/dev/watchdog"));
    assert_eq!(&text[given.timeout.span()], "\"500ms\"");
    let (rest, _) = text.split_once("device").unwrap();
    let least = watchdog(rest).unwrap();
    assert_eq!((least.device.is_none(), least.on_stall), (true, OnStall::StopPetting));
    assert!(watchdog(rest.split_once("[watchdog]").unwrap().0).is_none());
}

#[test]
fn pressure_levels_name_tasks_with_all_their_stages() {
    let text = valid_memory();
    let manifest = parse_checked("valid-memory.toml", &text).0.unwrap();
    let names: Vec<_> = manifest.tasks.iter().map(|task| task.name.get_ref().as_str()).collect();
    assert_eq!(names, ["scene", "listen", "brake", "track.1", "track.2", "log"]);
    let [high, severe] = manifest.pressure.as_slice() else { panic!("two levels in file order") };
    assert_eq!((high.name.get_ref().as_str(), &text[high.span.clone()]), ("high", "[pressure.high]"));
    assert_eq!((&high.shed, &high.reject, high.compact), (&vec![5..=5], &vec![], false));
    assert_eq!((&severe.shed, &severe.reject, severe.compact), (&vec![5..=5, 0..=0], &vec![3..=4], true));
}

#[test]
fn the_greatest_number_of_pressure_levels_is_kept() {
    let most = Manifest::MAX_LEVELS;
    for (count, expected) in [(most, vec![]), (most + 1, vec![Code::TooMany])] {
        let mut text = crowd(2, 1);
        for level in 1..=count {
            writeln!(text, "[pressure.p{level}]\nshed = [\"t1\"]").unwrap();
        }
        let (_, findings) = parse_checked("levels.toml", &text);
        assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn modes_name_tasks_and_the_first_is_where_the_vehicle_starts() {
    let text = valid_modes();
    let manifest = parse_checked("valid-modes.toml", &text).0.unwrap();
    let [driving, docking] = manifest.modes.as_slice() else { panic!("two modes in file order") };
    assert_eq!((driving.name.get_ref().as_str(), &text[driving.span.clone()]), ("driving", "[mode.driving]"));
    assert_eq!((&driving.tasks, &docking.tasks), (&vec![0, 2, 3, 4], &vec![1, 2, 3]), "ascending");
    let answers = text.replace("wcet = \"5ms\"\n", "wcet = \"5ms\"\non-overrun = { mode = \"docking\" }\n");
    let answers = answers.replace("wcet = \"4ms\"\n", "wcet = \"4ms\"\non-miss = { mode = \"driving\" }\n");
    let tasks = parse_checked("answers.toml", &answers).0.unwrap().tasks;
    assert_eq!((tasks[0].on_overrun, tasks[0].on_miss), (Answer::SwitchMode(ModeId(1)), Answer::Continue));
    assert_eq!((tasks[1].on_overrun, tasks[1].on_miss), (Answer::Continue, Answer::SwitchMode(ModeId(0))));
    let (without, _) = text.split_once("[mode.driving]").unwrap();
    assert!(parse_checked("no-modes.toml", without).0.unwrap().modes.is_empty());
}

#[test]
fn thresholds_ask_for_levels_and_modes_and_end_where_they_say_or_with_some_room() {
    let parsed = |text: &str| parse_checked("valid-watch.toml", text).0.unwrap().watch;
    let watch = parsed(&valid_watch()).unwrap();
    assert_eq!((watch.interval.as_ns(), watch.hold.as_ns()), (2_000_000_000, 30_000_000_000));
    let gib = 1 << 30;
    let (high, severe) = (Asks::Level(LevelId(0)), Asks::Level(LevelId(1)));
    let expected = [
        (WatchedSource::MemorySome, 1_000, 500, high),
        (WatchedSource::FreeMemory, gib, gib + gib / 4, high),
        (WatchedSource::MemorySome, 4_000, 1_550, severe),
        (WatchedSource::MemoryFull, 500, 250, severe),
        (WatchedSource::FreeMemory, gib / 2, gib / 2 + gib / 8, severe),
    ];
    let expected = expected.map(|(source, when, until, asks)| ThresholdDesc { source, when, until, asks });
    assert_eq!(watch.thresholds, expected);
    // Without [watch] there are defaults, of which the one is not below the other.
    let (without, rest) = valid_watch().split_once("[watch]").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let (_, rest) = rest.split_once("\n\n").unwrap();
    let default = parsed(&format!("{without}{rest}")).unwrap();
    assert_eq!((default.interval, default.hold), (Manifest::WATCH_INTERVAL, Manifest::WATCH_HOLD));
    assert_eq!(default.thresholds, watch.thresholds);
    let slow = parsed(&valid_watch().replace("\"2s\"", "\"60s\"").replace("hold = \"30s\"\n", "")).unwrap();
    assert_eq!((slow.interval, slow.hold), (slow.interval, slow.interval));
    assert!(parsed(&valid()).is_none());
    let modes = valid_modes().replace("\"log\"]\n", "\"log\"]\nwhen = { io-full = \"0.5%\" }\n");
    let threshold = ThresholdDesc { source: WatchedSource::IoFull, when: 50, until: 25, asks: Asks::Mode(ModeId(1)) };
    assert_eq!(parsed(&modes).unwrap().thresholds, [threshold]);
    let stall = modes + "\n[watchdog]\ntimeout = \"1s\"\non-stall = { mode = \"docking\" }\n";
    let watchdog = parse_checked("stall.toml", &stall).0.unwrap().watchdog.unwrap();
    assert_eq!(watchdog.on_stall, OnStall::SwitchMode(ModeId(1)));
}

#[test]
fn a_task_may_let_the_domain_fail_that_it_or_its_model_lies_in() {
    let mut text = valid_parts();
    for (before, after) in [
        ("[domain.perception]\n", "[domain.perception]\nrestart = \"never\"\n"),
        ("[task.face]\n", "[task.face]\non-failure = \"fail-domain\"\n"),
        ("[task.track]\n", "[task.track]\non-miss = \"fail-domain\"\non-overrun = \"fail-domain\"\n"),
    ] {
        assert_eq!(text.matches(before).count(), 1, "{before}");
        text = text.replace(before, after);
    }
    let (manifest, findings) = parse_checked("failing.toml", &text);
    assert!(findings.is_empty(), "{findings:#?}");
    let tasks = manifest.unwrap().tasks;
    let answers: Vec<_> = tasks
        .iter()
        .map(|task| [task.on_overrun, task.on_miss, task.on_failure].map(|a| a == Answer::FailDomain))
        .collect();
    assert_eq!(answers[0], [false, false, true], "by its model");
    assert_eq!(answers[5..8], [[true, true, false]; 3], "in each stage");
    assert_eq!(answers.concat().iter().filter(|fails| **fails).count(), 7);
}

#[test]
fn the_greatest_number_of_domains_is_kept() {
    let most = Manifest::MAX_DOMAINS;
    for (count, expected) in [(most, vec![]), (most + 1, vec![Code::TooMany])] {
        let mut text = crowd(2, 1);
        for domain in 1..=count {
            writeln!(text, "[domain.d{domain}]").unwrap();
        }
        let (_, findings) = parse_checked("domains.toml", &text);
        let errors = findings.iter().filter(|finding| finding.code != Code::UnusedDomain);
        assert_eq!(errors.map(|finding| finding.code).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn the_greatest_number_of_modes_is_kept() {
    let most = Manifest::MAX_MODES;
    for (count, expected) in [(most, vec![]), (most + 1, vec![Code::TooMany])] {
        // No two have the same tasks: as many as a number has binary digits.
        let mut text = crowd(5, 1);
        for mode in 1..=count {
            let tasks: Vec<String> =
                (0..5).filter(|task| mode >> task & 1 == 1).map(|task| format!("\"t{task}\"")).collect();
            writeln!(text, "[mode.m{mode}]\ntasks = [{}]", tasks.join(", ")).unwrap();
        }
        let (_, findings) = parse_checked("modes.toml", &text);
        assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn stages_may_be_tables_of_their_own() {
    let text = "[system]\nname = \"a\"\npolicy = \"edf\"\n[lane.l]\nkind = \"cpu\"\ncore = 1\n[task.t]\nperiod = \"9ms\"\n\
                [[task.t.stages]]\nlane = \"l\"\nwcet = \"1ms\"\n[[task.t.stages]]\nlane = \"l\"\nwcet = \"2ms\"\n";
    let (manifest, findings) = parse_checked("tables.toml", text);
    assert!(findings.is_empty(), "{findings:#?}");
    let manifest = manifest.unwrap();
    assert_eq!(manifest.tasks.iter().map(|task| task.lane).collect::<Vec<_>>(), [0, 0]);
    assert_eq!(&text[manifest.tasks[1].span.clone()], "[[task.t.stages]]");
}

#[test]
fn what_no_binary_can_be_is_said_all_at_once() {
    let manifest = parse_checked("parts.toml", &valid_parts()).0.unwrap();
    let findings = unbuildable("parts.toml", &manifest);
    assert!(findings.iter().all(Finding::is_error));
    let of = |code| findings.iter().filter(move |finding| (finding.code == Code::ProcessRefused) == code);
    let processes: Vec<_> = of(true).map(|finding| finding.message.as_str()).collect();
    assert_eq!(
        processes,
        ["the task `face` of the domain `perception` runs a model on the GPU lane `vision`, which has no `sms`"]
    );
    assert!(of(false).all(|finding| finding.code == Code::NotBuildable));
    let messages: Vec<_> = of(false).map(|finding| finding.message.as_str()).collect();
    let (of_lanes, rest) = messages.split_at(4);
    assert_eq!(
        of_lanes,
        [
            "lane `vision` is a GPU and has no `sms`, so no part of the device is its own",
            "lane `control` has preemption \"full\", but a started model gives way only between its files",
            "lane `spare` is a GPU and has no `sms`, so no part of the device is its own",
            "lane `other` is a GPU and has no `sms`, so no part of the device is its own",
        ]
    );
    // Each task, as none has a profile, and the missing runtime.
    assert_eq!(rest.len(), manifest.tasks.len() + 1);
}
