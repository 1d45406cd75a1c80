//! A control group for one process: the system counts all of its memory there, also what no limit of a process knows.
//!
//! ```text
//!  create ─▶ the process joins, before it loads ─▶ limited, once its models have run ─▶ beyond that the system kills it
//!     │                                                                                └─▶ it has ended: removed
//!     └── not permitted, or no such groups: told, and nothing else changes
//! ```
//!
//! Where the system has the first version of control groups the group lies in the vehicle's own one. In the second version a group
//! with processes has none that limit memory in it, so it lies beside the vehicle's. Its name has the vehicle's number: who was
//! killed could not remove it, so each start removes those of vehicles that do not exist any more.

use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// How often it is tried to remove a group whose process has ended: it may not have left yet.
const TRIES: u32 = 20;

/// A group with one process.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
    files: &'static Files,
}

/// How a version calls what is needed here.
#[derive(Debug)]
struct Files {
    limit: &'static str,
    used: &'static str,
    /// What would let it go on in slower memory.
    swap: Option<&'static str>,
}

const FIRST: Files = Files { limit: "memory.limit_in_bytes", used: "memory.usage_in_bytes", swap: None };
const SECOND: Files = Files { limit: "memory.max", used: "memory.current", swap: Some("memory.swap.max") };

impl Group {
    /// Makes a group for a process and puts it in. The process has just been started.
    ///
    /// # Errors
    /// There are no control groups of memory, or this process may not make one.
    pub fn create(vehicle: u32, process: u32) -> Result<Self> {
        let own = |name: &str| fs::read_to_string(format!("/proc/self/{name}"));
        let (groups, mounts) = (own("cgroup")?, own("mountinfo")?);
        let (parents, files) = parents(&groups, &mounts)
            .ok_or_else(|| Error::new(ErrorKind::Unsupported, "the system has no control groups of memory"))?;
        let mut refused = Error::from(ErrorKind::NotFound);
        for parent in parents {
            remove_left(&parent);
            match Self::create_in(&parent, files, vehicle, process) {
                Ok(group) => return Ok(group),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    fn create_in(parent: &Path, files: &'static Files, vehicle: u32, process: u32) -> Result<Self> {
        let folder = parent.join(format!("{PREFIX}{vehicle}-{process}"));
        fs::create_dir(&folder)?;
        let group = Self { folder, files };
        let joined = if group.folder.join(files.limit).exists() {
            fs::write(group.folder.join("cgroup.procs"), process.to_string())
        } else {
            Err(Error::new(ErrorKind::Unsupported, "its groups do not limit memory"))
        };
        joined.map(|()| group)
    }

    /// Limits all memory of the process to what it has now, with `most` bytes for the private part of it, of which it has `private`
    /// bytes now. Beside them there is room for what the system keeps for that part.
    ///
    /// # Errors
    /// What the system says.
    pub fn limit(&self, most: u64, private: u64) -> Result<()> {
        let path = self.folder.join(self.files.used);
        let used = fs::read_to_string(path)?.trim().parse::<u64>().map_err(|_| ErrorKind::InvalidData)?;
        let others = used.saturating_sub(private);
        let limit = others.saturating_add(most).saturating_add(most / ROOM_PART).saturating_add(ROOM);
        fs::write(self.folder.join(self.files.limit), limit.to_string())?;
        if let Some(swap) = self.files.swap.map(|swap| self.folder.join(swap)).filter(|swap| swap.exists()) {
            fs::write(swap, "0")?;
        }
        Ok(())
    }

    /// Removes the group; its process has ended.
    pub fn remove(&self) {
        for _ in 0..TRIES {
            match fs::remove_dir(&self.folder) {
                Err(error) if error.kind() == ErrorKind::ResourceBusy => sleep(Duration::from_millis(1)),
                // Whatever else keeps it, the next start tries again.
                _ => return,
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.remove();
    }
}

/// What the names of groups begin with.
const PREFIX: &str = "aegis-";

/// Page tables and the like: so many bytes, and a part of what they are for.
const ROOM: u64 = 1 << 20;
const ROOM_PART: u64 = 64;

/// Removes the groups of vehicles that do not exist any more. One that has a process in it stays.
fn remove_left(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let vehicle = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-')?.0.parse::<u32>().ok());
        if vehicle.is_some_and(|vehicle| !Path::new(&format!("/proc/{vehicle}")).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Where a group can be made, the best place first, from what `/proc/self` says of this process' groups and of what is mounted.
fn parents(groups: &str, mounts: &str) -> Option<(Vec<PathBuf>, &'static Files)> {
    // `4:memory:/path` of the first version, `0::/path` of the second.
    let of = |wanted: &dyn Fn(&str) -> bool| {
        let mut lines = groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
        lines.find(|(controllers, _)| wanted(controllers)).map(|(_, path)| path)
    };
    let has = |list: &str| list.split(',').any(|one| one == "memory");
    let first = of(&has).zip(mounted(mounts, &|kind, options| kind == "cgroup" && has(options)));
    if let Some(folder) = first.and_then(|(path, mount)| within(mount, path)) {
        return Some((vec![folder], &FIRST));
    }
    let path = of(&str::is_empty)?;
    let folder = within(mounted(mounts, &|kind, _| kind == "cgroup2")?, path)?;
    let beside = folder.parent().filter(|_| path != "/").map(Path::to_owned);
    Some((beside.into_iter().chain([folder]).collect(), &SECOND))
}

/// The part of a hierarchy that is mounted, and where.
fn mounted<'a>(mounts: &'a str, wanted: &dyn Fn(&str, &str) -> bool) -> Option<(&'a str, &'a str)> {
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut kind = kind.split(' ');
        let (name, options) = (kind.next()?, kind.nth(1)?);
        let mut words = mount.split(' ').skip(3);
        let place = (words.next()?, words.next()?);
        wanted(name, options).then_some(place)
    })
}

/// Where a group's folder lies.
fn within((part, at): (&str, &str), path: &str) -> Option<PathBuf> {
    let below = Path::new(path).strip_prefix(part).ok()?;
    Some(Path::new(at).join(below))
}

#[cfg(test)]
mod tests {
    use super::{Group, PREFIX, parents, remove_left};
    use std::path::PathBuf;
    use std::process::Command;

    const MOUNTS: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
                          35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:7 - cgroup cgroup rw,memory\n\
                          41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    const UNIFIED: &str = "41 31 0:38 /pod /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";

    fn found(groups: &str, mounts: &str) -> Option<(Vec<PathBuf>, &'static str)> {
        parents(groups, mounts).map(|(parents, files)| (parents, files.limit))
    }

    #[test]
    fn the_place_of_a_group_is_read_from_the_system() {
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        let first = "4:memory:/jobs/a\n1:cpu:/\n0::/\n";
        assert_eq!(found(first, MOUNTS), Some((paths(&["/sys/fs/cgroup/memory/jobs/a"]), "memory.limit_in_bytes")));
        let both = "4:cpu,memory:/\n0::/x\n";
        assert_eq!(found(both, MOUNTS).unwrap().0, paths(&["/sys/fs/cgroup/memory"]));
        let second = ["/sys/fs/cgroup/user", "/sys/fs/cgroup/user/a"];
        assert_eq!(found("0::/pod/user/a\n", UNIFIED), Some((paths(&second), "memory.max")));
        assert_eq!(found("0::/other\n", UNIFIED), None, "it is mounted elsewhere");
        assert_eq!(found("", MOUNTS), None);
        assert_eq!(found("0::/\n", ""), None);
    }

    #[test]
    fn groups_of_vehicles_that_do_not_exist_are_removed_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut ended = Command::new("/bin/true").spawn().unwrap();
        let (dead, own) = (format!("{PREFIX}{}-7", ended.id()), format!("{PREFIX}{}-7", std::process::id()));
        ended.wait().unwrap();
        for name in [&dead, &own, "aegis-x-7", "other"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        remove_left(folder.path());
        let left = |name: &str| folder.path().join(name).exists();
        assert_eq!([&dead, &own, "aegis-x-7", "other"].map(left), [false, true, true, true]);
    }

    #[test]
    fn a_group_that_cannot_be_joined_is_told_and_not_left() {
        // No process has this number.
        match Group::create(std::process::id(), u32::MAX >> 1) {
            Ok(group) => panic!("{group:?}"),
            Err(error) => println!("refused: {error}"),
        }
        let (groups, mounts) =
            ["cgroup", "mountinfo"].map(|name| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap()).into();
        for parent in parents(&groups, &mounts).into_iter().flat_map(|(parents, _)| parents) {
            let name = format!("{PREFIX}{}-{}", std::process::id(), u32::MAX >> 1);
            assert!(!parent.join(name).exists());
        }
    }
}
