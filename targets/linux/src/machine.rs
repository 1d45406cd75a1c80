//! The machine as the operating system describes it, and how it differs from the plan's.

use aegis_core::Instant;
use aegis_core::desc::MachineDesc;
use aegis_core::trace::VoidReason;
use serde::Serialize;
use std::fs;

/// One reason why the plan's bounds are not guaranteed here, with both values in its text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Void {
    /// What kind of reason.
    pub reason: VoidReason,
    /// One sentence that names what the plan assumes and what was found.
    pub text: String,
}

/// Such a reason with the time from which on it counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VoidSince {
    /// The reason.
    pub void: Void,
    /// When it was recorded: the schedule's start, or while the vehicle ran.
    pub since: Instant,
}

/// The conditions that execution times depend on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Machine {
    /// The processor architecture, as Rust spells it.
    pub arch: String,
    /// The processor's name; where the system tells none, what identifies it instead.
    pub cpu_model: String,
    /// The number of processor cores that are online.
    pub cores: u16,
    /// The clock governor of the first core, empty where the machine shows none.
    pub governor: String,
    /// The kernel's release.
    pub kernel: String,
}

impl Machine {
    /// Reads the machine that this process runs on.
    #[must_use]
    pub fn read() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let board = fs::read_to_string("/proc/device-tree/model").unwrap_or_default();
        let governor = fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
        Self {
            arch: std::env::consts::ARCH.to_owned(),
            cpu_model: cpu_model(&cpuinfo, &board),
            cores: cores(&cpuinfo),
            governor: governor.unwrap_or_default().trim().to_owned(),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        }
    }

    /// Everything in which this machine is not the one that the plan's execution times were measured on.
    #[must_use]
    pub fn differences(&self, plan: &MachineDesc) -> Vec<Void> {
        let mut voids = Vec::new();
        let mut differ = |reason, what: &str, planned: &str, found: &str| {
            if planned != found {
                let text = format!("{what} is \"{found}\", the plan was made for \"{planned}\"");
                voids.push(Void { reason, text });
            }
        };
        differ(VoidReason::OtherProcessor, "the architecture", plan.arch, &self.arch);
        differ(VoidReason::OtherProcessor, "the processor", plan.cpu_model, &self.cpu_model);
        differ(VoidReason::OtherCoreCount, "the number of cores", &plan.cores.to_string(), &self.cores.to_string());
        differ(VoidReason::OtherGovernor, "the clock governor", plan.governor, &self.governor);
        voids
    }
}

/// The value of the first line with this key in `/proc/cpuinfo`.
fn value<'a>(cpuinfo: &'a str, key: &str) -> Option<&'a str> {
    let mut lines = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
}

fn cpu_model(cpuinfo: &str, board: &str) -> String {
    if let Some(name) = value(cpuinfo, "model name") {
        return name.to_owned();
    }
    // aarch64 kernels print numbers instead of a name; the board's name says more where there is one.
    let board = board.trim_matches(|c: char| c == '\0' || c.is_whitespace());
    if !board.is_empty() {
        return board.to_owned();
    }
    match (value(cpuinfo, "CPU implementer"), value(cpuinfo, "CPU part")) {
        (Some(implementer), Some(part)) => format!("implementer {implementer} part {part}"),
        _ => "unknown".to_owned(),
    }
}

fn cores(cpuinfo: &str) -> u16 {
    let listed = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let listed = listed.filter(|(name, _)| name.trim() == "processor").count();
    let count = if listed > 0 { listed } else { std::thread::available_parallelism().map_or(1, usize::from) };
    u16::try_from(count).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Machine, cores, cpu_model};
    use aegis_core::desc::MachineDesc;
    use aegis_core::trace::VoidReason;

    const ARM: &str = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd42\n\nprocessor\t: 1\n";

    #[test]
    fn each_kind_of_system_gives_a_processor_name() {
        let amd = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n";
        assert_eq!((cpu_model(amd, "").as_str(), cores(amd)), ("AMD EPYC", 1));
        assert_eq!((cpu_model(ARM, "").as_str(), cores(ARM)), ("implementer 0x41 part 0xd42", 2));
        assert_eq!(cpu_model(ARM, "NVIDIA Jetson AGX Orin\0"), "NVIDIA Jetson AGX Orin");
        assert_eq!(cpu_model("", ""), "unknown");
    }

    #[test]
    fn every_difference_is_told_with_both_values() {
        let machine = Machine {
            arch: "x86_64".into(),
            cpu_model: "AMD EPYC".into(),
            cores: 2,
            governor: String::new(),
            kernel: "6.18".into(),
        };
        let same = MachineDesc { arch: "x86_64", cpu_model: "AMD EPYC", cores: 2, governor: "" };
        assert_eq!(machine.differences(&same), []);
        let other = MachineDesc { arch: "x86_64", cpu_model: "Orin", cores: 12, governor: "performance" };
        let voids = machine.differences(&other);
        let reasons: Vec<_> = voids.iter().map(|void| void.reason).collect();
        assert_eq!(reasons, [VoidReason::OtherProcessor, VoidReason::OtherCoreCount, VoidReason::OtherGovernor]);
        assert_eq!(voids[0].text, "the processor is \"AMD EPYC\", the plan was made for \"Orin\"");
    }

    #[test]
    fn the_machine_here_can_be_read() {
        let machine = Machine::read();
        assert!(machine.cores > 0 && !machine.cpu_model.is_empty() && !machine.kernel.is_empty(), "{machine:?}");
    }
}
