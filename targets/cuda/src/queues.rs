//! The queues by which work reaches a device.
//!
//! The driver gives a process a number of them for each device, 8 where nothing is said, at most 32. Streams beyond their number share some,
//! and what one stream has submitted to a shared queue waits for what another submitted there before, whatever SMs both have: a part of a
//! device is then no part of its own. The driver reads the number from the environment when it is initialised.
// Changes the process's environment.
#![allow(unsafe_code)]

use cudarc::driver::result::device::get_count;
use std::sync::OnceLock;

/// The variable that the driver reads, and the greatest number that it takes.
const QUEUES: (&str, &str) = ("CUDA_DEVICE_MAX_CONNECTIONS", "32");

/// Asks for as many queues as the driver makes, whatever the environment asked for before. Without effect once anything in the process
/// has initialised the driver.
///
/// # Safety
/// No other thread of the process reads or changes environment variables meanwhile.
pub unsafe fn ask_for_all_queues() {
    if !are_asked_for() {
        // SAFETY: what the caller promises.
        unsafe { std::env::set_var(QUEUES.0, QUEUES.1) };
    }
}

fn are_asked_for() -> bool {
    std::env::var_os(QUEUES.0).is_some_and(|asked| asked == QUEUES.1)
}

/// Whether the driver makes all queues for this process. To be asked first right before this crate initialises the driver: it must not have
/// been by anyone else. The driver's library is there.
pub(crate) fn are_all() -> bool {
    static ALL: OnceLock<bool> = OnceLock::new();
    *ALL.get_or_init(|| are_asked_for() && get_count().is_err())
}
