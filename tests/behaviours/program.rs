//! A program as a user runs it: its output, its exit code, and what it left behind.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Names a run in the environment of all its processes, so that they are found in `/proc` whatever
/// else runs at the same time.
const RUN_ENV: &str = "TRACTOR_TEST_RUN";

/// No program here has more than a second's work to do; the rest is for a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A program that runs.
pub(crate) struct Running {
    name: String,
    run: String,
    pid: Pid,
    /// What it says on stderr, line by line as it comes.
    said: Receiver<String>,
    ended: Receiver<Ended>,
}

/// A program that has ended, having left no process behind.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// Names the program that a test is to be, when it is run again as one.
pub(crate) const ROLE_ENV: &str = "TRACTOR_TEST_ROLE";

/// Whether the running test is a program: the second of the two roles of a test that looks at a
/// whole program from outside. Such a test runs its own binary [`again`], and looks.
pub(crate) fn is_program() -> bool {
    std::env::var_os(ROLE_ENV).is_some()
}

/// The running test as a program: this binary, told to run this test only.
pub(crate) fn again(module_path: &str, name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(test_args(module_path, name)).env(ROLE_ENV, name);
    command
}

/// The arguments that lead a child of such a program back into the same test.
pub(crate) fn test_args(module_path: &str, name: &str) -> [String; 3] {
    let (_crate, module) = module_path.split_once("::").unwrap();
    [format!("{module}::{name}"), "--exact".into(), "--nocapture".into()]
}

/// Ends a program as `main` does that returned this.
pub(crate) fn exit(result: tractor::Result<()>) -> ! {
    match result {
        Ok(()) => std::process::exit(0),
        Err(error) => {
            eprintln!("Error: {error:?}");
            std::process::exit(1)
        }
    }
}

/// Starts a program as a process group of its own.
pub(crate) fn start(mut command: Command) -> Running {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let run = format!("{}-{count}", std::process::id());
    command.env(RUN_ENV, &run).env_remove("RUST_BACKTRACE").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child: Child = command.spawn().unwrap();
    let pid = Pid::from_child(&child);
    let ((say, said), (end, ended)) = (channel(), channel());
    std::thread::spawn(move || end.send(watch(child, &say)));
    Running { name: format!("{command:?}"), run, pid, said, ended }
}

/// Reads all that a program says, until nobody can say anything any more, and reaps it.
fn watch(mut child: Child, say: &Sender<String>) -> Ended {
    let mut out = child.stdout.take().unwrap();
    let out = std::thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).unwrap();
        text
    });
    let mut stderr = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        stderr.push_str(&line);
        stderr.push('\n');
        let _ = say.send(line); // nobody may be listening
    }
    let stdout = out.join().unwrap();
    Ended { status: child.wait().unwrap(), stdout, stderr }
}

/// Runs a program to its end.
pub(crate) fn run(command: Command) -> Ended {
    start(command).ended()
}

/// A test that fails leaves no program behind.
impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }
}

impl Running {
    /// Signals this one process, not its children.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Waits until it says this on stderr.
    ///
    /// # Panics
    /// When it says it never, or too late.
    pub(crate) fn says(&self, wanted: &str) {
        loop {
            match self.said.recv_timeout(LIMIT) {
                Ok(line) if line == wanted => return,
                Ok(_) => {}
                Err(_) => panic!("{} never said {wanted:?}: {:#?}", self.name, self.processes()),
            }
        }
    }

    /// Signals all processes of the run that have not left its group, as a terminal does.
    #[allow(dead_code, reason = "not all that share this module need it")]
    pub(crate) fn signal_group(&self, signal: Signal) {
        kill_process_group(self.pid, signal).unwrap();
    }

    /// Waits until it says something that begins so on stderr; what follows in that line.
    ///
    /// # Panics
    /// When it says it never, or too late.
    #[allow(dead_code, reason = "not all that share this module need it")]
    pub(crate) fn says_what_begins_with(&self, beginning: &str) -> String {
        loop {
            match self.said.recv_timeout(LIMIT) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(beginning) {
                        return rest.to_owned();
                    }
                }
                Err(_) => panic!("{} never said {beginning:?}: {:#?}", self.name, self.processes()),
            }
        }
    }

    /// Waits for the program's end, which also is the end of whoever holds its outputs.
    ///
    /// # Panics
    /// When it takes too long, or when a process of the run is left.
    pub(crate) fn ended(self) -> Ended {
        let ended = match self.ended.recv_timeout(LIMIT) {
            Ok(ended) => ended,
            Err(RecvTimeoutError::Disconnected) => panic!("{}: waiting failed", self.name),
            Err(RecvTimeoutError::Timeout) => {
                let left = self.processes();
                let _ = kill_process_group(self.pid, Signal::KILL);
                panic!("{} runs for more than {LIMIT:?}; its processes: {left:#?}", self.name);
            }
        };
        let left = self.processes();
        assert!(left.is_empty(), "{} left processes behind: {left:#?}", self.name);
        ended
    }

    /// The processes of the run: pid and command line.
    pub(crate) fn processes(&self) -> Vec<String> {
        processes_of(&self.run)
    }
}

fn processes_of(run: &str) -> Vec<String> {
    let wanted = format!("{RUN_ENV}={run}");
    let is_ours = |pid: &OsStr| {
        let environ = std::fs::read(PathBuf::from("/proc").join(pid).join("environ"));
        environ.is_ok_and(|env| env.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes()))
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| is_ours(&entry.file_name()))
        .map(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            format!("{} {line}", entry.file_name().to_string_lossy())
        })
        .collect()
}

/// What to look at when an assertion on a program fails.
impl std::fmt::Debug for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let signal = self.status.signal();
        let code = self.status.code();
        write!(f, "code {code:?}, signal {signal:?}\n--- stdout\n{}", self.stdout)?;
        write!(f, "--- stderr\n{}", self.stderr)
    }
}

/// A directory of the test's own, gone with it.
pub(crate) struct TempDir(PathBuf);

pub(crate) fn temp_dir() -> TempDir {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("tractor-behaviours-{}-{count}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir(&path).unwrap();
    TempDir(path)
}

impl TempDir {
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
