//! How a model's runs reach a GPU: first the runtime submits them kernel by kernel, then they are captured once, and from then on each
//! run is one launch of that graph, with no call of the runtime and no request for memory.
//!
//! ```text
//!  warming up ──3 runs──▶ capture ──▶ captured: inputs ─▶ kernels ─▶ outputs, one launch
//!                            └──what cannot be captured──▶ submitted by the runtime, as in the warm-up
//! ```
//!
//! A captured graph keeps the addresses that it was captured with: those of planned memory.
// Copies and launches of which the engine knows that their memory is planned.
#![allow(unsafe_code)]

use super::engine::OnnxEngine;
use crate::arena::BoundTensor;
use crate::backend::{BackendError, Engine as _};
use crate::gpu::Seat;
use aegis_cuda::{Graph, Partition};
use std::sync::Arc;

/// Runs before the capture: in the first ones libraries load kernels and choose algorithms.
const WARM_UP: u32 = 3;

/// How runs are submitted.
#[derive(Debug)]
pub(super) struct Capture {
    seat: Arc<Seat>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// So many runs were submitted by the runtime.
    WarmingUp(u32),
    Captured(Graph),
    /// By the runtime for good, because of this.
    Submitted(String),
}

/// What is submitted: an engine's copies and kernels.
pub(super) struct Submission<'a> {
    pub(super) engine: &'a mut OnnxEngine,
}

impl Submission<'_> {
    fn submit(&mut self, partition: &Partition) -> Result<(), BackendError> {
        for (tensor, host) in self.engine.inputs().iter().filter_map(with_host) {
            // SAFETY: both are planned memory of this model and as long, and until the run has ended nobody else uses them; the
            // engine, which keeps both, keeps the graph, too.
            unsafe { partition.upload(tensor.address(), host.base(), host.length()) }?;
        }
        self.engine.run_as_recorded()?;
        for (tensor, host) in self.engine.outputs().iter().filter_map(with_host) {
            // SAFETY: as above.
            unsafe { partition.download(host.base(), tensor.address(), host.length()) }?;
        }
        Ok(())
    }
}

fn with_host(tensor: &BoundTensor) -> Option<(&BoundTensor, &crate::arena::Span)> {
    Some((tensor, tensor.host.as_ref()?))
}

impl Capture {
    pub(super) const fn new(seat: Arc<Seat>) -> Self {
        Self { seat, state: State::WarmingUp(0) }
    }

    /// Why runs are not captured, once that is known.
    pub(super) fn why_not(&self) -> Option<&str> {
        match &self.state {
            State::Submitted(why) => Some(why),
            State::WarmingUp(_) | State::Captured(_) => None,
        }
    }

    /// One run, to its end on the device.
    pub(super) fn run(mut self, mut submission: Submission<'_>) -> (Self, Result<(), BackendError>) {
        if matches!(self.state, State::WarmingUp(runs) if runs >= WARM_UP) {
            self.state = self.capture(&mut submission);
        }
        if let State::Captured(graph) = &self.state {
            // SAFETY: as for each of its copies; its kernels use the memory that was planned for them, which is nobody else's while
            // the run lasts.
            let result = unsafe { self.seat.run(graph) };
            return (self, result.map_err(BackendError::from));
        }
        let seat = &self.seat;
        let result = seat.with(|partition| {
            let submitted = submission.submit(partition);
            // In any case: what was submitted uses memory that is the next run's.
            let ended = seat.wait(partition);
            match submitted {
                // What the device says is why; what the runtime says comes of it.
                Err(BackendError::Run(_)) if ended.is_err() => Ok(ended?),
                Ok(()) => Ok(ended?),
                refused => refused,
            }
        });
        if let (State::WarmingUp(runs), Ok(())) = (&mut self.state, &result) {
            *runs = runs.saturating_add(1);
        }
        (self, result)
    }

    fn capture(&self, submission: &mut Submission<'_>) -> State {
        let captured = self.seat.with(|partition| Graph::capture(partition, || submission.submit(partition)));
        match captured {
            Ok(graph) => State::Captured(graph),
            Err(error) => State::Submitted(error.to_string()),
        }
    }
}
