//! Reads what Linux tells of a shortage, and trusts none of it: what is not exactly as Linux writes it is an error.

use aegis_core::desc::WatchedSource;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Why there is no reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unreadable {
    /// The system's error.
    #[error("the system says: {0}")]
    Refused(rustix::io::Errno),
    /// A line is missing.
    #[error("it has no line \"{0}\"")]
    NoLine(&'static str),
    /// A line does not say what it should.
    #[error("its line \"{0}\" is not as Linux writes it")]
    Malformed(&'static str),
}

/// A file in which Linux tells of a shortage, opened once.
#[derive(Debug)]
pub struct Gauge {
    source: WatchedSource,
    file: File,
}

/// Where a source is told, below where `/proc` is mounted.
#[must_use]
pub fn path(root: &Path, source: WatchedSource) -> PathBuf {
    root.join(match source {
        WatchedSource::MemorySome | WatchedSource::MemoryFull => "pressure/memory",
        WatchedSource::IoSome | WatchedSource::IoFull => "pressure/io",
        WatchedSource::CpuSome => "pressure/cpu",
        WatchedSource::FreeMemory => "meminfo",
    })
}

impl Gauge {
    /// Opens a source's file below `root`.
    ///
    /// # Errors
    /// The system's: this kernel was built or started without pressure stall information, for example.
    pub fn open(root: &Path, source: WatchedSource) -> io::Result<Self> {
        Ok(Self { source, file: File::open(path(root, source))? })
    }

    /// What is watched.
    #[must_use]
    pub const fn source(&self) -> WatchedSource {
        self.source
    }

    /// A reading, in the source's own unit.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(&self) -> Result<u64, Unreadable> {
        // The pressure files have two lines; of `meminfo` the third line is meant.
        let mut buffer = [0_u8; 4_096];
        let length = rustix::io::pread(&self.file, &mut buffer, 0).map_err(Unreadable::Refused)?;
        parse(self.source, buffer.get(..length).unwrap_or_default())
    }
}

/// What a source's file says.
///
/// # Errors
/// [`Unreadable`].
pub fn parse(source: WatchedSource, text: &[u8]) -> Result<u64, Unreadable> {
    let (line, read): (_, fn(&[u8]) -> _) = match source {
        WatchedSource::MemorySome | WatchedSource::IoSome | WatchedSource::CpuSome => ("some", share),
        WatchedSource::MemoryFull | WatchedSource::IoFull => ("full", share),
        WatchedSource::FreeMemory => ("MemAvailable:", kibibytes),
    };
    let mut lines = text.split(|byte| *byte == b'\n');
    let rest = lines.find_map(|found| found.strip_prefix(line.as_bytes()).filter(|rest| rest.starts_with(b" ")));
    read(rest.ok_or(Unreadable::NoLine(line))?).ok_or(Unreadable::Malformed(line))
}

/// ` avg10=1.23 avg60=…`: in hundredths, at most 100.00.
fn share(rest: &[u8]) -> Option<u64> {
    let rest = rest.strip_prefix(b" avg10=")?;
    let end = rest.iter().position(|byte| *byte == b' ')?;
    let value = rest.get(..end)?;
    let point = value.iter().position(|byte| *byte == b'.')?;
    let (whole, hundredths) = (value.get(..point)?, value.get(point.checked_add(1)?..)?);
    let hundredths = if hundredths.len() == 2 { number(hundredths)? } else { return None };
    let share = number(whole)?.checked_mul(100)?.checked_add(hundredths)?;
    (share <= WatchedSource::WHOLE).then_some(share)
}

/// `    1234 kB`, in bytes.
fn kibibytes(rest: &[u8]) -> Option<u64> {
    let rest = rest.trim_ascii_start().strip_suffix(b" kB")?;
    number(rest)?.checked_mul(1_024)
}

fn number(digits: &[u8]) -> Option<u64> {
    // `parse` would take a sign.
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Gauge, Unreadable, parse};
    use WatchedSource::{CpuSome, FreeMemory, IoFull, MemoryFull, MemorySome};
    use aegis_core::desc::WatchedSource;

    const PSI: &[u8] = b"some avg10=12.07 avg60=3.00 avg300=0.50 total=123456\n\
                         full avg10=100.00 avg60=1.00 avg300=0.25 total=65432\n";
    const MEMINFO: &[u8] = b"MemTotal:       16384256 kB\nMemFree:         1024000 kB\nMemAvailable:    8192128 kB\n\
                             Buffers:          123456 kB\n";

    #[test]
    fn what_linux_writes_is_read_in_hundredths_and_in_bytes() {
        for (source, text, reading) in [
            (MemorySome, PSI, 1_207),
            (MemoryFull, PSI, 10_000),
            (IoFull, PSI, 10_000),
            (CpuSome, b"some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n".as_slice(), 0),
            (FreeMemory, MEMINFO, 8_192_128 * 1_024),
        ] {
            assert_eq!(parse(source, text), Ok(reading), "{source:?}");
        }
    }

    #[test]
    fn what_linux_does_not_write_is_an_error_and_no_reading() {
        let malformed = [
            "some avg10=12.7 avg60=",
            "some avg10=12.070 avg60=",
            "some avg10=12 avg60=",
            "some avg10=.07 avg60=",
            "some avg10=+1.07 avg60=",
            "some avg10=-1.07 avg60=",
            "some avg10=100.01 avg60=",
            "some avg10=99999999999999999999.00 avg60=",
            "some avg10=18446744073709551615.99 avg60=",
            "some avg10=nan avg60=",
            "some avg10=12.07",
            "some avg60=12.07 avg10=1.00 x",
            "some  avg10=12.07 ",
            "some ",
        ];
        for text in malformed {
            assert_eq!(parse(MemorySome, text.as_bytes()), Err(Unreadable::Malformed("some")), "{text}");
        }
        for text in ["", "\n", "full avg10=1.00 avg60=", "something avg10=1.00 avg60=", "some", " some avg10=1.00 a"] {
            assert_eq!(parse(MemorySome, text.as_bytes()), Err(Unreadable::NoLine("some")), "{text}");
        }
        for text in [
            "MemAvailable: 1 MB",
            "MemAvailable: 1kB",
            "MemAvailable: 12 k",
            "MemAvailable: -1 kB",
            "MemAvailable: 18014398509481984 kB",
            "MemAvailable: 99999999999999999999 kB",
            "MemAvailable:  kB",
            "MemAvailable: 1 2 kB",
        ] {
            assert_eq!(parse(FreeMemory, text.as_bytes()), Err(Unreadable::Malformed("MemAvailable:")), "{text}");
        }
        assert_eq!(parse(FreeMemory, b"MemFree: 1 kB\n"), Err(Unreadable::NoLine("MemAvailable:")));
        assert_eq!(parse(MemorySome, b"some avg10=\xff.00 "), Err(Unreadable::Malformed("some")));
    }

    #[test]
    fn a_file_is_read_anew_each_time_and_one_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Gauge::open(folder.path(), MemorySome).is_err());
        std::fs::create_dir(folder.path().join("pressure")).unwrap();
        let path = folder.path().join("pressure/memory");
        std::fs::write(&path, PSI).unwrap();
        let gauge = Gauge::open(folder.path(), MemorySome).unwrap();
        assert_eq!((gauge.source(), gauge.read()), (MemorySome, Ok(1_207)));
        std::fs::write(&path, "some avg10=0.05 avg60=").unwrap();
        assert_eq!(gauge.read(), Ok(5));
        std::fs::write(&path, "").unwrap();
        assert_eq!(gauge.read(), Err(Unreadable::NoLine("some")));
    }

    #[test]
    fn this_machines_own_files_are_read() {
        for source in WatchedSource::ALL {
            match Gauge::open("/proc".as_ref(), source) {
                Ok(gauge) => {
                    let reading = gauge.read().unwrap();
                    let is_share = !source.is_short_when_low();
                    assert!(
                        if is_share { reading <= WatchedSource::WHOLE } else { reading > 0 },
                        "{source:?} {reading}"
                    );
                }
                Err(error) => eprintln!("skipped {}: this machine does not tell it: {error}", source.name()),
            }
        }
    }
}
