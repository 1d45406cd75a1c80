//! Which number of a profile becomes a WCET.

use super::Resolver;
use crate::finding::Code;
use crate::manifest::{self, Exceedance, WcetFrom};
use crate::profile::{ModelProfile, SegmentFacts};
use crate::system::Origin;
use aegis_core::time::Duration;
use toml::Spanned;

impl Resolver<'_> {
    /// The WCET of each segment of a task with a profile, as the manifest chooses.
    pub(super) fn executions(
        &mut self,
        task: &manifest::Task,
        path: &Spanned<String>,
        profile: &ModelProfile,
    ) -> Option<Vec<Duration>> {
        if profile.segments.iter().any(|segment| !is_consistent(segment)) {
            let message =
                format!("the numbers of a tail in profile `{}` contradict each other or its execution", path.get_ref());
            let help = "measure it again with `aegis profile`";
            self.error(Code::ProfileUnreadable, &path.span(), message, "named here", help);
            return None;
        }
        let exceedance = match task.wcet_from {
            WcetFrom::Maximum => Exceedance::DEFAULT,
            WcetFrom::Tail(exceedance) => exceedance,
        };
        let by_maximum = |segment: &SegmentFacts| segment.with_margin(task.margin_ppm);
        let tails: Vec<Result<u64, String>> = segments(profile, |segment| segment.tail_bound(exceedance.exponent()));
        let pieces = match task.wcet_from {
            WcetFrom::Maximum => {
                let pieces = segments(profile, by_maximum).into_iter();
                let pieces: Vec<_> = pieces.map(|time| self.with_margin(path, time)).collect();
                pieces.into_iter().collect::<Option<Vec<Duration>>>()
            }
            WcetFrom::Tail(_) => {
                let pieces: Vec<_> =
                    (1_usize..).zip(&tails).map(|(number, tail)| self.tail(task, path, number, tail)).collect();
                pieces.into_iter().collect()
            }
        };
        self.origins.push(Origin {
            task: task.name.get_ref().clone(),
            is_tail: task.wcet_from != WcetFrom::Maximum,
            longest: sum(segments(profile, |segment| Some(segment.longest_ns()))),
            margin_ppm: task.margin_ppm,
            by_maximum: sum(segments(profile, by_maximum)),
            exponent: exceedance.exponent(),
            by_tail: tails.into_iter().collect::<Result<Vec<u64>, String>>().map(|all| sum(all.into_iter().map(Some))),
        });
        pieces
    }

    /// The bound from a segment's tail, or a finding.
    fn tail(
        &mut self,
        task: &manifest::Task,
        path: &Spanned<String>,
        number: usize,
        tail: &Result<u64, String>,
    ) -> Option<Duration> {
        match tail {
            Ok(bound) => Some(Duration::from_ns(*bound)),
            Err(why) => {
                let message = format!(
                    "the WCET of task `{}` is to come from a tail, and segment {number} of profile `{}` has none that bounds it: {why}",
                    task.name.get_ref(),
                    path.get_ref()
                );
                let help =
                    "measure longer with `aegis profile --seconds`, on a quieter machine, or use `wcet-from = \"max\"`";
                self.error(Code::NoTail, &path.span(), message, "named here", help);
                None
            }
        }
    }
}

fn segments<T>(profile: &ModelProfile, of: impl Fn(&SegmentFacts) -> T) -> Vec<T> {
    profile.segments.iter().map(of).collect()
}

/// The sum of times; `None` where one is missing or it leaves the range.
fn sum(times: impl IntoIterator<Item = Option<u64>>) -> Option<Duration> {
    times.into_iter().try_fold(0_u64, |sum, time| sum.checked_add(time?)).map(Duration::from_ns)
}

/// Whether a segment's tail, if it has one, is of the series that its execution is.
fn is_consistent(segment: &SegmentFacts) -> bool {
    let longest = segment.execution.max_ns;
    segment.tail.as_ref().is_none_or(|tail| tail.is_consistent(segment.execution.runs) && tail.threshold_ns <= longest)
}
