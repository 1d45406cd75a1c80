//! Fault domains with what their processes may do.

use super::Span;
use aegis_core::desc::RestartDesc;
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
    /// How often it is started again after its end; `None`: never.
    pub restart: Option<Restart>,
    /// The position of the mode that is asked for when it fails, until it is restored.
    pub meanwhile: Option<usize>,
    /// The core of its thread for each lane that has a task of it with a model, in the lanes' order, where threads poll; otherwise
    /// empty.
    pub cores: Vec<u16>,
}

/// How often a process is started again, and what that takes of others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restart {
    /// The policy that the vehicle follows.
    pub policy: RestartDesc,
    /// How long starting and loading may keep any lane from going on, at most, in all.
    pub blackout: Duration,
    /// Where the back-off is given, or else the policy.
    pub back_off_span: Span,
}
