//! Which text format a client asks for.

use super::encode::Format;

/// The format for the values of a request's `Accept` header lines: OpenMetrics where the client names it and does not like plain
/// text more, plain text otherwise, also where it names neither: every reader of metrics knows that one.
pub(super) fn format<'a>(lines: impl Iterator<Item = &'a str>) -> Format {
    let (mut open, mut plain) = (0, 0);
    for entry in lines.flat_map(|line| line.split(',')) {
        let mut parts = entry.split(';').map(str::trim);
        let media = parts.next().unwrap_or("");
        let weight = parts.find_map(|part| weight(part.split_once('=')?)).unwrap_or(FULL);
        let best: &mut u16 = match media {
            _ if media.eq_ignore_ascii_case("application/openmetrics-text") => &mut open,
            _ if media.eq_ignore_ascii_case("text/plain") => &mut plain,
            _ => continue,
        };
        *best = (*best).max(weight);
    }
    if open > 0 && open >= plain { Format::OpenMetrics } else { Format::Prometheus }
}

/// A weight of 1, in thousandths.
const FULL: u16 = 1_000;

/// The weight of a parameter `q`, in thousandths: a digit and at most three decimals (RFC 9110, 12.4.2). What is none counts as 0.
fn weight((name, value): (&str, &str)) -> Option<u16> {
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, part) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let thousandths = format!("{part:0<3}").parse::<u16>();
    match (whole, thousandths) {
        ("0", Ok(thousandths)) if part.len() <= 3 => Some(thousandths),
        ("1", Ok(0)) if part.len() <= 3 => Some(FULL),
        _ => Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::format;
    use crate::metrics::Format;

    #[test]
    fn a_client_gets_what_it_likes_most_of_what_there_is() {
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
                            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let of = |line: &str| format([line].into_iter());
        for open in [prometheus_3, "application/openmetrics-text", "text/html, Application/OpenMetrics-Text; Q=0.001"] {
            assert_eq!(of(open), Format::OpenMetrics, "{open}");
        }
        assert_eq!(format(["text/html", "application/openmetrics-text"].into_iter()), Format::OpenMetrics);
        for plain in [
            "",
            "*/*",
            "text/html",
            "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text;q=0.3,text/plain",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.",
            "application/openmetrics-text;q=9",
            "application/openmetrics-text;q=0.12345",
            "application/openmetrics-text;q=,;;=,",
        ] {
            assert_eq!(of(plain), Format::Prometheus, "{plain}");
        }
        assert_eq!(format(std::iter::empty()), Format::Prometheus);
    }
}
