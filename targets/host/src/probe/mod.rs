//! The plan-free probe: measures a machine, its lanes and its models, asked and answering in JSON.
//!
//! It uses the very threads, mailboxes, allocator and engine of a vehicle, so that what it measures is what a
//! vehicle will spend.

mod bench;
mod context;
mod devices;
mod engines;
mod lanes;
mod launches;
mod measure;
mod models;
mod protocol;
mod record;
mod sharing;
mod state;
mod statistics;
mod wiring;

pub use protocol::{Answer, ModelAnswer, Request};
pub use sharing::take_role;
pub use statistics::Stats;

use crate::backend::BackendError;
use crate::runtimes::Runtimes;
use aegis_core::desc::Backend;
use aegis_linux::machine::Machine;
use aegis_linux::realtime::{LANE_PRIORITY, Throttle, fifo, lock_memory};
use devices::Devices;
use engines::Providers;
use protocol::{RealTime, RuntimeInfo, SCHEMA};
use std::collections::BTreeSet;
use std::path::Path;

/// Why the probe gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The request cannot be understood: exit status 2.
    #[error("bad request: {0}")]
    Request(String),
    /// The probe cannot work at all: exit status 3.
    #[error("{0}")]
    Backend(#[from] BackendError),
    /// The GPU that is asked for cannot be opened: exit status 3.
    #[error("{0}")]
    Device(String),
    /// The system refused a thread or a timer: exit status 3.
    #[error("{what}: {error}")]
    System {
        /// What was refused.
        what: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
}

impl ProbeError {
    /// The exit status.
    #[must_use]
    pub const fn status(&self) -> u8 {
        match self {
            Self::Request(_) => 2,
            Self::Backend(_) | Self::Device(_) | Self::System { .. } => 3,
        }
    }
}

/// Answers one request, given and returned as JSON text. What processes on a device do to each other is measured only where
/// `program` is this one's file, which asks [`take_role`] first: it is started again.
///
/// # Errors
/// [`ProbeError`]; a model that cannot be measured is part of the answer instead.
pub fn answer(request: &str, program: Option<&Path>) -> Result<String, ProbeError> {
    let request: Request = serde_json::from_str(request).map_err(|error| ProbeError::Request(error.to_string()))?;
    request.check().map_err(ProbeError::Request)?;
    let answer = measure(&request, program)?;
    serde_json::to_string(&answer).map_err(|error| ProbeError::System { what: "the answer", error: error.into() })
}

fn measure(request: &Request, program: Option<&Path>) -> Result<Answer, ProbeError> {
    let devices = Devices::open(request);
    let asked = devices.measured(request, program).map_err(ProbeError::Device)?;
    let (runtimes, providers) = open_runtimes(request, &devices)?;
    let info = |(backend, version): (Backend, &str)| RuntimeInfo { name: backend.name(), version: version.to_owned() };
    let profile = request.command == "profile";
    // Sizes first: they need a large address range, which locked memory would have to back with real pages.
    let sized = if profile { models::size_all(request, &runtimes, &devices, &providers) } else { Vec::new() };
    let throttle = Throttle::read();
    let memory_locked = lock_memory().is_ok();
    let realtime = RealTime {
        fifo: fifo_is_granted()?,
        memory_locked,
        throttle_runtime_us: throttle.runtime_us,
        throttle_period_us: throttle.period_us,
    };
    let mut watched = state::Watched::begin(request, &devices);
    let lanes = if profile { lanes::measure_all(request)? } else { Vec::new() };
    let models = measure::measure_all(request, sized)?;
    Ok(Answer {
        schema: SCHEMA,
        machine: Machine::read(),
        state: watched.end(),
        realtime,
        runtimes: runtimes.versions().map(info).collect(),
        devices: devices.answers(request.device, &asked),
        lanes,
        models,
    })
}

/// Loads the libraries, which serve the devices that models of them run on.
fn open_runtimes(request: &Request, devices: &Devices) -> Result<(Runtimes, Providers), ProbeError> {
    let mut runtimes = Runtimes::default();
    for library in &request.libraries {
        let unknown = || ProbeError::Request(format!("there is no runtime \"{}\"", library.name));
        let backend = protocol::backend(&library.name).filter(|backend| backend.has_library()).ok_or_else(unknown)?;
        runtimes.load_library(backend, &library.path, &library.version)?;
        // Engines are served nothing.
        let own = request.models.iter().filter(|model| model.backend() == Some(backend) && model.engines.is_none());
        let own: BTreeSet<u16> = own.filter_map(|model| model.gpu.as_ref()).map(|gpu| gpu.ordinal).collect();
        for ordinal in devices.ordinals().filter(|ordinal| own.contains(ordinal)) {
            runtimes.serve_device(backend, ordinal)?;
        }
    }
    let providers = Providers::open(request, &mut runtimes, devices);
    Ok((runtimes, providers))
}

/// Whether the system gives a thread of this process `SCHED_FIFO`; tried on a thread of its own.
fn fifo_is_granted() -> Result<bool, ProbeError> {
    let thread = std::thread::Builder::new().spawn(|| fifo(LANE_PRIORITY).is_ok());
    let thread = thread.map_err(|error| ProbeError::System { what: "a thread", error })?;
    Ok(thread.join().unwrap_or(false))
}
