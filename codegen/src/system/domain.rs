//! Fault domains with what their processes may do.

use super::Span;
use aegis_core::time::Duration;
use aegis_core::units::Bytes;

/// A fault domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Domain {
    /// The name in the manifest.
    pub name: String,
    /// Its process; `None` where no task of it runs a model.
    pub process: Option<Process>,
    /// The first of its models that is not trusted: then nobody assumes that the domain keeps what is said of it.
    pub untrusted: Option<String>,
    /// Where it stands.
    pub span: Span,
}

/// The process that runs the models of a domain's tasks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    /// So long after it began a piece that is not over is killed, with the process.
    pub kill_after: Duration,
    /// What handing a segment over and back costs, at most; part of the tasks' WCETs.
    pub hand_over: Duration,
    /// How long the end of the process may keep any lane from going on, at most.
    pub blackout: Duration,
    /// How often it shows that it lives, if it does.
    pub heartbeat: Option<Duration>,
    /// The most memory that it may have, if that is limited.
    pub memory: Option<Bytes>,
}
