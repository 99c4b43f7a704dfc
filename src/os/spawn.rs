//! Starting children.
//!
//! One thread, `tractor-spawner`, starts every child of this process and never ends: the kernel
//! sends a child its parent-death signal when the *thread* that started it exits. There is no
//! `pre_exec`, because that would leave the `posix_spawn` path, and a fork of a large parent costs
//! tens of milliseconds.
//!
//! The link to the child is a socketpair whose other end is the child's fd 0. See
//! [`child`](super::child) for what the child makes of it.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread;

use rustix::io::{Errno, IoSlice};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::marker::{MARKER_ENV, Marker};
use super::output;
use super::process::Process;

/// What to start, and how.
#[derive(Clone, Debug)]
pub(crate) struct ChildSpec {
    /// The child's `argv[0]`, by which people find it in `ps`: `_subactor[name@uuid8]`.
    pub(crate) argv0: String,
    /// The program. None is this very program, even when its file was replaced or removed.
    pub(crate) exe: Option<PathBuf>,
    /// The arguments after `argv[0]`.
    pub(crate) args: Vec<OsString>,
    /// Changes to the environment, in order: set, or remove when the value is none.
    pub(crate) env: Vec<(OsString, Option<OsString>)>,
    /// The working directory. None is ours.
    pub(crate) cwd: Option<PathBuf>,
    /// What the child finds on fd 0 once it has taken its link from there.
    pub(crate) stdin: Stdin,
    /// Where its standard output goes.
    pub(crate) stdout: Output,
    /// Where its standard error goes.
    pub(crate) stderr: Output,
    /// What it is told through the environment.
    pub(crate) marker: Marker,
    /// The command line of a foreign program. What is started is this very program all the same: it
    /// sees to it that the other one dies with us, as no foreign program does by itself, and
    /// becomes it. Empty for a child of ours.
    pub(crate) exec: Vec<OsString>,
}

/// What a child finds on fd 0 once it has taken its link from there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stdin {
    /// `/dev/null`.
    #[default]
    Null,
    /// Our own standard input, shared.
    Inherit,
}

/// Where one of a child's output streams goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Output {
    /// To where ours goes, untouched.
    #[default]
    Inherit,
    /// Nowhere.
    Null,
    /// Into a ring buffer that keeps the last [`TAIL_BYTES_MAX`](output::TAIL_BYTES_MAX) bytes.
    Capture,
    /// Into that ring buffer, and on to our own stream of the same name.
    Tee,
}

/// A child that was started.
#[derive(Debug)]
pub(crate) struct Spawned {
    /// Its process id.
    pub(crate) pid: u32,
    /// Our end of the link; the child has the other one. It is in blocking mode.
    pub(crate) link: OwnedFd,
    /// The process: signals, exit, last output. Dropping the last one kills and reaps it.
    pub(crate) process: Arc<Process>,
}

/// What is called with the outcome of a [`spawn`].
pub(crate) type Done = Box<dyn FnOnce(io::Result<Spawned>) + Send>;

/// One order to the spawner thread.
struct Job {
    spec: ChildSpec,
    done: Done,
}

/// The way to the spawner thread, once it runs. Never emptied: the thread must not end.
static SPAWNER: Mutex<Option<mpsc::Sender<Job>>> = Mutex::new(None);

/// The path of this program, as it was when we were asked to remember it.
static OWN_EXE: OnceLock<PathBuf> = OnceLock::new();

/// Starts a child and calls `done` with the outcome, on the spawner thread (or on this one when
/// that thread can't be started). `done` must be short: it holds up every other spawn.
///
/// An error names the program, or the directory, and what to do about it.
pub(crate) fn spawn(spec: ChildSpec, done: Done) {
    let mut spawner = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    let queue = match &mut *spawner {
        Some(queue) => queue,
        empty => match start_spawner() {
            Ok(queue) => empty.insert(queue),
            Err(error) => {
                drop(spawner);
                return done(Err(error));
            }
        },
    };
    let refused = queue.send(Job { spec, done }).err();
    drop(spawner);
    if let Some(mpsc::SendError(job)) = refused {
        (job.done)(Err(io::Error::other("the spawner thread of tractor has ended")));
    }
}

/// Remembers where this program is, for systems that can't tell later. Call it early.
pub(crate) fn remember_exe() {
    if let Ok(path) = std::env::current_exe() {
        OWN_EXE.get_or_init(|| path);
    }
}

/// Starts the spawner thread.
fn start_spawner() -> io::Result<mpsc::Sender<Job>> {
    let (queue, jobs) = mpsc::channel::<Job>();
    thread::Builder::new().name("tractor-spawner".into()).spawn(move || {
        for job in jobs {
            // A panic must not end this thread: every child of the process would die with it.
            let done = AssertUnwindSafe(|| (job.done)(start(&job.spec)));
            if catch_unwind(done).is_err() {
                log::error!(target: "tractor::runtime", "the receiver of a spawned child panicked");
            }
        }
    })?;
    Ok(queue)
}

/// Starts one child.
fn start(spec: &ChildSpec) -> io::Result<Spawned> {
    let program = match &spec.exe {
        Some(path) => path.clone(),
        None => own_exe()?,
    };
    if [spec.stdout, spec.stderr].iter().any(|to| matches!(to, Output::Capture | Output::Tee)) {
        output::start()?;
    }
    let (link, theirs) = link_pair()?;
    if spec.stdin == Stdin::Inherit {
        // Before the child exists, so that it never has to wait for it.
        send_stdin(&link)?;
    }
    if !spec.exec.is_empty() {
        send_exec(&link, &spec.exec)?;
    }
    let mut command = command(spec, &program, theirs);
    let child = command.spawn().map_err(|error| explain(&error, &program, spec))?;
    // The command holds the child's end. While it is open here, we would not see the child die.
    drop(command);
    let process = Arc::new(Process::adopt(child, spec)?);
    Ok(Spawned { pid: process.pid(), link, process })
}

/// The command line, environment and stdio of a child. `link` becomes its fd 0.
fn command(spec: &ChildSpec, program: &Path, link: OwnedFd) -> Command {
    let mut command = Command::new(program);
    command.arg0(&spec.argv0).args(&spec.args).stdin(link);
    command.stdout(stdio(spec.stdout)).stderr(stdio(spec.stderr));
    if let Some(dir) = &spec.cwd {
        command.current_dir(dir);
    }
    for (name, value) in &spec.env {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    // Last: whatever we inherited or the caller set is not the truth about this child.
    command.env(MARKER_ENV, spec.marker.encode(spec.stdin));
    command
}

/// How std names it.
fn stdio(output: Output) -> Stdio {
    match output {
        Output::Inherit => Stdio::inherit(),
        Output::Null => Stdio::null(),
        Output::Capture | Output::Tee => Stdio::piped(),
    }
}

/// The path that starts this program again.
fn own_exe() -> io::Result<PathBuf> {
    // The link leads to the file we run, even when its name now means another one, or none.
    let link = Path::new("/proc/self/exe");
    if cfg!(target_os = "linux") && link.exists() {
        return Ok(link.to_owned());
    }
    OWN_EXE.get().cloned().map_or_else(std::env::current_exe, Ok).map_err(|error| {
        let hint = "is /proc mounted? else name the program with `exe`";
        io::Error::new(error.kind(), format!("can't find this program's own file: {error}; {hint}"))
    })
}

/// A connected pair of sockets, both closed on exec.
fn link_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = UnixStream::pair().map_err(|error| {
        let hint = hint_for(&error);
        io::Error::new(error.kind(), format!("can't make the link to a child: {error}{hint}"))
    })?;
    Ok((ours.into(), theirs.into()))
}

/// Bytes that nobody can guess, from the system.
pub(crate) fn secret() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    let source = Path::new("/dev/urandom");
    let read = std::fs::File::open(source).and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(|e| io::Error::new(e.kind(), format!("can't read {}: {e}", source.display())))?;
    Ok(bytes)
}

/// Sends our standard input over the link: one byte that carries the descriptor.
fn send_stdin(link: &OwnedFd) -> io::Result<()> {
    let stdin = io::stdin();
    let fds = [stdin.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(link, &[IoSlice::new(&[0])], &mut control, SendFlags::empty()).map_err(|errno| {
        let error = io::Error::from(errno);
        io::Error::new(error.kind(), format!("can't pass standard input on to a child: {error}"))
    })?;
    Ok(())
}

/// Sends the command line that the child is to become, all of it, before there is anybody to read
/// it: neither ever waits for the other.
fn send_exec(link: &OwnedFd, exec: &[OsString]) -> io::Result<()> {
    let line = exec.iter().map(|arg| arg.as_bytes()).collect::<Vec<_>>().join(&0);
    let sent = rustix::net::send(link, &line, SendFlags::DONTWAIT)?;
    if sent < line.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "its command line is too long"));
    }
    Ok(rustix::net::shutdown(link, rustix::net::Shutdown::Write)?)
}

/// Says what could not be started, why, and what to do.
fn explain(error: &io::Error, program: &Path, spec: &ChildSpec) -> io::Error {
    let text = match &spec.cwd {
        // The system says the same of both, so ask which of the two it was.
        Some(dir) if !dir.is_dir() => {
            let dir = dir.display();
            format!("can't start {} in {dir}: that is not a directory we can enter", spec.argv0)
        }
        _ => {
            let hint = hint_for(error);
            format!("can't start {} as {}: {error}{hint}", program.display(), spec.argv0)
        }
    };
    io::Error::new(error.kind(), text)
}

/// What a user can do about an error of the system.
fn hint_for(error: &io::Error) -> &'static str {
    match error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error) {
        Errno::NOENT => "; check that the file, and its interpreter if it is a script, exist",
        Errno::ACCESS => "; check that the file may be executed and is not on a `noexec` mount",
        Errno::NOEXEC => "; it is not a program for this machine, nor a script with a `#!` line",
        Errno::AGAIN => "; too many processes: raise `ulimit -u` or the cgroup's `pids.max`",
        Errno::MFILE => "; too many open files: raise `ulimit -n`",
        Errno::NFILE => "; too many open files in the system: raise `fs.file-max`",
        Errno::NOMEM => "; out of memory",
        Errno::TOOBIG => "; its arguments and environment are too long",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn spec(exe: &str) -> ChildSpec {
        ChildSpec {
            argv0: "_subactor[test@00000000]".into(),
            exe: Some(exe.into()),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            stdin: Stdin::Null,
            stdout: Output::Null,
            stderr: Output::Capture,
            marker: Marker::new(1, "none", None),
            exec: Vec::new(),
        }
    }

    fn run(spec: ChildSpec) -> io::Result<Spawned> {
        let (tell, told) = mpsc::channel();
        spawn(spec, Box::new(move |outcome| drop(tell.send(outcome))));
        told.recv_timeout(Duration::from_secs(10)).unwrap()
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(spec("/nowhere/at-all")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("/nowhere/at-all"), "{error}");
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = run(ChildSpec { cwd: Some("/no/dir".into()), ..spec("/bin/sh") }).unwrap_err();
        assert!(error.to_string().contains("/no/dir"), "{error}");
    }

    #[test]
    fn the_marker_of_the_environment_is_overridden() {
        let own = (OsString::from(MARKER_ENV), Some(OsString::from("liar")));
        let args = vec!["-c".into(), format!("echo \"${MARKER_ENV}\" >&2").into()];
        let child = run(ChildSpec { env: vec![own], args, ..spec("/bin/sh") }).unwrap();
        let status = child.process.wait_for(Duration::from_secs(10)).unwrap();
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
        let expected = Marker::new(1, "none", None).encode(Stdin::Null);
        assert_eq!(child.process.stderr_tail().trim_end(), expected);
    }
}
