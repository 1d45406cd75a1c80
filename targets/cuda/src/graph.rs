//! Launches that were captured once, submitted as one.

use crate::error::{CudaError, checked};
use crate::partition::Partition;
use cudarc::driver::CudaGraph;
use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};

/// A fixed sequence of launches on one partition, with the addresses that they had when it was captured.
pub struct Graph<'a> {
    graph: CudaGraph,
    partition: &'a Partition,
}

impl std::fmt::Debug for Graph<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph").field("partition", self.partition).finish_non_exhaustive()
    }
}

impl<'a> Graph<'a> {
    /// Captures what `submit` submits to the partition's stream; nothing of it runs meanwhile. `None` where it submits nothing.
    ///
    /// Other threads must not call the driver in ways that capturing forbids, such as allocating, until it returns: a vehicle
    /// captures before its first release.
    ///
    /// # Errors
    /// What `submit` or the driver says; nothing is captured then.
    pub fn capture(
        partition: &'a Partition,
        submit: impl FnOnce() -> Result<(), CudaError>,
    ) -> Result<Option<Self>, CudaError> {
        let stream = partition.stream();
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        checked("cuStreamBeginCapture", stream.begin_capture(mode))?;
        let submitted = submit();
        // Ended in any case: a stream that is left capturing takes nothing any more.
        let ended = checked("cuStreamEndCapture", stream.end_capture(CUgraphInstantiate_flags(0)));
        submitted?;
        let Some(graph) = ended? else { return Ok(None) };
        checked("cuGraphUpload", graph.upload())?;
        partition.wait()?;
        Ok(Some(Self { graph, partition }))
    }

    /// Submits all of it. Does not wait.
    ///
    /// # Errors
    /// What the driver says, also of earlier work.
    ///
    /// # Safety
    /// As for each launch that was captured.
    #[allow(unsafe_code)]
    pub unsafe fn launch(&self) -> Result<(), CudaError> {
        checked("cuGraphLaunch", self.graph.launch())
    }
}

impl Drop for Graph<'_> {
    fn drop(&mut self) {
        // It may still run.
        let _ = self.partition.wait();
    }
}
