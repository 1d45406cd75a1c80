//! Every rule of the manifest, by fixtures: a file named after the rule that it breaks, the findings as people
//! see them, and a valid twin that differs in at most three lines.
//!
//! `AEGIS_BLESS=1 cargo test -p aegis-tests --test manifest_rules` rewrites the expected findings.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use aegis_codegen::finding::{Code, Finding, any_error};
use aegis_codegen::manifest::{
    Client, Communication, Execution, LaneKind, Manifest, Model, Overheads, Source, parse, unbuildable,
};
use aegis_codegen::report::terminal::render;
use aegis_core::desc::{Answer, Asks, OnStall, Policy, Preemption, ThresholdDesc, WatchedSource};
use aegis_core::{LevelId, ModeId};
use aegis_tests::golden::Goldens;

/// The twins that fixtures share.
const TWINS: [&str; 6] = ["valid", "valid-parts", "valid-memory", "valid-watchdog", "valid-modes", "valid-watch"];

/// The most lines in which a fixture may differ from its twin.
const MOST_CHANGED_LINES: usize = 3;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/manifest")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn valid() -> String {
    read(&folder().join("valid.toml"))
}

fn valid_parts() -> String {
    read(&folder().join("valid-parts.toml"))
}

fn valid_memory() -> String {
    read(&folder().join("valid-memory.toml"))
}

fn valid_watchdog() -> String {
    read(&folder().join("valid-watchdog.toml"))
}

fn valid_modes() -> String {
    read(&folder().join("valid-modes.toml"))
}

fn valid_watch() -> String {
    read(&folder().join("valid-watch.toml"))
}

/// All fixtures by their names, without the twins.
fn fixtures() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap();
        if let Some(name) = file.strip_suffix(".toml")
            && !TWINS.contains(&name)
            && !name.ends_with(".valid")
        {
            found.insert(name.to_owned(), read(&path));
        }
    }
    assert!(!found.is_empty());
    found
}

/// The fixture's own twin where it has one, or else the nearer of the shared ones, and in how many lines they differ.
fn twin(name: &str, text: &str) -> (String, String, usize) {
    let own = format!("{name}.valid.toml");
    let shared = TWINS.map(|twin| format!("{twin}.toml")).to_vec();
    let files = if folder().join(&own).exists() { vec![own] } else { shared };
    let twins = files.into_iter().map(|file| {
        let twin = read(&folder().join(&file));
        let changed = changed_lines(text, &twin);
        (file, twin, changed)
    });
    twins.min_by_key(|(.., changed)| *changed).unwrap()
}

/// Parses, and checks what holds for every text.
fn parse_checked(file: &str, text: &str) -> (Option<Manifest>, Vec<Finding>) {
    let (manifest, findings) = parse(file, text);
    assert_eq!(manifest.is_none(), any_error(&findings), "{file}: refused exactly if an error is reported");
    for finding in &findings {
        assert!(!finding.labels.is_empty(), "{file}: {} has no place", finding.code);
        assert!(!finding.message.ends_with('.'), "{file}: {}", finding.message);
    }
    (manifest, findings)
}

/// How many lines of `a` or `b` have no partner in the other, whichever are more.
fn changed_lines(a: &str, b: &str) -> usize {
    let (a, b): (Vec<_>, Vec<_>) = (a.lines().collect(), b.lines().collect());
    // common[i][j]: the longest common subsequence of a[i..] and b[j..].
    let mut common = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] = if a[i] == b[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    a.len().max(b.len()) - common[0][0]
}

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
    let devices: Vec<_> = manifest.devices.iter().map(|device| (device.kind, device.domain_switch.as_ns())).collect();
    assert_eq!(devices, [(Cpu, 0), (Gpu, 200_000)]);
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
    assert_eq!([of(0), of(1), of(2)], [(None, None), (Some(0), Some(0)), (None, Some(0))]);
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
    let mut text = valid_parts();
    for (right, wrong) in [
        ("[domain.perception]\n", "[domain.perception]\n[domain.mapping]\n"),
        ("lane = \"table\"\n", "lane = \"table\"\ndomain = \"mapping\"\n"),
    ] {
        assert_eq!(text.matches(right).count(), 1, "{right}");
        text = text.replace(right, wrong);
    }
    let manifest = parse_checked("parts.toml", &text).0.unwrap();
    let findings = unbuildable("parts.toml", &manifest);
    assert!(findings.iter().all(|finding| finding.code == Code::NotBuildable && finding.is_error()));
    let messages: Vec<_> = findings.iter().map(|finding| finding.message.as_str()).collect();
    let (of_lanes, rest) = messages.split_at(5);
    assert_eq!(
        of_lanes,
        [
            "lane `vision` is a GPU, which no target of this version drives",
            "lane `control` has preemption \"full\", but a started model gives way only between its files",
            "lane `spare` is a GPU, which no target of this version drives",
            "lane `other` is a GPU, which no target of this version drives",
            "the manifest has 2 domains, and a binary is one process",
        ]
    );
    // Each task, as none has a profile, and the missing runtime.
    assert_eq!(rest.len(), manifest.tasks.len() + 1);
}

#[test]
fn each_fixture_is_reported_as_expected() {
    let mut goldens = Goldens::default();
    for (name, text) in fixtures() {
        let file = format!("{name}.toml");
        let (_, findings) = parse_checked(&file, &text);
        assert!(!findings.is_empty(), "{file} breaks no rule");
        let shown = render(&findings, |asked| (asked == file).then_some(text.as_str()), false);
        goldens.compare(&folder().join(format!("{name}.stderr.txt")), &shown);
    }
    goldens.finish();
}

#[test]
fn no_expected_finding_is_without_its_fixture() {
    let fixtures = fixtures();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let rule = name.strip_suffix(".stderr.txt").or_else(|| name.strip_suffix(".valid.toml"));
        assert!(rule.is_none_or(|rule| fixtures.contains_key(rule)), "{name} belongs to no fixture");
    }
}

#[test]
fn each_twin_is_valid_and_differs_little() {
    for (name, text) in fixtures() {
        let (file, twin, changed) = twin(&name, &text);
        let (manifest, findings) = parse_checked(&file, &twin);
        assert!(manifest.is_some() && findings.is_empty(), "{file}: {findings:#?}");
        assert!((1..=MOST_CHANGED_LINES).contains(&changed), "{name}.toml differs from {file} in {changed} lines");
    }
}

/// A manifest with so many tasks on so many lanes.
fn crowd(tasks: usize, lanes: usize) -> String {
    let mut text = "[system]\nname = \"crowd\"\npolicy = \"edf\"\n".to_owned();
    for lane in 1..=lanes {
        writeln!(text, "[lane.l{lane}]\nkind = \"cpu\"\ncore = {lane}").unwrap();
    }
    for task in 0..tasks {
        let lane = task % lanes + 1;
        writeln!(text, "[task.t{task}]\nlane = \"l{lane}\"\nperiod = \"1s\"\nwcet = \"1us\"").unwrap();
    }
    text
}

#[test]
fn the_greatest_numbers_of_tasks_and_lanes_are_kept() {
    let (most_tasks, most_lanes) = (Manifest::MAX_TASKS, Manifest::MAX_LANES);
    let (manifest, findings) = parse_checked("crowd.toml", &crowd(most_tasks, most_lanes));
    assert!(findings.is_empty(), "{findings:#?}");
    let manifest = manifest.unwrap();
    assert_eq!((manifest.tasks.len(), manifest.lanes.len()), (most_tasks, most_lanes));
    let stages =
        "[task.t0]\nperiod = \"1s\"\nstages = [{ lane = \"l1\", wcet = \"1us\" }, { lane = \"l2\", wcet = \"1us\" }]\n";
    let plain = "[task.t0]\nlane = \"l1\"\nperiod = \"1s\"\nwcet = \"1us\"\n";
    let text = crowd(most_tasks, most_lanes);
    assert_eq!(text.matches(plain).count(), 1);
    let (_, findings) = parse_checked("crowd.toml", &text.replace(plain, stages));
    assert_eq!(findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::TooMany], "each stage counts");
    for (tasks, lanes) in [(most_tasks + 1, most_lanes), (most_tasks, most_lanes + 1)] {
        let (_, findings) = parse_checked("crowd.toml", &crowd(tasks, lanes));
        let codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, [Code::TooMany]);
    }
}

#[test]
fn every_code_of_the_manifest_is_reached_by_a_fixture() {
    let mut reached = BTreeSet::new();
    let crowd = crowd(Manifest::MAX_TASKS + 1, 1);
    for text in fixtures().into_values().chain([crowd]) {
        reached.extend(parse("fixture.toml", &text).1.into_iter().map(|finding| finding.code));
    }
    // A lane's overheads may be measured: the test `profiles` reaches these.
    reached.extend([Code::WatchdogTooShort, Code::WaitsForLevels]);
    // A WCET may be measured, too, and what gaps give needs a table: tests of the command reach these.
    reached.extend([Code::AbortedInChain, Code::FailsInChain, Code::ShortGaps]);
    let of_the_manifest = |code: &&Code| code.id() < "AEG200";
    let missing: Vec<_> = Code::ALL.iter().filter(of_the_manifest).filter(|c| !reached.contains(c)).collect();
    assert!(missing.is_empty(), "no fixture reaches {missing:?}");
}

#[test]
fn many_faults_are_reported_at_once_in_the_order_of_their_places() {
    let mut text = valid();
    for (right, wrong) in [
        ("name = \"twin\"", "name = \"Twin\""),
        ("memory = \"256MiB\"", "memory = \"256\""),
        ("core = 2", "core = 1"),
        ("period = \"33ms\"", "period = \"0ms\""),
        ("model = \"voice\"", "modle = \"voice\""),
        ("lane = \"control\"\nperiod = \"20ms\"", "lane = \"contrl\"\nperiod = \"20 ms\""),
    ] {
        assert_eq!(text.matches(right).count(), 1, "{right}");
        text = text.replace(right, wrong);
    }
    let (_, findings) = parse_checked("many.toml", &text);
    let line = |finding: &Finding| {
        let position = finding.place().unwrap().position(&text).unwrap();
        text.lines().nth(position.line - 1).unwrap().to_owned()
    };
    let seen: Vec<_> = findings.iter().map(|finding| (finding.code, line(finding))).collect();
    let seen: Vec<_> = seen.iter().map(|(code, line)| (*code, line.as_str())).collect();
    assert_eq!(
        seen,
        [
            (Code::BadName, "name = \"Twin\""),
            (Code::BadSize, "memory = \"256\""),
            (Code::SharedCore, "core = 1"),
            (Code::UnusedModel, "[model.voice]"),
            (Code::NumberOutOfRange, "period = \"0ms\""),
            (Code::UnknownKey, "modle = \"voice\""),
            (Code::ProfileWithoutModel, "profile = \"profiles/lab/voice.toml\""),
            (Code::UnknownReference, "lane = \"contrl\""),
            (Code::BadTime, "period = \"20 ms\""),
        ]
    );
}

#[test]
fn all_syntax_errors_are_reported_at_once_and_nothing_else_is() {
    let text = "[system]\nname =\npolicy = edf\ncrate = 3 4\n[task.a]\nperiod = \"1ms\n[task.b\n";
    let (_, findings) = parse_checked("broken.toml", text);
    assert!(findings.iter().all(|finding| finding.code == Code::Syntax));
    let lines: Vec<_> = findings.iter().map(|finding| finding.place().unwrap().position(text).unwrap().line).collect();
    assert_eq!(lines, [2, 3, 4, 6, 7]);
}

/// The texts that are damaged, and at every how manieth place.
const DAMAGED: [(fn() -> String, usize); 5] =
    [(valid, 1), (valid_parts, 5), (valid_memory, 3), (valid_watchdog, 1), (valid_modes, 2)];

/// Reads and renders a damaged text, which must neither panic nor break what always holds.
fn survive(text: &str) {
    let (_, findings) = parse_checked("damaged.toml", text);
    for color in [false, true] {
        assert!(render(&findings, |_| Some(text), color).ends_with('\n'));
    }
}

#[test]
fn a_text_that_ends_anywhere_is_read_without_panic() {
    for (text, step) in DAMAGED {
        let text = text();
        for end in (0..=text.len()).step_by(step) {
            if let Some(part) = text.get(..end) {
                survive(part);
            }
        }
    }
}

#[test]
fn a_text_with_a_line_missing_or_a_character_changed_is_read_without_panic() {
    for (text, step) in DAMAGED {
        let text = text();
        for gone in 0..text.lines().count() {
            let kept = text.lines().enumerate().filter(|(number, _)| *number != gone);
            survive(&kept.map(|(_, line)| format!("{line}\r\n")).collect::<String>());
        }
        for (at, old) in text.char_indices().step_by(step) {
            for new in ["", "\"", "[", "é"] {
                survive(&format!("{}{new}{}", &text[..at], &text[at + old.len_utf8()..]));
            }
        }
    }
}
