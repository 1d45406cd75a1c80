//! How a model's runs reach a GPU: first its backend submits them kernel by kernel, then they are captured once, and from then on each
//! run is one launch of that graph, with no call of the backend and no request for memory.
//!
//! ```text
//!  warming up ──3 runs──▶ capture ──▶ captured: inputs ─▶ kernels ─▶ outputs, one launch
//!                            └──what cannot be captured──▶ submitted by the backend, as in the warm-up
//! ```
//!
//! A captured graph keeps the addresses that it was captured with: those of planned memory.
// Copies and launches of which the engine knows that their memory is planned.
#![allow(unsafe_code)]

use crate::arena::{BoundTensor, contains};
use crate::backend::{BackendError, Engine};
use crate::gpu::Seat;
use aegis_core::ErrorClass;
use aegis_cuda::{CudaError, Graph, Partition};
use std::sync::Arc;

/// Runs before the capture: in the first ones libraries load kernels and choose algorithms.
const WARM_UP: u32 = 3;

/// How runs are submitted.
#[derive(Debug)]
pub(crate) struct Capture {
    seat: Arc<Seat>,
    state: State<Graph>,
}

#[derive(PartialEq, Eq, Debug)]
enum State<G> {
    /// So many runs were submitted by the runtime.
    WarmingUp(u32),
    Captured(G),
    /// By the runtime for good, because of this.
    Submitted(String),
}

/// What can be done with a run.
trait Run<G> {
    /// Submits it kernel by kernel, to its end.
    fn submit(&mut self) -> Result<(), BackendError>;
    /// Captures it; nothing of it runs.
    fn capture(&mut self) -> Result<G, BackendError>;
    /// Launches what was captured, to its end.
    fn launch(&mut self, graph: &G) -> Result<(), BackendError>;
}

impl<G> State<G> {
    /// One run.
    fn run(self, run: &mut impl Run<G>) -> (Self, Result<(), BackendError>) {
        let state = match self {
            Self::WarmingUp(runs) if runs >= WARM_UP => match run.capture() {
                Ok(graph) => Self::Captured(graph),
                Err(error) => Self::Submitted(error.to_string()),
            },
            other => other,
        };
        match state {
            Self::Captured(graph) => {
                let result = run.launch(&graph);
                (Self::Captured(graph), result)
            }
            Self::WarmingUp(runs) => {
                let result = run.submit();
                // One that was refused is no warm-up.
                (Self::WarmingUp(if result.is_ok() { runs.saturating_add(1) } else { runs }), result)
            }
            Self::Submitted(why) => (Self::Submitted(why), run.submit()),
        }
    }
}

/// What comes of a run: of what was submitted, and of its end on the device, which is waited for in any case, because what was submitted
/// uses memory that is the next run's.
fn outcome(submitted: Result<(), BackendError>, ended: Result<(), CudaError>) -> Result<(), BackendError> {
    match (submitted, ended) {
        // A request that was refused is why, unless the device is lost.
        (Err(refused @ BackendError::Refused(_)), Err(error)) if error.class() != ErrorClass::Fatal => Err(refused),
        // What the device says is why; what the runtime says comes of it.
        (_, Err(error)) => Err(error.into()),
        (submitted, Ok(())) => submitted,
    }
}

/// An engine that submits its kernels to a partition's stream.
pub(crate) trait Submit: Engine {
    /// Submits those of one run, without the copies of inputs and outputs. Does not wait.
    fn submit(&mut self, partition: &Partition) -> Result<(), BackendError>;
}

/// Submits one run, with the copies of its inputs and outputs.
fn submit(engine: &mut impl Submit, partition: &Partition) -> Result<(), BackendError> {
    for (tensor, host) in engine.inputs().iter().filter_map(with_host) {
        // SAFETY: both are planned memory of this model and as long, and until the run has ended nobody else uses them; the
        // engine, which keeps both, keeps the graph, too.
        unsafe { partition.upload(tensor.address(), host.base(), host.length()) }?;
    }
    engine.submit(partition)?;
    for (tensor, host) in engine.outputs().iter().filter_map(with_host) {
        // SAFETY: as above.
        unsafe { partition.download(host.base(), tensor.address(), host.length()) }?;
    }
    Ok(())
}

fn with_host(tensor: &BoundTensor) -> Option<(&BoundTensor, &crate::arena::Span)> {
    Some((tensor, tensor.host.as_ref()?))
}

impl Capture {
    pub(crate) const fn new(seat: Arc<Seat>) -> Self {
        Self { seat, state: State::WarmingUp(0) }
    }

    /// Why runs are not captured, once that is known.
    pub(crate) fn why_not(&self) -> Option<&str> {
        match &self.state {
            State::Submitted(why) => Some(why),
            State::WarmingUp(_) | State::Captured(_) => None,
        }
    }

    /// One run, to its end on the device.
    pub(crate) fn run(self, engine: &mut impl Submit) -> (Self, Result<(), BackendError>) {
        let Self { seat, state } = self;
        let (state, result) = state.run(&mut OnSeat { seat: &seat, engine });
        (Self { seat, state }, result)
    }
}

/// A run on a seat.
struct OnSeat<'a, E> {
    seat: &'a Seat,
    engine: &'a mut E,
}

impl<E: Submit> Run<Graph> for OnSeat<'_, E> {
    fn submit(&mut self) -> Result<(), BackendError> {
        let Self { seat, engine } = self;
        seat.with(|partition| outcome(submit(*engine, partition), seat.wait(partition)))
    }

    fn capture(&mut self) -> Result<Graph, BackendError> {
        let Self { seat, engine } = self;
        // Arenas, planned and pinned, live as long as the engine, which keeps the graph.
        let is_kept = |address| usize::try_from(address).is_ok_and(contains);
        seat.with(|partition| Graph::capture(partition, is_kept, || submit(*engine, partition)))
    }

    fn launch(&mut self, graph: &Graph) -> Result<(), BackendError> {
        // SAFETY: as for each of its copies; its kernels use the memory that was planned for them, which is nobody else's while
        // the run lasts, and it has no other steps, which capturing refuses.
        unsafe { self.seat.run(graph) }.map_err(BackendError::from)
    }
}

#[cfg(test)]
mod tests {
    use super::{Run, State, WARM_UP, outcome};
    use crate::backend::BackendError;
    use aegis_cuda::CudaError;

    /// A device that is none: what it was asked for, and what it answers.
    #[derive(Default)]
    struct Fake {
        log: Vec<&'static str>,
        refuses: bool,
        captures: bool,
        launches: bool,
    }

    impl Run<u8> for Fake {
        fn submit(&mut self) -> Result<(), BackendError> {
            self.log.push("submit");
            if self.refuses { Err(BackendError::Refused("event 2 requests 9 bytes".to_owned())) } else { Ok(()) }
        }

        fn capture(&mut self) -> Result<u8, BackendError> {
            self.log.push("capture");
            let not = CudaError::NotRepeatable { what: "a function of the CPU" };
            if self.captures { Ok(7) } else { Err(not.into()) }
        }

        fn launch(&mut self, graph: &u8) -> Result<(), BackendError> {
            assert_eq!(*graph, 7);
            self.log.push("launch");
            if self.launches { Ok(()) } else { Err(lost().into()) }
        }
    }

    fn lost() -> CudaError {
        CudaError::Call { call: "cuGraphLaunch", code: 700, name: "CUDA_ERROR_ILLEGAL_ADDRESS".to_owned() }
    }

    /// So many runs; the state after them, and what the last one came to.
    fn runs(mut state: State<u8>, fake: &mut Fake, count: u32) -> (State<u8>, Result<(), BackendError>) {
        let mut result = Ok(());
        for _ in 0..count {
            (state, result) = state.run(fake);
        }
        (state, result)
    }

    #[test]
    fn a_run_is_submitted_until_it_is_warm_then_captured_once_and_launched_from_then_on() {
        let mut fake = Fake { captures: true, launches: true, ..Fake::default() };
        let (state, result) = runs(State::WarmingUp(0), &mut fake, WARM_UP + 2);
        assert_eq!((state, result), (State::Captured(7), Ok(())));
        assert_eq!(fake.log, ["submit", "submit", "submit", "capture", "launch", "launch"]);
        // A launch that fails is no reason to go back.
        fake.launches = false;
        let (state, result) = runs(State::Captured(7), &mut fake, 1);
        assert_eq!((state, result), (State::Captured(7), Err(lost().into())));
    }

    #[test]
    fn what_cannot_be_captured_is_submitted_in_the_same_run_and_says_why() {
        let mut fake = Fake::default();
        let (state, result) = runs(State::WarmingUp(WARM_UP), &mut fake, 2);
        let why = "the device: a function of the CPU was captured, which cannot be repeated";
        assert_eq!((state, result), (State::Submitted(why.to_owned()), Ok(())));
        assert_eq!(fake.log, ["capture", "submit", "submit"], "it is tried once");
    }

    #[test]
    fn a_refused_run_does_not_warm_up() {
        let mut fake = Fake { refuses: true, captures: true, ..Fake::default() };
        let (state, result) = runs(State::WarmingUp(1), &mut fake, 5);
        assert_eq!(state, State::WarmingUp(1));
        assert!(matches!(result, Err(BackendError::Refused(_))) && !fake.log.contains(&"capture"));
    }

    #[test]
    fn the_device_says_why_unless_a_request_was_refused_on_one_that_goes_on() {
        let refused = || Err(BackendError::Refused("event 2".to_owned()));
        let failed = || Err(BackendError::Run("CUDA failure 700".to_owned()));
        let small = CudaError::Call { call: "cuEventQuery", code: 1, name: "CUDA_ERROR_INVALID_VALUE".to_owned() };
        for (submitted, ended, expected) in [
            (Ok(()), Ok(()), Ok(())),
            (refused(), Ok(()), refused()),
            (failed(), Ok(()), failed()),
            (Ok(()), Err(lost()), Err(lost().into())),
            (failed(), Err(lost()), Err(lost().into())),
            (refused(), Err(lost()), Err(lost().into())),
            (refused(), Err(small.clone()), refused()),
        ] {
            assert_eq!(outcome(submitted, ended), expected);
        }
    }
}
