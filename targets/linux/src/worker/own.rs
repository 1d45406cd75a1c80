//! The process of a fault domain from inside: what it was given, and how it serves its lanes.
// Closing what was inherited has no safe form.
#![allow(unsafe_code)]

use super::page::{Answer, Order, Page, Server};
use super::shared::{LOOKING, SharedPage, System};
use aegis_core::desc::Waiting;
use aegis_core::{DomainId, Duration};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use rustix::stdio::dup2_stdin;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::{fmt, fs};

/// The environment variable that tells a process that it is one of a fault domain.
pub const VARIABLE: &str = "AEGIS_DOMAIN_PROCESS";

/// What a process was given, as it stands in the variable. Descriptors come through a socket, which is its standard input: so
/// nothing is inherited that the vehicle does not mean to, whatever else it starts at the same time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Given {
    /// Its domain.
    pub domain: DomainId,
    /// The vehicle's process.
    pub parent: u32,
    /// How many processes of its domain there were before it in this run.
    pub life: u32,
    /// How many descriptors it is sent: of its planned memory first, then a page for each lane.
    pub descriptors: u16,
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.domain.0, self.parent, self.life, self.descriptors)
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
        let life = words.next()?.parse().ok()?;
        let descriptors = words.next()?.parse().ok()?;
        words.next().is_none().then_some(Self { domain, parent, life, descriptors })
    }

    /// Takes over what was given: from now on the process ends with the vehicle's thread that started it. Once, and before
    /// anything else is opened: all but the standard descriptors is closed first, since what a library of the vehicle has opened
    /// without asking for it to be closed is here, too.
    ///
    /// # Errors
    /// The vehicle has ended meanwhile; it has sent something else; the system refuses.
    pub fn take(self) -> io::Result<Vec<OwnedFd>> {
        // SAFETY: a plain system call. Whoever opened one of these in this process does not use it any more: this is the first
        // thing that a process of a domain does, and it never returns to what was before. A system without the call (before
        // Linux 5.9) leaves them open.
        unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0) };
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The signal is for an end from now on.
        let parent = getppid().and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok());
        if parent != Some(self.parent) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the vehicle that started it has ended"));
        }
        let own = receive(rustix::stdio::stdin(), usize::from(self.descriptors))?;
        dup2_stdin(fs::File::open("/dev/null")?)?;
        Ok(own)
    }
}

/// Sends descriptors to who has the other end of a socket: it gets its own ones of the same open files. Waits for nobody, as long as
/// nothing else was sent.
pub(super) fn send(socket: impl AsFd, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let message = SendAncillaryMessage::ScmRights(descriptors);
    let mut space = vec![MaybeUninit::uninit(); message.size()];
    let mut buffer = SendAncillaryBuffer::new(&mut space);
    if !buffer.push(message) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // Descriptors travel with a byte at least.
    sendmsg(socket, &[IoSlice::new(&[0])], &mut buffer, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Takes as many descriptors as were sent.
fn receive(socket: impl AsFd, count: usize) -> io::Result<Vec<OwnedFd>> {
    let room = SendAncillaryMessage::ScmRights(&vec![socket.as_fd(); count]).size();
    let mut space = vec![MaybeUninit::uninit(); room];
    let mut buffer = RecvAncillaryBuffer::new(&mut space);
    recvmsg(&socket, &mut [IoSliceMut::new(&mut [0])], &mut buffer, RecvFlags::CMSG_CLOEXEC)?;
    let rights = |message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    };
    let own: Vec<OwnedFd> = buffer.drain().filter_map(rights).flatten().collect();
    if own.len() == count {
        Ok(own)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "it was sent other descriptors"))
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

/// Answers orders until told to end. The first one, to load, is answered with `loaded`, whose numbers are the caller's to agree on.
///
/// Who looks for orders makes no system call for a segment. Who waits for an answer to any other order sleeps, and is woken.
pub fn serve(page: &Page, waiting: Waiting, loaded: &Answer, work: &mut impl Served) {
    let mut server = Server::default();
    loop {
        let order = match waiting {
            Waiting::Blocking => server.next(page, &System),
            Waiting::Polling => server.next(page, &LOOKING),
        };
        let answer = match order {
            Some(Order::Load) => loaded.clone(),
            Some(Order::Run { task, segment }) => work.run(task, segment),
            Some(Order::Fence) => work.fence(),
            Some(Order::End) => return,
            None => Answer::Failed("the vehicle gave an order that there is not".to_owned()),
        };
        match (waiting, order) {
            (Waiting::Polling, Some(Order::Run { .. })) => server.answer(page, &LOOKING, &answer),
            _ => server.answer(page, &System, &answer),
        }
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
    use super::{Given, receive, send};
    use aegis_core::DomainId;
    use std::os::fd::AsFd as _;

    #[test]
    fn what_is_given_is_read_as_it_was_written() {
        let given = Given { domain: DomainId(3), parent: 77, life: 2, descriptors: 5 };
        assert_eq!(given.to_string(), "3 77 2 5");
        assert_eq!(Given::parse("3 77 2 5"), Some(given));
        for wrong in ["", "3", "x 77 0 1", "3 77 2", "3 77 -1 1", "3 77 0 5 ", "99999 77 0 1", "3 77 0 1 9"] {
            assert_eq!(Given::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn descriptors_arrive_as_they_were_sent() {
        let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        let files: Vec<_> = (0..3).map(|_| tempfile::tempfile().unwrap()).collect();
        let same = |file: &dyn std::os::fd::AsFd| rustix::fs::fstat(file.as_fd()).unwrap().st_ino;
        send(&here, &files.iter().map(std::os::fd::AsFd::as_fd).collect::<Vec<_>>()).unwrap();
        let own = receive(&there, 3).unwrap();
        assert!(own.iter().zip(&files).all(|(own, file)| same(own) == same(file)));
        send(&here, &[files[0].as_fd()]).unwrap();
        assert!(receive(&there, 2).is_err());
        drop(here);
        assert!(receive(&there, 1).is_err(), "who sends has ended");
    }
}
