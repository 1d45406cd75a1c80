//! What a kernel takes without a vehicle: one graph and an event that is looked at until it is done, as a vehicle's lane does, on a part of a
//! device. The difference to a vehicle's response is what dispatching costs.
//!
//! `cargo bench -p aegis-cuda --bench raw -- [SMS TURNS PERIOD_US JOBS]`, on a machine with a device; elsewhere it says that there is none. One
//! line of JSON, times in nanoseconds from before the launch until its end is seen: `copied` with the copy of 8 bytes to the CPU that a job
//! has as its output, `kernel` without. Its thread stays on the core that it is started on (`taskset`).
// Launching a kernel whose memory this program alone uses.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark stops at whatever it did not expect")]

use aegis_cuda::{Argument, Device, Graph, Part, Pinned, Region, Shape, Waiting};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The kernels of the experiments.
const PTX: &str = include_str!("../experiments/load.ptx");
/// One thread, as the experiments' critical kernel has.
const ONE: Shape = Shape { grid: [1, 1, 1], block: [1, 1, 1], shared: 0 };
const OUTPUT: usize = 8;
/// Jobs before counting.
const WARM_UP: usize = 100;

fn main() {
    // Cargo adds arguments of its own.
    let numbers: Vec<u32> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let [sms, turns, period, jobs] = numbers.try_into().unwrap_or([32, 5_500, 1_000, 5_000]);
    let device = match Device::open(0) {
        Ok(device) => device,
        Err(error) => return println!("nothing measured: {error}"),
    };
    let own = Part::divide(&device, &[sms]).unwrap().pop().unwrap().enter().unwrap();
    let module = own.load(PTX.as_bytes()).unwrap();
    let compute = module.kernel(&own, c"compute").unwrap();
    let region = Region::take(&device, 8).unwrap();
    let output = Pinned::take(&device, OUTPUT).unwrap();
    let (address, to) = (region.address(0, 8).unwrap(), output.base());
    let is_kept =
        |address| u64::try_from(to.addr().get()).is_ok_and(|to| to == address) || region.address(0, 8) == Ok(address);
    let submit = |copied: bool| {
        let arguments = [Argument::Address(address), Argument::U64(u64::from(turns))];
        // SAFETY: the kernel writes 4 bytes of the region, of which so many are copied; both live longer, and nobody else uses them.
        unsafe {
            compute.launch(&own, ONE, &arguments)?;
            if copied { own.download(to.as_ptr(), address, OUTPUT) } else { Ok(()) }
        }
    };
    let completion = own.completion(Waiting::Polling).unwrap();
    let period = Duration::from_micros(u64::from(period));
    let measure = |copied: bool| {
        let graph = Graph::capture(&own, is_kept, || submit(copied)).unwrap();
        let times = periodic(period, usize::try_from(jobs).unwrap(), || {
            // SAFETY: as above.
            unsafe { own.launch(&graph) }.unwrap();
            own.mark(&completion).unwrap();
            while !completion.is_done().unwrap() {}
        });
        percentiles(times)
    };
    let (copied, kernel) = (measure(true), measure(false));
    println!(
        "{}",
        json!({ "device": device.facts().name, "sms": sms, "turns": turns, "copied": copied, "kernel": kernel })
    );
}

/// Runs one job each period, and tells how long each took.
fn periodic(period: Duration, jobs: usize, mut job: impl FnMut()) -> Vec<Duration> {
    let mut times = Vec::with_capacity(jobs + WARM_UP);
    let mut due = Instant::now() + period;
    for _ in 0..jobs + WARM_UP {
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        let began = Instant::now();
        job();
        times.push(began.elapsed());
        due = (due + period).max(Instant::now());
    }
    times.split_off(WARM_UP)
}

fn percentiles(mut times: Vec<Duration>) -> Value {
    times.sort_unstable();
    let at = |thousandths: usize| {
        let place = (times.len() * thousandths / 1_000).min(times.len() - 1);
        u64::try_from(times[place].as_nanos()).unwrap()
    };
    json!({ "jobs": times.len(), "p50": at(500), "p99": at(990), "p999": at(999), "max": at(1_000) })
}
