//! A model's kernels stay on the SMs of its lane's part. Needs a device, for ONNX Runtime what `gpu` needs, and for TVM what `gpu_tvm`
//! needs; where one is missing each test says so and passes.
//!
//! ```text
//!  part of a model │ the rest: one block of `watch` on each SM, which counts what it gets done in a fixed number of the SM's cycles
//!  in its part     │ every SM gets its work done, but for less than half of what the median one loses below
//!  on all SMs      │ most get less done: so the count tells
//! ```
//!
//! The count is not exact: with nothing beside it SMs differed by less than a thousandth of their work, and single ones by up to five
//! thousandths (lab GPU). So what counts as disturbed is measured in the same run.
//!
//! SMs that belong to no unit of the device (12 of the lab GPU's 132) are not watched, and neither are those of the model's own part. So this
//! shows of kernels with more blocks than these hold that they stay; a kernel of a few blocks that left its part could have run there.
// Launches a kernel and reads what it noted.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at whatever it did not expect")]

mod common;

use aegis_core::desc::{ElementType, Waiting};
use aegis_cuda::{Argument, Completion, Device, Kernel, Part, Partition, Region, Shape, SmUnits};
use aegis_host::backend::{BoundSegment as _, Engine as _, Port, Sequence};
use aegis_host::gpu::Seat;
use aegis_host::kernels::{self, KernelsEngine, KernelsSegment, Launch, Program};
use common::on_gpu::{divisible, engine, memory, with_models};
use common::tvm_on_gpu;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const WATCH: &str = include_str!("fixtures/watch.ptx");
const KERNELS: &str = include_str!("fixtures/kernels.ptx");
/// Four warps for each of an SM's four schedulers.
const THREADS: u32 = 512;
const WARPS: u32 = THREADS / 32;
/// Chunks of 256 multiplications: about half a microsecond.
const TURNS: u32 = 16;
/// How long an SM is watched, in milliseconds of its clock.
const WATCHED: u64 = 400;
/// Shared memory of a block, so that an SM which it is on has its shared memory laid out for models that need much of it, too.
const SHARED: u32 = 100 << 10;
/// What half of the SMs get done at most, of a million parts of their work, where a model shares them: otherwise the count tells nothing.
const SHARED_AT_MOST: u64 = 990_000;

/// What was noted on one SM.
#[derive(Clone, Copy, Debug)]
struct Noted {
    chunks: u64,
    longest: u64,
    slow: u64,
}

type BySm = BTreeMap<u64, Noted>;

/// A part of which each SM is watched.
struct Watch {
    kernel: Kernel,
    region: Region,
    done: Completion,
    shape: Shape,
    cycles: u64,
    partition: Partition,
}

impl Watch {
    fn of(part: Part) -> Self {
        let partition = part.enter().unwrap();
        let (sms, device) = (partition.sms(), Arc::clone(partition.device()));
        let kernel = partition.load(WATCH.as_bytes()).unwrap().kernel(&partition, c"watch").unwrap();
        // Not every device has so much; those go without.
        let shared = kernel.allow_shared(&partition, SHARED).map_or(0, |()| SHARED);
        Self {
            kernel,
            region: Region::take(&device, u64::from(sms * WARPS) * 40).unwrap(),
            done: partition.completion(aegis_cuda::Waiting::Polling).unwrap(),
            shape: Shape { grid: [sms, 1, 1], block: [THREADS, 1, 1], shared },
            cycles: u64::from(device.facts().clock_khz) * WATCHED,
            partition,
        }
    }

    /// Watches while something runs again and again; what each SM got done, and how often it ran.
    fn beside(&self, mut run: impl FnMut()) -> (BySm, u64) {
        let out = self.region.address(0, self.region.length()).unwrap();
        let arguments = [Argument::Address(out), Argument::U64(self.cycles), Argument::U32(TURNS)];
        // SAFETY: the kernel has these parameters and writes five words for each warp of the grid; nobody else uses the region.
        unsafe { self.kernel.launch(&self.partition, self.shape, &arguments) }.unwrap();
        self.partition.mark(&self.done).unwrap();
        let mut runs = 0;
        while !self.done.is_done().unwrap() {
            run();
            runs += 1;
        }
        self.partition.wait().unwrap();
        let mut bytes = vec![0; usize::try_from(self.region.length()).unwrap()];
        // SAFETY: the kernel has completed.
        unsafe { self.region.read(0, &mut bytes) }.unwrap();
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
        let mut noted = BySm::new();
        for warp in bytes.chunks(40) {
            let [sm, chunks, _, longest, slow] = [0, 8, 16, 24, 32].map(|at| word(&warp[at..at + 8]));
            let all = noted.entry(sm).or_insert(Noted { chunks: 0, longest: 0, slow: 0 });
            *all = Noted { chunks: all.chunks + chunks, longest: all.longest.max(longest), slow: all.slow + slow };
        }
        assert_eq!(noted.len(), usize::try_from(self.partition.sms()).unwrap(), "one block on each SM");
        (noted, runs)
    }

    fn alone(&self) -> BySm {
        self.beside(|| std::thread::sleep(Duration::from_millis(1))).0
    }
}

/// Of each SM what it got done of what it does alone, in millionths, least first.
fn kept(alone: &BySm, beside: &BySm) -> Vec<u64> {
    let share = |(sm, now): (&u64, &Noted)| now.chunks * 1_000_000 / alone.get(sm).unwrap().chunks;
    let mut shares: Vec<u64> = beside.iter().map(share).collect();
    shares.sort_unstable();
    shares
}

fn told(what: &str, shares: &[u64], noted: &BySm, runs: u64) {
    let (least, median) = (shares[0], shares[shares.len() / 2]);
    let (longest, slow) = noted.values().fold((0, 0), |(longest, slow), sm| (longest.max(sm.longest), slow + sm.slow));
    let percent = |ppm: u64| format!("{}.{:04} %", ppm / 10_000, ppm % 10_000);
    println!(
        "{what}: {runs} runs beside {} SMs, which got done at least {}, in the median {}; longest chunk {longest} \
         cycles, {slow} slow ones",
        shares.len(),
        percent(least),
        percent(median)
    );
}

/// Runs a model once.
type Run = Box<dyn FnMut()>;

/// Shows that a model disturbs no SM of the rest from a part of one unit, and most SMs from all of the device.
fn stays(device: &Arc<Device>, units: SmUnits, name: &str, model: impl Fn(&Arc<Seat>) -> Run) {
    let mut parts = Part::divide(device, &[units.sms, units.sms * (units.count - 1)]).unwrap();
    let watch = Watch::of(parts.pop().unwrap());
    let alone = watch.alone();
    let again = watch.alone();
    let steady = kept(&alone, &again);
    told(&format!("{name}, nothing beside"), &steady, &again, 0);
    let seat = Seat::new(parts.pop().unwrap(), Waiting::Polling).unwrap();
    let mut run = model(&seat);
    let (noted, runs) = watch.beside(&mut run);
    let in_part = kept(&alone, &noted);
    told(&format!("{name}, in its part of {} SMs", units.sms), &in_part, &noted, runs);
    drop((run, seat, watch));
    // All that can be a part's are watched, so that no free SM draws the model's blocks.
    let watch = Watch::of(Part::divide(device, &[units.sms * units.count]).unwrap().pop().unwrap());
    let alone = watch.alone();
    let seat = Seat::new(Part::undivided(device).unwrap(), Waiting::Polling).unwrap();
    let mut run = model(&seat);
    let (noted, everywhere) = watch.beside(&mut run);
    let on_all = kept(&alone, &noted);
    told(&format!("{name}, on all SMs"), &on_all, &noted, everywhere);
    drop((run, seat, watch));
    let median = on_all[on_all.len() / 2];
    assert!(
        everywhere > 0 && median < SHARED_AT_MOST,
        "{name} on all SMs is not seen: {median} of a million in the median"
    );
    let undisturbed = 1_000_000_u64.midpoint(median);
    println!("{name}: an SM is undisturbed with more than {undisturbed} of a million");
    assert!(steady[0] > undisturbed, "{name}: what is counted differs by itself: {} of a million", steady[0]);
    assert!(
        runs > 10 && in_part[0] > undisturbed,
        "{name} in its part disturbs another SM: {} of a million",
        in_part[0]
    );
}

/// One test for all models, because a process has one runtime.
#[test]
fn onnx_runtimes_kernels_stay_on_the_sms_of_their_part() {
    let Some((device, units, _alone)) = divisible() else { return };
    let Some((runtime, models)) = with_models() else { return };
    for file in &models {
        stays(&device, units, &file.file_name().unwrap().to_string_lossy()[..8], |seat| {
            let mut engine = engine(&runtime, file, Some(seat));
            // Warmed up, and captured.
            for _ in 0..12 {
                engine.run().unwrap();
            }
            assert_eq!(engine.why_not_captured(), None);
            Box::new(move || engine.run().unwrap())
        });
    }
}

#[test]
fn kernels_that_tvm_compiled_stay_on_the_sms_of_their_part() {
    let Some((device, units, _alone)) = divisible() else { return };
    let Some(room) = tvm_on_gpu::room(&device) else { return };
    for model in &room.models {
        stays(&device, units, &format!("{} by TVM", model.name), |seat| {
            let mut engine = tvm_on_gpu::engine(room, &model.for_device, Some(seat));
            for _ in 0..12 {
                engine.run().unwrap();
            }
            assert_eq!(engine.why_not_captured(), None);
            Box::new(move || engine.run().unwrap())
        });
    }
}

#[test]
fn kernels_of_ones_own_stay_on_the_sms_of_their_part() {
    let Some((device, units, _alone)) = divisible() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kernels.ptx");
    std::fs::write(&file, KERNELS).unwrap();
    let blocks = 1_000_u32;
    let port = |name: &str| Port { name: name.into(), element: ElementType::F32, shape: vec![i64::from(blocks)] };
    let program = Program {
        inputs: vec![port("x")],
        outputs: vec![port("y")],
        run: Vec::new(),
        launches: vec![Launch {
            kernel: "busy".into(),
            shape: Shape { grid: [blocks, 1, 1], block: [128, 1, 1], shared: 0 },
            arguments: vec![kernels::Argument::Tensor(0), kernels::Argument::Tensor(1), kernels::Argument::Word(1_000)],
        }],
    };
    stays(&device, units, "busy", |seat| {
        let segment = KernelsSegment::load(&Arc::new(program.clone()), &file, Some(Arc::clone(seat))).unwrap();
        let mut engine = KernelsEngine::bind(segment, memory(seat, &program, 1, Sequence::Free)).unwrap();
        for _ in 0..12 {
            engine.run().unwrap();
        }
        assert_eq!(engine.why_not_captured(), None);
        Box::new(move || engine.run().unwrap())
    });
}
