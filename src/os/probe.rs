//! Looking at processes and descriptors, for tests and for `doctor`-like reports. Linux only:
//! elsewhere every answer is empty.

use std::collections::BTreeSet;
use std::fs;

/// One running process, as `/proc` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProcessInfo {
    /// Its process id.
    pub(crate) pid: u32,
    /// The process id of its parent.
    pub(crate) ppid: u32,
    /// `R`, `S`, `D`, `T` (stopped), `Z` (exited, not reaped), ...
    pub(crate) state: char,
    /// Its command line, arguments joined with a blank. Empty for a zombie.
    pub(crate) cmdline: String,
}

/// How many file descriptors this process has open.
#[cfg(test)]
pub(crate) fn open_fds() -> usize {
    // The listing itself has one open.
    fs::read_dir("/proc/self/fd").map_or(0, |fds| fds.count().saturating_sub(1))
}

/// How many threads this process has.
#[cfg(test)]
pub(crate) fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// A process, if it exists.
pub(crate) fn process(pid: u32) -> Option<ProcessInfo> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses, and may hold anything.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let ppid = fields.next()?.parse().ok()?;
    let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let cmdline = String::from_utf8_lossy(&cmdline).replace('\0', " ").trim_end().to_owned();
    Some(ProcessInfo { pid, ppid, state, cmdline })
}

/// A process and all its descendants, by pid. Those whose parent has died are not among them, for
/// they have another parent then.
pub(crate) fn process_tree(root: u32) -> Vec<ProcessInfo> {
    let mut found = BTreeSet::from([root]);
    let all = all_processes();
    // A pid may be lower than its parent's, once they have wrapped: repeat until nothing is new.
    loop {
        let before = found.len();
        found.extend(
            all.iter().filter(|p| found.contains(&p.ppid)).map(|p| p.pid).collect::<Vec<_>>(),
        );
        if found.len() == before {
            return all.into_iter().filter(|process| found.contains(&process.pid)).collect();
        }
    }
}

/// Every process that we can see, by pid.
fn all_processes() -> Vec<ProcessInfo> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut all: Vec<ProcessInfo> = pids.filter_map(process).collect();
    all.sort_by_key(|process| process.pid);
    all
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::{Command, id};

    use super::*;

    #[test]
    fn a_child_is_in_the_tree() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let found = process_tree(id());
        child.kill().unwrap();
        child.wait().unwrap();
        let seen = found.iter().find(|process| process.pid == child.id()).unwrap();
        assert_eq!(seen.ppid, id());
        assert!(found.iter().any(|process| process.pid == id()));
        assert!(!process_tree(id()).iter().any(|process| process.pid == child.id()));
    }

    #[test]
    fn descriptors_and_threads_are_counted() {
        assert!(open_fds() >= 3);
        assert!(threads() >= 1);
    }
}
