//! The process of a fault domain from inside: what it was given, and how it serves its lanes.
// Taking over inherited descriptors and the signal at the parent's end have no safe form.
#![allow(unsafe_code)]

use super::page::{Answer, Order, Page, Server};
use super::shared::{SharedPage, System};
use aegis_core::{DomainId, Duration};
use rustix::fd::{FromRawFd, OwnedFd, RawFd};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use std::fmt;
use std::io;

/// The environment variable that tells a process that it is one of a fault domain.
pub const VARIABLE: &str = "AEGIS_DOMAIN_PROCESS";

/// What a process was given, as it stands in the variable: its domain's number, the number of the process that started it, and
/// descriptors: of its planned memory first, then a page for each lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Given {
    /// Its domain.
    pub domain: DomainId,
    /// The vehicle's process.
    pub parent: u32,
    /// What stays open in it.
    pub descriptors: Vec<RawFd>,
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.domain.0, self.parent)?;
        self.descriptors.iter().try_for_each(|descriptor| write!(f, " {descriptor}"))
    }
}

impl Given {
    /// What the variable says; `None` where it does not exist.
    ///
    /// # Errors
    /// It says something else.
    pub fn from_environment() -> io::Result<Option<Self>> {
        let Some(text) = std::env::var_os(VARIABLE) else { return Ok(None) };
        let wrong =
            || io::Error::new(io::ErrorKind::InvalidInput, format!("{VARIABLE} is for a vehicle's own processes"));
        text.to_str().and_then(Self::parse).map(Some).ok_or_else(wrong)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let domain = DomainId(words.next()?.parse().ok()?);
        let parent = words.next()?.parse().ok()?;
        let descriptors: Vec<RawFd> = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
        // Each is owned from here on, so none may come twice or be a standard one.
        let is_own = |(at, descriptor): (usize, &RawFd)| {
            *descriptor > 2 && descriptors.iter().position(|other| other == descriptor) == Some(at)
        };
        descriptors.iter().enumerate().all(is_own).then_some(Self { domain, parent, descriptors: descriptors.clone() })
    }

    /// Takes over what was given: from now on the process ends with the vehicle's thread that started it.
    ///
    /// # Errors
    /// The vehicle has ended meanwhile; a descriptor is not open; the system refuses.
    pub fn take(self) -> io::Result<Vec<OwnedFd>> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The signal is for an end from now on.
        let parent = getppid().and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok());
        if parent != Some(self.parent) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the vehicle that started it has ended"));
        }
        let own = |descriptor: RawFd| {
            // SAFETY: a plain system call, which fails for a number that is not open.
            if unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: it is open, and nobody of this process has opened it: it was inherited for this. None is named twice.
            Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
        };
        self.descriptors.into_iter().map(own).collect()
    }
}

/// Gives up for good, for this thread and all that it starts, to become more by starting another program. Before any other thread
/// is started.
///
/// # Errors
/// What the system says.
pub fn give_up_privileges() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    Ok(())
}

/// What a thread of the process does for its lane.
pub trait Served {
    /// Runs a segment: tasks are counted among those of this lane in this domain.
    fn run(&mut self, task: u32, segment: u32) -> Answer;

    /// All warm-up runs of this lane are over.
    fn fence(&mut self) -> Answer;
}

/// Answers orders until told to end. The first one, to load, is answered with `loaded`.
pub fn serve(page: &Page, loaded: &Answer, work: &mut impl Served) {
    let mut server = Server::default();
    loop {
        let answer = match server.next(page, &System) {
            Some(Order::Load) => loaded.clone(),
            Some(Order::Run { task, segment }) => work.run(task, segment),
            Some(Order::Fence) => work.fence(),
            Some(Order::End) => return,
            None => Answer::Failed("the vehicle gave an order that there is not".to_owned()),
        };
        server.answer(page, &System, &answer);
    }
}

/// Shows that the process lives, on the calling thread, for ever.
pub fn beat(page: &SharedPage, every: Duration) -> ! {
    loop {
        page.beat();
        std::thread::sleep(std::time::Duration::from_nanos(every.as_ns()));
    }
}

#[cfg(test)]
mod tests {
    use super::Given;
    use aegis_core::DomainId;

    #[test]
    fn what_is_given_is_read_as_it_was_written() {
        let given = Given { domain: DomainId(3), parent: 77, descriptors: vec![5, 9] };
        assert_eq!(given.to_string(), "3 77 5 9");
        assert_eq!(Given::parse("3 77 5 9"), Some(given));
        for wrong in ["", "3", "x 77", "3 77 5 5", "3 77 2", "3 77 -1", "3 77 5 ", "99999 77"] {
            assert_eq!(Given::parse(wrong), None, "{wrong}");
        }
    }
}
