//! Whole vehicles whose models lie in processes of their own, and what is left of them when one is lost.
//!
//! It has no harness: the vehicle is this program, started anew, and so are its processes. It needs the library and two models in
//! the cache; without them it says so and passes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::exit,
    clippy::print_stdout,
    clippy::unnecessary_wraps,
    reason = "a test stops at what it did not expect, and tells"
)]
#![allow(unsafe_code, reason = "signals are sent as somebody outside would")]

mod common;

use aegis_core::desc::{DomainDesc, ModelDesc, PoolDesc, ProcessDesc, SystemDesc, TaskDesc};
use aegis_core::{Bytes, DomainId, PoolId, TaskId};
use aegis_host::{Inputs, JobContext, Outputs, Runtime, TaskHooks, Vehicle};
use common::two_models::{MS, model, ns, plan_with, probed, scratch};
use common::{FACE, ORIENTATION};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{fs, panic, thread};

/// A test with its name, which is given that file.
type Test = (&'static str, fn(&Path));

/// The file with the probe's answer: this program is a vehicle then, or a process of it.
const ANSWER: &str = "AEGIS_TEST_ANSWER";
/// How many of the two models lie in a process.
const DOMAINS: &str = "AEGIS_TEST_DOMAINS";

/// Of the domain that fails, in milliseconds.
const KILL_AFTER: u64 = 15;

static RUNTIME: Runtime<2, 1, 2> = Runtime::new();

/// The same plan in each process: from the same figures.
fn system(answer: &Value, domains: u16) -> &'static SystemDesc {
    let models = &answer["models"];
    let mut heights = [&models[0], &models[2]].map(scratch);
    let [face, turn] = &mut heights;
    let models: [ModelDesc; 2] = [
        model(&models[0], "face", FACE, face),
        ModelDesc { pool: PoolId(1), ..model(&models[2], "turn", ORIENTATION, turn) },
    ];
    let overhead = MS / 4;
    let base = plan_with(models, heights[0], None, (overhead, overhead * u64::from(domains)));
    let process = |kill_after| {
        let (kill_after, hand_over) = (ns(kill_after * MS), ns(MS / 5));
        Some(ProcessDesc { kill_after, hand_over, heartbeat: Some(ns(100 * MS)), memory: Some(Bytes(512 << 20)) })
    };
    let all = [
        DomainDesc { name: "vision", process: process(KILL_AFTER) },
        DomainDesc { name: "maps", process: process(60) },
    ];
    let own = |task: u16| (task < domains).then_some(DomainId(task));
    let tasks = base.tasks.iter().zip(0..).map(|(task, number)| TaskDesc { domain: own(number), ..*task });
    let pools = heights.iter().zip([("ram.vision", 0), ("ram.maps", 1)]).map(|(height, (name, number))| PoolDesc {
        name,
        domain: own(number),
        height: Bytes(*height),
        lower_bound: Bytes(*height),
        private: Bytes(*height),
        weights: base.models[usize::from(number)].weights,
        page: Bytes(0),
        ..base.pools[0]
    });
    Box::leak(Box::new(SystemDesc {
        tasks: tasks.collect::<Vec<_>>().leak(),
        pools: pools.collect::<Vec<_>>().leak(),
        domains: all[..usize::from(domains)].to_vec().leak(),
        ..*base
    }))
}

/// Fills what the model reads, and checks that it computed something.
struct Checking;

impl TaskHooks for Checking {
    fn input(&mut self, _job: &JobContext, inputs: &mut Inputs<'_>) {
        inputs.f32(0).unwrap().fill(0.5);
    }

    fn output(&mut self, _job: &JobContext, outputs: &Outputs<'_>) {
        assert!(outputs.f32(0).unwrap().iter().any(|value| *value != 0.0));
    }
}

/// The vehicle, or a process of it.
fn vehicle(answer: &str) -> ExitCode {
    let answer = serde_json::from_str(&fs::read_to_string(answer).unwrap()).unwrap();
    let system = system(&answer, std::env::var(DOMAINS).unwrap().parse().unwrap());
    assert_eq!(aegis_core::verify::verify(system), Ok(()));
    let vehicle = Vehicle::new(system, &RUNTIME);
    vehicle.hooks(TaskId(0), Checking).hooks(TaskId(1), Checking).run()
}

/// A vehicle that runs.
struct Running {
    child: Child,
    folder: tempfile::TempDir,
    /// The processes of its domains, by their names.
    processes: Vec<(String, u32)>,
    told: BufReader<std::process::ChildStdout>,
}

fn start(answer: &Path, domains: u16) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new("/proc/self/exe")
        .args(["--for", "2s", "--allow-void", "--trace"])
        .arg(folder.path().join("trace.jsonl"))
        .arg("--summary")
        .arg(folder.path().join("summary.json"))
        .env(ANSWER, answer)
        .env(DOMAINS, domains.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap());
    let mut processes = Vec::new();
    while processes.len() < usize::from(domains) {
        let mut line = String::new();
        assert!(told.read_line(&mut line).unwrap() > 0, "it ended before its processes had loaded");
        if let Some(rest) = line.strip_prefix("domain \"") {
            let (name, rest) = rest.split_once("\": process ").unwrap();
            processes.push((name.to_owned(), rest.split_once(';').unwrap().0.parse().unwrap()));
        }
    }
    Running { child, folder, processes, told }
}

/// What a vehicle left.
struct Left {
    status: i32,
    summary: Value,
    trace: String,
}

impl Running {
    fn process(&self, name: &str) -> u32 {
        self.processes.iter().find(|(own, _)| own == name).unwrap().1
    }

    fn ends(mut self) -> Left {
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.told, &mut rest).unwrap();
        let status = self.child.wait().unwrap().code().unwrap();
        for (name, process) in &self.processes {
            assert!(!exists(*process), "the process of {name} is left");
        }
        let summary = fs::read_to_string(self.folder.path().join("summary.json")).unwrap();
        let trace = fs::read_to_string(self.folder.path().join("trace.jsonl")).unwrap();
        println!("{rest}");
        Left { status, summary: serde_json::from_str(&summary).unwrap(), trace }
    }
}

fn exists(pid: u32) -> bool {
    fs::exists(format!("/proc/{pid}")).unwrap()
}

fn send(process: u32, signal: i32) {
    // SAFETY: a plain system call; the process is one that the vehicle has just named.
    assert_eq!(unsafe { libc::kill(process.try_into().unwrap(), signal) }, 0);
}

/// Writes all over the page that a process answers in.
fn corrupt(process: u32) {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let page = maps
        .lines()
        .filter(|line| line.contains("memfd:aegis-vision ") || line.ends_with("memfd:aegis-vision (deleted)"));
    let at = page.map(|line| u64::from_str_radix(line.split('-').next().unwrap(), 16).unwrap()).next().unwrap();
    let memory = fs::OpenOptions::new().write(true).open(format!("/proc/{process}/mem")).unwrap();
    while exists(process) && memory.write_all_at(&[0xa5; 4_096], at).is_ok() {
        thread::sleep(Duration::from_millis(1));
    }
}

/// The other task has lost nothing, and no record is lost.
fn others_go_on(left: &Left) {
    let (tasks, trace) = (&left.summary["tasks"], &left.summary["trace"]);
    let other = &tasks[1];
    let count = |key: &str| other[key].as_u64().unwrap();
    assert_eq!((count("failed"), count("aborted"), &trace["lost"]), (0, 0, &0.into()), "{other}");
    assert_eq!(count("jobs") + count("rejected"), 40, "{other}");
    // What the failure costs it: at most one segment that is killed.
    assert_eq!(count("misses"), 0, "{other}");
    let is_within = count("max_response_ns") <= count("bound_ns") + KILL_AFTER * MS;
    assert!(is_within || count("exceeded") == count("explained"), "{other}");
    assert_eq!(left.summary["drained"], true);
}

fn nothing_is_lost_without_a_fault(answer: &Path) {
    for domains in [1, 2] {
        let left = start(answer, domains).ends();
        let summary = &left.summary;
        others_go_on(&left);
        for (number, task) in summary["tasks"].as_array().unwrap().iter().enumerate() {
            let jobs = task["jobs"].as_u64().unwrap() + task["rejected"].as_u64().unwrap();
            assert_eq!((jobs, &task["failed"]), ([100, 40][number], &0.into()), "{task}");
        }
        for (number, domain) in summary["domains"].as_array().unwrap().iter().enumerate() {
            assert_eq!((&domain["failed"], &domain["process"]["ending"]), (&false.into(), &"exit status 0".into()));
            let force = domain["process"]["in_force"].to_string();
            for fence in ["memory", "no-core-dump", "no-new-files", "no-new-privileges"] {
                assert!(force.contains(fence), "{domain}");
            }
            // What a process took of its memory is told as if it were here.
            let memory = &summary["memory"][number];
            assert_eq!(memory["highest_bytes"], memory["arena_bytes"], "{memory}");
            assert_eq!((&memory["refused_requests"], &memory["unattributed_requests"]), (&0.into(), &0.into()));
        }
    }
}

fn each_fault_ends_one_domain_alone(answer: &Path) {
    type Fault = fn(u32);
    let faults: [(&str, Fault, &[&str]); 4] = [
        ("signal 9 (SIGKILL)", |process| send(process, libc::SIGKILL), &["signalled"]),
        ("signal 6 (SIGABRT)", |process| send(process, libc::SIGABRT), &["signalled"]),
        // Whichever is seen first: a segment that is not over, or that it shows no life.
        ("signal 9 (SIGKILL)", |process| send(process, libc::SIGSTOP), &["hung", "silent"]),
        ("signal 9 (SIGKILL)", corrupt, &["malformed"]),
    ];
    for domains in [1, 2] {
        for (ending, fault, causes) in &faults {
            let running = start(answer, domains);
            thread::sleep(Duration::from_millis(700));
            fault(running.process("vision"));
            let left = running.ends();
            let domain = &left.summary["domains"][0];
            assert_eq!(left.status, 1, "{}", left.summary["exit"]);
            assert!(causes.iter().any(|cause| domain["cause"] == *cause), "{domain}");
            assert_eq!(
                (&domain["failed"], &domain["process"]["ending"]),
                (&true.into(), &(*ending).into()),
                "{domain}"
            );
            assert!(left.trace.contains("\"event\":\"domain_failed\""), "{}", left.trace);
            others_go_on(&left);
            if domains == 2 {
                let other = &left.summary["domains"][1];
                assert_eq!((&other["failed"], &other["process"]["ending"]), (&false.into(), &"exit status 0".into()));
            }
            let jobs = left.summary["tasks"][0]["jobs"].as_u64().unwrap();
            assert!((5..95).contains(&jobs), "{jobs} before it failed, and none after");
            println!("{domains} domains, {ending}: {}, {jobs} jobs before", domain["cause"]);
        }
    }
}

fn a_fault_while_it_loads_keeps_the_vehicle_from_starting(answer: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let summary = folder.path().join("summary.json");
    let mut child = Command::new("/proc/self/exe")
        .args(["--for", "2s", "--allow-void", "--summary"])
        .arg(&summary)
        .env(ANSWER, answer)
        .env(DOMAINS, "2")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The first child of the vehicle, as soon as there is one.
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let process = loop {
        assert_eq!(child.try_wait().unwrap(), None, "it ended without a process");
        let all = fs::read_to_string(&children).unwrap();
        if let Some(first) = all.split_whitespace().next() {
            break first.parse::<u32>().unwrap();
        }
    };
    send(process, libc::SIGKILL);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("the process of fault domain \"vision\" is lost (signalled): signal 9 (SIGKILL)"), "{text}");
    assert!(!exists(process) && !summary.exists());
}

fn nothing_is_left_when_the_vehicle_is_killed(answer: &Path) {
    let mut running = start(answer, 2);
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    let began = Instant::now();
    for (name, process) in &running.processes {
        while exists(*process) {
            assert!(began.elapsed() < Duration::from_secs(5), "the process of {name} outlived its vehicle");
            thread::sleep(Duration::from_millis(5));
        }
    }
    assert!(
        !fs::read_dir("/dev/shm").unwrap().any(|entry| entry.unwrap().file_name().to_string_lossy().contains("aegis"))
    );
}

fn main() -> ExitCode {
    if let Some(answer) = std::env::var_os(ANSWER) {
        return vehicle(answer.to_str().unwrap());
    }
    let Some(answer) = probed() else { return ExitCode::SUCCESS };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("answer.json");
    fs::write(&file, answer.to_string()).unwrap();
    let tests: [Test; 4] = [
        ("nothing_is_lost_without_a_fault", nothing_is_lost_without_a_fault),
        ("each_fault_ends_one_domain_alone", each_fault_ends_one_domain_alone),
        (
            "a_fault_while_it_loads_keeps_the_vehicle_from_starting",
            a_fault_while_it_loads_keeps_the_vehicle_from_starting,
        ),
        ("nothing_is_left_when_the_vehicle_is_killed", nothing_is_left_when_the_vehicle_is_killed),
    ];
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let chosen = tests.iter().filter(|(name, _)| filter.as_ref().is_none_or(|filter| name.contains(filter.as_str())));
    let mut failed = 0_u8;
    for (name, test) in chosen {
        let is_sound = panic::catch_unwind(|| test(&file)).is_ok();
        println!("test {name} ... {}", if is_sound { "ok" } else { "FAILED" });
        failed += u8::from(!is_sound);
    }
    ExitCode::from(failed)
}
