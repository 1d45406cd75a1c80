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

use aegis_core::desc::{DomainDesc, ModelDesc, PoolDesc, ProcessDesc, RestartDesc, SystemDesc, TaskDesc};
use aegis_core::{Bytes, DomainId, PoolId, TaskId};
use aegis_host::{Inputs, JobContext, Outputs, Runtime, TaskHooks, Vehicle};
use common::two_models::{MS, model, ns, plan_with, probed, scratch};
use common::{FACE, LINES, ORIENTATION};
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
/// How often processes are started again within a minute, if they are.
const RESTARTS: &str = "AEGIS_TEST_RESTARTS";
/// Which of the probed models is the second one.
const SECOND: &str = "AEGIS_TEST_SECOND";

/// Of the domain that fails, in milliseconds.
const KILL_AFTER: u64 = 15;

/// Until a process is started again, in milliseconds.
const BACK_OFF: u64 = 100;

static RUNTIME: Runtime<2, 1, 2> = Runtime::new();

/// The same plan in each process: from the same figures.
fn system(answer: &Value, domains: u16) -> &'static SystemDesc {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u16>().unwrap());
    let models = [&answer["models"][0], &answer["models"][usize::from(number(SECOND).unwrap_or(2))]];
    let second = if number(SECOND).is_some() { LINES } else { ORIENTATION };
    let mut heights = models.map(scratch);
    let [face, turn] = &mut heights;
    let models: [ModelDesc; 2] =
        [model(models[0], "face", FACE, face), ModelDesc { pool: PoolId(1), ..model(models[1], "turn", second, turn) }];
    // Each domain may fail, and where it is started again be restored.
    let (overhead, times) = if number(RESTARTS).is_some() { (MS / 8, 2) } else { (MS / 4, 1) };
    let base = plan_with(models, heights[0], None, (overhead, overhead * u64::from(domains) * times));
    let process = |kill_after| {
        let (kill_after, hand_over, heartbeat) = (ns(kill_after * MS), ns(MS / 5), Some(ns(100 * MS)));
        let restart = number(RESTARTS).map(|max| RestartDesc {
            max,
            within: ns(60_000 * MS),
            back_off: ns(BACK_OFF * MS),
            probation: ns(MS),
        });
        let memory = Some(Bytes(512 << 20));
        Some(ProcessDesc { kill_after, hand_over, heartbeat, memory, restart, meanwhile: None, cores: &[] })
    };
    let all = [
        DomainDesc { name: "vision", process: process(KILL_AFTER) },
        DomainDesc { name: "maps", process: process(if number(SECOND).is_some() { 900 } else { 60 }) },
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
    start_for(answer, domains, "2s", &[])
}

fn start_for(answer: &Path, domains: u16, length: &str, variables: &[(&str, &str)]) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new("/proc/self/exe")
        .args(["--for", length, "--allow-void", "--trace"])
        .arg(folder.path().join("trace.jsonl"))
        .arg("--summary")
        .arg(folder.path().join("summary.json"))
        .env(ANSWER, answer)
        .env(DOMAINS, domains.to_string())
        .envs(variables.iter().copied())
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
        self.processes.iter().rfind(|(own, _)| own == name).unwrap().1
    }

    /// Lets a domain fail, and waits until it is started again.
    fn restarts(&mut self, name: &str, fault: fn(u32)) {
        fault(self.process(name));
        let begins = format!("restarted: domain \"{name}\": process ");
        loop {
            let mut line = String::new();
            assert!(self.told.read_line(&mut line).unwrap() > 0, "it ended before {name} was started again");
            if let Some(rest) = line.strip_prefix(&begins) {
                print!("{line}");
                self.processes.push((name.to_owned(), rest.split_once(';').unwrap().0.parse().unwrap()));
                return;
            }
        }
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
    others_go_on_for(left, 40);
}

fn others_go_on_for(left: &Left, jobs: u64) {
    let (tasks, trace) = (&left.summary["tasks"], &left.summary["trace"]);
    let other = &tasks[1];
    let count = |key: &str| other[key].as_u64().unwrap();
    assert_eq!((count("failed"), count("aborted"), &trace["lost"]), (0, 0, &0.into()), "{other}");
    assert_eq!(count("jobs") + count("rejected"), jobs, "{other}");
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
        // A process has ended once each of its threads was scheduled: on a busy machine the limit of the next segment may be over first.
        ("signal 9 (SIGKILL)", |process| send(process, libc::SIGKILL), &["signalled", "hung"]),
        ("signal 6 (SIGABRT)", |process| send(process, libc::SIGABRT), &["signalled", "hung"]),
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

fn records(trace: &str) -> impl Iterator<Item = Value> + '_ {
    trace.lines().map(|line| serde_json::from_str::<Value>(line).unwrap())
}

/// From when until when a domain was away, in nanoseconds.
fn away(trace: &str) -> Vec<(u64, u64)> {
    let (mut failed, mut all) = (0, Vec::new());
    for line in records(trace) {
        let at = || line["timestamp"].as_u64().unwrap();
        match line["event"].as_str() {
            Some("domain_failed") => failed = at(),
            Some("domain_restored") => all.push((failed, at())),
            _ => {}
        }
    }
    all
}

fn lengths_ms(away: &[(u64, u64)]) -> Vec<f64> {
    let mut lengths: Vec<_> = away.iter().map(|(from, to)| (to - from) as f64 / 1e6).collect();
    lengths.sort_unstable_by(f64::total_cmp);
    lengths
}

/// What a task's jobs waited for their lane, and took there, while a domain was away and otherwise.
fn told_beside(trace: &str, task: &str, away: &[(u64, u64)]) {
    let (mut waits, mut lengths) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for line in records(trace).filter(|line| line["event"] == "completion" && line["task"] == task) {
        let number = |key: &str| line[key].as_u64().unwrap();
        let arrival = number("ended") - number("response_ns");
        let place = usize::from(!away.iter().any(|(from, to)| (from..=to).contains(&&arrival)));
        waits[place].push(number("began") - arrival);
        lengths[place].push(number("execution_ns"));
    }
    for (what, all) in [("waits", waits), ("executions", lengths)] {
        for (when, mut own) in ["beside a restart", "otherwise"].into_iter().zip(all).filter(|(_, own)| !own.is_empty())
        {
            own.sort_unstable();
            let at = |percent: usize| own[(own.len() - 1) * percent / 100] / 1_000;
            println!(
                "  {what} of {task} {when}: {} jobs, p50 {} p90 {} p99 {} max {} µs",
                own.len(),
                at(50),
                at(90),
                at(99),
                at(100)
            );
        }
    }
}

fn a_domain_that_is_started_again_computes_again(answer: &Path) {
    let mut running = start_for(answer, 2, "9s", &[(RESTARTS, "8")]);
    let faults: [fn(u32); 4] = [
        |process| send(process, libc::SIGKILL),
        |process| send(process, libc::SIGABRT),
        |process| send(process, libc::SIGSTOP),
        corrupt,
    ];
    for fault in faults {
        thread::sleep(Duration::from_millis(500));
        running.restarts("vision", fault);
    }
    let left = running.ends();
    let (domain, face) = (&left.summary["domains"][0], &left.summary["tasks"][0]);
    let why = "the fault domain \"vision\" failed and was restored: nothing of its tasks was delivered in between";
    assert_eq!((left.status, &left.summary["exit"]["why"]), (1, &why.into()));
    assert_eq!((&domain["failures"], &domain["restarts"]), (&4.into(), &4.into()), "{domain}");
    let process = &domain["process"];
    assert_eq!((&process["ending"], &process["given_up"]), (&"exit status 0".into(), &false.into()), "{domain}");
    let force = process["in_force"].to_string();
    for fence in ["memory", "no-core-dump", "no-new-files", "no-new-privileges", "system-calls"] {
        assert!(force.contains(fence), "{domain}");
    }
    others_go_on_for(&left, 180);
    // Each output is checked by a hook.
    let lengths = lengths_ms(&away(&left.trace));
    let (sum, jobs) =
        (lengths.iter().sum::<f64>(), face["jobs"].as_u64().unwrap() + face["rejected"].as_u64().unwrap());
    assert!(jobs as f64 >= (9_000.0 - sum) / 20.0 - 30.0, "{jobs} jobs, away for {lengths:?} ms");
    println!("away for {lengths:?} ms");
}

fn one_that_fails_too_often_is_given_up(answer: &Path) {
    let mut running = start_for(answer, 1, "4s", &[(RESTARTS, "1")]);
    running.restarts("vision", |process| send(process, libc::SIGKILL));
    thread::sleep(Duration::from_millis(300));
    send(running.process("vision"), libc::SIGKILL);
    let left = running.ends();
    let domain = &left.summary["domains"][0];
    assert_eq!((&domain["failures"], &domain["restarts"]), (&2.into(), &1.into()), "{domain}");
    assert_eq!((&domain["restored_at_ns"], &domain["process"]["given_up"]), (&Value::Null, &true.into()), "{domain}");
    assert_eq!(left.status, 1);
    others_go_on_for(&left, 80);
}

/// How long a domain is away, for each model, and what that does to the other one on its lane: told, and compared with nothing.
fn restarts_of_real_models_are_timed(answer: &Path) {
    let lines = serde_json::from_str::<Value>(&fs::read_to_string(answer).unwrap()).unwrap()["models"][3].is_object();
    let all = [
        ("face", "vision", "turn", None),
        ("orientation", "maps", "face", None),
        ("lines", "maps", "face", Some((SECOND, "3"))),
    ];
    for (model, domain, other, variable) in all.into_iter().filter(|own| lines || own.3.is_none()) {
        let variables: Vec<_> = [(RESTARTS, "16")].into_iter().chain(variable).collect();
        let mut running = start_for(answer, 2, "30s", &variables);
        for _ in 0..12 {
            thread::sleep(Duration::from_millis(700));
            running.restarts(domain, |process| send(process, libc::SIGKILL));
        }
        let left = running.ends();
        let away = away(&left.trace);
        println!("restarts of {model}: away for {:?} ms", lengths_ms(&away));
        told_beside(&left.trace, other, &away);
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
    let tests: [Test; 7] = [
        ("nothing_is_lost_without_a_fault", nothing_is_lost_without_a_fault),
        ("each_fault_ends_one_domain_alone", each_fault_ends_one_domain_alone),
        (
            "a_fault_while_it_loads_keeps_the_vehicle_from_starting",
            a_fault_while_it_loads_keeps_the_vehicle_from_starting,
        ),
        ("nothing_is_left_when_the_vehicle_is_killed", nothing_is_left_when_the_vehicle_is_killed),
        ("a_domain_that_is_started_again_computes_again", a_domain_that_is_started_again_computes_again),
        ("one_that_fails_too_often_is_given_up", one_that_fails_too_often_is_given_up),
        ("restarts_of_real_models_are_timed", restarts_of_real_models_are_timed),
    ];
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let is_long = std::env::var_os("AEGIS_LONG").is_some();
    let is_chosen =
        |name: &str| filter.as_ref().map_or(is_long || !name.ends_with("timed"), |filter| name.contains(filter));
    let chosen = tests.iter().filter(|(name, _)| is_chosen(name));
    let mut failed = 0_u8;
    for (name, test) in chosen {
        let is_sound = panic::catch_unwind(|| test(&file)).is_ok();
        println!("test {name} ... {}", if is_sound { "ok" } else { "FAILED" });
        failed += u8::from(!is_sound);
    }
    ExitCode::from(failed)
}
