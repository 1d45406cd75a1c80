//! The command line of a vehicle's binary.

use crate::metrics::Options;
use crate::table::ms;
use aegis_core::Duration;
use aegis_trace::{LEAST_LIMIT, is_lines};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What the flags mean; printed with every refusal.
pub const USAGE: &str = "\
usage: VEHICLE [--for DURATION] [--trace FILE] [--trace-limit SIZE] [--summary FILE] [--metrics FILE]
               [--metrics-every DURATION] [--metrics-listen ADDRESS:PORT] [--metrics-allow-remote]
               [--describe] [--allow-void]
  --for DURATION   stop after this time (\"10s\", \"500ms\"); otherwise at Ctrl-C
  --trace FILE     write every decision: JSON lines where the name ends in \".jsonl\", else the binary form
  --trace-limit SIZE
                   of the binary form keep the newest so many bytes (\"64MiB\"); otherwise all
  --summary FILE   write the counts of the run as JSON
  --metrics FILE   write metrics for Prometheus' textfile collector, again and again
  --metrics-every DURATION
                   how often: at least \"100ms\", otherwise \"1s\"
  --metrics-listen ADDRESS:PORT
                   answer to GET /metrics, as at \"127.0.0.1:9464\"
  --metrics-allow-remote
                   let others than this machine read them there
  --describe       print the plan inside this binary and exit
  --allow-void     do not fail only because the guarantee is void on this machine";

/// The parsed command line.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Args {
    /// How long to run; `None`: until a signal.
    pub run_for: Option<Duration>,
    /// Where the trace goes.
    pub trace: Option<PathBuf>,
    /// How many bytes the trace may have in all its parts; `None`: any number.
    pub trace_limit: Option<u64>,
    /// Where the summary goes.
    pub summary: Option<PathBuf>,
    /// Where metrics go.
    pub metrics: Options,
    /// Print the plan instead of running it.
    pub describe: bool,
    /// Exit 0 although the guarantee is void.
    pub allow_void: bool,
    /// Print the usage instead of running.
    pub help: bool,
}

/// The command line cannot be understood.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UsageError {
    /// A flag that does not exist.
    #[error("unknown argument \"{0}\"")]
    Unknown(String),
    /// A flag without its value.
    #[error("{0} needs a value")]
    NoValue(&'static str),
    /// A duration that cannot be read.
    #[error("\"{0}\" is not a duration: write a number with ns, us, ms, s or min, as in \"500ms\"")]
    Duration(String),
    /// A size that cannot be read, or one that no trace can keep.
    #[error(
        "\"{0}\" is no size of a trace: write a whole number with KiB, MiB or GiB, as in \"64MiB\"; the smallest is {least}MiB",
        least = LEAST_LIMIT >> 20
    )]
    Size(String),
    /// A limit where nothing is limited.
    #[error(
        "--trace-limit needs --trace with a name that does not end in \".jsonl\": only the binary form drops what is oldest"
    )]
    NoLimit,
    /// A time between two files that is too short.
    #[error("--metrics-every {}: the shortest is {}, since there is nothing new before", ms(*.0), ms(Options::SHORTEST))]
    Every(Duration),
    /// A flag that means nothing without another one.
    #[error("{0} means nothing without {1}: add {1}")]
    Alone(&'static str, &'static str),
    /// An address that cannot be read.
    #[error("\"{0}\" is not an address with a port: write numbers, as in \"127.0.0.1:9464\" or \"[::1]:9464\"")]
    Address(String),
    /// An address at which others than this machine could read.
    #[error(
        "--metrics-listen {0}: that is no address of this machine alone, so whoever reaches it could read the metrics: write 127.0.0.1 \
         or [::1], or add --metrics-allow-remote"
    )]
    Remote(SocketAddr),
}

/// Parses the arguments after the program's name; both `--flag value` and `--flag=value` are understood.
///
/// # Errors
/// [`UsageError`] for the first argument that cannot be understood.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Args, UsageError> {
    let (mut args, mut allow_remote) = (Args::default(), false);
    let mut rest = arguments.into_iter();
    while let Some(argument) = rest.next() {
        let text = argument.to_string_lossy().into_owned();
        let (flag, inline) = match text.split_once('=') {
            Some((flag, value)) => (flag, Some(OsString::from(value))),
            None => (text.as_str(), None),
        };
        let mut value = |name| inline.clone().or_else(|| rest.next()).ok_or(UsageError::NoValue(name));
        match flag {
            "--for" => {
                let text = value("--for")?.to_string_lossy().into_owned();
                args.run_for = Some(parse_duration(&text).ok_or(UsageError::Duration(text))?);
            }
            "--trace" => args.trace = Some(value("--trace")?.into()),
            "--trace-limit" => {
                let text = value("--trace-limit")?.to_string_lossy().into_owned();
                args.trace_limit = Some(parse_size(&text).ok_or(UsageError::Size(text))?);
            }
            "--summary" => args.summary = Some(value("--summary")?.into()),
            "--metrics" => args.metrics.file = Some(value("--metrics")?.into()),
            "--metrics-every" => {
                let text = value("--metrics-every")?.to_string_lossy().into_owned();
                args.metrics.every = Some(parse_duration(&text).ok_or(UsageError::Duration(text))?);
            }
            "--metrics-listen" => {
                let text = value("--metrics-listen")?.to_string_lossy().into_owned();
                args.metrics.listen = Some(text.parse().map_err(|_| UsageError::Address(text))?);
            }
            "--metrics-allow-remote" if inline.is_none() => allow_remote = true,
            "--describe" if inline.is_none() => args.describe = true,
            "--allow-void" if inline.is_none() => args.allow_void = true,
            "--help" | "-h" if inline.is_none() => args.help = true,
            _ => return Err(UsageError::Unknown(text)),
        }
    }
    if args.trace_limit.is_some() && args.trace.as_deref().is_none_or(is_lines) {
        return Err(UsageError::NoLimit);
    }
    check_metrics(&args.metrics, allow_remote)?;
    Ok(args)
}

/// Whether what is asked for of metrics makes sense together.
fn check_metrics(metrics: &Options, allow_remote: bool) -> Result<(), UsageError> {
    match metrics.every {
        Some(_) if metrics.file.is_none() => return Err(UsageError::Alone("--metrics-every", "--metrics FILE")),
        Some(every) if every < Options::SHORTEST => return Err(UsageError::Every(every)),
        _ => {}
    }
    match metrics.listen {
        None if allow_remote => Err(UsageError::Alone("--metrics-allow-remote", "--metrics-listen ADDRESS:PORT")),
        Some(address) if !address.ip().to_canonical().is_loopback() && !allow_remote => {
            Err(UsageError::Remote(address))
        }
        _ => Ok(()),
    }
}

/// A whole number with a unit: `ns`, `us`, `µs`, `ms`, `s` or `min`.
fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start() {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "min" => 60_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).map(Duration::from_ns)
}

/// A whole number of bytes with `KiB`, `MiB` or `GiB`, at least [`LEAST_LIMIT`].
fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start() {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|bytes| *bytes >= LEAST_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::{Args, UsageError, parse};
    use aegis_core::Duration;

    fn of(arguments: &[&str]) -> Result<Args, UsageError> {
        parse(arguments.iter().map(Into::into))
    }

    #[test]
    fn all_flags_are_understood() {
        let args = of(&["--for", "10s", "--trace=t.jsonl", "--summary", "s.json", "--allow-void"]).unwrap();
        assert_eq!(args.run_for, Some(Duration::from_ns(10_000_000_000)));
        assert_eq!((args.trace.unwrap(), args.summary.unwrap()), ("t.jsonl".into(), "s.json".into()));
        assert!(args.allow_void && !args.describe);
        assert_eq!(of(&["--for=500ms"]).unwrap().run_for, Some(Duration::from_ns(500_000_000)));
        assert!(of(&["--describe"]).unwrap().describe);
        assert_eq!(of(&[]), Ok(Args::default()));
        for (size, bytes) in [("1MiB", 1 << 20), ("2048 KiB", 2 << 20), ("3GiB", 3 << 30)] {
            assert_eq!(of(&["--trace", "t", "--trace-limit", size]).unwrap().trace_limit, Some(bytes), "{size}");
        }
    }

    #[test]
    fn metrics_are_read_on_this_machine_unless_the_user_says_otherwise() {
        let args = of(&["--metrics", "m.prom", "--metrics-every=500ms", "--metrics-listen", "127.0.0.1:9464"]).unwrap();
        assert_eq!(args.metrics.file, Some("m.prom".into()));
        assert_eq!(args.metrics.every, Some(Duration::from_ns(500_000_000)));
        assert_eq!(args.metrics.listen, Some("127.0.0.1:9464".parse().unwrap()));
        for local in ["[::1]:0", "127.8.0.1:80", "[::ffff:127.0.0.1]:80"] {
            assert!(of(&["--metrics-listen", local]).is_ok(), "{local}");
        }
        for remote in ["0.0.0.0:9464", "[::]:9464", "192.0.2.1:9464", "[::ffff:192.0.2.1]:80"] {
            let address = remote.parse().unwrap();
            assert_eq!(of(&["--metrics-listen", remote]), Err(UsageError::Remote(address)), "{remote}");
            assert!(of(&["--metrics-listen", remote, "--metrics-allow-remote"]).is_ok(), "{remote}");
        }
        for bad in ["localhost:9464", "127.0.0.1", ":9464", "9464", "127.0.0.1:65536"] {
            assert_eq!(of(&["--metrics-listen", bad]), Err(UsageError::Address(bad.into())), "{bad}");
        }
        assert!(matches!(of(&["--metrics-every", "1s"]), Err(UsageError::Alone("--metrics-every", _))));
        assert!(matches!(of(&["--metrics-allow-remote"]), Err(UsageError::Alone("--metrics-allow-remote", _))));
        let often = of(&["--metrics=m", "--metrics-every=99ms"]).unwrap_err();
        assert_eq!(often, UsageError::Every(Duration::from_ns(99_000_000)));
        assert!(often.to_string().contains("99.000 ms: the shortest is 100.000 ms"), "{often}");
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert_eq!(of(&["--fast"]), Err(UsageError::Unknown("--fast".into())));
        assert_eq!(of(&["--describe=yes"]), Err(UsageError::Unknown("--describe=yes".into())));
        assert_eq!(of(&["--trace"]), Err(UsageError::NoValue("--trace")));
        for bad in ["10", "MiB", "1023KiB", "1MB", "-1MiB", "99999999999999999999GiB"] {
            assert_eq!(of(&["--trace=t", "--trace-limit", bad]), Err(UsageError::Size(bad.into())), "{bad}");
        }
        assert!(UsageError::Size("5".into()).to_string().ends_with("the smallest is 1MiB"));
        for useless in [&["--trace-limit=1MiB"][..], &["--trace-limit=1MiB", "--trace=t.jsonl"]] {
            assert_eq!(of(useless), Err(UsageError::NoLimit));
        }
        for bad in ["10", "s", "1.5s", "-1s", "99999999999999999999s", "18446744073709551615min"] {
            assert_eq!(of(&["--for", bad]), Err(UsageError::Duration(bad.into())), "{bad}");
        }
    }
}
