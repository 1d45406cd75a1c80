//! How often the process of a fault domain is started again.

use super::Span;
use aegis_core::desc::RestartDesc;
use aegis_core::time::Duration;

/// `restart = { … }` of a domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restart {
    /// The policy that the vehicle follows.
    pub policy: RestartDesc,
    /// How long starting and loading the process may keep any lane from going on, at most, in all; zero where nobody else runs.
    pub blackout: Duration,
    /// Where the back-off is given, or else the policy.
    pub back_off_span: Span,
}

impl Restart {
    /// The back-off where none is given and the window is not shorter.
    pub const BACK_OFF: Duration = Duration::from_ns(100_000_000);
}
