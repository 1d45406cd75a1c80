//! Two fault domains on one part of a GPU, each a process that has the device by itself: one of them is killed, stopped, writes
//! where no memory is, or runs a kernel that does not end, and the other goes on. Needs a device; where there is none the plan is
//! proven, and the rest is skipped with a printed reason.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test stops at what it did not expect, and tells"
)]
#![allow(unsafe_code, reason = "signals are sent as somebody outside would")]

mod common;

use aegis_core::desc::{
    ArgumentDesc, Backend, DomainDesc, ElementType, FileDesc, GpuDesc, LaneDesc, LaunchDesc, MemoryControl, ModelDesc,
    PartitionDesc, PoolDesc, ProcessDesc, Recording, SegmentDesc, SystemDesc, TaskDesc, TensorDesc, TensorLife,
    Waiting,
};
use aegis_core::{ByteOffset, Bytes, DomainId, Duration, PoolId, TaskId};
use aegis_cuda::Device;
use aegis_host::cache::{Cache, sha256};
use aegis_host::{Inputs, JobContext, Outputs, Runtime, TaskHooks, Vehicle};
use common::two_models::{MS, ns, plan_with};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Instant;
use std::{fs, panic, thread};

/// What is known of the device, as JSON: this program is a vehicle then, or a process of it.
const FACTS: &str = "AEGIS_TEST_FACTS";
/// What the first domain's model reads from its fiftieth job on.
const FAULT: &str = "AEGIS_TEST_FAULT";
/// How much private memory the first domain's process may take, in bytes.
const MEMORY: &str = "AEGIS_TEST_MEMORY";

const PTX: &str = include_str!("fixtures/faults.ptx");
/// The first domain's, and the longest that its process is waited for.
const KILL_AFTER: u64 = 25;
/// What the fault may cost the other one besides, in milliseconds: as a plan for this device would say it.
const BLACKOUT: u64 = 400;
/// The jobs of the other domain's task in a run of three seconds, and its period in milliseconds.
const JOBS: u64 = 60;
const PERIOD: u64 = 50;

static RUNTIME: Runtime<2, 1, 2> = Runtime::new();

const SIDES: TensorDesc =
    TensorDesc { name: "x", element: ElementType::F32, shape: &[64], at: ByteOffset(0), size: Bytes(256) };

/// One launch of the kernel.
fn model(name: &'static str, pool: u16) -> ModelDesc {
    let launches = vec![LaunchDesc {
        kernel: "act",
        grid: [1, 1, 1],
        block: [1, 1, 1],
        shared: Bytes(0),
        arguments: &[ArgumentDesc::Tensor(0), ArgumentDesc::Tensor(1), ArgumentDesc::Word(5_500)],
    }];
    let sha256: &'static str = sha_of(PTX).leak();
    let segment = SegmentDesc {
        file: FileDesc { name: "faults.ptx", sha256, version: "" },
        engine: "",
        memory: MemoryControl::Planned,
        persistent_at: ByteOffset(0),
        persistent: Bytes(0),
        load: &[],
        scratch_at: ByteOffset(0),
        scratch: Bytes(0),
        runs: &[Recording { steps: &[], peak: 0 }],
        reads: &[0],
        writes: &[1],
        launches: launches.leak(),
    };
    ModelDesc {
        name,
        backend: Backend::Kernels,
        engines: None,
        pool: PoolId(pool),
        weights: Bytes(0),
        tensors: TensorLife::Kept,
        inputs: &[SIDES],
        outputs: &[TensorDesc { name: "y", at: ByteOffset(256), ..SIDES }],
        carried: &[],
        segments: vec![segment].leak(),
    }
}

fn sha_of(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, text).unwrap();
    sha256(&file).unwrap()
}

/// The same plan in each process: from the same facts.
fn system(facts: &Value, memory: Option<u64>) -> &'static SystemDesc {
    let number = |key: &str| u16::try_from(facts[key].as_u64().unwrap()).unwrap();
    let gpu = GpuDesc {
        ordinal: 0,
        name: facts["name"].as_str().unwrap().to_owned().leak(),
        driver: facts["driver"].as_str().unwrap().to_owned().leak(),
        compute_capability: (number("major"), number("minor")),
        sms: number("sms"),
        unit: number("unit"),
        units: number("units"),
        context: None,
        staging: None,
    };
    let overhead = MS / 4;
    let base = plan_with([model("watched", 1), model("beside", 2)], 0, None, (overhead, overhead * 2));
    let process = |kill_after, memory: Option<u64>| {
        let (kill_after, hand_over) = (ns(kill_after * MS), ns(MS / 5));
        let (heartbeat, memory) = (Some(ns(100 * MS)), memory.map(Bytes));
        Some(ProcessDesc { kill_after, hand_over, heartbeat, memory, cores: &[], restart: None, meanwhile: None })
    };
    let domains = vec![
        DomainDesc { name: "vision", process: process(KILL_AFTER, memory) },
        DomainDesc { name: "maps", process: process(2_000, None) },
    ];
    let partition = PartitionDesc { pool: PoolId(0), sms: gpu.unit, completion: Waiting::Polling, switch: ns(MS / 2) };
    let lanes = base.lanes.iter().map(|lane| LaneDesc { partition: Some(partition), ..*lane });
    let tasks = base.tasks.iter().zip(0..).map(|(task, domain)| TaskDesc { domain: Some(DomainId(domain)), ..*task });
    let pool = |name, domain: Option<u16>, height| PoolDesc {
        name,
        domain: domain.map(DomainId),
        gpu: Some(gpu),
        shares: domain.map(|_| PoolId(0)),
        capacity: Bytes(1 << 30),
        height: Bytes(height),
        lower_bound: Bytes(height),
        private: Bytes(height),
        weights: Bytes(0),
        copy_per_mib: Duration::ZERO,
        page: Bytes(0),
    };
    let pools = vec![pool("gpu0", None, 0), pool("gpu0.vision", Some(0), 512), pool("gpu0.maps", Some(1), 512)];
    Box::leak(Box::new(SystemDesc {
        name: "two domains",
        libraries: &[],
        lanes: lanes.collect::<Vec<_>>().leak(),
        tasks: tasks.collect::<Vec<_>>().leak(),
        pools: pools.leak(),
        domains: domains.leak(),
        ..*base
    }))
}

/// Gives the model what it reads, and checks what it wrote.
struct Checking {
    /// What it reads from its fiftieth job on, where it is to go wrong.
    fault: Option<f32>,
}

impl TaskHooks for Checking {
    fn input(&mut self, job: &JobContext, inputs: &mut Inputs<'_>) {
        let value = self.fault.filter(|_| job.request >= 50).unwrap_or(7.0);
        inputs.f32(0).unwrap().fill(value);
    }

    fn output(&mut self, _job: &JobContext, outputs: &Outputs<'_>) {
        assert!((outputs.f32(0).unwrap()[0] - 11.0).abs() < 1e-6, "{:?}", outputs.f32(0).unwrap());
    }
}

/// The vehicle, or a process of it.
fn vehicle(facts: &str) -> ExitCode {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let system = system(&serde_json::from_str(facts).unwrap(), number(MEMORY));
    assert_eq!(aegis_core::verify::verify(system), Ok(()));
    let fault = std::env::var(FAULT).ok().map(|text| text.parse().unwrap());
    let vehicle = Vehicle::new(system, &RUNTIME);
    vehicle.hooks(TaskId(0), Checking { fault }).hooks(TaskId(1), Checking { fault: None }).run()
}

/// The device, and a cache with the kernel.
struct Bench {
    device: Arc<Device>,
    facts: Value,
    cache: tempfile::TempDir,
}

/// What differs from run to run.
#[derive(Clone, Copy, Default)]
struct Way {
    fault: Option<f32>,
    memory: Option<u64>,
}

/// A vehicle that runs.
struct Running {
    child: Child,
    folder: tempfile::TempDir,
    /// The processes of its domains, by their names, and what was said of each.
    processes: Vec<(String, u32, String)>,
    told: BufReader<std::process::ChildStdout>,
}

impl Bench {
    fn new(device: Arc<Device>, facts: Value) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let path = Cache::at(cache.path().to_owned()).path(&sha_of(PTX));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, PTX).unwrap();
        Self { device, facts, cache }
    }

    fn start(&self, way: Way) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("/proc/self/exe");
        command
            .args(["--for", "3s", "--allow-void", "--trace"])
            .arg(folder.path().join("trace.jsonl"))
            .arg("--summary")
            .arg(folder.path().join("summary.json"))
            .env(FACTS, self.facts.to_string())
            .env("AEGIS_CACHE", self.cache.path())
            .stdout(Stdio::piped());
        if let Some(fault) = way.fault {
            command.env(FAULT, fault.to_string());
        }
        if let Some(memory) = way.memory {
            command.env(MEMORY, memory.to_string());
        }
        let began = Instant::now();
        let mut child = command.spawn().unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap());
        let mut processes = Vec::new();
        while processes.len() < 2 {
            let mut line = String::new();
            assert!(
                told.read_line(&mut line).unwrap() > 0,
                "it ended before its processes had loaded: {:?}",
                child.wait()
            );
            if let Some(rest) = line.strip_prefix("domain \"") {
                println!("after {:?}: {}", began.elapsed(), line.trim_end());
                let (name, rest) = rest.split_once("\": process ").unwrap();
                let (number, force) = rest.split_once(';').unwrap();
                processes.push((name.to_owned(), number.parse().unwrap(), force.to_owned()));
            }
        }
        Running { child, folder, processes, told }
    }
}

/// What a vehicle left.
struct Left {
    status: i32,
    summary: Value,
    trace: String,
}

impl Running {
    fn process(&self, name: &str) -> u32 {
        self.processes.iter().find(|(own, ..)| own == name).unwrap().1
    }

    fn ends(mut self) -> Left {
        let mut rest = String::new();
        self.told.read_to_string(&mut rest).unwrap();
        let status = self.child.wait().unwrap().code();
        println!("{rest}");
        let status = status.unwrap();
        for (name, process, _) in &self.processes {
            assert!(!fs::exists(format!("/proc/{process}")).unwrap(), "the process of {name} is left");
        }
        let summary = fs::read_to_string(self.folder.path().join("summary.json")).unwrap();
        let trace = fs::read_to_string(self.folder.path().join("trace.jsonl")).unwrap();
        Left { status, summary: serde_json::from_str(&summary).unwrap(), trace }
    }
}

fn send(process: u32, signal: i32) {
    // SAFETY: a plain system call; the process is one that the vehicle has just named.
    assert_eq!(unsafe { libc::kill(process.try_into().unwrap(), signal) }, 0);
}

/// What a process says of itself to the system, by the beginning of its line.
fn status_of(process: u32, key: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("(not told)").trim().to_owned()
}

/// The other task has lost nothing but the time of one stall, and no record is lost.
fn the_other_goes_on(left: &Left, stall: u64) {
    let (task, trace) = (&left.summary["tasks"][1], &left.summary["trace"]);
    let count = |key: &str| task[key].as_u64().unwrap();
    let (longest, bound) = (count("max_response_ns"), count("bound_ns"));
    println!(
        "the other: {} jobs, {} failed, {} rejected, {} missed, {} beyond its bound; longest response {:.3} ms, bound {:.3} ms",
        count("jobs"),
        count("failed"),
        count("rejected"),
        count("misses"),
        count("exceeded"),
        as_ms(longest),
        as_ms(bound)
    );
    assert_eq!((count("failed"), count("aborted"), &trace["lost"]), (0, 0, &0.into()), "{task}");
    assert_eq!(count("jobs") + count("rejected"), JOBS, "{task}");
    assert!(longest <= bound + stall * MS || count("exceeded") == count("explained"), "{task}");
    // One stall: no more of its jobs are touched than arrive while it lasts, and the two around it.
    assert!(count("misses") + count("rejected") <= stall / PERIOD + 2, "{task}");
    assert_eq!(left.summary["drained"], true);
    let domain = &left.summary["domains"][1];
    assert_eq!((&domain["failed"], &domain["process"]["ending"]), (&false.into(), &"exit status 0".into()), "{domain}");
}

fn as_ms(value: u64) -> f64 {
    std::time::Duration::from_nanos(value).as_secs_f64() * 1e3
}

fn both_run(bench: &Bench) {
    let before = bench.device.free_bytes().unwrap();
    let running = bench.start(Way::default());
    thread::sleep(std::time::Duration::from_millis(500));
    // The management library maps CUDA's, so what the vehicle has mapped tells nothing; a third context would show here.
    let taken = before.saturating_sub(bench.device.free_bytes().unwrap());
    println!("{taken} bytes of the device taken by two processes");
    for (name, process, force) in &running.processes {
        let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
        assert!(maps.contains("libcuda.so"), "that of {name} has not");
        let own = |key: &str| status_of(*process, key);
        println!(
            "{name}: VmData {}, VmLck {}, VmPin {}, Threads {}",
            own("VmData:"),
            own("VmLck:"),
            own("VmPin:"),
            own("Threads:")
        );
        for fence in ["no-core-dump", "no-new-privileges", "system-calls"] {
            assert!(force.contains(fence), "{name}: {fence} is not among {force}");
        }
        assert!(!force.contains("no-new-files"), "{name}: its driver could not poll");
    }
    let within = bench.device.free_bytes().unwrap();
    let left = running.ends();
    println!(
        "the device's free memory: {before} bytes before, {within} while it ran, {} after",
        bench.device.free_bytes().unwrap()
    );
    the_other_goes_on(&left, 0);
    for (number, task) in left.summary["tasks"].as_array().unwrap().iter().enumerate() {
        let jobs = task["jobs"].as_u64().unwrap() + task["rejected"].as_u64().unwrap();
        assert_eq!((jobs, &task["failed"]), ([150, JOBS][number], &0.into()), "{task}");
        println!("{}: longest response {} ns of {} ns", task["name"], task["max_response_ns"], task["bound_ns"]);
    }
    assert!([0, 1].contains(&left.status), "{}", left.summary["exit"]);
}

fn one_that_fails_costs_the_other_one_stall(bench: &Bench) {
    type Fault = fn(u32);
    let nothing: Fault = |_| ();
    let faults: [(&str, Option<f32>, Fault, &[&str]); 4] = [
        // While it runs a segment the lane's limit may come before its end, which comes after that of its context.
        ("killed", None, |process| send(process, libc::SIGKILL), &["signalled", "hung"]),
        // Whichever is seen first: a segment that is not over, or that it shows no life.
        ("stopped", None, |process| send(process, libc::SIGSTOP), &["hung", "silent"]),
        // Likewise: before the driver has told of it, which takes some tenths of a second.
        ("an illegal address", Some(1.0), nothing, &["backend", "hung"]),
        ("an endless kernel", Some(2.0), nothing, &["hung"]),
    ];
    let before = bench.device.free_bytes().unwrap();
    for round in 1..=3 {
        for (name, fault, act, causes) in faults {
            println!("--- {name}, round {round}");
            let running = bench.start(Way { fault, memory: None });
            thread::sleep(std::time::Duration::from_millis(1_000));
            act(running.process("vision"));
            let left = running.ends();
            let domain = &left.summary["domains"][0];
            assert_eq!(left.status, 1, "{}", left.summary["exit"]);
            println!("{name}: {} by {}, {}", domain["failed"], domain["cause"], domain["process"]["ending"]);
            assert!(causes.iter().any(|cause| domain["cause"] == *cause), "{domain}");
            assert_eq!(domain["failed"], true, "{domain}");
            assert!(left.trace.contains("\"event\":\"domain_failed\""));
            the_other_goes_on(&left, KILL_AFTER + BLACKOUT);
            let jobs = left.summary["tasks"][0]["jobs"].as_u64().unwrap();
            assert!((5..145).contains(&jobs), "{jobs} before it failed, and none after");
            let after = bench.device.free_bytes().unwrap();
            println!("{name}: the device's free memory was {before} bytes and is {after}");
            assert!(after.saturating_add(64 << 20) >= before, "what the process had of the device is free again");
        }
    }
}

fn private_memory_can_be_limited(bench: &Bench) {
    let running = bench.start(Way::default());
    let data = status_of(running.process("vision"), "VmData:");
    running.ends();
    let kib: u64 = data.split_whitespace().next().unwrap().parse().unwrap();
    let memory = Some((kib << 10) + (1 << 30));
    println!("without a limit it has {data}, so it may have {memory:?} bytes");
    let running = bench.start(Way { fault: None, memory });
    assert!(running.processes[0].2.contains("memory,"), "{:?}", running.processes[0]);
    let left = running.ends();
    the_other_goes_on(&left, 0);
    assert_eq!(left.summary["domains"][0]["failed"], false);
}

fn a_device_that_is_not_the_planned_one_keeps_it_from_starting(bench: &Bench) {
    let mut facts = bench.facts.clone();
    facts["name"] = "another device".into();
    let mut command = Command::new("/proc/self/exe");
    command.args(["--for", "1s", "--allow-void"]).env(FACTS, facts.to_string()).env("AEGIS_CACHE", bench.cache.path());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    println!("{:?}: {text}", output.status);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("planned was \"another device\""), "{text}");
}

/// What is known of the first device; of a made-up one where there is none, with the reason.
fn facts() -> (Value, Result<Arc<Device>, String>) {
    let made_up =
        json!({ "name": "a device", "driver": "13.0", "major": 9, "minor": 0, "sms": 132, "unit": 8, "units": 15 });
    let device = match Device::open(0) {
        Ok(device) => device,
        Err(error) => return (made_up, Err(error.to_string())),
    };
    let own = device.facts();
    let Some(units) = own.units else { return (made_up, Err(format!("{} cannot be divided", own.name))) };
    let (major, minor) = own.compute_capability;
    let facts = json!({
        "name": own.name, "driver": own.driver.to_string(), "major": major, "minor": minor, "sms": own.sms, "unit": units.sms,
        "units": units.count,
    });
    (facts, Ok(device))
}

/// A test with its name.
type Test = (&'static str, fn(&Bench));

fn main() -> ExitCode {
    if let Some(facts) = std::env::var_os(FACTS) {
        return vehicle(facts.to_str().unwrap());
    }
    let (facts, device) = facts();
    assert_eq!(aegis_core::verify::verify(system(&facts, None)), Ok(()));
    println!("test the_plan_proves_itself ... ok");
    let device = match device {
        Ok(device) => device,
        Err(reason) => {
            println!("skipped: {reason}");
            return ExitCode::SUCCESS;
        }
    };
    let bench = Bench::new(device, facts);
    let tests: [Test; 4] = [
        ("both_run", both_run),
        ("one_that_fails_costs_the_other_one_stall", one_that_fails_costs_the_other_one_stall),
        ("private_memory_can_be_limited", private_memory_can_be_limited),
        (
            "a_device_that_is_not_the_planned_one_keeps_it_from_starting",
            a_device_that_is_not_the_planned_one_keeps_it_from_starting,
        ),
    ];
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let chosen = tests.iter().filter(|(name, _)| filter.as_ref().is_none_or(|filter| name.contains(filter.as_str())));
    let mut failed = 0_u8;
    for (name, test) in chosen {
        let is_sound = panic::catch_unwind(panic::AssertUnwindSafe(|| test(&bench))).is_ok();
        println!("test {name} ... {}", if is_sound { "ok" } else { "FAILED" });
        failed += u8::from(!is_sound);
    }
    ExitCode::from(failed)
}
