//! Ranges and marks for Nsight Systems and whatever else reads NVTX; only with the feature `nvtx`, otherwise nothing.
//!
//! All are of the domain `aegis`. A range of the category `segment` lies on a lane's thread around each piece of a job, with the
//! task's name and the request's number. A mark lies on the orchestration thread for each record of the trace, in a category that is
//! named as the record's event in the trace, with the task's name and the request's number where the record has these.
//!
//! Nothing here uses the heap after [`open`]. What it costs stands in `docs/nvtx.md`.

#[cfg(feature = "nvtx")]
mod attached;

use aegis_core::TaskId;
use aegis_core::desc::SystemDesc;
use aegis_core::trace::Kind;

/// Names domain, categories and tasks for whatever tool is attached. Without it, nothing is told; a second time changes nothing.
pub fn open(system: &SystemDesc) {
    #[cfg(feature = "nvtx")]
    attached::open(system);
    #[cfg(not(feature = "nvtx"))]
    let _ = system;
}

/// Tells a record.
#[inline]
pub(crate) fn mark(kind: &Kind) {
    #[cfg(feature = "nvtx")]
    attached::mark(kind);
    #[cfg(not(feature = "nvtx"))]
    let _ = kind;
}

/// A piece of a job that runs on the calling thread until its end is told.
#[must_use]
pub(crate) struct Segment {
    #[cfg(feature = "nvtx")]
    _range: Option<::nvtx::domain::LocalRange<'static>>,
}

impl Segment {
    /// The piece has ended.
    #[inline]
    pub(crate) fn end(self) {}
}

/// Begins to tell of a piece of a job.
#[inline]
pub(crate) fn segment(task: TaskId, request: u64) -> Segment {
    #[cfg(not(feature = "nvtx"))]
    let _ = (task, request);
    Segment {
        #[cfg(feature = "nvtx")]
        _range: attached::segment(task, request),
    }
}
