//! What the processes of fault domains cost and may have, and the memory that each of them has for itself.

use super::Resolver;
use crate::finding::{Code, Finding};
use crate::manifest::{self, units::Time};
use crate::system::{Device, Domain, Model, Part, Process, Task};
use aegis_core::time::Duration;
use toml::Spanned;

/// A job's times with what handing its segments over costs.
pub(super) struct Handed {
    pub(super) pieces: Vec<Duration>,
    pub(super) wcet: Duration,
    /// How much of that handing over costs.
    pub(super) over: Duration,
    /// Whether anything is.
    pub(super) is_handed: bool,
    pub(super) budget: Duration,
}

impl Resolver<'_> {
    /// The tasks of a domain that run a model, with the position of each.
    fn with_models(&self, domain: usize) -> impl Iterator<Item = (usize, &manifest::Task)> {
        let tasks = self.loaded.manifest.tasks.iter().enumerate();
        tasks.filter(move |(_, task)| task.domain == Some(domain) && task.model.is_some())
    }

    /// Adds to a job's pieces, and to its budget, what handing its model's segments over to its domain's process costs at most. A
    /// job of one piece hands over all of them.
    pub(super) fn handed_over(
        &mut self,
        task: &manifest::Task,
        model: Option<&Model>,
        mut pieces: Vec<Duration>,
        budget: Duration,
    ) -> Option<Handed> {
        let manifest = &self.loaded.manifest;
        let (of, domain) = (task.model.and_then(|model| manifest.models.get(model)), task.domain);
        let Some(domain) = domain.and_then(|domain| manifest.domains.get(domain)).filter(|_| of.is_some()) else {
            let wcet = pieces
                .iter()
                .copied()
                .fold(Duration::ZERO, |sum, piece| sum.checked_add(piece).unwrap_or(Duration::MAX));
            return Some(Handed { pieces, wcet, over: Duration::ZERO, is_handed: false, budget });
        };
        let each = domain.hand_over.as_ref().map_or(Duration::ZERO, |time| *time.get_ref());
        let segments = model.map_or_else(|| of.map_or(1, |of| of.sources.len()), |model| model.segments.len());
        let count = if pieces.len() > 1 { pieces.len() } else { segments };
        let sum = add(&mut pieces, each, count).and_then(|(wcet, over)| Some((wcet, over, budget.checked_add(over)?)));
        let Some((wcet, over, budget)) = sum else {
            let name = task.name.get_ref();
            let message = format!("the WCET and the hand-overs of task `{name}` sum to more than 2^64 - 1 ns");
            self.error(Code::ProfileUnreadable, &task.span, message, "this task", "shorten one of them");
            return None;
        };
        Some(Handed { pieces, wcet, over, is_handed: true, budget })
    }

    /// All domains; findings say what is not known of their processes, and who would be killed too soon.
    pub(super) fn domains(&mut self, tasks: &[Task]) -> Vec<Domain> {
        let all = self.loaded.manifest.domains.iter().enumerate();
        let all = all.map(|(position, domain)| Domain {
            name: domain.name.get_ref().clone(),
            process: self.process(position, domain, tasks),
            untrusted: self.untrusted(position),
            span: domain.span.clone(),
        });
        all.collect()
    }

    /// A model of a domain that is not trusted.
    fn untrusted(&self, domain: usize) -> Option<String> {
        let mut models = self.loaded.manifest.models.iter();
        let found = models.find(|model| model.untrusted && model.domain == Some(domain));
        found.map(|model| model.name.get_ref().clone())
    }

    fn process(&mut self, position: usize, domain: &manifest::Domain, tasks: &[Task]) -> Option<Process> {
        self.with_models(position).next()?;
        let missing: Vec<&str> = [("hand-over", &domain.hand_over), ("fault-blackout", &domain.blackout)]
            .into_iter()
            .filter_map(|(key, given)| given.is_none().then_some(key))
            .collect();
        let (Some(hand_over), Some(blackout)) = (&domain.hand_over, &domain.blackout) else {
            self.unmeasured(position, domain, &missing);
            return None;
        };
        let (hand_over, blackout) = (*hand_over.get_ref(), *blackout.get_ref());
        let longest =
            self.with_models(position).filter_map(|(task, _)| tasks.get(task)).max_by_key(|task| piece(task))?;
        let kill_after = match &domain.kill_after {
            Some(given) if *given.get_ref() < piece(longest) => {
                let given = given.clone();
                self.killed_too_soon(domain, longest, &given);
                return None;
            }
            Some(given) => *given.get_ref(),
            None => {
                let execution = piece(longest).saturating_sub(hand_over);
                // Nothing so long passes before the clock's end.
                let twice = execution.checked_add(execution).and_then(|twice| twice.checked_add(hand_over));
                twice.unwrap_or(Duration::MAX)
            }
        };
        let heartbeat = domain.heartbeat.as_ref().map(|time| *time.get_ref());
        let memory = domain.memory.as_ref().map(|size| *size.get_ref());
        Some(Process { kill_after, hand_over, blackout, heartbeat, memory })
    }

    fn unmeasured(&mut self, position: usize, domain: &manifest::Domain, missing: &[&str]) {
        let name = domain.name.get_ref();
        let message =
            format!("the domain `{name}` runs models in a process of its own, and has no {}", missing.join(" and no "));
        let mut finding = Finding::error(Code::ProcessUnmeasured, message);
        finding = finding.at(&self.loaded.file, domain.span.clone(), "what it costs is part of bounds");
        if let Some((_, task)) = self.with_models(position).next() {
            finding = finding.also(&self.loaded.file, task.span.clone(), "this task runs a model there");
        }
        let help = "measure both on the vehicle, and say what they may be at most, such as hand-over = \"200us\" and fault-blackout = \"2ms\"";
        self.findings.push(finding.help(help));
    }

    fn killed_too_soon(&mut self, domain: &manifest::Domain, task: &Task, given: &Spanned<Duration>) {
        let (name, after, needs) = (domain.name.get_ref(), Time(*given.get_ref()), Time(piece(task)));
        let message = format!(
            "the domain `{name}` is killed {after} after a piece of a job began, and one of `{}` may take {needs}",
            task.name
        );
        let finding = Finding::error(Code::KilledTooSoon, message)
            .at(&self.loaded.file, given.span(), "within what the plan allows")
            .also(&self.loaded.file, task.span.clone(), format!("up to {needs}, handing over included"));
        self.findings.push(finding.help(format!("choose a time of at least {needs}, or leave out `kill-after`")));
    }

    /// For each domain that runs models its part of each device that they use, after the manifest's own devices.
    pub(super) fn parts(&self, whole: &[Device]) -> Vec<Device> {
        let manifest = &self.loaded.manifest;
        let mut parts = Vec::new();
        for (of, device) in whole.iter().enumerate() {
            for (domain, desc) in manifest.domains.iter().enumerate() {
                let uses =
                    |task: &manifest::Task| manifest.lanes.get(task.lane).is_some_and(|lane| lane.device == Some(of));
                if self.with_models(domain).any(|(_, task)| uses(task)) {
                    parts.push(Device {
                        name: format!("{}.{}", device.name, desc.name.get_ref()),
                        shares: Some(device.shares.unwrap_or(of)),
                        part: Some(Part { of, domain }),
                        gpu: None,
                        // Nothing of a process' memory is given back at a level.
                        page: None,
                        span: desc.span.clone(),
                        ..device.clone()
                    });
                }
            }
        }
        parts
    }
}

/// Adds `count` hand-overs to a job's pieces: to each one, or all to the only one. Returns the sum of the pieces, and of the
/// hand-overs.
fn add(pieces: &mut [Duration], each: Duration, count: usize) -> Option<(Duration, Duration)> {
    let over = Duration::from_ns(each.as_ns().checked_mul(u64::try_from(count).ok()?)?);
    match &mut *pieces {
        [only] => *only = only.checked_add(over)?,
        several => {
            for piece in several {
                *piece = piece.checked_add(each)?;
            }
        }
    }
    let sum = pieces.iter().try_fold(Duration::ZERO, |sum, piece| sum.checked_add(*piece))?;
    Some((sum, over))
}

/// The longest piece of a task's jobs, handing over included.
fn piece(task: &Task) -> Duration {
    task.segments.iter().copied().max().unwrap_or(task.wcet)
}
