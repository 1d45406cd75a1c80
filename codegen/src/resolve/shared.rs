//! GPUs on which several processes have models: what going from one to the other takes, what the end of one takes of the others, and
//! what each of them takes of the device's memory.

use super::Resolver;
use crate::device::{ENDS, Facts};
use crate::finding::{Code, Finding};
use crate::manifest::{self, units::Time};
use crate::system;
use aegis_core::desc::Answer;
use aegis_core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use toml::Spanned;

/// What takes time on a device because processes share it.
struct Cost<'a> {
    /// Its key in manifests.
    key: String,
    given: Option<&'a Spanned<Duration>>,
    measured: Option<u64>,
}

impl Resolver<'_> {
    /// The processes that have models on a device: its domains, and `None` for the vehicle's own; each with the first task. Where no
    /// lane has a part of the device a task without a model stands for what it would have there.
    fn processes_on(&self, device: usize) -> BTreeMap<Option<usize>, &manifest::Task> {
        let manifest = &self.loaded.manifest;
        let mut processes = BTreeMap::new();
        for task in &manifest.tasks {
            let lane = manifest.lanes.get(task.lane).filter(|lane| lane.device == Some(device));
            if lane.is_some_and(|lane| task.model.is_some() || lane.partition.is_none()) {
                processes.entry(task.domain).or_insert(task);
            }
        }
        processes
    }

    /// Whether more than one process has models on a GPU.
    fn is_shared(&self, device: usize) -> bool {
        let is_gpu =
            self.loaded.manifest.devices.get(device).is_some_and(|device| device.kind == manifest::LaneKind::Gpu);
        is_gpu && self.processes_on(device).len() > 1
    }

    /// The costs of sharing a device: first that of a switch, then those of the ends of processes in the order of [`ENDS`].
    fn costs(&self, device: usize) -> Vec<Cost<'_>> {
        let Some(of) = self.loaded.manifest.devices.get(device) else { return Vec::new() };
        let facts = self.gpus.get(device).and_then(Option::as_ref);
        let switch = Cost {
            key: "domain-switch".to_owned(),
            given: of.domain_switch.as_ref(),
            measured: facts.and_then(|facts| facts.domain_switch_ns),
        };
        let measured = facts.map_or([None; 4], |facts| facts.blackouts_ns);
        let ends = ENDS.into_iter().zip(&of.blackouts).zip(measured);
        let ends = ends.map(|((end, given), measured)| Cost {
            key: format!("fault-blackout.{end}"),
            given: given.as_ref(),
            measured,
        });
        std::iter::once(switch).chain(ends).collect()
    }

    /// What a cost is planned with: as the manifest says, or else as it was measured, with the system's margin.
    fn planned(&self, cost: &Cost<'_>) -> Duration {
        let margin = |ns: u64| {
            let scaled = u128::from(ns).saturating_mul(u128::from(self.loaded.manifest.margin_ppm));
            Duration::from_ns(u64::try_from(scaled.div_ceil(1_000_000)).unwrap_or(u64::MAX))
        };
        match cost.given {
            Some(given) => *given.get_ref(),
            None => cost.measured.map_or(Duration::ZERO, margin),
        }
    }

    /// For how long a device may serve nobody when one of several processes that have models there ends, whatever for.
    pub(super) fn blackout(&self, device: usize) -> Duration {
        if !self.is_shared(device) {
            return Duration::ZERO;
        }
        self.costs(device).iter().skip(1).map(|cost| self.planned(cost)).max().unwrap_or(Duration::ZERO)
    }

    /// What going to another process' work may add to each segment of a lane that has a part of a device.
    pub(super) fn switch(&self, lane: &manifest::Lane) -> Duration {
        let device = lane.device.filter(|device| lane.partition.is_some() && self.is_shared(*device));
        let costs = device.map(|device| self.costs(device)).unwrap_or_default();
        costs.first().map_or(Duration::ZERO, |cost| self.planned(cost))
    }

    /// The part that a lane has in the plan.
    pub(super) fn partition(&self, lane: &manifest::Lane) -> Option<system::Partition> {
        let part = lane.partition.as_ref()?;
        Some(system::Partition { sms: *part.sms.get_ref(), completion: part.completion, switch: self.switch(lane) })
    }

    /// For how long a piece of a domain's job may be kept because another domain's process ends, or is started again: the lane's thread
    /// does not run, and then its device, if both have models there, serves nobody; likewise for each that fails along.
    pub(super) fn kept_by_others(&self, lane: &manifest::Lane, domain: usize) -> Duration {
        let domains = self.loaded.manifest.domains.iter().enumerate();
        let others = domains.filter(|(other, _)| *other != domain && self.with_models(*other).next().is_some());
        let tasks = &self.loaded.manifest.tasks;
        let longer = others.map(|(position, other)| {
            let end = other.blackout.as_ref().map_or(Duration::ZERO, |blackout| *blackout.get_ref());
            // It may be started again just before it ends.
            let start = other.restart.as_ref().map_or(Duration::ZERO, |restart| restart.blackout);
            let uses = |device: &usize| self.processes_on(*device).contains_key(&Some(position));
            let device = lane.device.filter(uses).map_or(Duration::ZERO, |device| self.blackout(device));
            let longer = end.checked_add(start).and_then(|longer| longer.checked_add(device));
            let answers = |task: &manifest::Task| {
                let fails = [task.on_overrun, task.on_miss].map(|answer| answer == Answer::FailDomain);
                task.domain == Some(position) && fails.contains(&true)
            };
            (longer.unwrap_or(Duration::MAX), tasks.iter().any(answers))
        });
        // One fails, and with it each that an overrun or a miss lets fail along.
        let (alone, along): (Vec<_>, Vec<_>) = longer.partition(|(_, along)| !along);
        let alone = alone.into_iter().map(|(longer, _)| longer).max().unwrap_or(Duration::ZERO);
        along.into_iter().fold(alone, |sum, (longer, _)| sum.checked_add(longer).unwrap_or(Duration::MAX))
    }

    /// Findings of devices that several processes share: what is not known of them, and what is planned with less than was measured.
    pub(super) fn shared_devices(&mut self) {
        let mut findings = Vec::new();
        for (position, device) in self.loaded.manifest.devices.iter().enumerate() {
            let lanes = self.loaded.manifest.lanes.iter();
            let is_part = |lane: &manifest::Lane| lane.device == Some(position) && lane.partition.is_some();
            // Without its profile, which is another finding's, nobody can say what it has.
            let is_known = device.profile.is_none() || self.gpus.get(position).is_some_and(Option::is_some);
            if !self.is_shared(position) || !lanes.into_iter().any(is_part) || !is_known {
                continue;
            }
            findings.extend(self.unknown_costs(position, device));
            findings.extend(self.costs(position).iter().filter_map(|cost| self.below(device, cost)));
        }
        self.findings.extend(findings);
    }

    fn unknown_costs(&self, position: usize, device: &manifest::Device) -> Option<Finding> {
        let costs = self.costs(position);
        let unknown = costs.iter().filter(|cost| cost.given.is_none() && cost.measured.is_none());
        let missing: Vec<String> = unknown.map(|cost| format!("`{}`", cost.key)).collect();
        if missing.is_empty() {
            return None;
        }
        let message = format!(
            "several processes have models on the device `{}`, of which {} {} not known",
            device.name.get_ref(),
            missing.join(", "),
            if missing.len() == 1 { "is" } else { "are" }
        );
        let finding = Finding::error(Code::SharedUnmeasured, message);
        let mut finding = finding.at(&self.loaded.file, device.span.clone(), "neither here nor in its profile");
        for (domain, task) in self.processes_on(position) {
            let domain = domain.and_then(|domain| self.loaded.manifest.domains.get(domain));
            let of = domain.map_or_else(
                || "the vehicle's own process".to_owned(),
                |domain| format!("the process of `{}`", domain.name.get_ref()),
            );
            finding = finding.also(&self.loaded.file, task.span.clone(), format!("a model in {of}"));
        }
        Some(finding.help(
            "let `aegis device probe` measure them, or say what they may be at most, such as domain-switch = \"200us\" and \
             fault-blackout = { crash = \"200ms\", kill = \"200ms\", hang = \"200ms\", memory = \"20ms\" }",
        ))
    }

    fn below(&self, device: &manifest::Device, cost: &Cost<'_>) -> Option<Finding> {
        let (given, measured) = (cost.given?, Duration::from_ns(cost.measured?));
        if *given.get_ref() >= measured {
            return None;
        }
        let (name, said) = (device.name.get_ref(), Time(*given.get_ref()));
        let measured = Time(measured);
        let message = format!("`{}` of the device `{name}` is {said}, and {measured} were measured", cost.key);
        let finding = Finding::error(Code::BelowMeasured, message);
        let mut finding = finding.at(&self.loaded.file, given.span(), "bounds would be too small");
        if let Some(profile) = &device.profile {
            finding = finding.also(&self.loaded.file, profile.span(), format!("says {measured}"));
        }
        Some(finding.help(format!(
            "write at least {measured}, or leave it out: then what was measured counts, with the margin"
        )))
    }

    /// What the driver takes of a device's memory for one process with models there: its context and its lanes' parts. Where no domain
    /// has models there the vehicle's own process has every lane's.
    pub(super) fn context(&self, device: usize, domain: Option<usize>, facts: &Facts) -> Option<u64> {
        let manifest = &self.loaded.manifest;
        let processes = self.processes_on(device);
        let is_part = |lane: &manifest::Lane| lane.device == Some(device) && lane.partition.is_some();
        if processes.keys().all(Option::is_none) {
            return facts.context_of(manifest.lanes.iter().filter(|lane| is_part(lane)).count());
        }
        let with_models = manifest.tasks.iter().filter(|task| task.domain == domain && task.model.is_some());
        let lanes: BTreeSet<usize> = with_models.map(|task| task.lane).collect();
        let lanes = lanes.into_iter().filter_map(|lane| manifest.lanes.get(lane)).filter(|lane| is_part(lane)).count();
        if lanes == 0 { Some(0) } else { facts.context_of(lanes) }
    }
}
