//! The probe's own processes on a device: one that watches how long its small kernels take, and those that end as they are told to.
//!
//! Each says `ready` when it has the device, takes its orders line by line, and is killed when it is not needed any more.
// Launching kernels whose memory this program alone uses, or that are to go wrong.
#![allow(unsafe_code)]

use super::End;
use aegis_cuda::{Argument, CudaError, Device, Kernel, Module, Part, Partition, Region, Shape, Waiting};
use std::io::{BufRead as _, Write as _};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};
use std::{env, fmt, io, thread};

/// The environment variable that makes a probe one of these processes: its role, and the device's number.
pub(super) const VARIABLE: &str = "AEGIS_PROBE_ROLE";
/// The role of the one that watches; the others' are the names of [`End`].
pub(super) const WATCH: &str = "watch";
/// What each says when it has the device, and one that keeps it busy when it does.
pub(super) const READY: &str = "ready";
/// What the one that watches is told: to run one kernel and say how long it took, and to run one after the other from now on.
pub(super) const ONCE: &str = "once";
pub(super) const GO_ON: &str = "go on";
/// What it is told then: to say what it has lost since it was asked last, in nanoseconds: in all, and at one time.
pub(super) const LOST: &str = "lost";

const PTX: &str = include_str!("kernels.ptx");
const ONE: Shape = Shape { grid: [1, 1, 1], block: [1, 1, 1], shared: 0 };
/// An address that no memory has.
const NOWHERE: u64 = 16;
/// Some milliseconds on any device.
const TURNS: u64 = 500_000;
/// Kernels before anything counts.
const WARM_UP: u32 = 200;
/// From how many times the usual time between two kernels on the rest of it counts as lost.
const SEEN: u32 = 3;
/// What one that takes all memory begins with, and what it ends with: less is not tried.
const CHUNK: u64 = 1 << 30;
const LEAST_CHUNK: u64 = 2 << 20;

/// Is one of these processes, if this one was started as one, and returns its exit status then. To be asked first.
#[must_use]
pub fn take_role() -> Option<u8> {
    let role = env::var(VARIABLE).ok()?;
    let result = parse(&role)
        .map_or_else(|| Err(Trouble(format!("\"{role}\" is no role"))), |(end, ordinal)| serve(end, ordinal));
    Some(match result {
        Ok(()) => 0,
        Err(Trouble(text)) => {
            // The parent reads it where it waits for something else.
            let _ = say(&text);
            3
        }
    })
}

/// How it is to end, none where it watches, and the device's number.
fn parse(role: &str) -> Option<(Option<End>, u16)> {
    let (name, ordinal) = role.split_once(' ')?;
    let end = End::ALL.into_iter().find(|end| end.name() == name);
    (end.is_some() || name == WATCH).then_some((end, ordinal.parse().ok()?))
}

/// Why one cannot do what it is to do, in words.
struct Trouble(String);

impl<E: fmt::Display> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// The lines of the standard input, until it is closed.
fn orders() -> Receiver<String> {
    let (sender, orders) = channel();
    thread::spawn(move || io::stdin().lock().lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    orders
}

fn serve(end: Option<End>, ordinal: u16) -> Result<(), Trouble> {
    let device = Device::open(ordinal)?;
    let part = match device.facts().units {
        Some(units) => Part::divide(&device, &[units.sms])?.into_iter().next(),
        None => None,
    };
    let partition = part.map_or_else(|| Part::undivided(&device), Ok)?.enter()?;
    let module = partition.load(PTX.as_bytes())?;
    let region = Region::take(&device, 8)?;
    // SAFETY: nobody else uses the region.
    unsafe { region.write(0, &[0; 8]) }?;
    let own = Own { device, module, region, partition };
    match end {
        None => own.watch(),
        Some(end) => own.end(end),
    }
}

/// The time from one kernel's end to the next one's that half of them did not exceed.
fn usual(began: Instant, ends: &[Instant]) -> Duration {
    let mut between: Vec<Duration> =
        std::iter::once(&began).chain(ends).zip(ends).map(|(last, end)| end.saturating_duration_since(*last)).collect();
    between.sort_unstable();
    between.get(between.len().div_euclid(2)).copied().unwrap_or_default()
}

/// Kernels one after the other.
struct Going {
    /// The last one's end.
    last: Instant,
    /// The usual time between two.
    usual: Duration,
    lost: Lost,
}

/// How much longer than usual it took from one kernel's end to the next one's: in all, and the longest of these times.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Lost {
    all: Duration,
    longest: Duration,
}

impl Going {
    /// A kernel has ended. What is less than `SEEN` times as long as usual is not lost by another process: that takes longer.
    fn note(&mut self, ended: Instant) {
        let between = ended.saturating_duration_since(self.last);
        self.last = ended;
        if between > self.usual.saturating_mul(SEEN) {
            let lost = between.saturating_sub(self.usual);
            self.lost.all = self.lost.all.saturating_add(lost);
            self.lost.longest = self.lost.longest.max(lost);
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.all.as_nanos(), self.longest.as_nanos())
    }
}

/// What such a process has of the device.
struct Own {
    device: Arc<Device>,
    module: Module,
    region: Region,
    partition: Partition,
}

impl Own {
    fn kernel(&self, name: &std::ffi::CStr) -> Result<Kernel, CudaError> {
        self.module.kernel(&self.partition, name)
    }

    fn launch(&self, kernel: &Kernel, arguments: &[Argument]) -> Result<(), CudaError> {
        // SAFETY: each kernel is given the parameters that its file says; those that write are given the region, which lives as
        // long as the module, or an address of no memory, which the device refuses.
        unsafe { kernel.launch(&self.partition, ONE, arguments) }
    }

    /// Runs small kernels until nobody gives orders any more.
    fn watch(&self) -> Result<(), Trouble> {
        let nothing = self.kernel(c"nothing")?;
        let done = self.partition.completion(Waiting::Polling)?;
        let once = || -> Result<Instant, CudaError> {
            self.launch(&nothing, &[])?;
            self.partition.mark(&done)?;
            while !done.is_done()? {
                std::hint::spin_loop();
            }
            Ok(Instant::now())
        };
        for _ in 0..WARM_UP {
            once()?;
        }
        let began = Instant::now();
        let mut ends = Vec::new();
        for _ in 0..WARM_UP {
            ends.push(once()?);
        }
        let usual = usual(began, &ends);
        let orders = orders();
        say(READY)?;
        // Since it goes on.
        let mut going: Option<Going> = None;
        loop {
            let order = match going {
                None => orders.recv().map_err(|_| TryRecvError::Disconnected),
                Some(_) => orders.try_recv(),
            };
            match (order.as_deref(), &mut going) {
                (Ok(ONCE), None) => {
                    let began = Instant::now();
                    let ended = once()?;
                    say(&ended.saturating_duration_since(began).as_nanos().to_string())?;
                }
                (Ok(GO_ON), None) => going = Some(Going { last: once()?, usual, lost: Lost::default() }),
                (Ok(LOST), Some(going)) => say(&std::mem::take(&mut going.lost).to_string())?,
                (Err(TryRecvError::Empty), _) => {}
                (Err(TryRecvError::Disconnected), _) => return Ok(()),
                (Ok(other), _) => return Err(Trouble(format!("there is no order \"{other}\" now"))),
            }
            if let Some(going) = &mut going {
                going.note(once()?);
            }
        }
    }

    /// Does what it is to end by when it is told to, says what came of it, and waits until it is killed.
    fn end(&self, end: End) -> Result<(), Trouble> {
        let orders = orders();
        say(READY)?;
        if orders.recv().is_err() {
            return Ok(());
        }
        let words = self.region.address(0, 8)?;
        let said = match end {
            End::Crash => {
                let stray = self.kernel(c"stray")?;
                let result = self.launch(&stray, &[Argument::Address(NOWHERE)]).and_then(|()| self.partition.wait());
                told(result)
            }
            End::Kill => {
                let busy = self.kernel(c"busy")?;
                say(READY)?;
                loop {
                    self.launch(&busy, &[Argument::U64(TURNS), Argument::Address(words)])?;
                    self.partition.wait()?;
                }
            }
            End::Hang => {
                let endless = self.kernel(c"endless")?;
                self.launch(&endless, &[Argument::Address(words)])?;
                READY.to_owned()
            }
            End::Memory => told(self.take_all()),
        };
        say(&said)?;
        loop {
            thread::park();
        }
    }

    /// Takes all memory of the device, and keeps it.
    fn take_all(&self) -> Result<(), CudaError> {
        let mut bytes = CHUNK;
        loop {
            match Region::take(&self.device, bytes) {
                Ok(region) => std::mem::forget(region),
                Err(error) if bytes <= LEAST_CHUNK => return Err(error),
                Err(_) => bytes = bytes.div_euclid(2),
            }
        }
    }
}

/// What the driver says of what was to go wrong.
fn told(result: Result<(), CudaError>) -> String {
    result.map_or_else(|error| error.to_string(), |()| "nothing went wrong".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{End, Going, Lost, parse, usual};
    use std::time::{Duration, Instant};

    #[test]
    fn a_role_is_a_name_and_a_device() {
        assert_eq!(parse("watch 3"), Some((None, 3)));
        for end in End::ALL {
            assert_eq!(parse(&format!("{} 0", end.name())), Some((Some(end), 0)));
        }
        for wrong in ["", "watch", "watch x", "sleep 0", "crash 70000"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_takes_longer_than_usual_is_lost_and_what_does_not_is_not() {
        let us = Duration::from_micros;
        let began = Instant::now();
        let ends: Vec<Instant> = [9, 18, 118, 127, 136].map(|at| began + us(at)).into();
        assert_eq!((usual(began, &ends), usual(began, &[])), (us(9), Duration::ZERO));
        let mut going = Going { last: began, usual: us(10), lost: Lost::default() };
        for at in [10, 39, 139, 149, 1_159] {
            going.note(began + us(at));
        }
        assert_eq!(going.lost, Lost { all: us(90 + 1_000), longest: us(1_000) });
        assert_eq!(going.lost.to_string(), "1090000 1000000");
    }
}
