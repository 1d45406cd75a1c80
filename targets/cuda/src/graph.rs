//! Launches that were captured once, submitted as one.
// A graph is kept by the driver's own handle, so that it can be sent: cudarc's wrapper is tied to a thread.
#![allow(unsafe_code)]

use crate::error::{CudaError, answer, checked, failed};
use crate::partition::{Own, Partition};
use cudarc::driver::result::{graph, stream};
use cudarc::driver::sys::{self, CUgraph, CUgraphExec, CUstreamCaptureMode, cudaError_enum};
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
    ///
    /// # Errors
    /// What `submit` or the driver says; nothing is captured then.
    pub fn capture<E: From<CudaError>>(
        partition: &Partition,
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
