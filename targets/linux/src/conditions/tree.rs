//! Clocks, power mode and temperatures as Linux tells them in files, below a root that tests make up.
//!
//! | what | where |
//! |---|---|
//! | a core's clock limits and governor | `/sys/devices/system/cpu/cpuN/cpufreq/scaling_{min_freq,max_freq,governor}` |
//! | how often heat slowed a core down (x86) | `…/cpuN/thermal_throttle/{core,package}_throttle_count` |
//! | a Jetson's power mode | `/var/lib/nvpmodel/status` (`pmode:0002`), its name in `/etc/nvpmodel.conf` |
//! | clock limits of a Jetson's GPU | `/sys/class/devfreq/*/{min_freq,max_freq,cur_freq}` of the GPU's node |
//! | clock of its memory (root only) | `/sys/kernel/debug/bpmp/debug/clk/emc/{rate,max_rate,mrq_rate_locked}` |
//! | temperatures | `/sys/class/thermal/thermal_zone*/{temp,type}` and the zone's passive and hot trip points |
//!
//! `targets/cuda/bring-up.py` asks the same files. What is missing or cannot be read is not there: never zero.

use super::{CoreState, GpuState, Readings, Zone};
use std::fs;
use std::path::{Path, PathBuf};

/// What is read as a temperature: colder and warmer ones are what broken sensors tell, in thousandths of a degree Celsius.
const SENSIBLE: std::ops::RangeInclusive<i64> = -60_000..=200_000;

/// The files below a root, `/` but in tests.
#[derive(Clone, Debug)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// The files below `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn text(&self, path: &str) -> Option<String> {
        let text = fs::read(self.root.join(path)).ok()?;
        Some(String::from_utf8_lossy(&text).trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// The names in a folder, sorted.
    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        names
    }

    /// What is told of a core.
    #[must_use]
    pub fn core(&self, core: u16) -> CoreState {
        let folder = format!("sys/devices/system/cpu/cpu{core}");
        let count = |name: &str| self.number(&format!("{folder}/thermal_throttle/{name}_throttle_count"));
        let slowdowns = [count("core"), count("package")].into_iter().flatten().reduce(u64::saturating_add);
        CoreState {
            core,
            governor: self.text(&format!("{folder}/cpufreq/scaling_governor")),
            readings: Readings {
                least_clock_khz: self.number(&format!("{folder}/cpufreq/scaling_min_freq")),
                most_clock_khz: self.number(&format!("{folder}/cpufreq/scaling_max_freq")),
                ..Readings::default()
            },
            slowdowns,
        }
    }

    /// The power mode's name, or its number where nothing names it.
    #[must_use]
    pub fn power_mode(&self) -> Option<String> {
        let status = self.text("var/lib/nvpmodel/status")?;
        let digits = status.split_once("pmode:")?.1;
        let digits = digits.split(|c: char| !c.is_ascii_digit()).next()?;
        let number: u32 = digits.parse().ok()?;
        let names = self.text("etc/nvpmodel.conf").unwrap_or_default();
        let name = names.lines().find_map(|line| name_of(line, number));
        Some(name.unwrap_or_else(|| number.to_string()))
    }

    /// What is told of a GPU that works in the CPU's memory.
    #[must_use]
    pub fn gpu(&self) -> GpuState {
        let khz = |path: String| self.number(&path).map(|hertz| hertz.div_euclid(1000));
        let node = self.names("sys/class/devfreq").into_iter().find(|name| is_gpu(name));
        let of_node = |name: &str| node.as_ref().and_then(|node| khz(format!("sys/class/devfreq/{node}/{name}")));
        let emc = |name: &str| format!("sys/kernel/debug/bpmp/debug/clk/emc/{name}");
        let rate = khz(emc("rate"));
        let is_locked = self.number(&emc("mrq_rate_locked")).is_some_and(|locked| locked != 0);
        let locked_at = rate.filter(|_| is_locked);
        let zone = self.zones().into_iter().filter(|zone| zone.name.to_ascii_lowercase().contains("gpu"));
        GpuState {
            readings: Readings {
                clock_khz: of_node("cur_freq"),
                least_clock_khz: of_node("min_freq"),
                most_clock_khz: of_node("max_freq"),
                memory_clock_khz: rate,
                least_memory_clock_khz: locked_at,
                most_memory_clock_khz: locked_at.or_else(|| khz(emc("max_rate"))),
                power_limit_mw: None,
                temperature_mc: zone.map(|zone| zone.temperature_mc).max(),
            },
            slowed: None,
            slowdowns: None,
        }
    }

    /// The thermal zones that tell a temperature.
    #[must_use]
    pub fn zones(&self) -> Vec<Zone> {
        let names = self.names("sys/class/thermal").into_iter().filter(|name| name.starts_with("thermal_zone"));
        names.filter_map(|name| self.zone(&name)).collect()
    }

    fn zone(&self, name: &str) -> Option<Zone> {
        let folder = format!("sys/class/thermal/{name}");
        let degrees = |path: String| {
            let value: i64 = self.text(&path)?.parse().ok()?;
            // As cold as limits go: below zero is below each of them.
            SENSIBLE.contains(&value).then(|| u64::try_from(value).unwrap_or(0))
        };
        let trips = self.names(&folder).into_iter().filter_map(|file| {
            let point = file.strip_suffix("_type").filter(|point| point.starts_with("trip_point_"))?;
            let kind = self.text(&format!("{folder}/{file}"))?;
            let trip = degrees(format!("{folder}/{point}_temp")).filter(|trip| *trip > 0);
            trip.filter(|_| matches!(kind.as_str(), "passive" | "hot"))
        });
        Some(Zone {
            name: self.text(&format!("{folder}/type")).unwrap_or_else(|| name.to_owned()),
            temperature_mc: degrees(format!("{folder}/temp"))?,
            trip_mc: trips.min(),
        })
    }
}

/// The name of a power mode in a line such as `< POWER_MODEL ID=0 NAME=MAXN >`.
fn name_of(line: &str, number: u32) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let value = |key: &str| words.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let is_this = words.contains(&"POWER_MODEL") && value("ID")?.parse() == Ok(number);
    value("NAME").filter(|_| is_this).map(str::to_owned)
}

/// Whether a devfreq node is a GPU's: `17000000.gpu`, `17000000.ga10b`, `57000000.gv11b`.
fn is_gpu(name: &str) -> bool {
    let is_chip = |rest: &str| {
        let rest = rest.strip_prefix(['a', 'p', 'v', 'b']).unwrap_or_default();
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        after.len() < rest.len() && after.starts_with('b')
    };
    name.contains("gpu") || name.split('g').skip(1).any(is_chip)
}

#[cfg(test)]
mod tests {
    use super::{Tree, is_gpu, name_of};
    use crate::conditions::made_up::Files;

    #[test]
    fn what_a_jetson_tells_is_read_and_what_it_does_not_tell_is_not_there() {
        let files = Files::jetson();
        let tree = Tree::new(files.root());
        assert_eq!(tree.power_mode().as_deref(), Some("30W"));
        let core = tree.core(1);
        assert_eq!((core.governor.as_deref(), core.slowdowns), (Some("schedutil"), None));
        assert_eq!((core.readings.least_clock_khz, core.readings.most_clock_khz), (Some(729_600), Some(1_728_000)));
        let gpu = tree.gpu();
        assert_eq!((gpu.readings.least_clock_khz, gpu.readings.most_clock_khz), (Some(306_000), Some(612_000)));
        assert_eq!((gpu.readings.clock_khz, gpu.readings.temperature_mc), (Some(408_000), Some(48_500)));
        let memory = (gpu.readings.memory_clock_khz, gpu.readings.least_memory_clock_khz);
        assert_eq!((memory, gpu.readings.most_memory_clock_khz), ((Some(2_133_000), None), Some(3_199_000)));
        files.put("sys/kernel/debug/bpmp/debug/clk/emc/mrq_rate_locked", "1");
        assert_eq!(tree.gpu().readings.least_memory_clock_khz, Some(2_133_000));
        let zones = tree.zones();
        let told: Vec<_> = zones.iter().map(|zone| (zone.name.as_str(), zone.temperature_mc, zone.trip_mc)).collect();
        assert_eq!(told, [("cpu-thermal", 51_000, Some(99_000)), ("gpu-thermal", 48_500, None)], "the third is broken");
        let nothing = tempfile::tempdir().unwrap();
        let tree = Tree::new(nothing.path());
        assert_eq!((tree.power_mode(), tree.zones()), (None, Vec::new()));
        assert_eq!((tree.core(0).readings, tree.gpu().readings), Default::default());
    }

    #[test]
    fn files_with_other_things_in_them_are_not_read_as_zero() {
        let files = Files::jetson();
        let tree = Tree::new(files.root());
        for text in ["", "none", "-1", "1.5", "<unknown>"] {
            files.put("sys/devices/system/cpu/cpu1/cpufreq/scaling_min_freq", text);
            assert_eq!(tree.core(1).readings.least_clock_khz, None, "{text:?}");
            files.put("var/lib/nvpmodel/status", text);
            assert_eq!(tree.power_mode(), None, "{text:?}");
        }
        files.put("var/lib/nvpmodel/status", "pmode:0007 fmode:quiet");
        assert_eq!(tree.power_mode().as_deref(), Some("7"), "nothing names it");
    }

    #[test]
    fn a_gpus_node_and_a_modes_name_are_known_by_their_form() {
        for (name, expected) in [
            ("17000000.gpu", true),
            ("17000000.ga10b", true),
            ("57000000.gv11b", true),
            ("gpu-gpc-0", true),
            ("15340000.vic", false),
            ("gab", false),
            ("30000000.gate", false),
        ] {
            assert_eq!(is_gpu(name), expected, "{name}");
        }
        assert_eq!(name_of("< POWER_MODEL ID=2 NAME=MAXN_SUPER >", 2).as_deref(), Some("MAXN_SUPER"));
        assert_eq!(name_of("< POWER_MODEL ID=2 NAME=MAXN_SUPER >", 20), None);
        assert_eq!(name_of("< PARAM TYPE=FILE NAME=CPU_ONLINE >", 0), None);
    }
}
