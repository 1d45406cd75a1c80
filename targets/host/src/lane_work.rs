//! What a lane of this target does with a job: input hook, the engines of the model's segments, output hook.
//!
//! ```text
//!  one piece       input hook ─▶ segment 0 ─▶ segment 1 ─▶ … ─▶ output hook
//!  several pieces  input hook ─▶ segment 0 │ segment 1 │ … │ last segment ─▶ output hook     (│: others may run here)
//! ```
// Hooks get planned memory as slices; here is why nobody else uses it meanwhile.
#![allow(unsafe_code)]

use crate::arena::BoundTensor;
use crate::backend::{BackendError, Engine, ScratchUse};
use crate::hooks::{Inputs, Outputs, TaskHooks};
use aegis_core::desc::MemoryControl;
use aegis_core::{ErrorClass, Instant, ModelId, TaskId};
use aegis_linux::clock::monotonic_ns;
use aegis_linux::domains::Member;
use aegis_linux::lane::{Fault, JobContext, LaneWork};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// How often each model runs before the first job: later runs meet touched pages only.
const WARM_UP_RUNS: usize = 20;

/// A task on this lane, with the model that it alone runs.
pub(crate) struct LaneTask {
    pub(crate) id: TaskId,
    /// Its name in the manifest.
    pub(crate) name: &'static str,
    pub(crate) model: ModelId,
    /// One for each of the model's segments, in order.
    pub(crate) engines: Vec<Box<dyn Engine>>,
    /// The model's inputs.
    pub(crate) inputs: Vec<BoundTensor>,
    /// The model's outputs.
    pub(crate) outputs: Vec<BoundTensor>,
    pub(crate) hooks: Option<Box<dyn TaskHooks>>,
    /// Whether its inputs are zeroed before each job: nothing fills them, and others of the lane use their bytes.
    pub(crate) zeroes: bool,
    /// The latest job that began. One that is aborted between two pieces stays until the next one begins: of it no piece comes,
    /// and what it would have handed on is read by nobody.
    pub(crate) begun: Option<Begun>,
    /// Its place in its fault domain.
    pub(crate) member: Member,
}

/// A job of which at least one piece ran.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    request: u64,
    began: Instant,
    /// It delivers nothing: the rest of it is not run.
    failed: bool,
}

/// What a segment of a model took of its memory.
#[derive(Clone, Copy)]
pub(crate) struct Use {
    pub(crate) model: ModelId,
    /// Its position.
    pub(crate) segment: usize,
    pub(crate) persistent: ScratchUse,
    pub(crate) scratch: ScratchUse,
    /// How far it is planned as it ran.
    pub(crate) control: MemoryControl,
}

/// The work of one lane.
pub(crate) struct HostLane {
    /// The lane's name in the manifest.
    pub(crate) name: &'static str,
    pub(crate) tasks: Vec<LaneTask>,
    /// What ended the run, with the names of lane and task.
    pub(crate) failure: Option<String>,
    /// The first jobs that failed alone, likewise.
    pub(crate) failed_jobs: Vec<String>,
}

/// How many failed jobs a lane remembers in words; all are counted.
const MOST_TOLD: usize = 8;

type Failure = (Fault, String);

impl HostLane {
    /// What each segment of each model took of its memory.
    pub(crate) fn uses(&self) -> impl Iterator<Item = Use> + '_ {
        self.tasks.iter().flat_map(|task| {
            task.engines.iter().enumerate().map(|(segment, engine)| Use {
                model: task.model,
                segment,
                persistent: engine.persistent_use(),
                scratch: engine.scratch_use(),
                control: engine.control(),
            })
        })
    }

    fn execute(&mut self, job: &JobContext) -> Result<(), Failure> {
        let broken = |text: &str| (Fault::BackendFailed, text.to_owned());
        let task = self.tasks.iter_mut().find(|task| task.id == job.task);
        let task = task.ok_or_else(|| broken("the job belongs to another lane"))?;
        if job.is_first() {
            task.begun = Some(Begun { request: job.request, began: job.began, failed: false });
        }
        let begun = task.begun.filter(|begun| begun.request == job.request);
        let begun = begun.ok_or_else(|| broken("the job did not begin with its first piece"))?;
        if begun.failed {
            return Ok(());
        }
        let result = task.piece(&JobContext { began: begun.began, ..*job });
        if matches!(result, Err((Fault::JobFailed | Fault::DomainLost(_), _))) {
            task.begun = Some(Begun { failed: true, ..begun });
        }
        result
    }
}

impl LaneTask {
    /// Runs one piece of a job: all segments, or the one of its number.
    fn piece(&mut self, job: &JobContext) -> Result<(), Failure> {
        let Self { engines, inputs, outputs, hooks, zeroes, member, .. } = self;
        engines.iter_mut().for_each(|engine| engine.begin());
        if job.is_first() {
            if let Some(hooks) = hooks {
                // SAFETY: nothing that may be in use from here to the last segment that reads an input shares bytes with it,
                // and no two tasks share a model: the tables' checker proved both at boot. A domain's process that keeps to what
                // it is told to run does not touch them now; of one that does not, every bit pattern is a valid element.
                let fill = || hooks.input(job, &mut unsafe { Inputs::new(inputs) });
                guarded("the application's input hook", fill)?;
            }
            if *zeroes {
                zero(inputs);
            }
        }
        if job.pieces <= 1 {
            engines.iter_mut().try_for_each(run)?;
        } else {
            let missing = || (Fault::BackendFailed, format!("the model has no segment {}", job.piece));
            run(engines.get_mut(usize::from(job.piece)).ok_or_else(missing)?)?;
        }
        // What a domain that has failed would deliver nobody shall act on. A hook that has begun is not stopped.
        if let Some(hooks) = hooks.as_mut().filter(|_| job.is_last() && !member.has_failed()) {
            // SAFETY: as above, from the segment that writes an output to the end of the job; no engine is running.
            guarded("the application's output hook", || hooks.output(job, &unsafe { Outputs::new(outputs) }))?;
        }
        Ok(())
    }
}

/// Runs one segment.
fn run(engine: &mut Box<dyn Engine>) -> Result<(), Failure> {
    guarded("the engine", || engine.run())?.map_err(|error| match error {
        BackendError::Refused(_) => (Fault::JobFailed, error.to_string()),
        BackendError::Lost { ref gone, .. } => (Fault::DomainLost(gone.loss), error.to_string()),
        BackendError::Device(device) if device.class() == ErrorClass::Fatal => {
            (Fault::DeviceLost, BackendError::Device(device).to_string())
        }
        other => (Fault::BackendFailed, other.to_string()),
    })
}

/// Sets the inputs of a job that is about to run its first segment to zero.
fn zero(inputs: &mut [BoundTensor]) {
    for tensor in inputs {
        // SAFETY: as for the input hook in `LaneTask::piece`.
        unsafe { tensor.zero() };
    }
}

/// Calls `part` and turns a panic into a failure that says whose it is; the run ends with it, so no half-changed state
/// is used again.
fn guarded<R>(whose: &str, part: impl FnOnce() -> R) -> Result<R, Failure> {
    let caught = catch_unwind(AssertUnwindSafe(part));
    caught.map_err(|payload| (Fault::Panicked, format!("{whose} panicked: {}", panic_text(payload.as_ref()))))
}

/// What a panic said.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

/// Runs a model on zeros as often as before the first job.
fn warm_up_runs<E>(
    inputs: &mut [BoundTensor],
    engines: &mut [Box<dyn Engine>],
    run: impl Fn(&mut Box<dyn Engine>) -> Result<(), E>,
) -> Result<(), E> {
    for _ in 0..WARM_UP_RUNS {
        // Each time: a later segment may use an input's bytes.
        zero(inputs);
        let began = monotonic_ns();
        engines.iter_mut().try_for_each(&run)?;
        let length = monotonic_ns().saturating_sub(began);
        // As the probe does: the first arrivals shall not meet a throttle that the warm-up has used up.
        std::thread::sleep(Duration::from_nanos(length / 4) + Duration::from_micros(50));
    }
    Ok(())
}

/// The same in the process that has loaded it; what went wrong, in words.
pub(crate) fn warm_up(engines: &mut [Box<dyn Engine>], inputs: &mut [BoundTensor]) -> Result<(), String> {
    warm_up_runs(inputs, engines, |engine| engine.run().map_err(|error| error.to_string()))
}

impl LaneWork for HostLane {
    fn prepare(&mut self) -> Result<(), Failure> {
        for task in &mut self.tasks {
            warm_up_runs(&mut task.inputs, &mut task.engines, run)
                .map_err(|(fault, text)| (fault, format!("task \"{}\": {text}", task.name)))?;
        }
        Ok(())
    }

    fn run(&mut self, job: &JobContext) -> Result<(), Fault> {
        self.execute(job).map_err(|(fault, text)| {
            let (lane, task, request) = (self.name, job.name, job.request);
            let told = format!("lane \"{lane}\", task \"{task}\", request {request}: {text}");
            if !matches!(fault, Fault::JobFailed | Fault::DomainLost(_)) {
                self.failure = Some(told);
            } else if self.failed_jobs.len() < MOST_TOLD {
                self.failed_jobs.push(told);
            }
            fault
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{HostLane, LaneTask, WARM_UP_RUNS};
    use crate::arena::{Arena, BoundTensor};
    use crate::backend::{BackendError, Engine, ScratchUse};
    use crate::hooks::{Inputs, Outputs, TaskHooks};
    use aegis_core::desc::{ElementType, MemoryControl, SystemDesc};
    use aegis_core::{Instant, ModelId, TaskId};
    use aegis_linux::domains::{Domains, Member};
    use aegis_linux::lane::{Fault, JobContext, LaneWork};
    use std::sync::{Arc, Mutex};

    type Log = Arc<Mutex<Vec<String>>>;

    /// What goes wrong.
    #[derive(Clone, Copy, PartialEq)]
    enum Act {
        Nothing,
        EngineFails,
        EngineRefuses,
        EnginePanics,
        InputPanics,
        OutputPanics,
    }

    /// Doubles its one input.
    struct Doubler {
        inputs: [BoundTensor; 1],
        outputs: [BoundTensor; 1],
        act: Act,
        log: Log,
    }

    impl Engine for Doubler {
        fn run(&mut self) -> Result<(), BackendError> {
            // SAFETY: the test uses the arena on one thread.
            let input = unsafe { self.inputs[0].read::<f32>() }.unwrap()[0];
            // SAFETY: as above.
            unsafe { self.outputs[0].write::<f32>() }.unwrap()[0] = input * 2.0;
            self.log.lock().unwrap().push(format!("run {input}"));
            assert!(self.act != Act::EnginePanics, "out of order");
            match self.act {
                Act::EngineFails => Err(BackendError::Run("broken".into())),
                Act::EngineRefuses => Err(BackendError::Refused("event 2 requests 9 bytes".into())),
                _ => Ok(()),
            }
        }

        fn inputs(&mut self) -> &mut [BoundTensor] {
            &mut self.inputs
        }

        fn outputs(&self) -> &[BoundTensor] {
            &self.outputs
        }

        fn scratch_use(&self) -> ScratchUse {
            ScratchUse::default()
        }

        fn control(&self) -> MemoryControl {
            MemoryControl::Planned
        }

        fn persistent_use(&self) -> ScratchUse {
            ScratchUse::default()
        }
    }

    struct Recording(Log, Act);

    impl TaskHooks for Recording {
        fn input(&mut self, job: &JobContext, inputs: &mut Inputs<'_>) {
            assert!(self.1 != Act::InputPanics, "no camera {}", 7);
            inputs.f32("in").unwrap()[0] = 21.0;
            self.0.lock().unwrap().push(format!("input {}", job.request));
        }

        fn output(&mut self, job: &JobContext, outputs: &Outputs<'_>) {
            assert!(self.1 != Act::OutputPanics, "no hand");
            assert_eq!(job.began, Instant::START, "a hook is told when the job began");
            self.0.lock().unwrap().push(format!("output {} {}", job.request, outputs.f32(0).unwrap()[0]));
        }
    }

    fn lane(act: Act, hooked: bool) -> (HostLane, Log) {
        lane_of(1, 1, act, hooked)
    }

    /// A lane whose one model has one segment or two, of which `acts_in`, counted from 1, goes wrong.
    fn lane_of(segments: usize, acts_in: usize, act: Act, hooked: bool) -> (HostLane, Log) {
        let log = Log::default();
        let arena = Arena::map(4_096, true).unwrap();
        let tensor = |name: &str, at| {
            let span = arena.span(at, 4).unwrap();
            BoundTensor { name: name.into(), element: ElementType::F32, shape: vec![1], span, host: None }
        };
        let tensors = [tensor("in", 0), tensor("between", 128), tensor("out", 64)];
        let chain: &[usize] = if segments == 1 { &[0, 2] } else { &[0, 1, 2] };
        let engines = chain.windows(2).enumerate().map(|(number, ends)| {
            let act = if number + 1 == acts_in { act } else { Act::Nothing };
            let [inputs, outputs] = [0, 1].map(|end: usize| [tensors[ends[end]].clone()]);
            Box::new(Doubler { inputs, outputs, act, log: Arc::clone(&log) }) as Box<dyn Engine>
        });
        let hooks = hooked.then(|| Box::new(Recording(Arc::clone(&log), act)) as Box<dyn TaskHooks>);
        let [input, _, output] = tensors.clone();
        let task = LaneTask {
            id: TaskId(0),
            name: "face",
            model: ModelId(0),
            engines: engines.collect(),
            inputs: vec![input],
            outputs: vec![output],
            hooks,
            zeroes: false,
            begun: None,
            member: Member::new(Domains::new(&SystemDesc::EMPTY), None),
        };
        (HostLane { name: "main", tasks: vec![task], failure: None, failed_jobs: Vec::new() }, log)
    }

    fn job(task: u16, request: u64) -> JobContext {
        let (arrival, deadline, began) = (Instant::START, Instant::START, Instant::START);
        JobContext { task: TaskId(task), name: "face", request, arrival, deadline, piece: 0, pieces: 1, began }
    }

    /// A piece of two, which began at 100 ns for each.
    fn piece(request: u64, piece: u16) -> JobContext {
        let began = Instant::from_ns(u64::from(piece) * 100);
        JobContext { piece, pieces: 2, began, ..job(0, request) }
    }

    #[test]
    fn hooks_run_around_the_engine_and_a_task_without_hooks_gets_zeros() {
        for (hooked, expected) in [(true, ["input 7", "run 21", "output 7 42"].as_slice()), (false, &["run 0"])] {
            let (mut lane, log) = lane(Act::Nothing, hooked);
            lane.prepare().unwrap();
            log.lock().unwrap().clear();
            lane.run(&job(0, 7)).unwrap();
            assert_eq!(*log.lock().unwrap(), expected);
        }
    }

    #[test]
    fn a_failure_names_lane_task_and_whose_it_is() {
        let cases = [
            (Act::EngineFails, Fault::BackendFailed, "the model's run failed: broken"),
            (Act::EnginePanics, Fault::Panicked, "the engine panicked: out of order"),
            (Act::InputPanics, Fault::Panicked, "the application's input hook panicked: no camera 7"),
            (Act::OutputPanics, Fault::Panicked, "the application's output hook panicked: no hand"),
        ];
        for (act, fault, text) in cases {
            let (mut lane, _) = lane(act, true);
            assert_eq!(lane.run(&job(0, 9)), Err(fault));
            assert_eq!(lane.failure, Some(format!("lane \"main\", task \"face\", request 9: {text}")));
        }
        assert_eq!(lane(Act::Nothing, true).0.run(&job(1, 1)), Err(Fault::BackendFailed));
    }

    #[test]
    fn a_refused_request_fails_its_job_only() {
        let (mut lane, log) = lane(Act::EngineRefuses, true);
        for request in 1..=20 {
            assert_eq!(lane.run(&job(0, request)), Err(Fault::JobFailed));
        }
        assert!(!log.lock().unwrap().iter().any(|line| line.starts_with("output")), "no output of a failed job");
        assert_eq!((&lane.failure, lane.failed_jobs.len()), (&None, 8));
        let text = "the model's memory requests are not the recorded ones: event 2 requests 9 bytes";
        assert_eq!(lane.failed_jobs[0], format!("lane \"main\", task \"face\", request 1: {text}"));
    }

    #[test]
    fn inputs_that_nobody_fills_and_others_use_are_zeroed_before_each_job() {
        let (mut lane, log) = lane(Act::Nothing, false);
        lane.tasks[0].zeroes = true;
        for request in 1..=2 {
            // SAFETY: the test uses the arena on one thread.
            unsafe { lane.tasks[0].inputs[0].write::<f32>() }.unwrap()[0] = 5.0;
            lane.run(&job(0, request)).unwrap();
        }
        assert_eq!(*log.lock().unwrap(), ["run 0", "run 0"]);
    }

    #[test]
    fn a_job_runs_all_segments_at_once_or_one_with_each_piece_and_hooks_run_around_them() {
        let (mut lane, log) = lane_of(2, 1, Act::Nothing, true);
        lane.prepare().unwrap();
        assert_eq!(log.lock().unwrap().len(), 2 * WARM_UP_RUNS);
        log.lock().unwrap().clear();
        lane.run(&job(0, 7)).unwrap();
        let expected = ["input 7", "run 21", "run 42", "output 7 84"];
        assert_eq!(*log.lock().unwrap(), expected);
        for (number, told) in [(0, &expected[..2]), (1, &expected[2..])] {
            log.lock().unwrap().clear();
            lane.run(&piece(7, number)).unwrap();
            assert_eq!(*log.lock().unwrap(), told);
        }
        assert_eq!(lane.uses().map(|used| used.segment).collect::<Vec<_>>(), [0, 1]);
        // Zeroing comes before the first segment only; the second one reads what the first one wrote.
        let (mut lane, log) = lane_of(2, 1, Act::Nothing, false);
        lane.tasks[0].zeroes = true;
        for number in 0..2 {
            // SAFETY: the test uses the arena on one thread.
            unsafe { lane.tasks[0].inputs[0].write::<f32>() }.unwrap()[0] = 5.0;
            lane.run(&piece(1, number)).unwrap();
        }
        // SAFETY: as above.
        assert_eq!(unsafe { lane.tasks[0].inputs[0].read::<f32>() }.unwrap()[0], 5.0);
        assert_eq!(*log.lock().unwrap(), ["run 0", "run 0"]);
    }

    #[test]
    fn a_job_fails_once_and_nothing_of_it_runs_afterwards() {
        let (mut lane, log) = lane_of(2, 1, Act::EngineRefuses, true);
        for request in 1..=2 {
            log.lock().unwrap().clear();
            assert_eq!(lane.run(&piece(request, 0)), Err(Fault::JobFailed));
            assert_eq!(lane.run(&piece(request, 1)), Ok(()), "it has failed already");
            assert_eq!(*log.lock().unwrap(), [format!("input {request}"), "run 21".to_owned()]);
        }
        assert_eq!((&lane.failure, lane.failed_jobs.len()), (&None, 2));
        // In one piece as well.
        log.lock().unwrap().clear();
        assert_eq!(lane.run(&job(0, 3)), Err(Fault::JobFailed));
        assert_eq!(*log.lock().unwrap(), ["input 3", "run 21"]);
        // In the last segment there is no more to skip than the output hook.
        let (mut lane, log) = lane_of(2, 2, Act::EngineRefuses, true);
        assert_eq!((lane.run(&piece(1, 0)), lane.run(&piece(1, 1))), (Ok(()), Err(Fault::JobFailed)));
        assert_eq!(*log.lock().unwrap(), ["input 1", "run 21", "run 42"]);
    }

    #[test]
    fn a_job_that_is_aborted_between_two_pieces_delivers_nothing_and_leaves_nothing_to_the_next_one() {
        let (mut lane, log) = lane_of(2, 1, Act::Nothing, true);
        // Of request 1 no second piece comes.
        for job in [piece(1, 0), piece(2, 0), piece(2, 1)] {
            lane.run(&job).unwrap();
        }
        assert_eq!(*log.lock().unwrap(), ["input 1", "run 21", "input 2", "run 21", "run 42", "output 2 84"]);
        assert_eq!(lane.run(&piece(1, 1)), Err(Fault::BackendFailed), "it is over");
    }

    #[test]
    fn a_piece_without_the_one_before_it_is_an_internal_error() {
        let (mut lane, _) = lane_of(2, 1, Act::Nothing, true);
        assert_eq!(lane.run(&piece(1, 1)), Err(Fault::BackendFailed));
        lane.run(&piece(2, 0)).unwrap();
        assert_eq!(lane.run(&piece(3, 1)), Err(Fault::BackendFailed));
        let beyond = JobContext { piece: 2, pieces: 3, ..piece(2, 0) };
        assert_eq!(lane.run(&beyond), Err(Fault::BackendFailed));
        assert!(lane.failure.unwrap().ends_with("the model has no segment 2"));
    }

    #[test]
    fn a_model_that_fails_before_the_first_job_names_its_task() {
        let prepared = |act| lane(act, true).0.prepare();
        let failed = (Fault::BackendFailed, "task \"face\": the model's run failed: broken".to_owned());
        assert_eq!(prepared(Act::EngineFails), Err(failed));
        let panicked = (Fault::Panicked, "task \"face\": the engine panicked: out of order".to_owned());
        assert_eq!(prepared(Act::EnginePanics), Err(panicked));
    }
}
