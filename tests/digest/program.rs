//! `digest` as a user runs it: what it prints, line by line, and the processes it consists of.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::tree::TempDir;

/// Nothing here takes a second; the rest is for a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Looks until there is what it looks for.
///
/// # Panics
/// When that takes too long.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < LIMIT, "this does not happen: {what}");
        std::thread::sleep(Duration::from_millis(2)); // between two looks, not instead of one
    }
}

/// The example, which `cargo test` builds beside this test: `target/<profile>/examples`.
pub(crate) fn digest() -> Command {
    let mut path = std::env::current_exe().unwrap();
    path.pop(); // this test's own file
    path.set_file_name("examples");
    path.push("digest");
    assert!(path.exists(), "{} is built by `cargo test`", path.display());
    Command::new(path)
}

/// What one output has had to say up to now.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<Vec<u8>>>>);

impl Lines {
    fn read(&self, from: impl Read + Send + 'static) -> JoinHandle<()> {
        let lines = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n') {
                lines.0.lock().unwrap().push(line.unwrap());
            }
        })
    }

    fn now(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().clone()
    }
}

/// A run under way.
pub(crate) struct Running {
    child: Child,
    out: Lines,
    err: Lines,
    readers: Vec<JoinHandle<()>>,
    /// Named in the environment of every process of the run, and in no other: so they are found,
    /// whoever their parent is by then.
    home: TempDir,
}

/// A run that is over, with no process left.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    /// The lines of its stdout, sorted.
    pub(crate) out: Vec<Vec<u8>>,
    pub(crate) err: String,
}

/// A worker process of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Worker {
    pub(crate) pid: Pid,
    /// `worker-0`
    pub(crate) name: String,
}

/// Starts a run, and reads what it prints.
pub(crate) fn start(command: Command) -> Running {
    start_printing_to(Stdio::piped(), command)
}

/// Starts a run that prints its digests there.
pub(crate) fn start_printing_to(stdout: impl Into<Stdio>, mut command: Command) -> Running {
    let home = TempDir::new();
    command.env("XDG_RUNTIME_DIR", home.path()).env_remove("RUST_BACKTRACE");
    command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
    let mut child = command.process_group(0).spawn().unwrap();
    let (out, err) = (Lines::default(), Lines::default());
    let mut readers = vec![err.read(child.stderr.take().unwrap())];
    readers.extend(child.stdout.take().map(|from| out.read(from)));
    Running { child, out, err, readers, home }
}

/// Runs `digest` with these arguments to its end.
pub(crate) fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Ended {
    let mut command = digest();
    command.args(args);
    start(command).ended()
}

impl Running {
    /// Signals the root, and it only.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Signals all processes of the run, as a terminal does.
    pub(crate) fn signal_group(&self, signal: Signal) {
        kill_process_group(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The lines that came out up to now.
    pub(crate) fn out(&self) -> Vec<Vec<u8>> {
        self.out.now()
    }

    /// Whether the root has ended.
    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The worker that reads this file now.
    pub(crate) fn reader(&self, file: &Path) -> Option<Worker> {
        self.processes().into_iter().find_map(|pid| {
            let worker = worker(pid)?;
            let fds = std::fs::read_dir(proc(pid).join("fd")).ok()?;
            let reads =
                fds.flatten().any(|fd| std::fs::read_link(fd.path()).is_ok_and(|f| f == file));
            reads.then_some(worker)
        })
    }

    /// Waits until a worker reads this file.
    pub(crate) fn wait_reader(&self, file: &Path) -> Worker {
        until("a worker reads the file", || self.reader(file))
    }

    /// Waits until no process of the run is left.
    pub(crate) fn wait_gone(&self) {
        until("all processes of the run are gone", || self.processes().is_empty().then_some(()));
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When it never comes, or when something is left behind.
    pub(crate) fn ended(mut self) -> Ended {
        let status = until("the run ends", || self.child.try_wait().unwrap());
        let left: Vec<_> = self.processes().into_iter().map(|pid| (pid, worker(pid))).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        if status.code().is_some() {
            assert_eq!(self.home.sockets(), Vec::<PathBuf>::new(), "left behind");
        }
        let mut out = self.out.now();
        out.sort();
        let err = self.err.now().join(&b'\n');
        let err = String::from_utf8_lossy(&err).into_owned();
        Ended { code: status.code(), signal: status.signal(), out, err }
    }

    /// The processes of the run.
    fn processes(&self) -> Vec<Pid> {
        let mark = [b"XDG_RUNTIME_DIR=", self.home.path().as_os_str().as_encoded_bytes()].concat();
        let is_ours = |pid: &Pid| {
            let environ = std::fs::read(proc(*pid).join("environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|var| var == mark)
        };
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(Pid::from_raw).filter(is_ours).collect()
    }
}

impl Drop for Running {
    /// What a failed test leaves.
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// Kills a worker, and nobody else.
pub(crate) fn kill(worker: &Worker) {
    kill_process(worker.pid, Signal::KILL).unwrap();
}

fn proc(pid: Pid) -> PathBuf {
    PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()))
}

/// `_subactor[worker-0@01234567]`
fn worker(pid: Pid) -> Option<Worker> {
    let line = std::fs::read_to_string(proc(pid).join("cmdline")).ok()?;
    let (name, _) = line.strip_prefix("_subactor[")?.split_once('@')?;
    Some(Worker { pid, name: name.to_owned() })
}
