//! A tree under watch: its root's lines, its end, and whoever survives.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::on;
use crate::procs::{self, Process, TAG};
use crate::program::{ON, ORDER};

/// The teardown budget of a tree.
pub(crate) const BUDGET: Duration = Duration::from_millis(2500);

/// What a busy machine adds to any of our times.
pub(crate) const SLACK: Duration = Duration::from_millis(1500);

/// For what takes milliseconds, but has no limit of its own.
const PATIENCE: Duration = Duration::from_secs(15);

/// The arguments that lead this test binary to the program.
const ARGS: [&str; 3] = ["tree_program", "--exact", "--nocapture"];

/// A tree: its root is a process of its own, in a process group of its own.
pub(crate) struct Tree {
    root: Child,
    tag: String,
    lines: Receiver<String>,
    /// Lines that came before the one that was waited for.
    passed: RefCell<Vec<String>>,
    errors: Receiver<String>,
    home: Home,
}

impl Tree {
    /// Starts a root with this order.
    pub(crate) fn start(order: &str) -> Tree {
        Tree::start_in(order, Home::new())
    }

    /// Starts a root whose runtime directory is in `home`.
    pub(crate) fn start_in(order: &str, home: Home) -> Tree {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let tag = format!("{}-{count}", std::process::id());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(ON, on::current().to_string());
        command.args(ARGS).env(ORDER, order).env(TAG, &tag).env("XDG_RUNTIME_DIR", home.path());
        command.env_remove("RUST_BACKTRACE").process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut root = procs::adopt(|| command.spawn()).unwrap();
        let (stdout, stderr) = (root.stdout.take().unwrap(), root.stderr.take().unwrap());
        let (line, lines) = channel();
        std::thread::spawn(move || {
            for text in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = line.send(text);
            }
        });
        let (error, errors) = channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = BufReader::new(stderr).read_to_string(&mut text);
            let _ = error.send(text);
        });
        Tree { root, tag, lines, passed: RefCell::default(), errors, home }
    }

    /// The root's process.
    pub(crate) fn pid(&self) -> u32 {
        self.root.id()
    }

    /// The rest of the next line that begins so. Others are kept.
    pub(crate) fn line(&self, prefix: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut passed = self.passed.borrow_mut();
        if let Some(index) = passed.iter().position(|line| line.starts_with(prefix)) {
            return passed.remove(index)[prefix.len()..].trim().to_owned();
        }
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(prefix) {
                        return rest.trim().to_owned();
                    }
                    passed.push(line);
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no line `{prefix}` in {PATIENCE:?}; alive: {:#?}", self.alive())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("the tree ended without a line `{prefix}`: {}", self.stderr())
                }
            }
        }
    }

    /// A number that the root says.
    pub(crate) fn number(&self, prefix: &str) -> u64 {
        let text = self.line(prefix);
        text.parse().unwrap_or_else(|_| panic!("`{prefix} {text}` is no number"))
    }

    /// Waits until this many nodes are up: their paths and pids.
    pub(crate) fn nodes(&self, count: usize) -> Vec<(String, u32)> {
        let node = |_| {
            let line = self.line("node ");
            let (path, pid) = line.split_once(' ').unwrap();
            (path.to_owned(), pid.parse().unwrap())
        };
        (0..count).map(node).collect()
    }

    /// The living processes of the tree.
    pub(crate) fn alive(&self) -> Vec<Process> {
        procs::tagged(&self.tag)
    }

    pub(crate) fn kill(&self, signal: Signal) {
        assert!(procs::signal(self.pid(), signal), "the root is there");
    }

    /// Signals all processes of the root's group, as a terminal does.
    pub(crate) fn kill_group(&self, signal: Signal) {
        let group = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process_group(group, signal).unwrap();
    }

    /// Waits for the root's end; `None` when it lives on.
    pub(crate) fn try_exit(&mut self, limit: Duration) -> Option<ExitStatus> {
        let root = &mut self.root;
        procs::wait_for(limit, || root.try_wait().unwrap()).map(|(status, _)| status)
    }

    /// Waits for the root's end.
    pub(crate) fn exit(&mut self, limit: Duration) -> ExitStatus {
        let status = self.try_exit(limit);
        status.unwrap_or_else(|| panic!("the root lives on after {limit:?}: {:#?}", self.alive()))
    }

    /// Waits until no process of the tree is left; how long that took.
    pub(crate) fn gone(&self, limit: Duration) -> Duration {
        match procs::wait_gone(&self.tag, limit) {
            Ok(took) => took,
            Err(left) => panic!("alive after {limit:?}: {left:#?}"),
        }
    }

    /// Waits for the root's end and for everybody else's: at that moment, not later. The code, and
    /// what the root said at its end.
    pub(crate) fn ends(mut self, limit: Duration) -> (Option<i32>, String) {
        let code = self.exit(limit).code();
        // Whoever outlived the root for a moment is being killed by the kernel right now.
        self.gone(SLACK);
        let end = self.end().unwrap_or_default();
        (code, end)
    }

    /// What the root said at its end, if it did.
    pub(crate) fn end(&self) -> Option<String> {
        // The pipe is closed by now: this ends.
        let mut ends = self.rest().into_iter().filter_map(|l| Some(l.strip_prefix("end ")?.into()));
        ends.next()
    }

    /// The lines that were not asked for, once the tree is gone.
    pub(crate) fn rest(&self) -> Vec<String> {
        let mut lines = self.passed.take();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Disconnected) => return lines,
                Err(RecvTimeoutError::Timeout) => panic!("somebody holds the tree's stdout open"),
            }
        }
    }

    /// What the tree wrote to its standard error, once it is gone.
    pub(crate) fn stderr(&self) -> String {
        self.errors.recv_timeout(PATIENCE).expect("nobody holds the tree's stderr open")
    }

    /// What is left of the trees in the runtime directory.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.home.files()
    }

    /// The runtime directory, for another tree.
    pub(crate) fn into_home(mut self) -> Home {
        std::mem::replace(&mut self.home, Home(PathBuf::new()))
    }
}

impl Drop for Tree {
    /// A test that failed leaves nothing behind either.
    fn drop(&mut self) {
        for process in self.alive() {
            procs::signal(process.pid, Signal::KILL);
        }
        let _ = self.root.wait();
        let _ = procs::wait_gone(&self.tag, SLACK);
    }
}

/// Stops a process, and waits until all its threads are: until then they go on.
pub(crate) fn stop(pid: u32) {
    assert!(procs::signal(pid, Signal::STOP));
    let stopped = || procs::read(pid).filter(|process| process.state == 'T');
    procs::wait_for(SLACK, stopped).expect("it stops");
}

/// A runtime directory of a test's own.
pub(crate) struct Home(PathBuf);

impl Home {
    pub(crate) fn new() -> Home {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("zombies-{}-{count}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Home(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The directories of trees in it.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.0.join("tractor"));
        entries.map_or_else(|_| Vec::new(), |entries| entries.flatten().map(|e| e.path()).collect())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
