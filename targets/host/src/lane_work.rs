//! What a lane of this target does with a job: input hook, engine, output hook.
// Hooks get planned memory as slices; here is why nobody else uses it meanwhile.
#![allow(unsafe_code)]

use crate::backend::{BackendError, Engine, ScratchUse};
use crate::hooks::{Inputs, Outputs, TaskHooks};
use aegis_core::desc::MemoryControl;
use aegis_core::{ModelId, TaskId};
use aegis_linux::clock::monotonic_ns;
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
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) hooks: Option<Box<dyn TaskHooks>>,
    /// Whether its inputs are zeroed before each job: nothing fills them, and others of the lane use their bytes.
    pub(crate) zeroes: bool,
}

/// What a model took of its memory.
#[derive(Clone, Copy)]
pub(crate) struct Use {
    pub(crate) model: ModelId,
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
    /// What each model took of its memory.
    pub(crate) fn uses(&self) -> impl Iterator<Item = Use> + '_ {
        self.tasks.iter().map(|task| Use {
            model: task.model,
            persistent: task.engine.persistent_use(),
            scratch: task.engine.scratch_use(),
            control: task.engine.control(),
        })
    }

    fn execute(&mut self, job: &JobContext) -> Result<(), Failure> {
        let foreign = || (Fault::BackendFailed, "the job belongs to another lane".to_owned());
        let LaneTask { engine, hooks, zeroes, .. } =
            self.tasks.iter_mut().find(|task| task.id == job.task).ok_or_else(foreign)?;
        if let Some(hooks) = hooks {
            // SAFETY: nothing that may be in use while this job runs shares bytes with an input, and no two tasks share a
            // model: the tables' checker proved both at boot.
            let fill = || hooks.input(job, &mut unsafe { Inputs::new(engine.inputs()) });
            guarded("the application's input hook", fill)?;
        }
        if *zeroes {
            for tensor in engine.inputs() {
                // SAFETY: as above.
                unsafe { tensor.zero() };
            }
        }
        let result = guarded("the engine", || engine.run())?;
        result.map_err(|error| match error {
            BackendError::Refused(_) => (Fault::JobFailed, error.to_string()),
            other => (Fault::BackendFailed, other.to_string()),
        })?;
        if let Some(hooks) = hooks {
            // SAFETY: as above; the engine is not running.
            guarded("the application's output hook", || hooks.output(job, &unsafe { Outputs::new(engine.outputs()) }))?;
        }
        Ok(())
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

impl LaneWork for HostLane {
    fn prepare(&mut self) -> Result<(), String> {
        for task in &mut self.tasks {
            for tensor in task.engine.inputs() {
                // SAFETY: as in `execute`.
                unsafe { tensor.zero() };
            }
            for _ in 0..WARM_UP_RUNS {
                let began = monotonic_ns();
                let result = guarded("the engine", || task.engine.run()).map_err(|(_, text)| text);
                let result = result.and_then(|result| result.map_err(|error| error.to_string()));
                result.map_err(|text| format!("task \"{}\": {text}", task.name))?;
                let length = monotonic_ns().saturating_sub(began);
                // As the probe does: the first arrivals shall not meet a throttle that the warm-up has used up.
                std::thread::sleep(Duration::from_nanos(length / 4) + Duration::from_micros(50));
            }
        }
        Ok(())
    }

    fn run(&mut self, job: &JobContext) -> Result<(), Fault> {
        self.execute(job).map_err(|(fault, text)| {
            let (lane, task, request) = (self.name, job.name, job.request);
            let told = format!("lane \"{lane}\", task \"{task}\", request {request}: {text}");
            if fault != Fault::JobFailed {
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
    use super::{HostLane, LaneTask};
    use crate::arena::{Arena, BoundTensor};
    use crate::backend::{BackendError, Engine, ScratchUse};
    use crate::hooks::{Inputs, Outputs, TaskHooks};
    use aegis_core::desc::{ElementType, MemoryControl};
    use aegis_core::{Instant, ModelId, TaskId};
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
            self.0.lock().unwrap().push(format!("output {} {}", job.request, outputs.f32(0).unwrap()[0]));
        }
    }

    fn lane(act: Act, hooked: bool) -> (HostLane, Log) {
        let log = Log::default();
        let arena = Arena::map(4_096, true).unwrap();
        let tensor = |name: &str, at| {
            let span = arena.span(at, 4).unwrap();
            BoundTensor { name: name.into(), element: ElementType::F32, shape: vec![1], span }
        };
        let engine = Doubler { inputs: [tensor("in", 0)], outputs: [tensor("out", 64)], act, log: Arc::clone(&log) };
        let hooks = hooked.then(|| Box::new(Recording(Arc::clone(&log), act)) as Box<dyn TaskHooks>);
        let task =
            LaneTask { id: TaskId(0), name: "face", model: ModelId(0), engine: Box::new(engine), hooks, zeroes: false };
        (HostLane { name: "main", tasks: vec![task], failure: None, failed_jobs: Vec::new() }, log)
    }

    fn job(task: u16, request: u64) -> JobContext {
        let (arrival, deadline, began) = (Instant::START, Instant::START, Instant::START);
        JobContext { task: TaskId(task), name: "face", request, arrival, deadline, began }
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
            unsafe { lane.tasks[0].engine.inputs()[0].write::<f32>() }.unwrap()[0] = 5.0;
            lane.run(&job(0, request)).unwrap();
        }
        assert_eq!(*log.lock().unwrap(), ["run 0", "run 0"]);
    }

    #[test]
    fn a_model_that_fails_before_the_first_job_names_its_task() {
        let prepared = |act| lane(act, true).0.prepare();
        assert_eq!(prepared(Act::EngineFails), Err("task \"face\": the model's run failed: broken".to_owned()));
        assert_eq!(prepared(Act::EnginePanics), Err("task \"face\": the engine panicked: out of order".to_owned()));
    }
}
