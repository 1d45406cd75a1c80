//! Log lines for people, on standard error: `aegis: warning: …`.
//!
//! The environment variable `AEGIS_LOG` is the least important level that is shown: `off`, `error`, `warn`, `info`,
//! `debug` or `trace`; `info` where it is not set or says something else. Libraries that use the `log` crate are heard
//! too. Only ordinary threads and the start of a run log anything: a line costs heap memory and a system call.

use log::{Level, LevelFilter, Log, Metadata, Record};
use std::io::Write as _;

/// The environment variable that names the level.
pub const VARIABLE: &str = "AEGIS_LOG";

struct Logger;

/// Makes this the logger of the process; where it already has one, that stays.
pub fn install() {
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(level(std::env::var(VARIABLE).ok().as_deref()));
    }
}

fn level(text: Option<&str>) -> LevelFilter {
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(LevelFilter::Info)
}

fn line(record: &Record<'_>) -> String {
    let kind = match record.level() {
        Level::Error => "error: ",
        Level::Warn => "warning: ",
        Level::Info => "",
        Level::Debug => "debug: ",
        Level::Trace => "trace: ",
    };
    format!("aegis: {kind}{}\n", record.args())
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            // One write a line, so that lines of several threads do not mix; there is no place to tell a failure.
            let _ = std::io::stderr().write_all(line(record).as_bytes());
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::{level, line};
    use log::{Level, LevelFilter, Record};

    #[test]
    fn a_line_names_the_program_and_the_level() {
        let text = |level| line(&Record::builder().level(level).args(format_args!("VOID")).build());
        assert_eq!(text(Level::Warn), "aegis: warning: VOID\n");
        assert_eq!(text(Level::Error), "aegis: error: VOID\n");
        assert_eq!(text(Level::Info), "aegis: VOID\n");
    }

    #[test]
    fn an_unknown_level_is_the_default() {
        assert_eq!((level(None), level(Some("loud"))), (LevelFilter::Info, LevelFilter::Info));
        assert_eq!((level(Some("off")), level(Some(" WARN "))), (LevelFilter::Off, LevelFilter::Warn));
    }
}
