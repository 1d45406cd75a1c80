//! Linux's watchdog device: from its opening on it resets the machine unless it is written to in time.
// The ioctl that tells the device's timeout has no safe wrapper in rustix.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::time::Duration;

/// An open watchdog device. Dropped, it keeps counting: only [`Device::close`] can stop it.
#[derive(Debug)]
pub struct Device {
    file: File,
}

/// `_IOR('W', 7, int)`, as on every architecture that this target is for.
const WDIOC_GETTIMEOUT: libc::c_ulong = 0x8004_5707;
/// What is written before closing so that the device stops counting.
const MAGIC_CLOSE: &[u8] = b"V";

impl Device {
    /// Opens the device, which begins to count.
    ///
    /// # Errors
    /// It does not exist, belongs to others, or another process has it.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: OpenOptions::new().write(true).open(path)? })
    }

    /// How long it waits for a pet; `None` where it does not tell.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        let mut seconds: libc::c_int = 0;
        // SAFETY: the descriptor is open, and the call writes one `int` to a place that outlives it.
        let result = unsafe { libc::ioctl(self.file.as_raw_fd(), WDIOC_GETTIMEOUT as _, &raw mut seconds) };
        let seconds = u64::try_from(seconds).ok().filter(|seconds| result == 0 && *seconds > 0);
        seconds.map(Duration::from_secs)
    }

    /// Makes it count from the start again.
    ///
    /// # Errors
    /// The system's.
    pub fn pet(&mut self) -> io::Result<()> {
        self.file.write_all(b"\0")
    }

    /// Closes it; only if `clean` it stops counting, and not even then where the kernel was told so (`nowayout`).
    ///
    /// # Errors
    /// The system's.
    pub fn close(mut self, clean: bool) -> io::Result<()> {
        if clean { self.file.write_all(MAGIC_CLOSE) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::Device;

    #[test]
    fn only_a_clean_end_writes_the_letter_that_stops_the_device() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("watchdog");
        assert!(Device::open(&path).is_err(), "a device is never made");
        for (clean, written) in [(false, b"\0\0".as_slice()), (true, b"\0\0V")] {
            std::fs::write(&path, "").unwrap();
            let mut device = Device::open(&path).unwrap();
            assert_eq!(device.timeout(), None, "a file tells no timeout");
            device.pet().unwrap();
            device.pet().unwrap();
            device.close(clean).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), written);
        }
    }
}
