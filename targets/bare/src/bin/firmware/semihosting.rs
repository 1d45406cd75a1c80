//! Arm's semihosting, version 2.0: the host's standard output and the end of the run.

use super::machine::call;
use core::fmt;

/// The operations, by their numbers in the specification.
const SYS_OPEN: usize = 0x01;
const SYS_WRITE: usize = 0x05;
const SYS_EXIT_EXTENDED: usize = 0x20;

/// The mode in which `:tt` is the standard output.
const WRITE: usize = 4;
/// Why a program ends: as it meant to.
const APPLICATION_EXIT: usize = 0x2_0026;

/// The standard output, buffered: a call costs more than a line.
pub(super) struct Output {
    handle: usize,
    bytes: [u8; 1024],
    length: usize,
    /// Whether everything was written so far.
    complete: bool,
}

impl Output {
    /// The host's standard output, if it lends it.
    pub(super) fn open() -> Option<Self> {
        let name = c":tt";
        let block = [name.as_ptr().addr(), WRITE, name.count_bytes()];
        let handle = call(SYS_OPEN, &block);
        (handle != usize::MAX).then_some(Self { handle, bytes: [0; 1024], length: 0, complete: true })
    }

    /// Writes the rest; whether all was written.
    pub(super) fn close(mut self) -> bool {
        self.flush();
        self.complete
    }

    fn flush(&mut self) {
        let block = [self.handle, self.bytes.as_ptr().addr(), self.length];
        // The answer is how many bytes were not written.
        self.complete &= call(SYS_WRITE, &block) == 0;
        self.length = 0;
    }
}

impl fmt::Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.length >= self.bytes.len() {
                self.flush();
            }
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = byte;
                self.length = self.length.saturating_add(1);
            }
        }
        Ok(())
    }
}

/// Ends the run with a status.
pub(super) fn exit(status: usize) -> ! {
    loop {
        call(SYS_EXIT_EXTENDED, &[APPLICATION_EXIT, status]);
    }
}
