//! What keeps a process from more than its work: what is in force, as the system says, and what could not be had.
//!
//! | name | what it means | who puts it up |
//! |---|---|---|
//! | `no-core-dump` | its end is not held up by writing its memory down | the vehicle, at its start |
//! | `memory` | it has no more private memory than the manifest says | the vehicle, at its start |
//! | `all-memory` | it is killed when it takes more memory of any kind than it had after warm-up and the manifest says | the vehicle, after warm-up |
//! | `no-new-privileges` | no program that it starts has more rights | itself, at its start |
//! | `no-new-files` | it opens no file, connection or memory object; not of one with a GPU | the vehicle, after warm-up |
//! | `system-calls` | no program, process or signal to others, no change of limits, scheduling or file names | itself, after warm-up |
// System calls that rustix does not offer.
#![allow(unsafe_code)]

use super::process::Process;
use crate::machine::Void;
use crate::realtime::LANE_PRIORITY;
use aegis_core::trace::VoidReason;
use rustix::process::Pid;
use rustix::thread::sched_getaffinity;
use std::path::Path;
use std::{fs, io};

/// What is in force for a process, and what is not, in words.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fences {
    /// What is.
    pub applied: Vec<&'static str>,
    /// What is not, and why.
    pub missing: Vec<String>,
}

impl Fences {
    /// Closes the process off and looks what is in force: after its models were loaded and have run.
    ///
    /// What the process did for itself is read from the system, never believed.
    #[must_use]
    pub fn put_up(process: &Process, most_memory: Option<u64>) -> Self {
        let mut own = Self { applied: vec!["no-core-dump"], missing: Vec::new() };
        if let Some(most) = most_memory {
            own.applied.push("memory");
            match process.limit_all_memory(most) {
                Ok(()) => own.applied.push("all-memory"),
                Err(error) => own.missing.push(format!("all-memory: {error}")),
            }
        }
        if has_gpu(process.id()) {
            own.missing.push(format!("no-new-files: {POLLS}"));
        } else {
            match process.close_off() {
                Ok(()) => own.applied.push("no-new-files"),
                Err(error) => own.missing.push(format!("no-new-files: {error}")),
            }
        }
        let status = fs::read_to_string(format!("/proc/{}/status", process.id()));
        own.read(status.as_deref().unwrap_or_default());
        own
    }

    /// Takes from `/proc/PID/status` what the process has given up.
    fn read(&mut self, status: &str) {
        for (key, expected, name) in [("NoNewPrivs:", "1", "no-new-privileges"), ("Seccomp:", "2", "system-calls")] {
            match value(status, key) {
                Some(found) if found == expected => self.applied.push(name),
                Some(_) => self.missing.push(format!("{name}: the process could not")),
                None => self.missing.push(format!("{name}: the system does not tell")),
            }
        }
    }
}

/// Why a process with a GPU is not closed off: the system refuses `poll` with more descriptors than a process may have open.
const POLLS: &str = "it has a GPU, whose driver polls descriptors, and a process that may open none may poll none";

/// Whether a process has a GPU open, as the system says.
fn has_gpu(process: u32) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    open.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()).any(|path| is_gpu(&path))
}

/// Whether a file is one by which NVIDIA's driver is reached: of a card, or of a Jetson.
fn is_gpu(path: &Path) -> bool {
    path.parent() == Some(Path::new("/dev"))
        && path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with("nv") && !name.starts_with("nvme"))
}

/// What `/proc/PID/status` says of a key.
fn value<'a>(status: &'a str, key: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim)
}

/// The name of a process' thread for a lane: as much as the system keeps of a name.
#[must_use]
pub fn thread_name(lane: u16) -> String {
    format!("lane-{lane}")
}

/// What the system refused to a process' threads and memory, as it says itself: for each lane its core.
#[must_use]
pub fn threads(process: &Process, lanes: &[(u16, u16)]) -> Vec<Void> {
    let (name, id) = (process.name(), process.id());
    let mut voids = Vec::new();
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    if value(&status, "VmLck:").is_none_or(|locked| locked.starts_with("0 ")) {
        let text = format!("the system did not lock the memory of the process of domain \"{name}\"");
        voids.push(Void { reason: VoidReason::MemoryNotLocked, text });
    }
    for (lane, core) in lanes {
        let own = thread_of(id, &thread_name(*lane));
        let set = own.and_then(|own| sched_getaffinity(Some(own)).ok());
        if !set.is_some_and(|set| set.count() == 1 && set.is_set(usize::from(*core))) {
            let text =
                format!("the process of domain \"{name}\" does not run on core {core} alone for lane number {lane}");
            voids.push(Void { reason: VoidReason::NotPinned, text });
        }
        let expected = LANE_PRIORITY.saturating_sub(1);
        if own.and_then(priority) != Some(expected) {
            let text =
                format!("the process of domain \"{name}\" did not get SCHED_FIFO {expected} for lane number {lane}");
            voids.push(Void { reason: VoidReason::NoRealTimePriority, text });
        }
    }
    voids
}

/// The thread of a process that has this name.
fn thread_of(process: u32, name: &str) -> Option<Pid> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).ok()?;
    let is_it = |path: &std::path::Path| fs::read_to_string(path.join("comm")).is_ok_and(|own| own.trim_end() == name);
    let own = threads.flatten().find(|thread| is_it(&thread.path()))?;
    Pid::from_raw(own.file_name().to_str()?.parse().ok()?)
}

/// A thread's priority under `SCHED_FIFO`.
fn priority(thread: Pid) -> Option<i32> {
    let id = thread.as_raw_nonzero().get();
    // SAFETY: `sched_param` is plain data, and all zeros is a valid value of it on every C library.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: plain system calls; the second one fills the parameters, which outlive it.
    let (policy, filled) = unsafe { (libc::sched_getscheduler(id), libc::sched_getparam(id, &raw mut parameters)) };
    (policy == libc::SCHED_FIFO && filled == 0).then_some(parameters.sched_priority)
}

/// What a process never does once its models have run, on every architecture.
const NEVER: &[libc::c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_send_signal,
    libc::SYS_pidfd_getfd,
    // By which most of the others could be asked for.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_prlimit64,
    libc::SYS_setrlimit,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setscheduler,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setattr,
    libc::SYS_setpriority,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_reboot,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_kexec_load,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_truncate,
    libc::SYS_fallocate,
];

/// The older forms of these that an architecture still has.
#[cfg(target_arch = "x86_64")]
const NEVER_EITHER: &[libc::c_long] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_unlink,
    libc::SYS_rmdir,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_mkdir,
    libc::SYS_mknod,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
];
/// The older forms of these that an architecture still has.
#[cfg(not(target_arch = "x86_64"))]
const NEVER_EITHER: &[libc::c_long] = &[libc::SYS_renameat];

/// The architecture that numbers of system calls are meant for, as the system tells a filter.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: Option<u32> = Some(0xc000_003e);
/// The architecture that numbers of system calls are meant for, as the system tells a filter.
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: Option<u32> = Some(0xc000_00b7);
/// Of others no filter is made.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCHITECTURE: Option<u32> = None;

/// Where a filter finds number, architecture and the lower half of the first argument; both architectures are little-endian.
const NUMBER: u32 = 0;
const OF: u32 = 4;
const FIRST: u32 = 16;

/// Puts `system-calls` up for all threads of this process, for good: what is refused fails with `EPERM`. A system that does not
/// know it says so; the vehicle looks whether it is in force.
///
/// # Errors
/// What the system says.
pub fn fence_all_threads() -> io::Result<()> {
    install(libc::SECCOMP_FILTER_FLAG_TSYNC)
}

fn install(flags: libc::c_ulong) -> io::Result<()> {
    let filter = filter().ok_or(io::ErrorKind::Unsupported)?;
    let length = u16::try_from(filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the program and the instructions that it points to outlive the call, which only reads them.
    let done = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    match done {
        0 => Ok(()),
        // Otherwise the number of a thread that could not follow.
        1.. => Err(io::Error::other("a thread of the process could not follow")),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The filter: other architectures' calls, what is never done, and new processes are refused; new threads are not.
fn filter() -> Option<Vec<libc::sock_filter>> {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
    const HAS: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let architecture = ARCHITECTURE?;
    let refused = |error: i32| Some(libc::SECCOMP_RET_ERRNO | u32::try_from(error).ok()?);
    let mut program = Vec::new();
    let mut put = |code: u32, k: u32, (jt, jf): (u8, u8)| {
        program.push(libc::sock_filter { code: u16::try_from(code).ok()?, jt, jf, k });
        Some(())
    };
    put(LOAD, OF, (0, 0))?;
    put(EQUAL, architecture, (1, 0))?;
    put(RETURN, refused(libc::EPERM)?, (0, 0))?;
    put(LOAD, NUMBER, (0, 0))?;
    // On x86-64 the same calls have other numbers from here on.
    put(AT_LEAST, 0x4000_0000, (0, 1))?;
    put(RETURN, refused(libc::EPERM)?, (0, 0))?;
    for number in NEVER.iter().chain(NEVER_EITHER) {
        put(EQUAL, u32::try_from(*number).ok()?, (0, 1))?;
        put(RETURN, refused(libc::EPERM)?, (0, 0))?;
    }
    // What it is asked for lies in memory, where a filter cannot look: who finds it missing asks by the older call.
    put(EQUAL, u32::try_from(libc::SYS_clone3).ok()?, (0, 1))?;
    put(RETURN, refused(libc::ENOSYS)?, (0, 0))?;
    // To itself: so it aborts.
    put(EQUAL, u32::try_from(libc::SYS_tgkill).ok()?, (0, 4))?;
    put(LOAD, FIRST, (0, 0))?;
    put(EQUAL, std::process::id(), (1, 0))?;
    put(RETURN, refused(libc::EPERM)?, (0, 0))?;
    put(RETURN, libc::SECCOMP_RET_ALLOW, (0, 0))?;
    put(EQUAL, u32::try_from(libc::SYS_clone).ok()?, (0, 3))?;
    put(LOAD, FIRST, (0, 0))?;
    put(HAS, u32::try_from(libc::CLONE_THREAD).ok()?, (1, 0))?;
    put(RETURN, refused(libc::EPERM)?, (0, 0))?;
    put(RETURN, libc::SECCOMP_RET_ALLOW, (0, 0))?;
    Some(program)
}

#[cfg(test)]
mod tests {
    use super::{Fences, has_gpu, install, is_gpu};
    use std::path::Path;
    use std::process::Command;

    #[test]
    fn what_a_process_has_given_up_is_read_from_the_system() {
        let mut fences = Fences::default();
        fences.read("Name:\tx\nNoNewPrivs:\t1\nSeccomp:\t0\n");
        assert_eq!(fences.applied, ["no-new-privileges"]);
        assert_eq!(fences.missing, ["system-calls: the process could not"]);
        let mut fences = Fences::default();
        fences.read("");
        assert_eq!(fences.missing.len(), 2);
    }

    #[test]
    fn a_gpu_is_known_by_its_files() {
        for file in ["/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvmap", "/dev/nvhost-gpu"] {
            assert!(is_gpu(Path::new(file)), "{file}");
        }
        for file in ["/dev/null", "/dev/nvme0n1", "/tmp/nvidia0", "socket:[7]", "/memfd:nv (deleted)"] {
            assert!(!is_gpu(Path::new(file)), "{file}");
        }
        assert!(!has_gpu(std::process::id()) && !has_gpu(u32::MAX));
    }

    #[test]
    fn behind_the_fence_threads_are_started_and_processes_are_not() {
        let inside = || {
            crate::worker::own::give_up_privileges().unwrap();
            // This thread alone: other tests go on.
            install(0).unwrap();
            let process = Command::new("/bin/true").status().map_err(|error| error.raw_os_error());
            let limits = rustix::process::setrlimit(
                rustix::process::Resource::Core,
                rustix::process::Rlimit { current: Some(0), maximum: Some(0) },
            );
            let thread = std::thread::spawn(|| 7).join().unwrap();
            (process.err(), limits.err(), thread)
        };
        let (process, limits, thread) = std::thread::spawn(inside).join().unwrap();
        assert_eq!((process, limits, thread), (Some(Some(libc::EPERM)), Some(rustix::io::Errno::PERM), 7));
    }
}
