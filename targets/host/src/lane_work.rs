//! What a lane of this target does with a job: input hook, engine, output hook.
// Hooks get planned memory as slices; here is why nobody else uses it meanwhile.
#![allow(unsafe_code)]

use crate::backend::{Engine, ScratchUse};
use crate::hooks::{Inputs, Outputs, TaskHooks};
use aegis_core::{ModelId, TaskId};
use aegis_linux::lane::{Fault, JobContext, LaneWork};

/// How often each model runs before the first job: later runs meet warm caches and touched pages only.
const WARM_UP_RUNS: usize = 20;

/// A model on this lane.
pub(crate) struct LaneModel {
    pub(crate) id: ModelId,
    pub(crate) engine: Box<dyn Engine>,
    /// Whether tasks with and without hooks run it, so that its inputs must be zeroed for the latter.
    pub(crate) shares_inputs: bool,
}

/// A task on this lane.
pub(crate) struct LaneTask {
    pub(crate) id: TaskId,
    /// The position of its model in [`HostLane::models`].
    pub(crate) model: usize,
    pub(crate) hooks: Option<Box<dyn TaskHooks>>,
}

/// The work of one lane.
pub(crate) struct HostLane {
    pub(crate) models: Vec<LaneModel>,
    pub(crate) tasks: Vec<LaneTask>,
    /// What the backend said when it failed.
    pub(crate) failure: Option<String>,
}

impl HostLane {
    /// What the runs of each model took of its scratch.
    pub(crate) fn scratch_uses(&self) -> impl Iterator<Item = (ModelId, ScratchUse)> + '_ {
        self.models.iter().map(|model| (model.id, model.engine.scratch_use()))
    }

    fn execute(&mut self, job: &JobContext) -> Result<(), String> {
        let task = self.tasks.iter_mut().find(|task| task.id == job.task).ok_or("a job of another lane's task")?;
        let model = self.models.get_mut(task.model).ok_or("a task without a model")?;
        match &mut task.hooks {
            // SAFETY: each input has bytes of its own in the plan, which the tables' checker proved at boot, and only this
            // lane's thread runs this model, which `boot` checked.
            Some(hooks) => hooks.input(job, &mut unsafe { Inputs::new(model.engine.inputs()) }),
            None if model.shares_inputs => zero(model),
            None => {}
        }
        model.engine.run().map_err(|error| error.to_string())?;
        if let Some(hooks) = &mut task.hooks {
            // SAFETY: as above; the engine is not running.
            hooks.output(job, &unsafe { Outputs::new(model.engine.outputs()) });
        }
        Ok(())
    }
}

fn zero(model: &mut LaneModel) {
    for tensor in model.engine.inputs() {
        // SAFETY: as in `execute`.
        unsafe { tensor.zero() };
    }
}

impl LaneWork for HostLane {
    fn prepare(&mut self) -> Result<(), String> {
        for model in &mut self.models {
            zero(model);
            for _ in 0..WARM_UP_RUNS {
                model.engine.run().map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    fn run(&mut self, job: &JobContext) -> Result<(), Fault> {
        self.execute(job).map_err(|text| {
            self.failure = Some(format!("task \"{}\", request {}: {text}", job.name, job.request));
            Fault::BackendFailed
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{HostLane, LaneModel, LaneTask};
    use crate::arena::{Arena, BoundTensor};
    use crate::backend::{BackendError, Engine, ScratchUse};
    use crate::hooks::{Inputs, Outputs, TaskHooks};
    use aegis_core::desc::ElementType;
    use aegis_core::{Instant, ModelId, TaskId};
    use aegis_linux::lane::{Fault, JobContext, LaneWork};
    use std::sync::{Arc, Mutex};

    type Log = Arc<Mutex<Vec<String>>>;

    /// Doubles its one input.
    struct Doubler {
        inputs: [BoundTensor; 1],
        outputs: [BoundTensor; 1],
        fails: bool,
        log: Log,
    }

    impl Engine for Doubler {
        fn run(&mut self) -> Result<(), BackendError> {
            // SAFETY: the test uses the arena on one thread.
            let input = unsafe { self.inputs[0].read::<f32>() }.unwrap()[0];
            // SAFETY: as above.
            unsafe { self.outputs[0].write::<f32>() }.unwrap()[0] = input * 2.0;
            self.log.lock().unwrap().push(format!("run {input}"));
            if self.fails { Err(BackendError::Run("broken".into())) } else { Ok(()) }
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
    }

    struct Recording(Log);

    impl TaskHooks for Recording {
        fn input(&mut self, job: &JobContext, inputs: &mut Inputs<'_>) {
            inputs.f32("in").unwrap()[0] = 21.0;
            self.0.lock().unwrap().push(format!("input {}", job.request));
        }

        fn output(&mut self, job: &JobContext, outputs: &Outputs<'_>) {
            self.0.lock().unwrap().push(format!("output {} {}", job.request, outputs.f32(0).unwrap()[0]));
        }
    }

    fn lane(fails: bool, shares_inputs: bool) -> (HostLane, Log) {
        let log = Log::default();
        let arena = Arena::map(4_096, true).unwrap();
        let tensor = |name: &str, at| {
            let span = arena.span(at, 4).unwrap();
            BoundTensor { name: name.into(), element: ElementType::F32, shape: vec![1], span }
        };
        let engine = Doubler { inputs: [tensor("in", 0)], outputs: [tensor("out", 64)], fails, log: Arc::clone(&log) };
        let models = vec![LaneModel { id: ModelId(0), engine: Box::new(engine), shares_inputs }];
        let hooked = LaneTask { id: TaskId(0), model: 0, hooks: Some(Box::new(Recording(Arc::clone(&log)))) };
        let plain = LaneTask { id: TaskId(1), model: 0, hooks: None };
        (HostLane { models, tasks: vec![hooked, plain], failure: None }, log)
    }

    fn job(task: u16, request: u64) -> JobContext {
        let (arrival, deadline, began) = (Instant::START, Instant::START, Instant::START);
        JobContext { task: TaskId(task), name: "face", request, arrival, deadline, began }
    }

    #[test]
    fn hooks_run_around_the_engine_and_a_task_without_hooks_gets_zeros() {
        let (mut lane, log) = lane(false, true);
        lane.prepare().unwrap();
        log.lock().unwrap().clear();
        lane.run(&job(0, 7)).unwrap();
        lane.run(&job(1, 8)).unwrap();
        assert_eq!(*log.lock().unwrap(), ["input 7", "run 21", "output 7 42", "run 0"]);
    }

    #[test]
    fn a_failed_run_is_a_fault_with_the_backends_words() {
        let (mut lane, _) = lane(true, false);
        assert!(lane.prepare().is_err());
        assert_eq!(lane.run(&job(0, 9)), Err(Fault::BackendFailed));
        assert_eq!(lane.failure.as_deref(), Some("task \"face\", request 9: the model's run failed: broken"));
    }
}
