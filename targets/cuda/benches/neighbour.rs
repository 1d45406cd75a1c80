//! A critical kernel of about 0.1 ms every millisecond beside a neighbour that saturates the rest of the device: in a partition
//! of its own, beside that on plain streams, and with stream priorities.
//!
//! `cargo bench -p aegis-cuda --bench neighbour`, on a machine with a device; elsewhere it says that there is none.
// Launching kernels whose memory this program alone uses.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark stops at whatever it did not expect")]

use aegis_cuda::{Argument, Device, Graph, Part, Region, Shape, Waiting};
use cudarc::driver::result::launch_kernel;
use cudarc::driver::{CudaContext, CudaStream, sys};
use std::ffi::{CString, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const PTX: &str = include_str!("../tests/kernels.ptx");
/// About 0.1 ms on the lab GPU.
const ITERATIONS: u64 = 5_500;
/// What the neighbour submits is this much longer.
const LONGER: u64 = 60;
const JOBS: usize = 5_000;
const PERIOD: Duration = Duration::from_millis(1);

fn main() {
    let device = match Device::open(0) {
        Ok(device) => device,
        Err(error) => return println!("nothing measured: {error}"),
    };
    let facts = device.facts().clone();
    println!("{}", serde_json::to_string(&facts).unwrap());
    println!("{JOBS} jobs each, submission to completion; microseconds: p50 p99 max, and p99 beside / alone");
    let Some(units) = facts.units else { return println!("{} cannot be divided", facts.name) };
    let own = units.count / 2 * units.sms;
    let rest = units.count * units.sms - own;
    for (waiting, how) in [(Waiting::Polling, "polled"), (Waiting::Blocking, "waited for")] {
        for (graph, what) in [(false, "partition, launched"), (true, "partition, captured graph")] {
            let alone = partitioned(&device, &[own], graph, waiting);
            let beside = partitioned(&device, &[own, rest], graph, waiting);
            told(&format!("{what}, {how}"), own, &alone, &beside);
        }
    }
    for (what, priorities) in [("plain streams", None), ("stream priorities", Some((-5, 0)))] {
        let alone = plain(priorities, own, false);
        let beside = plain(priorities, own, true);
        told(&format!("{what}, polled"), facts.sms, &alone, &beside);
    }
}

/// Percentiles of sorted times, in microseconds.
fn told(what: &str, sms: u32, alone: &[Duration], beside: &[Duration]) {
    let at =
        |times: &[Duration], share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_nanos() / 100;
    let shown = |times: &[Duration]| {
        let tenths = [at(times, 50), at(times, 99), at(times, 100)];
        tenths.map(|tenths| format!("{}.{}", tenths / 10, tenths % 10)).join(" ")
    };
    let ratio = at(beside, 99) * 100 / at(alone, 99);
    println!(
        "{what} ({sms} SMs): alone {}, beside {}, {}.{:02}",
        shown(alone),
        shown(beside),
        ratio / 100,
        ratio % 100
    );
}

/// Runs one job each period; the times from submission to completion, sorted.
fn periodic(mut job: impl FnMut()) -> Vec<Duration> {
    let mut times = Vec::with_capacity(JOBS);
    let mut due = Instant::now() + PERIOD;
    for _ in 0..JOBS + 100 {
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        let began = Instant::now();
        job();
        times.push(began.elapsed());
        due = (due + PERIOD).max(Instant::now());
    }
    let mut times = times.split_off(100);
    times.sort();
    times
}

/// So many blocks of 128 threads.
fn shape(blocks: u32) -> Shape {
    Shape { grid: [blocks, 1, 1], block: [128, 1, 1], shared: 0 }
}

/// Ends the neighbour, also where the job fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn partitioned(device: &Arc<Device>, sizes: &[u32], graph: bool, waiting: Waiting) -> Vec<Duration> {
    let region = Region::take(device, 8).unwrap();
    let mut parts = Part::divide(device, sizes).unwrap().into_iter();
    let (own, neighbour) = (parts.next().unwrap(), parts.next());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let ends = Over(&over);
        if let Some(neighbour) = neighbour {
            let (over, out) = (&over, region.address(4, 4).unwrap());
            scope.spawn(move || {
                let neighbour = neighbour.enter().unwrap();
                let module = neighbour.load(PTX.as_bytes()).unwrap();
                let work = module.kernel(&neighbour, c"work").unwrap();
                while !over.load(Ordering::Relaxed) {
                    for _ in 0..4 {
                        let arguments = [Argument::U64(ITERATIONS * LONGER), Argument::Address(out)];
                        // SAFETY: the kernel writes 4 bytes of the region, which lives longer and nobody reads.
                        unsafe { work.launch(&neighbour, shape(neighbour.sms() * 16), &arguments) }.unwrap();
                    }
                    neighbour.wait().unwrap();
                }
            });
            std::thread::sleep(Duration::from_millis(200));
        }
        let own = own.enter().unwrap();
        let module = own.load(PTX.as_bytes()).unwrap();
        let work = module.kernel(&own, c"work").unwrap();
        let address = region.address(0, 4).unwrap();
        let submit = || {
            let arguments = [Argument::U64(ITERATIONS), Argument::Address(address)];
            // SAFETY: as above, its own 4 bytes.
            unsafe { work.launch(&own, shape(own.sms()), &arguments) }
        };
        let captured = graph.then(|| Graph::capture(&own, |_| false, submit).unwrap());
        let completion = own.completion(waiting).unwrap();
        let times = periodic(|| {
            match &captured {
                // SAFETY: as above.
                Some(graph) => unsafe { own.launch(graph) }.unwrap(),
                None => submit().unwrap(),
            }
            own.mark(&completion).unwrap();
            match waiting {
                Waiting::Polling => while !completion.is_done().unwrap() {},
                Waiting::Blocking => completion.wait().unwrap(),
            }
        });
        drop(ends);
        times
    })
}

/// What users do today: both on streams of the primary context. By cudarc alone, as a user's program would be.
fn plain(priorities: Option<(i32, i32)>, blocks: u32, beside: bool) -> Vec<Duration> {
    let context = CudaContext::new(0).unwrap();
    let stream = |priority: Option<i32>| match priority {
        Some(priority) => context.new_stream_with_priority(priority).unwrap(),
        None => context.new_stream().unwrap(),
    };
    let (critical, neighbour) = (stream(priorities.map(|both| both.0)), stream(priorities.map(|both| both.1)));
    let out = context.default_stream();
    // SAFETY: what is read of it was written before.
    let buffer = unsafe { out.alloc::<u32>(2) }.unwrap();
    let address = {
        use cudarc::driver::DevicePtr as _;
        buffer.device_ptr(&out).0
    };
    let text = CString::new(PTX).unwrap();
    let (mut module, mut work) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the context is current, and the text ends with a zero.
    unsafe {
        sys::cuModuleLoadData(&raw mut module, text.as_ptr().cast()).result().unwrap();
        sys::cuModuleGetFunction(&raw mut work, module, c"work".as_ptr()).result().unwrap();
    }
    let (over, work) = (AtomicBool::new(false), Function(work));
    let sms =
        u32::try_from(context.attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT).unwrap())
            .unwrap();
    std::thread::scope(|scope| {
        let ends = Over(&over);
        if beside {
            let (over, neighbour, context) = (&over, &neighbour, &context);
            let work = &work;
            scope.spawn(move || {
                context.bind_to_thread().unwrap();
                while !over.load(Ordering::Relaxed) {
                    for _ in 0..4 {
                        launch(work, neighbour, sms * 16, ITERATIONS * LONGER, address + 4);
                    }
                    neighbour.synchronize().unwrap();
                }
            });
            std::thread::sleep(Duration::from_millis(200));
        }
        let event = context.new_event(Some(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)).unwrap();
        let times = periodic(|| {
            launch(&work, &critical, blocks, ITERATIONS, address);
            event.record(&critical).unwrap();
            while !event.is_complete() {}
        });
        drop(ends);
        times
    })
}

struct Function(sys::CUfunction);

// SAFETY: a function's handle may be used from any thread.
unsafe impl Sync for Function {}

fn launch(work: &Function, stream: &CudaStream, blocks: u32, iterations: u64, out: u64) {
    let (mut iterations, mut out) = (iterations, out);
    let pointer = |word: &mut u64| std::ptr::from_mut(word).cast::<c_void>();
    let mut parameters = [pointer(&mut iterations), pointer(&mut out)];
    // SAFETY: the kernel has these two parameters and writes 4 bytes at the second, which this program owns.
    unsafe { launch_kernel(work.0, (blocks, 1, 1), (128, 1, 1), 0, stream.cu_stream(), &mut parameters) }.unwrap();
}
