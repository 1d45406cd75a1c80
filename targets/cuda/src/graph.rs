//! Launches that were captured once, submitted as one.
// A graph is kept by the driver's own handle, so that it can be sent: cudarc's wrapper is tied to a thread.
#![allow(unsafe_code)]

use crate::error::{CudaError, answer, checked, failed};
use crate::partition::{Own, Partition};
use cudarc::driver::result::{graph, stream};
use cudarc::driver::sys::{self, CUgraph, CUgraphExec, CUstreamCaptureMode, cudaError_enum};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr::null_mut;
use std::sync::Arc;

/// A fixed sequence of launches and copies on one partition, with the addresses that they had when it was captured.
#[derive(Debug)]
pub struct Graph {
    exec: CUgraphExec,
    own: Arc<Own>,
}

// SAFETY: the driver's handle belongs to no thread; it is launched through the partition that it was captured on, of which there is one.
unsafe impl Send for Graph {}
// SAFETY: as above; by `&Graph` nothing is done but that launch.
unsafe impl Sync for Graph {}

impl Graph {
    /// Captures what `submit` submits to the partition's stream, by this package or through the handle that a library has; nothing of it
    /// runs meanwhile.
    ///
    /// `submit` must not do what capturing forbids, such as allocating or waiting: a vehicle captures before its first release.
    /// `is_kept` says of an address whether its memory lives as long as the graph and is nobody else's: each launch copies from and to the
    /// addresses that were captured.
    ///
    /// # Errors
    /// What `submit` or the driver says; [`CudaError::NotRepeatable`] where it submitted what a library does once for each run, such as a
    /// function of the CPU that frees memory, or a copy from or to memory that is not kept. Nothing is captured then.
    pub fn capture<E: From<CudaError>>(
        partition: &Partition,
        is_kept: impl Fn(u64) -> bool,
        submit: impl FnOnce() -> Result<(), E>,
    ) -> Result<Self, E> {
        let own = partition.stream().cu_stream();
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        partition.bind()?;
        // SAFETY: the stream is alive, and nobody else uses it.
        checked("cuStreamBeginCapture", unsafe { stream::begin_capture(own, mode) })?;
        // Ended in any case: a stream that is left capturing takes nothing any more.
        let submitted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(submit));
        let bound = partition.bind();
        // SAFETY: as above; the capture was begun by this thread.
        let ended = checked("cuStreamEndCapture", unsafe { stream::end_capture(own) });
        let captured = ended.map(Captured);
        submitted.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        bound?;
        let captured = captured?;
        if captured.0.is_null() {
            return Err(failed("cuStreamEndCapture", cudaError_enum::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED).into());
        }
        repeatable(&captured, is_kept)?;
        let mut exec = null_mut();
        // SAFETY: the graph is alive; the driver writes the handle.
        answer("cuGraphInstantiate", unsafe { sys::cuGraphInstantiateWithFlags(&raw mut exec, captured.0, 0) })?;
        let made = Self { exec, own: Arc::clone(partition.own()) };
        // SAFETY: graph and stream are alive.
        answer("cuGraphUpload", unsafe { sys::cuGraphUpload(made.exec, own) })?;
        partition.wait()?;
        Ok(made)
    }
}

impl Partition {
    /// Submits all of a graph that was captured here. Does not wait.
    ///
    /// # Errors
    /// [`CudaError::OtherPartition`], or what the driver says, also of earlier work.
    ///
    /// # Safety
    /// As for each launch and copy that was captured, see [`crate::Kernel::launch`] and [`Partition::upload`].
    pub unsafe fn launch(&self, graph: &Graph) -> Result<(), CudaError> {
        if !Arc::ptr_eq(&graph.own, self.own()) {
            return Err(CudaError::OtherPartition);
        }
        self.bind()?;
        // SAFETY: the graph is alive and of this stream's context; the rest is the caller's.
        checked("cuGraphLaunch", unsafe { graph::launch(graph.exec, self.stream().cu_stream()) })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // The driver keeps what is running until it is done.
        // SAFETY: made by `capture`, destroyed once.
        let _ = unsafe { sys::cuGraphExecDestroy(self.exec) };
    }
}

/// Whether all of a graph can be launched again and again: kernels, memory that is set, copies of memory that is kept, and memory that the
/// graph takes and gives back itself, which then has the same addresses in each launch.
fn repeatable(graph: &Captured, is_kept: impl Fn(u64) -> bool) -> Result<(), CudaError> {
    let (mut taken, mut given, mut copied) = (Vec::new(), Vec::new(), Vec::new());
    for node in nodes(graph)? {
        // As a number, because a newer driver has kinds that the enumeration has not.
        let mut kind = u32::MAX;
        // SAFETY: the node is the graph's; an enumeration of the driver is as large as a number.
        answer("cuGraphNodeGetType", unsafe { sys::cuGraphNodeGetType(node, (&raw mut kind).cast()) })?;
        match kind {
            KERNEL | SET | EMPTY => {}
            COPY => copied.push(ends(node)?),
            TAKES => taken.push(taken_by(node)?),
            GIVES => {
                let mut address = 0;
                // SAFETY: the node is the graph's and gives memory back; the driver writes its address.
                let asked = unsafe { sys::cuGraphMemFreeNodeGetParams(node, &raw mut address) };
                answer("cuGraphMemFreeNodeGetParams", asked)?;
                given.push(address);
            }
            HOST => return Err(CudaError::NotRepeatable { what: "a function of the CPU" }),
            _ => {
                return Err(CudaError::NotRepeatable {
                    what: "a step of another kind than kernels, copies and set memory",
                });
            }
        }
    }
    let is_own = |address: u64| taken.iter().any(|range| range.contains(&address));
    let is_known = |ends: Option<[u64; 2]>| {
        ends.is_some_and(|ends| ends.into_iter().all(|address| is_own(address) || is_kept(address)))
    };
    if !copied.into_iter().all(is_known) {
        return Err(CudaError::NotRepeatable { what: "a copy from or to memory that is not planned" });
    }
    // What a launch keeps the next one would take again.
    given.sort_unstable();
    let mut own: Vec<u64> = taken.iter().map(|range| range.start).collect();
    own.sort_unstable();
    if own != given {
        return Err(CudaError::NotRepeatable { what: "a request for memory that is not given back in the same run" });
    }
    Ok(())
}

fn nodes(graph: &Captured) -> Result<Vec<sys::CUgraphNode>, CudaError> {
    let mut count = 0;
    // SAFETY: the graph is alive; without room for nodes the driver writes how many there are.
    answer("cuGraphGetNodes", unsafe { sys::cuGraphGetNodes(graph.0, null_mut(), &raw mut count) })?;
    let mut nodes = vec![null_mut(); count];
    // The driver refuses to be asked for none.
    if count > 0 {
        // SAFETY: there is room for so many.
        answer("cuGraphGetNodes", unsafe { sys::cuGraphGetNodes(graph.0, nodes.as_mut_ptr(), &raw mut count) })?;
    }
    nodes.truncate(count);
    Ok(nodes)
}

/// The addresses that a node takes when its graph is launched.
fn taken_by(node: sys::CUgraphNode) -> Result<Range<u64>, CudaError> {
    let mut taken = MaybeUninit::<sys::CUDA_MEM_ALLOC_NODE_PARAMS>::zeroed();
    // SAFETY: the node is the graph's and takes memory; the driver fills what it is given room for.
    answer("cuGraphMemAllocNodeGetParams", unsafe { sys::cuGraphMemAllocNodeGetParams(node, taken.as_mut_ptr()) })?;
    let taken = taken.as_ptr();
    // SAFETY: both fields were zero or written by the driver.
    let (from, bytes) = unsafe { ((&raw const (*taken).dptr).read(), (&raw const (*taken).bytesize).read()) };
    Ok(from..from.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX)))
}

// The driver's numbers of the kinds of nodes, CUgraphNodeType.
const KERNEL: u32 = 0;
const COPY: u32 = 1;
const SET: u32 = 2;
const HOST: u32 = 3;
const EMPTY: u32 = 5;
const TAKES: u32 = 10;
const GIVES: u32 = 11;
// Those of the kinds of memory, CUmemorytype.
const OF_HOST: u32 = 1;
const OF_DEVICE: u32 = 2;
const OF_EITHER: u32 = 4;

/// Where a copy begins and where it goes; `None` for arrays, which no plan has.
fn ends(node: sys::CUgraphNode) -> Result<Option<[u64; 2]>, CudaError> {
    let mut copy = MaybeUninit::<sys::CUDA_MEMCPY3D>::zeroed();
    // SAFETY: the node is a copy; the driver fills what it is given room for.
    answer("cuGraphMemcpyNodeGetParams", unsafe { sys::cuGraphMemcpyNodeGetParams(node, copy.as_mut_ptr()) })?;
    let copy = copy.as_ptr();
    // SAFETY: each field was zero or written by the driver; the kinds are read as numbers, of which any will do.
    let (kinds, hosts, devices) = unsafe {
        let kinds = [
            (&raw const (*copy).srcMemoryType).cast::<u32>().read(),
            (&raw const (*copy).dstMemoryType).cast::<u32>().read(),
        ];
        let hosts = [(&raw const (*copy).srcHost).read().addr(), (&raw const (*copy).dstHost).read().addr()];
        let devices = [(&raw const (*copy).srcDevice).read(), (&raw const (*copy).dstDevice).read()];
        (kinds, hosts, devices)
    };
    let end = |kind, host: usize, device: u64| match kind {
        OF_HOST => u64::try_from(host).ok(),
        OF_DEVICE | OF_EITHER => Some(device),
        _ => None,
    };
    let ([from, to], [host_from, host_to], [device_from, device_to]) = (kinds, hosts, devices);
    Ok(end(from, host_from, device_from).zip(end(to, host_to, device_to)).map(|(from, to)| [from, to]))
}

/// What was captured, until it is made executable.
struct Captured(CUgraph);

impl Drop for Captured {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the capture's own, destroyed once.
            let _ = unsafe { sys::cuGraphDestroy(self.0) };
        }
    }
}
