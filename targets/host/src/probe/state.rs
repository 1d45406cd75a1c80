//! Clocks, power and heat before and after a measurement.

use super::devices::Devices;
use super::protocol::{CoreAnswer, GpuAnswer, Request, StateAnswer};
use crate::clocks;
use aegis_linux::conditions::{Gauges, Look, State, changed};
use std::path::Path;

/// A measurement that goes on.
#[derive(Debug)]
pub(super) struct Watched {
    look: Look,
    before: State,
}

impl Watched {
    /// Looks for the first time, at the cores and the devices that are measured.
    pub(super) fn begin(request: &Request, devices: &Devices) -> Self {
        let root = Path::new("/");
        let lanes = request.lanes.iter().map(|lane| lane.core);
        let mut cores: Vec<u16> = lanes.chain(request.models.iter().map(|model| model.core)).collect();
        cores.sort_unstable();
        cores.dedup();
        let gauge = |(ordinal, device)| Some((ordinal, format!("device {ordinal}"), clocks::gauge(device, root)?));
        let gauges: Gauges = devices.opened().filter_map(gauge).collect();
        Self::of(Look::new(root, cores, gauges))
    }

    fn of(mut look: Look) -> Self {
        let before = look.state();
        Self { look, before }
    }

    /// Looks for the last time.
    pub(super) fn end(&mut self) -> StateAnswer {
        let after = self.look.state();
        let changed = changed(&self.before, &after);
        StateAnswer {
            power_mode: after.power_mode,
            cores: after.cores.iter().map(|core| CoreAnswer { core: core.core, readings: core.readings }).collect(),
            gpus: after
                .gpus
                .iter()
                .map(|gpu| GpuAnswer { ordinal: gpu.number, readings: gpu.state.readings })
                .collect(),
            changed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Watched;
    use aegis_linux::conditions::Look;
    use serde_json::json;

    #[test]
    fn what_changed_during_a_measurement_is_told_in_either_direction() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sys/devices/system/cpu/cpu1/cpufreq");
        std::fs::create_dir_all(&folder).unwrap();
        let put = |least: &str| std::fs::write(folder.join("scaling_min_freq"), least).unwrap();
        for (before, after) in [("800000", "1800000"), ("1800000", "800000"), ("800000", "800000")] {
            put(before);
            let mut watched = Watched::of(Look::new(root.path(), vec![1], Vec::new()));
            put(after);
            let told = serde_json::to_value(watched.end()).unwrap();
            let text = format!("the least clock of core 1 went from {before} kHz to {after} kHz");
            let expected = if before == after { json!([]) } else { json!([text]) };
            assert_eq!(told["changed"], expected);
            let readings = &told["cores"][0]["readings"];
            assert_eq!(readings["least_clock_khz"], json!(after.parse::<u64>().unwrap()));
            assert!(readings["most_clock_khz"].is_null() && told["power_mode"].is_null());
        }
    }
}
