//! Files that imitate a Jetson's, for tests.
#![allow(clippy::unwrap_used, reason = "a test stops at whatever it did not expect")]

use std::fs;
use std::path::Path;

/// A folder that imitates the root of a file system.
pub(crate) struct Files(tempfile::TempDir);

impl Files {
    /// A Jetson at 30W with unlocked clocks: two cores, a GPU, three thermal zones of which one is broken.
    pub(crate) fn jetson() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.put("var/lib/nvpmodel/status", "pmode:0002\n");
        files.put("etc/nvpmodel.conf", "< POWER_MODEL ID=0 NAME=MAXN >\nCPU 1\n< POWER_MODEL ID=2 NAME=30W >\n");
        for core in 0..2 {
            let folder = format!("sys/devices/system/cpu/cpu{core}/cpufreq");
            files.put(&format!("{folder}/scaling_governor"), "schedutil\n");
            files.put(&format!("{folder}/scaling_min_freq"), "729600\n");
            files.put(&format!("{folder}/scaling_max_freq"), "1728000\n");
        }
        for (name, hertz) in [("min_freq", 306_000_000), ("max_freq", 612_000_000), ("cur_freq", 408_000_000)] {
            files.put(&format!("sys/class/devfreq/17000000.gpu/{name}"), &format!("{hertz}\n"));
        }
        files.put("sys/class/devfreq/15340000.vic/min_freq", "1\n");
        for (name, value) in [("rate", "2133000000"), ("max_rate", "3199000000"), ("mrq_rate_locked", "0")] {
            files.put(&format!("sys/kernel/debug/bpmp/debug/clk/emc/{name}"), value);
        }
        for (zone, kind, temperature) in
            [(0, "cpu-thermal", "51000"), (1, "gpu-thermal", "48500"), (2, "cv", "-256000")]
        {
            files.put(&format!("sys/class/thermal/thermal_zone{zone}/type"), kind);
            files.put(&format!("sys/class/thermal/thermal_zone{zone}/temp"), temperature);
        }
        for (point, kind, temperature) in [(0, "critical", "105000"), (1, "passive", "99000"), (2, "passive", "0")] {
            files.put(&format!("sys/class/thermal/thermal_zone0/trip_point_{point}_type"), kind);
            files.put(&format!("sys/class/thermal/thermal_zone0/trip_point_{point}_temp"), temperature);
        }
        files
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn put(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.0.path().join(path)).unwrap();
    }
}
