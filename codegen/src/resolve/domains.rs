//! What the processes of fault domains cost and may have, and the memory that each of them has for itself.

use super::Resolver;
use crate::device::Facts;
use crate::finding::{Code, Finding};
use crate::manifest::{self, units::Time};
use crate::system::{Device, Domain, Gpu, Model, Part, Process, Restart, Task};
use aegis_core::desc::Waiting;
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
    pub(super) fn with_models(&self, domain: usize) -> impl Iterator<Item = (usize, &manifest::Task)> {
        let tasks = self.loaded.manifest.tasks.iter().enumerate();
        tasks.filter(move |(_, task)| task.domain == Some(domain) && task.model.is_some())
    }

    /// Adds to a job's pieces, and to its budget, what handing its model's segments over to its domain's process costs at most, and
    /// what their device takes to go to its process. A job of one piece hands over all of them.
    pub(super) fn handed_over(
        &mut self,
        task: &manifest::Task,
        model: Option<&Model>,
        mut pieces: Vec<Duration>,
        budget: Duration,
    ) -> Option<Handed> {
        let manifest = &self.loaded.manifest;
        let of = task.model.and_then(|model| manifest.models.get(model));
        let domain = task.domain.and_then(|domain| manifest.domains.get(domain)).filter(|_| of.is_some());
        let lane = manifest.lanes.get(task.lane).filter(|_| of.is_some());
        let switch = lane.map_or(Duration::ZERO, |lane| self.switch(lane));
        if domain.is_none() && switch == Duration::ZERO {
            let wcet = pieces
                .iter()
                .copied()
                .fold(Duration::ZERO, |sum, piece| sum.checked_add(piece).unwrap_or(Duration::MAX));
            return Some(Handed { pieces, wcet, over: Duration::ZERO, is_handed: false, budget });
        }
        let hand_over = domain.and_then(|domain| domain.hand_over.as_ref());
        let each = hand_over.map_or(Duration::ZERO, |time| *time.get_ref()).checked_add(switch);
        let segments = model.map_or_else(|| of.map_or(1, |of| of.sources.len()), |model| model.segments.len());
        let count = if pieces.len() > 1 { pieces.len() } else { segments };
        let sum = each
            .and_then(|each| add(&mut pieces, each, count))
            .and_then(|(wcet, over)| Some((wcet, over, budget.checked_add(over)?)));
        let Some((wcet, over, budget)) = sum else {
            let name = task.name.get_ref();
            let message = format!("the WCET and the hand-overs of task `{name}` sum to more than 2^64 - 1 ns");
            self.error(Code::ProfileUnreadable, &task.span, message, "this task", "shorten one of them");
            return None;
        };
        Some(Handed { pieces, wcet, over, is_handed: domain.is_some(), budget })
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
            Some(given) => {
                let given = given.clone();
                if self.killed_with_another(position, domain, tasks, &given) {
                    return None;
                }
                *given.get_ref()
            }
            None => {
                let twice = |(task, of): (&Task, &manifest::Task)| {
                    let execution = piece(task).saturating_sub(hand_over);
                    let twice = execution.checked_add(execution)?.checked_add(hand_over)?;
                    twice.checked_add(self.kept_on(of, position))
                };
                // Nothing so long passes before the clock's end.
                let own = self.with_models(position).filter_map(|(task, of)| Some((tasks.get(task)?, of)));
                own.map(|own| twice(own).unwrap_or(Duration::MAX)).max()?
            }
        };
        let heartbeat = domain.heartbeat.as_ref().map(|time| *time.get_ref());
        let memory = domain.memory.as_ref().map(|size| *size.get_ref());
        let restart = domain.restart.as_ref().map(|restart| Restart {
            policy: restart.policy,
            blackout: restart.blackout,
            back_off_span: restart.back_off_span.clone(),
        });
        let meanwhile = domain.meanwhile;
        let cores = domain.cores.iter().map(|(_, core)| *core.get_ref()).collect();
        Some(Process { kill_after, hand_over, blackout, heartbeat, memory, restart, meanwhile, cores })
    }

    /// For how long a piece of a task's job may be kept on its lane because another domain's process ends.
    fn kept_on(&self, task: &manifest::Task, domain: usize) -> Duration {
        let lane = self.loaded.manifest.lanes.get(task.lane);
        lane.map_or(Duration::ZERO, |lane| self.kept_by_others(lane, domain))
    }

    /// Whether a domain would be killed because another domain's process ends; a finding says so.
    fn killed_with_another(
        &mut self,
        position: usize,
        domain: &manifest::Domain,
        tasks: &[Task],
        given: &Spanned<Duration>,
    ) -> bool {
        let needs = |(task, of): (usize, &manifest::Task)| {
            let (task, kept) = (tasks.get(task)?, self.kept_on(of, position));
            Some((piece(task).checked_add(kept).unwrap_or(Duration::MAX), kept, task))
        };
        let longest = self.with_models(position).filter_map(needs).max_by_key(|(needs, ..)| *needs);
        let Some((needs, kept, task)) = longest.filter(|(needs, ..)| *needs > *given.get_ref()) else { return false };
        let (name, after, needs, kept) = (domain.name.get_ref(), Time(*given.get_ref()), Time(needs), Time(kept));
        let message = format!(
            "the domain `{name}` is killed {after} after a piece of a job began, and one of `{}` may take {needs} when another \
             domain fails",
            task.name
        );
        let finding = Finding::error(Code::KilledWithAnother, message)
            .at(&self.loaded.file, given.span(), "the failure of one would be that of both")
            .also(&self.loaded.file, task.span.clone(), format!("its lane may be kept for {kept} then"));
        let finding = finding.help(format!("choose a time of at least {needs}, or leave out `kill-after`"));
        self.findings.push(finding.patch(&self.loaded.file, given.span(), needs.written()));
        true
    }

    /// Whether the machine has the cores that processes name, one more for what has no real-time priority, and one for who beats.
    pub(super) fn have_cores(&mut self, machine: u16) {
        let manifest = &self.loaded.manifest;
        // What machine it is profiles tell.
        if machine == 0 {
            return;
        }
        let with_models = |(position, _): &(usize, &manifest::Domain)| self.with_models(*position).next().is_some();
        let domains: Vec<_> =
            manifest.domains.iter().enumerate().filter(with_models).map(|(_, domain)| domain).collect();
        let of_processes = || domains.iter().flat_map(|domain| &domain.cores);
        let lanes = manifest.lanes.iter().map(|lane| *lane.core.get_ref());
        let mut taken: Vec<u16> = lanes.chain([manifest.orchestration_core]).collect();
        taken.extend(of_processes().map(|(_, core)| *core.get_ref()));
        taken.sort_unstable();
        taken.dedup();
        let polls = manifest.waiting == Waiting::Polling;
        let mut found = Vec::new();
        for (lane, core) in of_processes().filter(|(_, core)| *core.get_ref() >= machine) {
            let lane = manifest.lanes.get(*lane).map_or("", |lane| lane.name.get_ref());
            let message = format!(
                "a process runs on core {} for lane `{lane}`, but the machine of the profiles has the cores 0 to {}",
                core.get_ref(),
                machine.saturating_sub(1)
            );
            let finding = Finding::error(Code::NoSuchCore, message).at(&self.loaded.file, core.span(), "this core");
            found.push(finding.help("use a core that the machine has, or profile the machine that is meant"));
        }
        if (0..machine).any(|core| !taken.contains(&core)) {
            self.findings.extend(found);
            return;
        }
        let all = format!(
            "each of the machine's {machine} cores has a lane{} or the orchestration thread",
            if polls { ", a process" } else { "" }
        );
        if let Some(first) = domains.first().filter(|_| polls) {
            let message = format!("{all}, whose threads poll: none is left for the thread that sees processes end");
            let finding = Finding::error(Code::NoCoreForOthers, message);
            let finding = finding.at(&self.loaded.file, first.span.clone(), "this one would not be missed");
            found.push(
                finding.help("let the vehicle wait \"blocking\", use fewer lanes, or a machine with a core more"),
            );
        }
        for domain in &domains {
            let Some(heartbeat) = &domain.heartbeat else { continue };
            let name = domain.name.get_ref();
            let message =
                format!("the domain `{name}` is to show every {} that it lives, and {all}", Time(*heartbeat.get_ref()));
            let finding = match polls {
                true => Finding::error(Code::BeatWithoutCore, message),
                false => Finding::warning(Code::BeatWithoutCore, message),
            };
            let finding = finding.at(&self.loaded.file, heartbeat.span(), "it beats only while no lane of it runs");
            found.push(
                finding.help("leave out `heartbeat`: `kill-after` ends what hangs; or use a machine with a core more"),
            );
        }
        self.findings.extend(found);
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
        let finding = finding.help(format!("choose a time of at least {needs}, or leave out `kill-after`"));
        self.findings.push(finding.patch(&self.loaded.file, given.span(), needs.written()));
    }

    /// For each domain that runs models its part of each device that they use, after the manifest's own devices.
    pub(super) fn parts(&self, whole: &[Device]) -> Vec<Device> {
        let manifest = &self.loaded.manifest;
        let mut parts: Vec<Device> = Vec::new();
        for (of, device) in whole.iter().enumerate() {
            for (domain, desc) in manifest.domains.iter().enumerate() {
                let uses =
                    |task: &manifest::Task| manifest.lanes.get(task.lane).is_some_and(|lane| lane.device == Some(of));
                if self.with_models(domain).any(|(_, task)| uses(task)) {
                    let position = whole.len().saturating_add(parts.len());
                    parts.push(Device {
                        name: format!("{}.{}", device.name, desc.name.get_ref()),
                        shares: Some(device.shares.unwrap_or(of)),
                        part: Some(Part { of, domain }),
                        gpu: self.gpu_of((of, device), domain, position),
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

    /// A GPU as the process of a domain has it, whose part of it has this position among all devices.
    fn gpu_of(&self, (of, device): (usize, &Device), domain: usize, position: usize) -> Option<Gpu> {
        let gpu = device.gpu.as_ref()?;
        let facts: &Facts = self.gpus.get(of)?.as_ref()?;
        // Where the device works in the CPU's memory its copies count with it, as those of the whole device do.
        let is_own = gpu.staging.is_some_and(|staging| usize::from(staging) == of);
        let staging = if is_own { u16::try_from(position).ok() } else { gpu.staging };
        Some(Gpu { context_bytes: self.context(of, Some(domain), facts), staging, ..gpu.clone() })
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
