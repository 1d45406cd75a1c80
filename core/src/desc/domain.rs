//! The fault domains of a vehicle: what fails together, and takes nothing else with it.

/// The most fault domains that a plan has: the dispatcher has a bit for each.
pub const MOST_DOMAINS: usize = 64;

/// A fault domain: a process that tasks and their models lie in.
///
/// One that has failed stays so until the run ends, since nothing starts it again: its tasks release nothing, and what they had
/// released delivers nothing. All other tasks go on as proven.
#[derive(Clone, Copy, Debug)]
pub struct DomainDesc {
    /// The name in the manifest.
    pub name: &'static str,
}
