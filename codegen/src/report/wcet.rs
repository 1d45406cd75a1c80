//! Says where WCETs come from: which of a profile's two numbers was taken, and the other beside it.

use crate::check::show;
use crate::system::Origin;
use aegis_core::Duration;
use serde::Serialize;

/// Both numbers of a task's profile, in nanoseconds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct WcetView<'a> {
    /// The task.
    pub task: &'a str,
    /// `max` or `tail`.
    pub from: &'static str,
    /// The probability of the tail's bound, such as `1e-9`.
    pub exceedance: String,
    /// The longest observation times the margin, all segments together.
    pub max_ns: Option<u64>,
    /// The tail's bound, all segments together; null where there is none.
    pub tail_ns: Option<u64>,
}

/// The numbers of all tasks with profiles; none where no WCET comes from a tail.
#[must_use]
pub fn views(origins: &[Origin]) -> Vec<WcetView<'_>> {
    let used = origins.iter().any(|origin| origin.is_tail);
    let view = |origin| {
        let Origin { task, is_tail, by_maximum, exponent, by_tail, .. }: &Origin = origin;
        WcetView {
            task,
            from: if *is_tail { "tail" } else { "max" },
            exceedance: format!("1e-{exponent}"),
            max_ns: by_maximum.map(Duration::as_ns),
            tail_ns: by_tail.as_ref().ok().copied().flatten().map(Duration::as_ns),
        }
    };
    origins.iter().filter(|_| used).map(view).collect()
}

/// A line about the WCET of each task that has it from a tail.
#[must_use]
pub fn of_tails(origins: &[Origin]) -> String {
    origins.iter().filter(|origin| origin.is_tail).map(render).collect()
}

/// A line that says what a WCET is, and what the other number would be; hooks are not counted.
#[must_use]
pub fn render(origin: &Origin) -> String {
    let time = |time: Option<Duration>| time.map_or_else(|| "more than 2^64 - 1 ns".to_owned(), show);
    let Origin { task, is_tail, longest, margin_ppm, by_maximum, exponent, by_tail } = origin;
    let maximum = format!("the longest observation {} times {}", time(*longest), factor(*margin_ppm));
    let tail = format!("the tail of its profile at 1e-{exponent} an execution");
    match (is_tail, by_tail) {
        (true, Ok(bound)) => {
            format!("WCET of {task}: {}, by {tail}; {maximum} would be {}\n", time(*bound), time(*by_maximum))
        }
        (false, Ok(bound)) => {
            format!("WCET of {task}: {}, {maximum}; {tail} would be {}\n", time(*by_maximum), time(*bound))
        }
        (true, Err(why)) => {
            format!("WCET of {task}: none, as {tail} gives nothing ({why}); {maximum} would be {}\n", time(*by_maximum))
        }
        (false, Err(why)) => format!("WCET of {task}: {}, {maximum}; {tail} gives nothing: {why}\n", time(*by_maximum)),
    }
}

/// Millionths as a factor, without needless digits.
fn factor(ppm: u64) -> String {
    let text = format!("{}.{:06}", ppm / 1_000_000, ppm % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::{of_tails, render, views};
    use crate::system::Origin;
    use aegis_core::Duration;

    #[test]
    fn both_numbers_are_told_with_the_one_that_is_used_first() {
        let ms = |ms: u64| Some(Duration::from_ns(ms * 1_000_000));
        let origin = Origin {
            task: "see".to_owned(),
            is_tail: true,
            longest: ms(5),
            margin_ppm: 1_500_000,
            by_maximum: Some(Duration::from_ns(7_500_000)),
            exponent: 9,
            by_tail: Ok(ms(6)),
        };
        let tail = "WCET of see: 6.000 ms, by the tail of its profile at 1e-9 an execution; the longest observation 5.000 ms times 1.5 \
                    would be 7.500 ms\n";
        let (text, shown) = (tail.replace(".000 ms", " ms").replace("7.500", "7.5"), render(&origin));
        assert!(shown == tail || shown == text, "{shown}");
        let other = Origin { is_tail: false, by_tail: Err("too few".to_owned()), ..origin.clone() };
        assert!(render(&other).contains("gives nothing: too few"));
        assert_eq!(of_tails(&[other.clone(), origin.clone()]), shown);
        let both = [other.clone(), origin];
        let json = serde_json::to_value(views(&both)).unwrap();
        assert_eq!(json[0]["tail_ns"], serde_json::Value::Null);
        assert_eq!((&json[1]["from"], &json[1]["tail_ns"]), (&"tail".into(), &6_000_000.into()));
        assert!(views(&[other]).is_empty());
    }
}
