//! A load that keeps a part of a device busy, to measure what stands beside it.
// Launching a kernel whose memory this module alone uses.
#![allow(unsafe_code)]

use crate::device::Device;
use crate::error::CudaError;
use crate::module::{Argument, Shape};
use crate::partition::{Part, Partition, Waiting};
use crate::region::Region;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

const PTX: &str = include_str!("neighbour.ptx");
/// Threads of a block, and blocks for each SM: as many as an SM of compute capability 7.0 and later holds.
const THREADS: u32 = 1_024;
const BLOCKS: u32 = 2;
/// How many launches are submitted at a time: the thread may be that late.
const WAITING: usize = 4;
/// How often a launch goes through its memory.
const ROUNDS: u64 = 4;

/// A thread that submits one launch after the other to a part, so that there is always one waiting, until it is stopped.
///
/// Each launch reads and writes a region of several times the second-level cache with all threads that the SMs hold: of what partitions
/// share it takes as much as it can. Its thread inherits core and priority of the one that starts it: start it from an ordinary one.
#[derive(Debug)]
pub struct Neighbour {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<u64, CudaError>>,
}

impl Neighbour {
    /// Starts it on a part; returns once its first launch runs.
    ///
    /// # Errors
    /// What the driver says: of the memory that it needs, four times the second-level cache and at least 64 MiB.
    pub fn start(part: Part) -> Result<Self, CudaError> {
        let (stop, running) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (asked, begun) = (Arc::clone(&stop), Arc::clone(&running));
        let body = move || {
            let result = part.enter().and_then(|partition| keep_busy(&partition, &asked, &begun));
            // Also where it failed: whoever waits for it goes on.
            begun.store(true, Ordering::Release);
            result
        };
        let thread = Builder::new().name("neighbour".to_owned()).spawn(body).map_err(|_| CudaError::NoThread)?;
        while !running.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        Ok(Self { stop, thread })
    }

    /// Stops it, and says how many launches there were.
    ///
    /// # Errors
    /// What the driver said meanwhile: then it did not keep anything busy to the end.
    pub fn stop(self) -> Result<u64, CudaError> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().unwrap_or(Err(CudaError::NoThread))
    }
}

fn keep_busy(partition: &Partition, stop: &AtomicBool, begun: &AtomicBool) -> Result<u64, CudaError> {
    let device: &Arc<Device> = partition.device();
    let bytes = device.facts().l2_bytes.saturating_mul(4).max(64 << 20);
    let region = Region::take(device, bytes)?;
    let module = partition.load(PTX.as_bytes())?;
    let stream = module.kernel(partition, c"stream")?;
    let arguments = [Argument::Address(region.address(0, bytes)?), Argument::U64(bytes / 8), Argument::U64(ROUNDS)];
    let grid = [partition.sms().saturating_mul(BLOCKS), 1, 1];
    let shape = Shape { grid, block: [THREADS, 1, 1], shared: 0 };
    let end = |_| partition.completion(Waiting::Blocking);
    let ends = (0..WAITING).map(end).collect::<Result<Vec<_>, _>>()?;
    let mut launches = 0_u64;
    // One runs and the others wait; the oldest one's end is waited for.
    for end in ends.iter().cycle() {
        end.wait()?;
        if stop.load(Ordering::Acquire) {
            break;
        }
        // SAFETY: the kernel has these parameters and stays inside the region, which nobody else uses and which lives, as the module
        // does, until the stream has been waited for below.
        unsafe { stream.launch(partition, shape, &arguments) }?;
        partition.mark(end)?;
        launches = launches.saturating_add(1);
        begun.store(true, Ordering::Release);
    }
    partition.wait()?;
    Ok(launches)
}
