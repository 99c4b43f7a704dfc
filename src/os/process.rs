//! One child process: its exit, its signals and its last output.
//!
//! On Linux a process is a pidfd, which is readable once the process has exited and can never mean
//! another process. Elsewhere, and where a sandbox refuses pidfds, a thread waits for the exit
//! *without reaping* and closes a pipe, so that there is a descriptor to watch in any case.
//!
//! A mutex puts signals and the one reap in order. Until the reap the process is at least a
//! zombie, so even a plain pid can't have been given to another one.

use std::fmt;
use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
#[cfg(test)]
use std::time::{Duration, Instant};

#[cfg(test)]
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitIdStatus, waitid};

use super::output::{self, Stream, Streams};
use super::spawn::ChildSpec;

/// A child process that this process has started, and has to reap.
#[derive(Debug)]
pub(crate) struct Process {
    pid: u32,
    exit: Arc<Exit>,
    streams: Streams,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ExitStatus {
    /// It exited with this code.
    Code(i32),
    /// It was killed by a signal.
    Signal {
        /// The number of the signal.
        signal: i32,
        /// Whether the system wrote a core file.
        core_dumped: bool,
    },
    /// It has exited, but something else in this program took its status: SIGCHLD is ignored, or
    /// other code waits for any child.
    Unknown,
}

/// The exit of a process: how to watch it, and the one reap.
#[derive(Debug)]
pub(super) struct Exit {
    pid: Pid,
    /// Readable (or hung up) once the process has exited.
    fd: Arc<OwnedFd>,
    /// Whether `fd` is a pidfd, else the end of a pipe that a waiting thread closes.
    #[cfg(target_os = "linux")]
    is_pidfd: bool,
    /// Set by the reap. Locked across every signal and the reap, so that they can't cross.
    status: Mutex<Option<ExitStatus>>,
}

impl Process {
    /// Takes over a process that std has just started, with the streams that `spec` captures.
    ///
    /// # Errors
    /// When its exit can't be watched. It is then killed and reaped.
    pub(super) fn adopt(mut child: Child, spec: &ChildSpec) -> io::Result<Self> {
        match Self::try_adopt(&mut child, spec) {
            Ok(process) => Ok(process),
            Err(error) => {
                // What we can't watch we must not leave running. Both are no-ops when it is gone.
                let _ = child.kill();
                let _ = child.wait();
                let text = format!("can't watch the new process {}: {error}", child.id());
                Err(io::Error::new(error.kind(), text))
            }
        }
    }

    /// The part of [`adopt`](Self::adopt) that may fail.
    fn try_adopt(child: &mut Child, spec: &ChildSpec) -> io::Result<Self> {
        let pid = child.id();
        let exit = Arc::new(Exit::open(Pid::from_child(child))?);
        let stdout = child.stdout.take().map(OwnedFd::from);
        let stderr = child.stderr.take().map(OwnedFd::from);
        let streams = Streams::open((stdout, spec.stdout), (stderr, spec.stderr))?;
        Ok(Self { pid, exit, streams })
    }

    /// Its process id. Good for people and logs; it means another process after the reap.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// A descriptor that is readable (or hung up) once the process has exited. Nothing can be read
    /// from it: call [`try_reap`](Self::try_reap).
    pub(crate) fn exit_fd(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.exit.fd)
    }

    /// Sends a signal. When the process has exited already, nothing happens.
    ///
    /// # Errors
    /// When the system refuses it: the process has changed its user.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        self.exit.signal(signal)
    }

    /// Reaps the process if it has exited; after that, returns the same status again.
    ///
    /// # Errors
    /// When the system refuses to tell.
    pub(crate) fn try_reap(&self) -> io::Result<Option<ExitStatus>> {
        self.exit.try_reap()
    }

    /// Blocks this thread until the process has exited, at most for `limit`, and reaps it.
    ///
    /// # Errors
    /// When the system refuses to tell.
    #[cfg(test)]
    pub(crate) fn wait_for(&self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            wait_readable(&self.exit.fd, left)?;
            let status = self.try_reap()?;
            if status.is_some() || left.is_zero() {
                return Ok(status);
            }
        }
    }

    /// The last of what it wrote to its standard output, empty unless that is captured.
    pub(crate) fn stdout_tail(&self) -> String {
        self.streams.stdout.as_deref().map(Stream::tail).unwrap_or_default()
    }

    /// The last of what it wrote to its standard error, empty unless that is captured. After the
    /// exit it holds all that was written before, up to its size.
    pub(crate) fn stderr_tail(&self) -> String {
        self.streams.stderr.as_deref().map(Stream::tail).unwrap_or_default()
    }
}

impl ExitStatus {
    /// Whether the process exited by itself with code 0.
    #[cfg(test)]
    pub(crate) fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// What `waitid` says.
    fn from_wait(status: &WaitIdStatus) -> Self {
        if let Some(code) = status.exit_status() {
            return Self::Code(code);
        }
        match status.terminating_signal() {
            Some(signal) => Self::Signal { signal, core_dumped: status.dumped() },
            None => Self::Unknown,
        }
    }
}

impl Exit {
    /// Starts to watch a child that nobody has reaped yet.
    fn open(pid: Pid) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
            Ok(fd) => {
                return Ok(Self {
                    pid,
                    fd: Arc::new(fd),
                    is_pidfd: true,
                    status: Mutex::default(),
                });
            }
            // An old kernel or a sandbox. Every other error is one.
            Err(Errno::NOSYS | Errno::PERM) => {}
            Err(errno) => return Err(errno.into()),
        }
        Self::open_with_thread(pid)
    }

    /// The portable way: a thread waits, without reaping, and then closes a pipe.
    fn open_with_thread(pid: Pid) -> io::Result<Self> {
        let (fd, held) = io::pipe()?;
        thread::Builder::new().name("tractor-wait".into()).spawn(move || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while waitid(WaitId::Pid(pid), options).is_err_and(|errno| errno == Errno::INTR) {}
            drop(held);
        })?;
        Ok(Self {
            pid,
            fd: Arc::new(fd.into()),
            #[cfg(target_os = "linux")]
            is_pidfd: false,
            status: Mutex::default(),
        })
    }

    /// See [`Process::signal`].
    fn signal(&self, signal: Signal) -> io::Result<()> {
        let status = self.lock();
        if status.is_some() {
            return Ok(());
        }
        match self.send(signal) {
            // Something else has reaped it.
            Err(Errno::SRCH) => Ok(()),
            other => other.map_err(io::Error::from),
        }
    }

    /// Sends a signal to the process, which must not have been reaped.
    fn send(&self, signal: Signal) -> rustix::io::Result<()> {
        #[cfg(target_os = "linux")]
        if self.is_pidfd {
            return rustix::process::pidfd_send_signal(&self.fd, signal);
        }
        rustix::process::kill_process(self.pid, signal)
    }

    /// See [`Process::try_reap`].
    pub(super) fn try_reap(&self) -> io::Result<Option<ExitStatus>> {
        let mut status = self.lock();
        if status.is_none() {
            *status = match waitid(self.wait_id(), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
                Ok(found) => found.map(|found| ExitStatus::from_wait(&found)),
                Err(Errno::CHILD) => Some(ExitStatus::Unknown),
                Err(errno) => return Err(errno.into()),
            };
        }
        Ok(*status)
    }

    /// How `waitid` is told which process.
    fn wait_id(&self) -> WaitId<'_> {
        #[cfg(target_os = "linux")]
        if self.is_pidfd {
            return WaitId::PidFd(self.fd.as_fd());
        }
        WaitId::Pid(self.pid)
    }

    /// The descriptor to watch.
    pub(super) fn fd(&self) -> &Arc<OwnedFd> {
        &self.fd
    }

    /// The status. No code that may panic runs under this lock.
    fn lock(&self) -> MutexGuard<'_, Option<ExitStatus>> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Blocks until a descriptor is readable or hung up, or `limit` has passed.
#[cfg(test)]
fn wait_readable(fd: &OwnedFd, limit: Duration) -> io::Result<()> {
    let limit = Timespec::try_from(limit).ok();
    match poll(&mut [PollFd::new(fd, PollFlags::IN)], limit.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

impl Drop for Process {
    /// Nothing outlives its owner: a process that was not reaped is killed, and reaped later by
    /// the thread that drains output.
    fn drop(&mut self) {
        if !matches!(self.exit.try_reap(), Ok(Some(_))) {
            let _ = self.exit.signal(Signal::KILL);
            output::reap_later(&self.exit);
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal { signal, core_dumped } => {
                write!(f, "killed by signal {signal}")?;
                if let Some(name) = signal_hook::low_level::signal_name(signal) {
                    write!(f, " ({name})")?;
                }
                f.write_str(if core_dumped { ", core dumped" } else { "" })
            }
            Self::Unknown => {
                f.write_str("exited, status unknown (SIGCHLD is ignored, or other code reaped it)")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    #[allow(clippy::zombie_processes, reason = "`Exit` reaps it")]
    fn sh(script: &str) -> Exit {
        let child = Command::new("sh").args(["-c", script]).stdin(Stdio::null()).spawn().unwrap();
        Exit::open(Pid::from_child(&child)).unwrap()
    }

    fn end(exit: &Exit) -> ExitStatus {
        wait_readable(exit.fd(), LONG).unwrap();
        exit.try_reap().unwrap().unwrap()
    }

    #[test]
    fn a_status_says_how_it_ended() {
        assert_eq!(end(&sh("exit 3")).to_string(), "exit code 3");
        let killed = end(&sh("kill -KILL $$")).to_string();
        assert_eq!(killed, "killed by signal 9 (SIGKILL)");
        let status = ExitStatus::Signal { signal: 6, core_dumped: true };
        assert_eq!(status.to_string(), "killed by signal 6 (SIGABRT), core dumped");
    }

    #[test]
    fn a_process_is_reaped_once_and_not_signalled_after() {
        let exit = sh("exit 0");
        assert!(end(&exit).success());
        assert_eq!(exit.try_reap().unwrap(), Some(ExitStatus::Code(0)));
        exit.signal(Signal::KILL).unwrap();
    }

    #[test]
    fn the_portable_way_does_the_same() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let exit = Exit::open_with_thread(Pid::from_child(&child)).unwrap();
        assert_eq!(exit.try_reap().unwrap(), None);
        exit.signal(Signal::TERM).unwrap();
        assert_eq!(end(&exit), ExitStatus::Signal { signal: 15, core_dumped: false });
        assert!(child.try_wait().is_err(), "it was reaped");
    }

    #[test]
    fn a_status_taken_by_others_is_unknown() {
        let mut child = Command::new("true").spawn().unwrap();
        let exit = Exit::open(Pid::from_child(&child)).unwrap();
        child.wait().unwrap();
        assert_eq!(end(&exit), ExitStatus::Unknown);
        exit.signal(Signal::KILL).unwrap();
    }
}
