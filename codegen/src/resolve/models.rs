//! A model's profile against its files, and what it says of memory.

use super::Resolver;
use crate::finding::Code;
use crate::launches::{Form, Kernels};
use crate::lock::sha256;
use crate::manifest;
use crate::profile::{MODEL_SCHEMA, ModelProfile, SegmentFacts, TensorFacts};
use crate::system::{File, Model, Segment, Sequence, Tensor};
use aegis_core::desc::MemoryControl;
use aegis_core::time::Duration;
use aegis_core::units::Bytes;
use std::collections::BTreeSet;
use toml::Spanned;

const AGAIN: &str = "measure it again with `aegis profile`";

impl Resolver<'_> {
    /// The longest executions of a task's segments, and its model where the profile fits it.
    pub(super) fn profiled(
        &mut self,
        task: &manifest::Task,
        path: &Spanned<String>,
    ) -> Option<(Vec<Duration>, Option<Model>)> {
        let manifest = &self.loaded.manifest;
        let profile: ModelProfile = self.read_profile(path, MODEL_SCHEMA, |profile: &ModelProfile| {
            let both = |segment: &SegmentFacts| [Some(segment.execution), segment.alone];
            (profile.conditions.clone(), profile.segments.iter().flat_map(both).flatten().collect())
        })?;
        let lane = manifest.lanes.get(task.lane)?;
        let core = manifest.core_of(task)?;
        self.compare_core(path, &profile.conditions, (lane, core));
        self.compare_state(path, &profile.conditions, (lane, core));
        self.compare_device(path, &profile.conditions, lane.device);
        let model = task.model.and_then(|model| manifest.models.get(model));
        self.compare_runtime(path, &profile.conditions, model.map(|model| model.backend));
        self.compare_part(path, &profile, lane, model.map(|model| model.name.get_ref().as_str()));
        let executions = self.executions(task, path, &profile)?;
        let Some(model) = model else {
            return Some((executions, None));
        };
        self.compare_engines(path, &profile, model)?;
        let files = self.files_of(model)?;
        let (own, measured) = (files.len(), profile.segments.len());
        if own != measured {
            let message = format!(
                "profile `{}` was measured with {measured} {}, the manifest's model `{}` has {own}",
                path.get_ref(),
                if measured == 1 { "file" } else { "files" },
                model.name.get_ref()
            );
            let text = "its times and sizes are those of other segments";
            self.error(Code::ProfileOfAnotherModel, &path.span(), message, text, AGAIN);
            return None;
        }
        let mut same = true;
        for (file, segment) in files.iter().zip(&profile.segments) {
            if file.sha256 != segment.sha256 {
                let message = format!(
                    "profile `{}` was measured with another file: the manifest's model `{}` has SHA-256 {}, the profile's {}",
                    path.get_ref(),
                    file.name,
                    file.sha256,
                    segment.sha256
                );
                let text = "its times and sizes are another model's";
                self.error(
                    Code::ProfileOfAnotherModel,
                    &path.span(),
                    message,
                    text,
                    "measure again with `aegis profile`",
                );
                same = false;
            }
        }
        let resolved = if same { self.facts(path, &profile, files, model) } else { None };
        Some((executions, Some(resolved?)))
    }

    /// The files of a model's segments.
    fn files_of(&mut self, model: &manifest::Model) -> Option<Vec<File>> {
        let files = model.sources.iter().enumerate().map(|(number, source)| {
            let mut file = self.file(&model.name, source, "")?;
            file.name = model.segment_name(number);
            Some(file)
        });
        // All are read, so that each that cannot be is reported.
        let files: Vec<Option<File>> = files.collect();
        files.into_iter().collect()
    }

    /// A model with its tensors, where the profile's facts are consistent.
    fn facts(
        &mut self,
        path: &Spanned<String>,
        profile: &ModelProfile,
        files: Vec<File>,
        model: &manifest::Model,
    ) -> Option<Model> {
        let facts = &profile.model;
        for (name, shape) in &model.inputs {
            let measured = facts.inputs.iter().find(|input| input.name == *name.get_ref());
            if measured.map(|input| &input.shape) != Some(shape) {
                let found = measured.map_or_else(|| "no such input".to_owned(), |input| format!("{:?}", input.shape));
                let message = format!(
                    "profile `{}` has {found} for input `{}`, the manifest gives it the shape {shape:?}",
                    path.get_ref(),
                    name.get_ref()
                );
                self.error(Code::ProfileOfAnotherModel, &name.span(), message, "this input", AGAIN);
                return None;
            }
        }
        let inputs = self.tensors(path, &facts.inputs)?;
        let outputs = self.tensors(path, &facts.outputs)?;
        let carried = self.tensors(path, &facts.carried)?;
        let names: Vec<&str> =
            inputs.iter().chain(&outputs).chain(&carried).map(|tensor| tensor.name.as_str()).collect();
        self.wired(path, profile, &names)?;
        if let Some(kernels) = &model.kernels {
            self.of_launches(path, profile, kernels, model)?;
        }
        let mut segments = Vec::with_capacity(files.len());
        for (file, facts) in files.into_iter().zip(&profile.segments) {
            let launches = model.kernels.as_ref().map_or_else(Vec::new, |kernels| kernels.launches.clone());
            let weights = self.weights(path, facts, model)?;
            segments.push(Segment { launches, weights, ..self.segment(path, facts, file, &names)? });
        }
        Some(Model {
            name: model.name.get_ref().clone(),
            backend: model.backend,
            engines: profile.conditions.engines.clone(),
            domain: model.domain,
            tensors: model.tensors,
            inputs,
            outputs,
            carried,
            segments,
            span: model.span.clone(),
        })
    }

    /// A profile of kernels is of the manifest's launches, tensors and buffers, and of no others.
    fn of_launches(
        &mut self,
        path: &Spanned<String>,
        profile: &ModelProfile,
        kernels: &Kernels,
        model: &manifest::Model,
    ) -> Option<()> {
        let [segment] = profile.segments.as_slice() else { return None };
        let same = |forms: &[Form], facts: &[TensorFacts]| {
            let names = forms.iter().zip(facts);
            forms.len() == facts.len()
                && names.clone().all(|(form, fact)| form.name == fact.name && form.element.name() == fact.dtype)
                && names.clone().all(|(form, fact)| form.shape == fact.shape)
        };
        let digest = launches_digest(kernels);
        let what = if segment.launches_sha256.as_ref() != Some(&digest) {
            let found = segment.launches_sha256.as_deref().unwrap_or("none");
            format!(
                "was measured with other launches: those of the manifest's model `{}` have SHA-256 {digest}, the profile's {found}",
                model.name.get_ref()
            )
        } else if !same(&kernels.inputs, &profile.model.inputs) || !same(&kernels.outputs, &profile.model.outputs) {
            format!("has other inputs or outputs than the manifest's model `{}`", model.name.get_ref())
        } else if segment.memory != MemoryControl::Planned.name()
            || !segment.load.is_empty()
            || segment.runs != [kernels.events()]
        {
            format!(
                "has other requests for memory than the launches of the manifest's model `{}`",
                model.name.get_ref()
            )
        } else if !is_each(&segment.reads, &kernels.inputs) || !is_each(&segment.writes, &kernels.outputs) {
            format!("reads or writes other tensors than the manifest's model `{}` has", model.name.get_ref())
        } else {
            return Some(());
        };
        let message = format!("profile `{}` {what}", path.get_ref());
        self.error(
            Code::ProfileOfAnotherModel,
            &path.span(),
            message,
            "its times and sizes are those of other launches",
            AGAIN,
        );
        None
    }

    /// Checks that segments read only inputs and what an earlier one wrote, and that everything else is written, once.
    fn wired(&mut self, path: &Spanned<String>, profile: &ModelProfile, names: &[&str]) -> Option<()> {
        let mut wrong = |what: String| {
            let message = format!("profile `{}` has {what}", path.get_ref());
            self.error(Code::ProfileUnreadable, &path.span(), message, "named here", AGAIN);
        };
        let mut known: BTreeSet<&str> = BTreeSet::new();
        let mut sound = true;
        for name in names.iter().filter(|name| !known.insert(name)).collect::<Vec<_>>() {
            wrong(format!("two tensors with the name `{name}`"));
            sound = false;
        }
        let mut there: BTreeSet<&str> = profile.model.inputs.iter().map(|input| input.name.as_str()).collect();
        for (number, segment) in (1_usize..).zip(&profile.segments) {
            for name in segment.reads.iter().filter(|name| !there.contains(name.as_str())) {
                wrong(format!(
                    "segment {number} that reads `{name}`, which is no input and which no earlier segment writes"
                ));
                sound = false;
            }
            let mut read: BTreeSet<&str> = BTreeSet::new();
            let again = segment.reads.iter().filter(|name| !read.insert(name.as_str()));
            for name in again.collect::<BTreeSet<_>>() {
                wrong(format!("segment {number} that reads `{name}` twice"));
                sound = false;
            }
            for name in &segment.writes {
                if !known.contains(name.as_str()) || !there.insert(name) {
                    wrong(format!("segment {number} that writes `{name}`, which is no tensor that it alone writes"));
                    sound = false;
                }
            }
        }
        for name in known.iter().filter(|name| !there.contains(*name)) {
            wrong(format!("the tensor `{name}`, which no segment writes"));
            sound = false;
        }
        sound.then_some(())
    }

    fn segment(&mut self, path: &Spanned<String>, facts: &SegmentFacts, file: File, names: &[&str]) -> Option<Segment> {
        let load = self.sequence(path, "load", &facts.load)?;
        let runs: Vec<Option<Sequence>> = facts.runs.iter().map(|run| self.sequence(path, "runs", run)).collect();
        let runs = runs.into_iter().collect::<Option<Vec<Sequence>>>()?;
        let memory = self.grade(path, facts, &runs, &file)?;
        let positions = |wanted: &[String]| -> Option<Vec<usize>> {
            wanted.iter().map(|wanted| names.iter().position(|name| name == wanted)).collect()
        };
        Some(Segment {
            file,
            engine: facts.engine_sha256.clone().unwrap_or_default(),
            weights: Bytes(facts.weights_bytes),
            memory,
            load,
            runs: if memory == MemoryControl::Planned { runs } else { Vec::new() },
            scratch: Bytes(facts.scratch_bytes),
            reads: positions(&facts.reads)?,
            writes: positions(&facts.writes)?,
            launches: Vec::new(),
        })
    }

    /// A recorded sequence.
    fn sequence(&mut self, path: &Spanned<String>, what: &str, events: &[i64]) -> Option<Sequence> {
        Sequence::new(events)
            .map_err(|error| {
                let message = format!("profile `{}` has a `{what}` that is no sequence: {error}", path.get_ref());
                self.error(Code::ProfileUnreadable, &path.span(), message, "named here", AGAIN);
            })
            .ok()
    }

    /// How far a segment's memory is planned; what is less than planned is said.
    fn grade(
        &mut self,
        path: &Spanned<String>,
        facts: &SegmentFacts,
        runs: &[Sequence],
        file: &File,
    ) -> Option<MemoryControl> {
        let mut wrong = |message: String| {
            self.error(Code::ProfileUnreadable, &path.span(), message, "named here", AGAIN);
            None
        };
        let Ok(grade) = crate::tables::control(&facts.memory) else {
            return wrong(format!("profile `{}` has the unknown memory grade `{}`", path.get_ref(), facts.memory));
        };
        let leaves = |run: &Sequence| run.blocks().iter().any(|block| block.to == run.events());
        if let Some(position) = runs.iter().position(leaves) {
            return wrong(format!(
                "profile `{}` has a recorded run, number {}, that does not give back all its blocks",
                path.get_ref(),
                position.saturating_add(1)
            ));
        }
        if grade == MemoryControl::Planned && facts.runs.is_empty() {
            return wrong(format!("profile `{}` says `planned`, but has no recorded run", path.get_ref()));
        }
        if grade != MemoryControl::Planned {
            let why = facts.graded_down.as_deref().unwrap_or("the profile does not say why");
            let message =
                format!("the memory of model `{}` is {}, not planned block by block: {why}", file.name, grade.name());
            let help = if facts.engine_sha256.is_some() {
                "its weights count what was measured and the workspace: leave some memory of the device free besides"
            } else {
                "fix all dimensions, or accept that its scratch is one region of the measured size"
            };
            self.warn_of(Code::MemoryGrade, path, message, help);
        }
        Some(grade)
    }

    fn tensors(&mut self, path: &Spanned<String>, facts: &[TensorFacts]) -> Option<Vec<Tensor>> {
        let tensors: Option<Vec<Tensor>> = facts.iter().map(tensor).collect();
        if tensors.is_none() {
            let message = format!(
                "profile `{}` has a tensor of unknown element type, of no bytes, or whose length is not its shape's",
                path.get_ref()
            );
            self.error(Code::ProfileUnreadable, &path.span(), message, "named here", AGAIN);
        }
        tensors
    }
}

/// By what a profile says of which launches it is: SHA-256 of all that a model of kernels is besides its file.
#[must_use]
pub fn launches_digest(kernels: &Kernels) -> String {
    sha256(kernels.text().as_bytes())
}

/// Whether names are those of forms, in their order.
fn is_each(names: &[String], forms: &[Form]) -> bool {
    names.iter().eq(forms.iter().map(|form| &form.name))
}

fn tensor(facts: &TensorFacts) -> Option<Tensor> {
    let element = crate::tables::element(&facts.dtype).ok()?;
    let shape =
        facts.shape.iter().try_fold(element.size().0, |size, dimension| size.checked_mul(u64::from(*dimension)));
    let size = Bytes(facts.bytes);
    (shape == Some(facts.bytes) && facts.bytes > 0).then(|| Tensor {
        name: facts.name.clone(),
        element,
        shape: facts.shape.clone(),
        size,
    })
}
