//! The parts of a GPU that lanes have.

use aegis_core::desc::Waiting;
use toml::Spanned;

/// The part of a device of kind `gpu` that a lane alone has. The device has a [`Device::profile`](super::Device::profile), and
/// every other lane of it that has tasks has a part, too.
#[derive(Clone, Debug)]
pub struct Partition {
    /// How many of the device's streaming multiprocessors; more than zero.
    pub sms: Spanned<u16>,
    /// How the lane's thread learns that a segment is complete.
    pub completion: Waiting,
}

/// Whether what a device's `profile` says is a path, relative to the manifest, and not the name of a built-in profile.
#[must_use]
pub fn is_path(profile: &str) -> bool {
    profile.ends_with(".toml")
}
