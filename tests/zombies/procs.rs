//! Processes as `/proc` shows them: who is alive, who is whose child, and where a tree has left
//! anything.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// The environment variable by which a tree's processes are known: inherited by all of them, also
/// by those that their parents have forgotten.
pub(crate) const TAG: &str = "TREE_TAG";

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(3);

/// Looks more than once: a process that is just becoming another program shows no environment.
const LOOKS: usize = 3;

/// A line of the process table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    /// `R`, `S`, `T`, `Z`, ...
    pub(crate) state: char,
    pub(crate) name: String,
}

impl Process {
    /// Dead, but not reaped by its parent.
    pub(crate) fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// The processes that exist.
pub(crate) fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    pids.filter_map(read).collect()
}

/// One process, unless it is gone.
pub(crate) fn read(pid: u32) -> Option<Process> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in brackets, and may have blanks and brackets in it.
    let (head, tail) = text.rsplit_once(") ")?;
    let (_, name) = head.split_once(" (")?;
    let mut fields = tail.split(' ');
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Process { pid, parent, state, name: name.to_owned() })
}

/// The children of a process, zombies too.
pub(crate) fn children_of(pid: u32) -> Vec<Process> {
    all().into_iter().filter(|p| p.parent == pid).collect()
}

/// The living processes with this tag in their environment.
pub(crate) fn tagged(tag: &str) -> Vec<Process> {
    let entry = format!("{TAG}={tag}");
    let is_ours = |process: &Process| {
        let environ = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        environ.split(|b| *b == 0).any(|var| var == entry.as_bytes())
    };
    all().into_iter().filter(|p| !p.is_zombie() && is_ours(p)).collect()
}

/// The descriptors of a process.
pub(crate) fn fds(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// The threads of a process.
pub(crate) fn threads(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// Sends a signal. Whether there was somebody to get it.
pub(crate) fn signal(pid: u32, signal: Signal) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
}

/// Waits until `found` finds something; how long that took comes with it.
pub(crate) fn wait_for<T>(
    limit: Duration,
    mut found: impl FnMut() -> Option<T>,
) -> Option<(T, Duration)> {
    let start = Instant::now();
    loop {
        if let Some(value) = found() {
            return Some((value, start.elapsed()));
        }
        if start.elapsed() > limit {
            return None;
        }
        std::thread::sleep(POLL);
    }
}

/// Waits until no process with this tag lives. The time that took, or the survivors.
pub(crate) fn wait_gone(tag: &str, limit: Duration) -> Result<Duration, Vec<Process>> {
    let mut looks = 0;
    let mut first_clean = Duration::ZERO;
    let start = Instant::now();
    let gone = wait_for(limit, || {
        if !tagged(tag).is_empty() {
            looks = 0;
            return None;
        }
        looks += 1;
        if looks == 1 {
            first_clean = start.elapsed();
        }
        (looks == LOOKS).then_some(())
    });
    reap_orphans();
    gone.map(|_| first_clean).ok_or_else(|| tagged(tag))
}

/// The roots that this process has started, and reaps by itself. Locked while one is started.
static OWN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Starts a root. From then on the orphans of trees are this process's children, and reaped.
pub(crate) fn adopt(
    start: impl FnOnce() -> io::Result<std::process::Child>,
) -> io::Result<std::process::Child> {
    let mut own = lock();
    // Whoever is PID 1 here may reap nobody. It takes a pid to say "yes", any one will do.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let child = start()?;
    own.insert(child.id());
    Ok(child)
}

/// Reaps the dead whose parents died before them.
pub(crate) fn reap_orphans() {
    let own = lock();
    for process in children_of(std::process::id()) {
        let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else { continue };
        if process.is_zombie() && !own.contains(&process.pid) {
            // Somebody else may have been faster.
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        }
    }
}

fn lock() -> MutexGuard<'static, BTreeSet<u32>> {
    OWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Numbers from a seed, the same every time (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next one, below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}
