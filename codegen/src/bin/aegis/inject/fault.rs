//! How the process of a fault domain is made to fail, from outside.

use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, pidfd_open, pidfd_send_signal, prlimit};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};
use std::{fmt, fs, io, thread};

/// How a process is made to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// It is killed.
    Kill,
    /// It gets the signal of an access to memory that is not its own.
    Segv,
    /// All its threads stop.
    Hang,
    /// Each request for memory that the system would have to meet is refused.
    Oom,
    /// The pages through which it answers are written over.
    CorruptMailbox,
    /// It takes so many thousandths of the time that it took.
    Slow(u32),
}

const PLAIN: [(&str, Fault); 5] = [
    ("kill", Fault::Kill),
    ("segv", Fault::Segv),
    ("hang", Fault::Hang),
    ("oom", Fault::Oom),
    ("corrupt-mailbox", Fault::CorruptMailbox),
];

/// The bounds of how much slower a process becomes, in thousandths: below it nobody would see it, above it hangs.
const SLOWEST: u32 = 100_000;
const LEAST_SLOW: u32 = 1_100;

impl Fault {
    /// A fault as people write it; what is wrong, in words.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some((_, fault)) = PLAIN.iter().find(|(name, _)| *name == text) {
            return Ok(*fault);
        }
        let Some(factor) = text.strip_prefix("slow=") else {
            let names: Vec<_> = PLAIN.iter().map(|(name, _)| *name).collect();
            return Err(format!("there is no fault `{text}`: it is {}, or slow=3x", names.join(", ")));
        };
        let thousandths = factor.strip_suffix('x').and_then(thousandths);
        let thousandths = thousandths.filter(|factor| (LEAST_SLOW..=SLOWEST).contains(factor));
        thousandths.map(Self::Slow).ok_or_else(|| {
            format!("`{factor}` is no factor from 1.1x to 100x, with at most three digits after the point")
        })
    }

    /// Lets it fail.
    pub(super) fn begin(self, target: &Target) -> io::Result<()> {
        match self {
            Self::Kill => target.send(Signal::KILL),
            Self::Hang => target.send(Signal::STOP),
            Self::Segv => target.send(Signal::SEGV),
            Self::Oom => target.refuse_memory(),
            Self::CorruptMailbox => target.find_pages().map(|_| ()),
            // That it is there.
            Self::Slow(_) => target.send(Signal::CONT),
        }
    }

    /// What lasts, until the process is gone.
    pub(super) fn go_on(self, target: &Target) -> io::Result<()> {
        match self {
            Self::Slow(factor) => target.slow_down(factor),
            Self::CorruptMailbox => target.corrupt(),
            Self::Segv => target.send_again(Signal::SEGV),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Slow(factor) = self {
            let (whole, part) = (factor / 1_000, format!("{:03}", factor % 1_000));
            let part = part.trim_end_matches('0');
            let point = if part.is_empty() { "" } else { "." };
            return write!(f, "slow={whole}{point}{part}x");
        }
        let name = PLAIN.iter().find(|(_, fault)| fault == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

/// A decimal number in thousandths.
fn thousandths(text: &str) -> Option<u32> {
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if !is_number(whole) || !is_number(part) || part.len() > 3 {
        return None;
    }
    let part: u32 = format!("{part:0<3}").parse().ok()?;
    whole.parse::<u32>().ok()?.checked_mul(1_000)?.checked_add(part)
}

/// The process of a fault domain, and no later one of the same number.
pub(super) struct Target {
    pid: Pid,
    descriptor: OwnedFd,
    domain: String,
}

impl Target {
    pub(super) fn open(process: u32, domain: &str) -> io::Result<Self> {
        let pid = i32::try_from(process).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Self { pid, descriptor, domain: domain.to_owned() })
    }

    fn send(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.descriptor, signal)?)
    }

    /// Sends it again until the process is gone. A Rust program takes the first such signal for its stack's end and goes on; from
    /// then on it has no handler. One that is sent before it took the first is one with it, however late that is.
    fn send_again(&self, signal: Signal) -> io::Result<()> {
        loop {
            thread::sleep(Duration::from_millis(1));
            self.send(signal)?;
        }
    }

    fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.pid.as_raw_nonzero())
    }

    /// It has no more private memory than now.
    fn refuse_memory(&self) -> io::Result<()> {
        let status = fs::read_to_string(self.file("status"))?;
        let now = status.lines().find_map(|line| line.strip_prefix("VmData:"));
        let now = now.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        let most = now.ok_or(io::ErrorKind::InvalidData)?.saturating_mul(1_024);
        // Before the limit is set: the number may be another one's by now.
        self.send(Signal::CONT)?;
        prlimit(Some(self.pid), Resource::Data, Rlimit { current: Some(most), maximum: Some(most) })?;
        Ok(())
    }

    /// Stops it and lets it go on in turns of some milliseconds: of each it runs its part, on the average also where this thread is
    /// late.
    fn slow_down(&self, factor: u32) -> io::Result<()> {
        const TURN: Duration = Duration::from_millis(1);
        let others = factor.saturating_sub(1_000);
        // The shorter part of a turn lasts a millisecond.
        let run = if others >= 1_000 { TURN } else { TURN.saturating_mul(1_000) / others.max(1) };
        let (mut ran, mut stood) = (Duration::ZERO, Duration::ZERO);
        loop {
            let began = Instant::now();
            thread::sleep(run);
            self.send(Signal::STOP)?;
            let stopped = Instant::now();
            ran = ran.saturating_add(stopped.saturating_duration_since(began));
            let wanted = ran.saturating_mul(others) / 1_000;
            thread::sleep(wanted.saturating_sub(stood));
            self.send(Signal::CONT)?;
            stood = stood.saturating_add(stopped.elapsed());
        }
    }

    /// Where it has its pages mapped.
    fn find_pages(&self) -> io::Result<Vec<u64>> {
        let maps = fs::read_to_string(self.file("maps"))?;
        let wanted = format!("aegis-{}", self.domain);
        let is_page = |line: &&str| {
            let object = line.split_once("memfd:").map_or("", |(_, object)| object);
            object.split_whitespace().next() == Some(&wanted)
        };
        let begins = |line: &str| u64::from_str_radix(line.split('-').next()?, 16).ok();
        let pages: Vec<u64> = maps.lines().filter(is_page).filter_map(begins).collect();
        if pages.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "it has no such pages"));
        }
        Ok(pages)
    }

    /// Writes over its pages.
    fn corrupt(&self) -> io::Result<()> {
        let pages = self.find_pages()?;
        let memory = fs::OpenOptions::new().write(true).open(self.file("mem"))?;
        loop {
            pages.iter().try_for_each(|page| memory.write_all_at(&[0xa5; 4_096], *page))?;
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, PLAIN, Signal, Target};
    use std::io::Read as _;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};
    use std::{fs, thread};

    #[test]
    fn a_fault_is_shown_as_it_is_written() {
        for text in PLAIN.iter().map(|(name, _)| *name).chain(["slow=1.1x", "slow=3x", "slow=2.125x", "slow=100x"]) {
            assert_eq!(Fault::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Fault::parse("slow=3.50x"), Ok(Fault::Slow(3_500)));
    }

    #[test]
    fn what_is_no_fault_is_refused_in_words() {
        for text in ["", "Kill", "slow", "slow3x", "crash"] {
            assert!(
                Fault::parse(text).unwrap_err().contains("kill, segv, hang, oom, corrupt-mailbox, or slow=3x"),
                "{text}"
            );
        }
        for text in
            ["", "3", "x", "1x", "1.099x", "100.001x", "-3x", "3.x", ".5x", "1.2345x", "1e1x", "99999999999x", "+3x"]
        {
            let why = Fault::parse(&format!("slow={text}")).unwrap_err();
            assert!(why.contains("from 1.1x to 100x"), "{why}");
        }
    }

    #[test]
    fn a_process_that_takes_its_first_signal_late_gets_another() {
        use std::os::unix::process::ExitStatusExt as _;
        // A shell acts on a signal once what it waits for has ended; until then a second one is the same.
        let script = "trap 'trap - SEGV' SEGV; echo; while :; do sleep 0.2; done";
        let mut child =
            Command::new("/bin/sh").args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut first = [0];
        child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        let target = Target::open(child.id(), "none").unwrap();
        Fault::Segv.begin(&target).unwrap();
        let lasting = thread::spawn(move || Fault::Segv.go_on(&target).unwrap_err());
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::SEGV.as_raw()));
        assert_eq!(lasting.join().unwrap().raw_os_error(), Some(rustix::io::Errno::SRCH.raw_os_error()));
    }

    /// How long a process has used a processor, in hundredths of a second.
    fn used(process: u32) -> u64 {
        let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        let words: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
        words[11].parse::<u64>().unwrap() + words[12].parse::<u64>().unwrap()
    }

    #[test]
    fn a_process_that_is_slowed_down_gets_its_part_of_the_time() {
        // One that computes for ever.
        let mut busy =
            Command::new("/bin/sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn().unwrap();
        let target = Target::open(busy.id(), "none").unwrap();
        thread::spawn(move || Fault::Slow(4_000).go_on(&target));
        let (began, before) = (Instant::now(), used(busy.id()));
        thread::sleep(Duration::from_secs(2));
        let (passed, took) = (began.elapsed(), used(busy.id()) - before);
        busy.kill().unwrap();
        busy.wait().unwrap();
        // A quarter; others of this machine take their part, and make it less.
        let most = u64::try_from(passed.as_millis()).unwrap() / 10 * 35 / 100;
        assert!(took <= most, "{took} of {passed:?}");
        assert!(took > 0, "it goes on");
    }
}
