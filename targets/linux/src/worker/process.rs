//! The process of a fault domain, as the vehicle sees it: started, told to end or killed, and what became of it.
//!
//! ```text
//!  start ─▶ loads ─▶ fenced ─▶ runs ──told to end──▶ exit 0: ended
//!             │         │       ├── exits, a signal ────────────▶ lost: exited, signalled
//!             │         │       └── hangs, is silent, malformed ─▶ SIGKILL ─▶ lost
//!             └─────────┴────── likewise: the vehicle does not start
//! ```
//!
//! Whoever says first how it was lost is believed: one that is killed because it hangs hangs, and was not signalled.
//! A running vehicle starts one, too: without a copy of its page tables, which would let lanes meet pages that they have to copy. So
//! nothing is done between the system calls that make a process and that start the program (the standard library then uses
//! `posix_spawn`, which shares the memory until the program starts); what is left to do the process does first thing ([`super::own`]).

use super::group::Group;
use super::own::{Given, send};
use super::page::Page;
use super::shared::{SharedPage, System};
use aegis_core::DomainId;
use aegis_core::trace::Loss;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_open, pidfd_send_signal,
    prlimit, waitid,
};
use std::io;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

/// A page of a process, and the lane of the vehicle that it is for.
#[derive(Debug)]
pub struct LanePage {
    /// Where both see it.
    pub page: SharedPage,
    /// The lane's number.
    pub lane: u16,
}

/// The process of a fault domain.
#[derive(Debug)]
pub struct Process {
    domain: DomainId,
    name: &'static str,
    life: u32,
    pid: Pid,
    /// It refers to this process and to no later one of the same number.
    descriptor: OwnedFd,
    pages: Vec<LanePage>,
    /// How it was lost: 0 for not at all, otherwise one more than the position in [`Loss::ALL`].
    loss: AtomicU8,
    /// Whether nothing is to be expected of it any more.
    is_lost: AtomicBool,
    /// Whether it was told to end.
    ends: AtomicBool,
    /// Whether it has to show that it lives: once it has loaded.
    is_to_beat: AtomicBool,
    /// How it ended, in words.
    ending: OnceLock<String>,
    /// Where all of its memory is counted, or why nowhere; `None` where its memory is not limited.
    group: Option<io::Result<Group>>,
}

/// What a process is started with.
#[derive(Debug)]
pub struct Start<'a> {
    /// Its domain.
    pub domain: DomainId,
    /// The domain's name in the manifest.
    pub name: &'static str,
    /// How many processes of the domain there were before it in this run.
    pub life: u32,
    /// Its planned memory, in the plan's order.
    pub memory: &'a [OwnedFd],
    /// The lanes that have a task of it, in the plan's order.
    pub lanes: &'a [u16],
    /// The most private memory that it may take, in bytes; `None`: as much as it likes.
    pub most_memory: Option<u64>,
}

impl Process {
    /// Starts this program once more, for one domain, and tells it so by an environment variable.
    ///
    /// Of what the vehicle has open it gets standard error, its pages and its memory. It is killed when the calling thread ends.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(start: &Start<'_>) -> io::Result<Arc<Self>> {
        let page = |_: &u16| super::shared::object(&format!("aegis-{}", start.name), super::shared::PAGE_BYTES);
        let objects = start.lanes.iter().map(page).collect::<io::Result<Vec<_>>>()?;
        let mut pages = Vec::new();
        for (object, lane) in objects.iter().zip(start.lanes) {
            let page = SharedPage::map(object)?;
            page.begin();
            pages.push(LanePage { page, lane: *lane });
        }
        let descriptors: Vec<BorrowedFd<'_>> = start.memory.iter().chain(&objects).map(AsFd::as_fd).collect();
        let count = u16::try_from(descriptors.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let (domain, life) = (start.domain, start.life);
        let given = Given { domain, parent: std::process::id(), life, descriptors: count };
        let (own, its) = UnixStream::pair()?;
        send(&own, &descriptors)?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0(format!("aegis-domain-{}", start.name));
        command.env(super::own::VARIABLE, given.to_string()).stdin(OwnedFd::from(its)).stdout(Stdio::null());
        let child = command.spawn()?;
        let pid = Pid::from_child(&child);
        // Nobody has waited for it, so its number is still its own.
        let descriptor = pidfd_open(pid, PidfdFlags::empty());
        let process = descriptor.map(|descriptor| Self {
            domain: start.domain,
            name: start.name,
            life: start.life,
            pid,
            descriptor,
            pages,
            loss: AtomicU8::new(0),
            is_lost: AtomicBool::new(false),
            ends: AtomicBool::new(false),
            is_to_beat: AtomicBool::new(false),
            ending: OnceLock::new(),
            // Before it loads: what it has then counts.
            group: start.most_memory.map(|_| Group::create(std::process::id(), child.id())),
        });
        let process = process.inspect_err(|_| forget(child))?;
        process.limit(start.most_memory).inspect_err(|_| process.end_now())?;
        Ok(Arc::new(process))
    }

    fn limit(&self, most_memory: Option<u64>) -> io::Result<()> {
        // A dump would hold up the end of the process for as long as its memory is large.
        set_limit(self.pid, Resource::Core, 0)?;
        most_memory.map_or(Ok(()), |most| set_limit(self.pid, Resource::Data, most))
    }

    /// Takes from it what it does not need after its models are loaded: from now on it opens no file and no connection.
    ///
    /// # Errors
    /// What the system says.
    pub fn close_off(&self) -> io::Result<()> {
        set_limit(self.pid, Resource::Nofile, 0)
    }

    /// Limits all of its memory to what it has now, with so many bytes for the private part: beyond that the system kills it. Only
    /// of one that was started with a limit.
    ///
    /// # Errors
    /// There are no control groups of memory, or this process may not make one.
    pub fn limit_all_memory(&self, most: u64) -> io::Result<()> {
        let group = match &self.group {
            Some(Ok(group)) => group,
            Some(Err(error)) => return Err(io::Error::new(error.kind(), error.to_string())),
            None => return Err(io::ErrorKind::Unsupported.into()),
        };
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let private = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let private = private.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        group.limit(most, private.ok_or(io::ErrorKind::InvalidData)?.saturating_mul(1_024))
    }

    /// Its domain.
    #[must_use]
    pub const fn domain(&self) -> DomainId {
        self.domain
    }

    /// Its domain's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// How many processes of its domain there were before it in this run.
    #[must_use]
    pub const fn life(&self) -> u32 {
        self.life
    }

    /// From now on it has to show that it lives, where its domain has a heartbeat.
    pub fn expect_beats(&self) {
        self.is_to_beat.store(true, Ordering::Release);
    }

    /// Whether it has to.
    pub(super) fn is_to_beat(&self) -> bool {
        self.is_to_beat.load(Ordering::Acquire) && !self.ends.load(Ordering::Acquire)
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        u32::try_from(self.pid.as_raw_nonzero().get()).unwrap_or(0)
    }

    /// What is readable once it has ended.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// The page of a lane; `None` where the lane has no task of its domain.
    #[must_use]
    pub fn page(&self, lane: u16) -> Option<&Page> {
        self.pages.iter().find(|own| own.lane == lane).map(|own| &*own.page)
    }

    /// Whether nothing is to be expected of it any more: the word that who waits for it looks at.
    #[must_use]
    pub const fn is_lost(&self) -> &AtomicBool {
        &self.is_lost
    }

    /// How it was lost, if it was.
    #[must_use]
    pub fn loss(&self) -> Option<Loss> {
        let number = usize::from(self.loss.load(Ordering::Acquire));
        number.checked_sub(1).and_then(|position| Loss::ALL.get(position)).copied()
    }

    /// How it ended, in words; `None` before it has.
    #[must_use]
    pub fn ending(&self) -> Option<&str> {
        self.ending.get().map(String::as_str)
    }

    /// How often it has shown that it lives, modulo 2³².
    #[must_use]
    pub fn beats(&self) -> u32 {
        self.pages.first().map_or(0, |own| own.page.beats())
    }

    /// It is lost in this way, unless it was lost in another one before; it is killed. Returns the way. Two system calls at most,
    /// no heap.
    pub fn kill(&self, loss: Loss) -> Loss {
        let loss = self.lose(loss);
        // Where it has ended by itself meanwhile there is nothing to kill.
        let _ = pidfd_send_signal(&self.descriptor, Signal::KILL);
        loss
    }

    /// Notes how it was lost, unless that is known.
    fn lose(&self, loss: Loss) -> Loss {
        let position = Loss::ALL.iter().position(|other| *other == loss).and_then(|at| u8::try_from(at).ok());
        let number = position.unwrap_or(0).saturating_add(1);
        let known = self.loss.compare_exchange(0, number, Ordering::AcqRel, Ordering::Acquire);
        self.is_lost.store(true, Ordering::Release);
        if known.is_ok() { loss } else { self.loss().unwrap_or(loss) }
    }

    /// Tells each of its threads to end; who asks has no call under way.
    pub fn tell_to_end(&self) {
        self.ends.store(true, Ordering::Release);
        self.pages.iter().for_each(|own| own.page.end(&System));
    }

    /// Takes note of its end, if it has ended, and wakes the lanes that wait for it. Returns how it was lost: `None` where it has
    /// not ended, or was told to. One thread does that, and no other one waits for it.
    pub fn reap(&self) -> Option<Loss> {
        let id = WaitId::PidFd(self.descriptor.as_fd());
        let ended = waitid(id, WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        let has_ended = matches!(ended, Ok(Some(_)));
        let loss = match ended {
            Ok(Some(status)) => {
                let _ = self.ending.set(in_words(&status));
                how(&status)
            }
            // Somebody else of this process has waited for all children.
            Err(Errno::CHILD) => {
                let _ = self.ending.set("it ended, and somebody else was told how".to_owned());
                Loss::Exited
            }
            Ok(None) | Err(_) => return None,
        };
        let was_told = self.ends.load(Ordering::Acquire) && loss == Loss::Exited && self.loss().is_none();
        let lost = if was_told {
            self.is_lost.store(true, Ordering::Release);
            None
        } else {
            let loss = self.lose(loss);
            self.pages.iter().for_each(|own| own.page.poke(&System));
            Some(loss)
        };
        // After all who wait for it know: this may take some milliseconds.
        if let (true, Some(Ok(group))) = (has_ended, &self.group) {
            group.remove();
        }
        lost
    }

    /// Notes how it was lost, if it has ended by itself and nobody has noted that yet. Its end stays there to be taken note of.
    pub(super) fn look(&self) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if let Ok(Some(status)) = waitid(WaitId::PidFd(self.descriptor.as_fd()), options) {
            self.lose(how(&status));
        }
    }

    /// Whether its end was taken note of.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ending.get().is_some()
    }

    /// Kills it and waits until it is gone; nobody is told.
    fn end_now(&self) {
        let _ = pidfd_send_signal(&self.descriptor, Signal::KILL);
        let _ = waitid(WaitId::PidFd(self.descriptor.as_fd()), WaitIdOptions::EXITED);
        let _ = self.ending.set("it was killed".to_owned());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.end_now();
        }
    }
}

/// A child without a descriptor of its own.
fn forget(mut child: std::process::Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn set_limit(pid: Pid, resource: Resource, most: u64) -> io::Result<()> {
    prlimit(Some(pid), resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    Ok(())
}

/// How a process that nobody has killed was lost.
fn how(status: &WaitIdStatus) -> Loss {
    if status.exited() { Loss::Exited } else { Loss::Signalled }
}

/// How a process ended.
fn in_words(status: &WaitIdStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}{}", signal_name(signal)),
        (None, None) => "it ended".to_owned(),
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGABRT => " (SIGABRT)",
        libc::SIGBUS => " (SIGBUS)",
        libc::SIGFPE => " (SIGFPE)",
        libc::SIGILL => " (SIGILL)",
        libc::SIGKILL => " (SIGKILL)",
        libc::SIGSEGV => " (SIGSEGV)",
        libc::SIGSYS => " (SIGSYS)",
        libc::SIGTERM => " (SIGTERM)",
        _ => "",
    }
}
