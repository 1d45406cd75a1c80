//! One run: its threads, from their start to what they leave.

use super::{LEAD, Ran};
use crate::error::HostError;
use crate::lane_work::HostLane;
use crate::reclaim::Reclaimer;
use crate::watch;
use aegis_core::desc::SystemDesc;
use aegis_core::dispatch::State;
use aegis_core::trace::{Kind, Reader, Recorder, Sink, Writer};
use aegis_core::{Instant, TaskId};
use aegis_linux::admissions::Admissions;
use aegis_linux::args::Args;
use aegis_linux::bell::Bell;
use aegis_linux::clock::Clock;
use aegis_linux::conditions::Conditions;
use aegis_linux::domains::Domains;
use aegis_linux::drain::{Attendance, Drain};
use aegis_linux::guarantee::Guarantee;
use aegis_linux::lane::Lane;
use aegis_linux::machine::{Void, VoidSince};
use aegis_linux::metrics::{Export, Feed};
use aegis_linux::modes::Modes;
use aegis_linux::orchestrate::{self, Setup, Stop};
use aegis_linux::pressure::Pressure;
use aegis_linux::pulse::Pulse;
use aegis_linux::realtime::{ORCHESTRATION_PRIORITY, set_up_thread};
use aegis_linux::reclaim::Reclaim;
use aegis_linux::service::Service;
use aegis_linux::signals::Signals;
use aegis_linux::sources::{Doors, Sources};
use aegis_linux::stats::{Counted, LevelStats, Tally};
use aegis_linux::steal::{StealReader, StealSamples};
use aegis_linux::submissions::Submissions;
use aegis_linux::summary::TraceSummary;
use aegis_linux::trace_file::TraceFile;
use aegis_linux::watchdog::Hook;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;

/// What the two threads of a run share.
pub(super) struct Run<'a, const LANES: usize> {
    pub(super) system: &'static SystemDesc,
    pub(super) bell: &'a Arc<Bell>,
    pub(super) lanes: &'a [Lane<HostLane>],
    pub(super) samples: &'a StealSamples<LANES>,
    pub(super) signals: &'a Signals,
    pub(super) submissions: &'a Submissions,
    pub(super) pressure: &'a Pressure,
    pub(super) modes: &'a Modes,
    pub(super) domains: &'a Domains,
    pub(super) admissions: &'a Admissions,
    pub(super) guarantee: &'a Guarantee,
    pub(super) conditions: &'a Conditions,
    pub(super) reclaim: &'a Reclaim,
    pub(super) service: Option<&'a Service>,
    pub(super) export: Option<&'a Export>,
    pub(super) args: &'a Args,
}

impl<const LANES: usize> Run<'_, LANES> {
    /// Runs the orchestration thread, the watching thread, and the drain on this one.
    pub(super) fn threads<const TASKS: usize, const QUEUE: usize>(
        &self,
        state: &mut State<TASKS, LANES, QUEUE>,
        (writer, reader): (Writer<'static>, Reader<'static>),
        trace: Option<TraceFile>,
        mut voids: Vec<Void>,
        (pet, sources, reclaimer): (Option<Hook>, Option<Sources>, Option<Reclaimer>),
    ) -> Result<Ran<LANES>, HostError> {
        let stop = Stop::new(Arc::clone(self.bell));
        let steal = StealReader::open().ok();
        let links: Vec<_> = self.lanes.iter().map(Lane::link).collect();
        let links = <[_; LANES]>::try_from(links);
        let links = links.map_err(|_| HostError::Refused("the number of lanes is not the plan's".into()))?;
        aegis_linux::nvtx::open(self.system);
        if let Some(export) = self.export {
            export.start().map_err(|error| HostError::System { what: "the metrics thread", error })?;
            if let Some(address) = export.address() {
                println!("metrics at http://{address}/metrics");
            }
        }
        let feed = self.export.map(|export| Feed::new(self.system, export.board()));
        let mut drain: Drain<'_, TASKS> = Drain::new(self.system, reader, trace).feeding(feed);
        let thread_error = |error| HostError::System { what: "the orchestration thread", error };
        let (stop, steal, core) = (&stop, steal.as_ref(), self.system.orchestration_core);
        let pulse = self.system.watchdog.map(Pulse::new);
        let pulse = pulse.as_ref();
        if let Some(pulse) = pulse {
            // The orchestration thread tells when its first turn is due once it is set up; until then that is about now.
            pulse.due(Clock::starting_in(LEAD).monotonic(Instant::START));
        }
        // From here on the device counts.
        let watching = watch::watch(pulse, self.bell, self.service, pet)?;
        let body = move || {
            voids.extend(set_up_thread("the orchestration thread", core, ORCHESTRATION_PRIORITY));
            for void in &voids {
                log::warn!("GUARANTEE VOID ({}): {}", void.reason.name(), void.text);
            }
            let mut sink = Counted { tally: Tally::<TASKS>::new(), recorder: Recorder::new(writer) };
            sink.record(Instant::START, Kind::Began { config_hash: self.system.config_hash });
            for (task, number) in self.system.tasks.iter().zip(0_u16..) {
                let (bound, optional) = (task.response_bound, task.optional);
                sink.record(Instant::START, Kind::Admitted { task: TaskId(number), bound, optional });
            }
            for void in &voids {
                self.guarantee.void(void.reason);
            }
            record_voids(self.guarantee, Instant::START, &mut sink);
            let until = self.args.run_for.map(|length| Instant::from_ns(length.as_ns()));
            let clock = Clock::starting_in(LEAD);
            let (system, bell, samples) = (self.system, self.bell.as_ref(), self.samples);
            let (submissions, pressure, modes, admissions, reclaim) =
                (self.submissions, self.pressure, self.modes, self.admissions, self.reclaim);
            submissions.open(clock, Arc::clone(self.bell));
            pressure.open(Arc::clone(self.bell));
            modes.open(Arc::clone(self.bell));
            self.domains.open(Arc::clone(self.bell));
            admissions.open(Arc::clone(self.bell));
            self.guarantee.open(Arc::clone(self.bell));
            let setup = Setup {
                system,
                clock,
                lanes: links,
                bell,
                stop,
                submissions,
                pressure,
                modes,
                domains: self.domains,
                admissions,
                guarantee: self.guarantee,
                reclaim,
                until,
                steal,
                samples,
                pulse,
            };
            let report = orchestrate::run(&setup, state, &mut sink)?;
            // After a lost device there is nothing to look at, and its driver may not answer any more.
            let fallen = if report.broken.is_none() { self.conditions.close() } else { self.conditions.fallen() };
            record_voids(self.guarantee, report.ended, &mut sink);
            let since = |void: Void, at| VoidSince { since: sink.tally.void_since(void.reason).unwrap_or(at), void };
            let from_start = voids.into_iter().map(|void| VoidSince { void, since: Instant::START });
            let mut all: Vec<_> = from_start.chain(fallen.into_iter().map(|void| since(void, report.ended))).collect();
            // What the application said, or a look that has not ended.
            for reason in self.guarantee.reasons() {
                if !all.iter().any(|known| known.void.reason == reason) {
                    let text = format!("said while it ran, without a reading: {}", reason.name());
                    all.push(since(Void { reason, text }, report.ended));
                }
            }
            let voids = all;
            let (records, lost) = (sink.recorder.numbered(), sink.recorder.lost());
            let numbers = TraceSummary { records, lost, ..TraceSummary::default() };
            let tally = &sink.tally;
            let domains = tally.domains().iter().take(system.domains.len()).copied().collect::<Vec<_>>();
            let counts = (tally.tasks().to_vec(), tally.levels(), tally.modes(), domains, tally.admissions());
            Ok((report, counts, numbers, voids))
        };
        let (over, doors) = (AtomicBool::new(false), Doors { pressure: self.pressure, modes: self.modes });
        let result = std::thread::scope(|scope| {
            let watching = watching.map(|watching| watch::spawn(scope, core, watching)).transpose()?;
            watch::tell(self.service, Service::ready);
            let sources = sources.map(|sources| watch::spawn_sources(scope, sources, doors, &over)).transpose();
            let helpers = sources.and_then(|sources| {
                let spawn = |reclaimer| watch::spawn_reclaimer(scope, reclaimer, self.reclaim, &over);
                let looking = self.conditions.is_needed();
                let looking = looking.then(|| watch::spawn_conditions(scope, self.conditions, &over)).transpose()?;
                Ok((sources, reclaimer.map(spawn).transpose()?, looking))
            });
            let (sources, reclaiming, looking, thread) = match helpers {
                Ok((sources, reclaiming, looking)) => {
                    let thread = Builder::new().name("orchestration".to_owned()).spawn_scoped(scope, body);
                    (sources, reclaiming, looking, thread)
                }
                Err(error) => (None, None, None, Err(error)),
            };
            let result = thread.and_then(|thread| {
                let attendance = Attendance { signals: self.signals, stop, steal, samples: self.samples };
                drain.attend(&attendance, || thread.is_finished());
                thread.join().unwrap_or_else(|_| Err(std::io::Error::other("it panicked")))
            });
            watch::tell(self.service, Service::stopping);
            if let Some(pulse) = pulse {
                // Where the thread could not say it itself.
                pulse.end(false);
            }
            over.store(true, Ordering::Release);
            let sources = sources.map_or(Some(Vec::new()), |sources| {
                sources.thread().unpark();
                sources.join().ok()
            });
            let reclaimed = reclaiming.is_none_or(|reclaiming| {
                reclaiming.thread().unpark();
                reclaiming.join().is_ok()
            });
            let looked = looking.is_none_or(|looking| {
                looking.thread().unpark();
                looking.join().is_ok()
            });
            let watched = watching.map(|watching| {
                watching.thread().unpark();
                watching.join()
            });
            result.map(|ran| (ran, (watched.and_then(Result::ok), sources, reclaimed, looked)))
        });
        let ((report, counts, trace, voids), (watched, sources, reclaimed, looked)) = result.map_err(thread_error)?;
        let (stats, levels, modes, domains, admissions) = counts;
        let levels = LevelStats { reclaim_failures: self.reclaim.failures(), ..levels };
        let (lanes, memory_locked, written) = (Vec::new(), false, drain.finish());
        let (unwritten, trace_failure) = written.map_or((0, None), |written| (written.unwritten, written.failure));
        let error = trace_failure.as_ref().map(ToString::to_string);
        let trace = TraceSummary { unwritten, error, ..trace };
        Ok(Ran {
            report,
            stats,
            levels,
            modes,
            domains,
            processes: Vec::new(),
            admissions,
            trace,
            voids,
            lanes,
            memory_locked,
            grown: Vec::new(),
            trace_failure,
            watched,
            sources,
            reclaimed,
            looked,
        })
    }
}

/// Records each reason why the guarantee is void that is not recorded yet.
fn record_voids(guarantee: &Guarantee, at: Instant, sink: &mut impl Sink) {
    while let Some(reason) = guarantee.take() {
        sink.record(at, Kind::GuaranteeVoid { reason });
    }
}
