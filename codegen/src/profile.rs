//! Profiles: the measurements behind a WCET, as TOML files in a folder per machine.
//!
//! `aegis profile` writes them from the probe's answer; the manifest names them; [`crate::resolve`] reads them. A profile
//! always states the conditions of its measurement, because a number without them bounds nothing.

mod state;
mod tail;

use crate::engines::Built;
use crate::system::Machine;
use aegis_core::desc::Waiting;
use serde::{Deserialize, Serialize};

pub use state::{Readings, State};
pub use tail::{TAIL_EXPONENTS, Tail, TailFit};

/// The format of a model's profile.
pub const MODEL_SCHEMA: &str = "aegis.profile/3";
/// The format of a lane's profile.
pub const LANE_SCHEMA: &str = "aegis.lane-profile/1";

/// A model's profile.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ModelProfile {
    /// [`MODEL_SCHEMA`].
    pub schema: String,
    /// Under what it was measured.
    pub conditions: Conditions,
    /// What was learnt of the model.
    pub model: ModelFacts,
    /// What was learnt of each of its segments, in their order; a model that is not cut has one.
    #[serde(rename = "segment")]
    pub segments: Vec<SegmentFacts>,
}

/// A lane's profile: what the machine and AegisRT itself cost.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LaneProfile {
    /// [`LANE_SCHEMA`].
    pub schema: String,
    /// Under what it was measured.
    pub conditions: Conditions,
    /// How the threads waited: `blocking` or `polling`. Where a profile does not say it, it is of threads that blocked.
    #[serde(default = "blocking")]
    pub waiting: String,
    /// A decision, handing an empty job to the lane's thread, and the step that notes its end.
    pub dispatch: Statistics,
    /// How late the orchestration thread's absolute timer wakes it, with a step that releases every task at once.
    pub wakeup: Statistics,
}

fn blocking() -> String {
    Waiting::Blocking.name().to_owned()
}

/// Under what a profile was measured.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Conditions {
    /// The processor architecture.
    pub arch: String,
    /// The processor's model name.
    pub cpu_model: String,
    /// The number of cores.
    pub cores: u16,
    /// The clock governor, empty where the machine shows none.
    pub governor: String,
    /// The operating system's kernel.
    pub kernel: String,
    /// The core that was measured.
    pub core: u16,
    /// Whether the threads ran with real-time priority and locked memory.
    pub real_time: bool,
    /// The runtime with its version, empty where none took part.
    pub runtime: String,
    /// The threads of one run.
    pub threads: u16,
    /// The part of a GPU that was measured, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuConditions>,
    /// How the engines that were measured were built, where TensorRT ran the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engines: Option<Built>,
    /// Clocks, power and heat; absent in profiles of before that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}

/// On which part of which GPU a profile was measured.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GpuConditions {
    /// The device's name, as its driver tells it.
    pub name: String,
    /// The version of CUDA that its driver has, such as `13.0`.
    pub driver: String,
    /// Its compute capability, such as `9.0`.
    pub compute_capability: String,
    /// The SMs of the part that was measured.
    pub sms: u16,
    /// How the thread waited for it: `polling` or `blocking`.
    pub completion: String,
    /// The models that the probe had loaded on the device before: what they brought counts with them, also where this one uses it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
}

impl Conditions {
    /// The part that a plan states and a vehicle compares at its start.
    #[must_use]
    pub fn machine(&self) -> Machine {
        Machine {
            arch: self.arch.clone(),
            cpu_model: self.cpu_model.clone(),
            cores: self.cores,
            governor: self.governor.clone(),
        }
    }
}

/// What the probe learnt of a model as a whole.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ModelFacts {
    /// The name in the manifest.
    pub name: String,
    /// The inputs in the model's order.
    #[serde(rename = "input", default)]
    pub inputs: Vec<TensorFacts>,
    /// The outputs in the model's order.
    #[serde(rename = "output", default)]
    pub outputs: Vec<TensorFacts>,
    /// What segments hand to later ones.
    #[serde(rename = "carried", default, skip_serializing_if = "Vec::is_empty")]
    pub carried: Vec<TensorFacts>,
}

/// What the probe learnt of a segment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SegmentFacts {
    /// The file's checksum.
    pub sha256: String,
    /// That of the engine that was built of it and measured, where TensorRT ran it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_sha256: Option<String>,
    /// What stays occupied across runs outside the recorded requests, in bytes.
    pub weights_bytes: u64,
    /// What one run uses at most at a time where the runtime's own sequence places it, in bytes.
    pub scratch_bytes: u64,
    /// How far its memory can be planned: `planned`, `capped` or `measured`.
    pub memory: String,
    /// Why it is not `planned`: which recording differed, and where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graded_down: Option<String>,
    /// The requests of loading it, in order: a size in bytes, or −k where the k-th block, from 1, is given back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub load: Vec<i64>,
    /// The requests of one run, likewise: one list for each order in which the runtime was seen to execute the model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Vec<i64>>,
    /// The tensors that it reads, by name, in its file's order.
    pub reads: Vec<String>,
    /// The tensors that it writes, likewise.
    pub writes: Vec<String>,
    /// Of kernels: of which launches it was measured, by `resolve::launches_digest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launches_sha256: Option<String>,
    /// Why it is launched kernel by kernel on its GPU, and not as one captured graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_captured: Option<String>,
    /// Its execution times: on a part of a GPU beside a neighbour that keeps all other SMs busy, where `alone` is there.
    pub execution: Statistics,
    /// Its execution times with the whole device to itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alone: Option<Statistics>,
    /// The upper tail of `execution`; absent where the probe did not tell of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<Tail>,
}

impl SegmentFacts {
    /// The longest run, in nanoseconds: of a segment that was measured alone and beside a neighbour that of both.
    #[must_use]
    pub fn longest_ns(&self) -> u64 {
        self.execution.max_ns.max(self.alone.map_or(0, |alone| alone.max_ns))
    }

    /// That times a margin in millionths, rounded up; `None` where it leaves the range of 2⁶⁴ ns.
    #[must_use]
    pub fn with_margin(&self, margin_ppm: u64) -> Option<u64> {
        let alone = self.alone.map_or(Some(0), |alone| alone.with_margin(margin_ppm))?;
        Some(self.execution.with_margin(margin_ppm)?.max(alone))
    }
}

/// One tensor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TensorFacts {
    /// The name in the file.
    pub name: String,
    /// The element type: `f32`, `i64`, `i32` or `u8`.
    pub dtype: String,
    /// The fixed dimensions.
    pub shape: Vec<u32>,
    /// The length.
    pub bytes: u64,
}

/// A measured distribution, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Statistics {
    /// How many runs, after the warm-up.
    pub runs: u64,
    /// The shortest.
    #[serde(alias = "min_ns")]
    pub min_ns: u64,
    /// The mean, rounded down.
    #[serde(alias = "mean_ns")]
    pub mean_ns: u64,
    /// Half of the runs took at most this.
    #[serde(alias = "p50_ns")]
    pub p50_ns: u64,
    /// 99 % of the runs took at most this.
    #[serde(alias = "p99_ns")]
    pub p99_ns: u64,
    /// 99.9 % of the runs took at most this.
    #[serde(alias = "p999_ns")]
    pub p999_ns: u64,
    /// The longest.
    #[serde(alias = "max_ns")]
    pub max_ns: u64,
}

impl Statistics {
    /// The longest run times a margin in millionths, rounded up; `None` where it leaves the range of 2⁶⁴ ns.
    #[must_use]
    pub fn with_margin(&self, margin_ppm: u64) -> Option<u64> {
        let scaled = u128::from(self.max_ns).checked_mul(u128::from(margin_ppm))?;
        u64::try_from(scaled.div_ceil(1_000_000)).ok()
    }

    /// Whether the numbers can be a distribution: runs counted, and each quantile at or above the one before.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        let ladder = [self.min_ns, self.p50_ns, self.p99_ns, self.p999_ns, self.max_ns];
        self.runs > 0 && self.max_ns > 0 && ladder.is_sorted() && (self.min_ns..=self.max_ns).contains(&self.mean_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::{SegmentFacts, Statistics};

    fn statistics() -> Statistics {
        Statistics { runs: 500, min_ns: 8, mean_ns: 9, p50_ns: 9, p99_ns: 10, p999_ns: 10, max_ns: 11 }
    }

    #[test]
    fn the_margin_rounds_up_and_overflow_is_none() {
        assert_eq!(statistics().with_margin(1_250_000), Some(14));
        assert_eq!(Statistics { max_ns: u64::MAX, ..statistics() }.with_margin(1_250_000), None);
    }

    #[test]
    fn of_a_segment_that_was_measured_alone_and_beside_a_neighbour_the_longer_run_counts() {
        let facts = |alone: Option<u64>| SegmentFacts {
            sha256: String::new(),
            engine_sha256: None,
            weights_bytes: 0,
            scratch_bytes: 0,
            memory: "planned".to_owned(),
            graded_down: None,
            load: Vec::new(),
            runs: Vec::new(),
            reads: Vec::new(),
            writes: Vec::new(),
            launches_sha256: None,
            execution: statistics(),
            alone: alone.map(|max_ns| Statistics { max_ns, ..statistics() }),
            not_captured: None,
            tail: None,
        };
        for (alone, longest, with_margin) in [(None, 11, 14), (Some(10), 11, 14), (Some(20), 20, 25)] {
            let facts = facts(alone);
            assert_eq!((facts.longest_ns(), facts.with_margin(1_250_000)), (longest, Some(with_margin)), "{alone:?}");
        }
        assert_eq!(facts(Some(u64::MAX)).with_margin(1_250_000), None);
    }

    #[test]
    fn quantiles_out_of_order_or_no_runs_are_no_distribution() {
        assert!(statistics().is_consistent());
        assert!(!Statistics { runs: 0, ..statistics() }.is_consistent());
        assert!(!Statistics { p99_ns: 8, ..statistics() }.is_consistent());
        assert!(!Statistics { mean_ns: 12, ..statistics() }.is_consistent());
    }
}
