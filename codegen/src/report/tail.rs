//! The tail of a segment's execution times as SVG: times to the right, how often each is exceeded upwards, by powers of ten.
//!
//! Points are observations, the line is the fitted distribution, and the stepped band is what it may be at most: the bounds that a
//! WCET can be taken from. Lengths are integers, in thousandths of a pixel until they are printed.

use super::ink::{Px, STYLE, Xml, number, share};
use crate::check::show;
use crate::profile::{Statistics, TAIL_EXPONENTS, Tail};
use crate::tail::{Sample, exceeded};
use aegis_core::Duration;
use std::fmt::{self, Write as _};

const WIDTH: u64 = 900_000;
const HEIGHT: u64 = 580_000;
const LEFT: u64 = 70_000;
const RIGHT: u64 = 30_000;
const TOP: u64 = 112_000;
const BOTTOM: u64 = 74_000;
/// How many points a fitted line has.
const POINTS: u64 = 200;

/// What is drawn.
pub struct Plot<'a> {
    /// The model's name, or that of its segment.
    pub name: &'a str,
    /// All observations in figures.
    pub execution: &'a Statistics,
    /// The largest ones.
    pub sample: &'a Sample,
    /// Their fit.
    pub tail: &'a Tail,
    /// The longest observation times the margin.
    pub by_maximum: Option<u64>,
    /// n of the probability 10⁻ⁿ that is asked for.
    pub exponent: u8,
}

/// Draws one segment's tail.
#[must_use]
pub fn render(plot: &Plot<'_>) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = plot.write(&mut text);
    text
}

impl Plot<'_> {
    /// The times at the left and the right edge.
    fn range(&self) -> (u64, u64) {
        let first = self.sample.times_ns.last().copied().unwrap_or(0).min(self.execution.p50_ns);
        let bound = self.tail.bound(self.exponent);
        let last = [Some(self.execution.max_ns), self.by_maximum, bound].into_iter().flatten().max().unwrap_or(0);
        let room = (last - first.min(last)) / 30;
        (first.saturating_sub(room), last.saturating_add(room).max(first.saturating_add(1)))
    }

    fn x(&self, time: u64) -> u64 {
        let (first, last) = self.range();
        LEFT + share(time.saturating_sub(first), last - first, WIDTH - LEFT - RIGHT)
    }

    /// The `y` of a probability 10^−(`thousandths` / 1,000).
    fn y(&self, thousandths: u64) -> u64 {
        TOP + share(thousandths, self.depth() * 1_000, HEIGHT - TOP - BOTTOM)
    }

    /// How many powers of ten are shown.
    fn depth(&self) -> u64 {
        u64::from(self.exponent).max(4) + 1
    }

    fn write(&self, text: &mut String) -> fmt::Result {
        let (width, height) = (Px(WIDTH), Px(HEIGHT));
        writeln!(
            text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">"
        )?;
        writeln!(text, "<title>Execution times of {}</title>", Xml(self.name))?;
        writeln!(
            text,
            "<style>{STYLE}.seen{{fill:#0072b2;fill-opacity:.7}}.fit{{fill:none;stroke:#009e73;stroke-width:2}}\
             .most{{fill:none;stroke:#d55e00;stroke-width:1.6;stroke-dasharray:6 3}}.asked{{fill:#d55e00}}\
             .start{{stroke:#767676;stroke-width:1.2;stroke-dasharray:2 3}}</style>"
        )?;
        writeln!(text, "<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>")?;
        writeln!(
            text,
            "<text x=\"24\" y=\"32\" class=\"title\">{}: how often times are exceeded</text>",
            Xml(self.name)
        )?;
        writeln!(text, "<text x=\"24\" y=\"52\" class=\"small\">{}</text>", Xml(&summary(self.tail)))?;
        if let Some(why) = &self.tail.why {
            writeln!(text, "<text x=\"24\" y=\"68\" class=\"small\">refused: {}</text>", Xml(why))?;
        }
        self.write_axes(text)?;
        self.write_lines(text)?;
        self.write_points(text)?;
        self.write_fit(text)?;
        self.write_legend(text)?;
        writeln!(text, "</svg>")
    }

    fn write_axes(&self, text: &mut String) -> fmt::Result {
        let (left, right, bottom) = (Px(LEFT), Px(WIDTH - RIGHT), HEIGHT - BOTTOM);
        for power in 0..=self.depth() {
            let y = self.y(power * 1_000);
            writeln!(text, "<path d=\"M{left} {}H{right}\" class=\"grid\"/>", Px(y))?;
            let label = if power == 0 { "1".to_owned() } else { format!("1e-{power}") };
            writeln!(
                text,
                "<text x=\"{}\" y=\"{}\" class=\"small end\">{label}</text>",
                Px(LEFT - 8_000),
                Px(y + 4_000)
            )?;
        }
        let (first, last) = self.range();
        let step = step((last - first) / 7);
        let ticks = (1..16).map(|tick: u64| (first / step).saturating_add(tick).saturating_mul(step));
        for tick in ticks.take_while(|tick| *tick < last) {
            let x = Px(self.x(tick));
            writeln!(text, "<path d=\"M{x} {}V{}\" class=\"grid\"/>", Px(TOP), Px(bottom))?;
            let time = show(Duration::from_ns(tick));
            writeln!(text, "<text x=\"{x}\" y=\"{}\" class=\"small middle\">{time}</text>", Px(bottom + 16_000))?;
        }
        Ok(())
    }

    /// Upright lines where the tail begins, at the longest observation, and at that times the margin.
    fn write_lines(&self, text: &mut String) -> fmt::Result {
        let lines = [
            ("start", "threshold", Some(self.tail.threshold_ns)),
            ("peak", "longest", Some(self.execution.max_ns)),
            ("bound", "max × margin", self.by_maximum),
        ];
        for (row, (class, words, time)) in (0_u64..).zip(lines) {
            let Some(time) = time else { continue };
            let x = self.x(time);
            let (top, bottom) = (Px(TOP - row * 12_000), Px(HEIGHT - BOTTOM));
            writeln!(text, "<path d=\"M{} {top}V{bottom}\" class=\"{class}\"/>", Px(x))?;
            let (side, x) = if x > WIDTH / 2 { (" end", x - 4_000) } else { ("", x + 4_000) };
            // The data are above on the left, so below is room for where they begin.
            let y = if row == 0 { HEIGHT - BOTTOM - 6_000 } else { TOP - row * 12_000 };
            let (x, y, time) = (Px(x), Px(y), show(Duration::from_ns(time)));
            writeln!(text, "<text x=\"{x}\" y=\"{y}\" class=\"note{side}\">{words} {time}</text>")?;
        }
        Ok(())
    }

    fn write_points(&self, text: &mut String) -> fmt::Result {
        let mut before = None;
        for (rank, time) in (1_u64..).zip(&self.sample.times_ns) {
            let at = (self.x(*time), self.y(exceeded::power(rank, self.sample.observations)));
            // What would lie on the point before is not drawn.
            if before.is_none_or(|(x, y)| at.0.abs_diff(x) + at.1.abs_diff(y) > 700) {
                let (x, y) = (Px(at.0), Px(at.1));
                writeln!(text, "<circle cx=\"{x}\" cy=\"{y}\" r=\"2.2\" class=\"seen\"/>")?;
                before = Some(at);
            }
        }
        Ok(())
    }

    fn write_fit(&self, text: &mut String) -> fmt::Result {
        let (_, last) = self.range();
        let threshold = self.tail.threshold_ns;
        let length = last.saturating_sub(threshold);
        let place = |point: u64| threshold + share(point, POINTS, length);
        let points = (0..=POINTS).filter_map(|point| {
            let power = exceeded::by_fit(self.tail, place(point))?;
            (power <= self.depth() * 1_000).then(|| (self.x(place(point)), self.y(power)))
        });
        write_path(text, "fit", points)?;
        let bounds = TAIL_EXPONENTS.filter_map(|exponent| {
            let bound = self.tail.bound(exponent).filter(|bound| *bound <= last)?;
            Some((self.x(bound), self.y(u64::from(exponent) * 1_000)))
        });
        write_path(text, "most", bounds.filter(|(_, y)| *y <= HEIGHT - BOTTOM))?;
        if let Some(bound) = self.tail.bound(self.exponent) {
            let (x, y) = (self.x(bound), self.y(u64::from(self.exponent) * 1_000));
            writeln!(text, "<circle cx=\"{}\" cy=\"{}\" r=\"4\" class=\"asked\"/>", Px(x), Px(y))?;
            let words = format!("{} at 1e-{}", show(Duration::from_ns(bound)), self.exponent);
            writeln!(text, "<text x=\"{}\" y=\"{}\" class=\"note end\">{words}</text>", Px(x - 4_000), Px(y + 18_000))?;
        }
        Ok(())
    }

    fn write_legend(&self, text: &mut String) -> fmt::Result {
        let y = HEIGHT - 22_000;
        let mut x: u64 = 24_000;
        for (class, words) in
            [("seen", "observed"), ("fit", "fitted"), ("most", "at most (bounds)"), ("bound", "max × margin")]
        {
            if class == "seen" {
                writeln!(
                    text,
                    "<circle cx=\"{}\" cy=\"{}\" r=\"2.2\" class=\"seen\"/>",
                    Px(x + 11_000),
                    Px(y - 4_000)
                )?;
            } else {
                writeln!(text, "<path d=\"M{} {}h22\" class=\"{class}\"/>", Px(x), Px(y - 4_000))?;
            }
            writeln!(text, "<text x=\"{}\" y=\"{}\" class=\"small\">{words}</text>", Px(x + 28_000), Px(y))?;
            x += 44_000 + number(words.chars().count()) * 6_500;
        }
        Ok(())
    }
}

fn write_path(text: &mut String, class: &str, points: impl Iterator<Item = (u64, u64)>) -> fmt::Result {
    let mut path = String::new();
    for (x, y) in points {
        write!(path, "{}{} {}", if path.is_empty() { "M" } else { "L" }, Px(x), Px(y))?;
    }
    if path.is_empty() { Ok(()) } else { writeln!(text, "<path d=\"{path}\" class=\"{class}\"/>") }
}

/// A step of 1, 2 or 5 times a power of ten, at least as long as `least`.
fn step(least: u64) -> u64 {
    let mut power: u64 = 1;
    loop {
        for factor in [1, 2, 5] {
            let step = power.saturating_mul(factor);
            if step >= least {
                return step;
            }
        }
        power = power.saturating_mul(10);
    }
}

/// What was fitted to what, in a line.
#[must_use]
pub fn summary(tail: &Tail) -> String {
    let thousandths = |ppm: u64| format!("{}.{:03}", ppm / 1_000_000, ppm % 1_000_000 / 1_000);
    let mut text = format!(
        "{} observations, {} above {}, extremal index {}, {} peaks",
        tail.observations,
        tail.exceedances,
        show(Duration::from_ns(tail.threshold_ns)),
        thousandths(tail.extremal_index_ppm),
        tail.peaks
    );
    if let Some(fit) = &tail.fit {
        let sign = if fit.shape_ppm < 0 { "-" } else { "" };
        let (shape, p) = (thousandths(fit.shape_ppm.unsigned_abs()), thousandths(fit.p_value_ppm));
        // Writing to a string does not fail.
        let _ = write!(text, ", shape {sign}{shape}, scale {}, p-value {p}", show(Duration::from_ns(fit.scale_ns)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Plot, render, step, summary};
    use crate::profile::Statistics;
    use crate::tail::{self, Sample};

    #[test]
    fn a_plot_has_its_points_its_fit_and_its_bounds_and_a_refused_one_only_points() {
        let mut random = fastrand::Rng::with_seed(5);
        let series: Vec<u64> =
            (0..4_000).map(|_| 5_000_000 + random.u64(1..=400_000) * random.u64(1..=400_000) / 800_000).collect();
        let max_ns = series.iter().copied().max().unwrap();
        let execution = Statistics {
            runs: 4_000,
            min_ns: 5_000_000,
            mean_ns: 5_100_000,
            p50_ns: 5_069_000,
            p99_ns: 0,
            p999_ns: 0,
            max_ns,
        };
        let sample = Sample::of(&series);
        let fitted = tail::of(&sample);
        let plot = |tail| {
            let by_maximum = Some(max_ns + max_ns / 4);
            render(&Plot { name: "face<1>", execution: &execution, sample: &sample, tail, by_maximum, exponent: 9 })
        };
        let text = plot(&fitted);
        assert!(
            text.contains("face&lt;1&gt;") && text.contains("class=\"fit\"") && text.contains("at 1e-9</text>"),
            "{text}"
        );
        assert!(text.matches("class=\"seen\"").count() > 50 && text.contains("max × margin"));
        assert_eq!(text, plot(&fitted));
        let refused = tail::of(&Sample { observations: 90, ..Sample::of(&series[..90]) });
        let text = plot(&refused);
        assert!(text.contains("refused: ") && !text.contains("at 1e-9</text>"), "{text}");
        assert!(summary(&fitted).contains("4000 observations, 400 above"), "{}", summary(&fitted));
        assert_eq!([0, 1, 3, 11, 60, 1_001].map(step), [1, 1, 5, 20, 100, 2_000]);
    }
}
