//! Being a child: taking the link, and dying with the parent.
//!
//! A process is a child iff it finds the [`Marker`] in its environment *and* its
//! fd 0 is one end of a socketpair that the marker's parent has made. The marker alone is inherited
//! by every program that a child starts; the socket is not, because the child's first act is to
//! move it away from fd 0.
//!
//! # Nothing outlives its parent
//!
//! 1. The kernel kills us when our parent dies (PDEATHSIG; Linux). It does so even when we are
//!    stopped, or busy. It is armed by [`child_entry`] on its thread, and again on the lifeline
//!    thread, because it is lost when the thread that armed it exits.
//! 2. The parent may die before that: then its pid is not our parent's pid any more, and we exit.
//! 3. `tractor-lifeline`, a thread of its own, waits for the end of the link and then kills us,
//!    however busy the executor is.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, IoSliceMut, fcntl_dupfd_cloexec};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg, sockopt};
use rustix::process::{Signal, getpid, getppid, kill_process};

use super::marker::{Back, MARKER_ENV, MARKER_VERSION, Marker, Sighting};
use super::spawn::Stdin;

/// How long a child may go on after its parent, alive, has closed the link: one teardown budget,
/// within which the parent itself escalates.
const PARTING_MAX: Duration = Duration::from_millis(2500);

/// How often a child looks whether its parent has died during the parting.
const PARTING_POLL: Duration = Duration::from_millis(10);

/// Exit code of a child that can't take its link (`EX_SOFTWARE` of `sysexits.h`).
const EXIT_BROKEN: i32 = 70;

/// What a process finds out about itself when it starts.
#[derive(Debug)]
pub(crate) enum Entry {
    /// Nobody of ours has started it, or [`child_entry`] was called before.
    NotAChild,
    /// It is a child.
    Child(ChildLink),
}

/// A child's end of the link to its parent, and what the parent told it.
#[derive(Debug)]
pub(crate) struct ChildLink {
    /// The link. It is in blocking mode, close-on-exec, and not one of fd 0 to 2.
    pub(crate) link: OwnedFd,
    /// The pid of the parent.
    pub(crate) parent_pid: u32,
    /// Tells this child from every other one of its parent.
    pub(crate) nonce: u128,
    /// The name of the executor to run on.
    pub(crate) executor: String,
    /// Where to connect for the connection that carries the messages; none when `link` does.
    pub(crate) back: Option<Back>,
    /// The thread on which [`child_entry`] has armed the parent-death signal.
    entered_on: ThreadId,
}

/// What a child does when its parent has died.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OnParentDeath {
    /// It is killed at once. Nothing of it runs any more, so nothing may depend on its cleanup.
    #[default]
    Kill,
    /// It sees the end of its link and has this long to clean up; then it is killed. While it is
    /// stopped (SIGSTOP) its parent's death wakes it; stopped after that, it stays.
    #[expect(dead_code, reason = "no public setting chooses it yet")]
    Cleanup(Duration),
}

/// Whether [`child_entry`] has found that this process is a child.
static IS_CHILD: AtomicBool = AtomicBool::new(false);

/// Whether this process is a child of ours. True for good once [`child_entry`] has found out, also
/// when it is called again: a child never becomes a root.
pub(crate) fn is_child() -> bool {
    IS_CHILD.load(Ordering::SeqCst)
}

/// This process is a child from here on. Whether it was none before.
pub(super) fn become_child() -> bool {
    !IS_CHILD.swap(true, Ordering::SeqCst)
}

/// Finds out whether this process is a child and, if so, takes its link. Call it first thing in
/// `main`; only the first call can find a child.
///
/// A child whose parent has died meanwhile exits silently. One that was started by another version
/// of tractor, or that can't take its link, says so on standard error and exits with code 70: there
/// is nobody to return an error to but the parent, and that reads the exit.
pub(crate) fn child_entry() -> Entry {
    let marker = std::env::var(MARKER_ENV).ok().and_then(|text| Sighting::parse(&text));
    let Some(marker) = marker else { return Entry::NotAChild };
    if !is_link(io::stdin().as_fd(), marker.parent_pid) || !become_child() {
        return Entry::NotAChild;
    }
    // From here on we are a child, and our life hangs on our parent's.
    set_parent_death_signal(Signal::KILL);
    if !is_parent(marker.parent_pid) {
        std::process::exit(0);
    }
    let version = marker.version;
    let Some((marker, stdin)) = marker.body else {
        fail(&format!("it has marker version {MARKER_VERSION}, its parent {version}: rebuild it"))
    };
    match take_link(stdin) {
        Ok(link) if marker.exec => become_program(link),
        Ok(link) => Entry::Child(ChildLink::new(link, marker)),
        Err(error) => fail(&format!("it can't take the link to its parent: {error}")),
    }
}

/// Becomes the foreign program whose command line waits on the link. It dies with our parent, as
/// the parent-death signal outlives this; the link does not.
fn become_program(link: OwnedFd) -> ! {
    let mut line = Vec::new();
    if let Err(error) = io::Read::read_to_end(&mut std::fs::File::from(link), &mut line) {
        fail(&format!("its command line can't be read: {error}"));
    }
    let mut args = line.split(|byte| *byte == 0).map(OsStr::from_bytes);
    let program = args.next().unwrap_or_default();
    let error = Command::new(program).args(args).env_remove(MARKER_ENV).exec();
    let program = Path::new(program).display();
    fail(&format!("{program}: {error}"))
}

impl ChildLink {
    /// A link that was just taken, on this thread.
    fn new(link: OwnedFd, marker: Marker) -> Self {
        let Marker { parent_pid, nonce, executor, back, .. } = marker;
        Self { link, parent_pid, nonce, executor, back, entered_on: thread::current().id() }
    }

    /// Starts the lifeline, and leaves Ctrl-C to the root.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left. And when a cleanup is asked for on another
    /// thread than the one of [`child_entry`], whose parent-death signal nobody else can change.
    pub(crate) fn arm(&self, policy: OnParentDeath) -> io::Result<()> {
        let here = thread::current().id() == self.entered_on;
        if policy != OnParentDeath::Kill && !here && cfg!(target_os = "linux") {
            let text = "a cleanup on parent death must be asked for on the thread of init()";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        catch_interrupt()?;
        let link = fcntl_dupfd_cloexec(&self.link, 3)?;
        let parent_pid = self.parent_pid;
        let (armed, is_armed) = mpsc::channel();
        thread::Builder::new().name("tractor-lifeline".into()).spawn(move || {
            set_parent_death_signal(policy.signal());
            let _ = armed.send(());
            lifeline(&link, parent_pid, policy);
        })?;
        // Until it is armed, this thread's signal may be the only one.
        let _ = is_armed.recv_timeout(Duration::from_secs(5));
        if here {
            set_parent_death_signal(policy.signal());
        }
        Ok(())
    }
}

impl OnParentDeath {
    /// What the kernel sends us when our parent dies. One that cleans up must be awake for it, and
    /// SIGCONT does nothing else.
    fn signal(self) -> Signal {
        match self {
            Self::Kill => Signal::KILL,
            Self::Cleanup(_) => Signal::CONT,
        }
    }
}

/// Catches SIGINT: the terminal sends it to the whole tree, but what becomes of a tree is its
/// root's decision. It is caught, not ignored, because programs that we start would inherit that.
pub(super) fn catch_interrupt() -> io::Result<()> {
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::default())?;
    Ok(())
}

/// Whether a descriptor is an end of a socketpair that the process `parent_pid` has made.
fn is_link(fd: BorrowedFd<'_>, parent_pid: u32) -> bool {
    // First that it is a connected Unix socket: for all others the system has no peer's pid, and
    // rustix has no value for that.
    let is_unix_stream = rustix::net::getpeername(fd).is_ok()
        && rustix::net::getsockname(fd)
            .is_ok_and(|name| name.address_family() == rustix::net::AddressFamily::UNIX)
        && sockopt::socket_type(fd).is_ok_and(|kind| kind == rustix::net::SocketType::STREAM);
    #[cfg(target_os = "linux")]
    return is_unix_stream
        && sockopt::socket_peercred(fd).is_ok_and(|peer| same(peer.pid.as_raw_pid(), parent_pid));
    // Elsewhere we can't ask who made it. The parent's pid alone would also fit a program that a
    // child has replaced itself with, but not with a Unix socket as its standard input.
    #[cfg(not(target_os = "linux"))]
    return is_unix_stream && is_parent(parent_pid);
}

/// Whether our parent is still the process that has spawned us. Never compared with 1: an orphan
/// goes to the nearest subreaper.
fn is_parent(parent_pid: u32) -> bool {
    getppid().is_some_and(|pid| same(pid.as_raw_pid(), parent_pid))
}

/// Compares the system's form of a pid with ours.
fn same(raw: i32, pid: u32) -> bool {
    u32::try_from(raw) == Ok(pid)
}

/// Has the kernel send us a signal when our parent dies. It belongs to the calling thread and is
/// lost when that exits.
pub(super) fn set_parent_death_signal(signal: Signal) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(signal)) {
        log::warn!(target: "tractor::runtime", "no parent death signal, only the link: {error}");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = signal;
}

/// Moves the link away from fd 0 and puts there what belongs there.
fn take_link(stdin: Stdin) -> io::Result<OwnedFd> {
    let link = fcntl_dupfd_cloexec(io::stdin(), 3)?;
    let real = match stdin {
        Stdin::Null => std::fs::File::open("/dev/null")?.into(),
        Stdin::Inherit => receive_stdin(&link)?,
    };
    rustix::stdio::dup2_stdin(real)?;
    name_main_thread();
    Ok(link)
}

/// Takes the standard input that our parent has sent before it started us: one byte that carries
/// the descriptor. Does not wait, because it is there, or will never be.
fn receive_stdin(link: &OwnedFd) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    #[cfg(target_os = "linux")]
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let flags = RecvFlags::DONTWAIT;
    recvmsg(link, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)?;
    let mut fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    fds.next().ok_or_else(|| io::Error::other("standard input was promised, but not sent"))
}

/// Gives the process its program's name back: started as `/proc/self/exe` it would be called `exe`
/// by `pgrep` and `top`. A matter of looks, so errors don't count.
fn name_main_thread() {
    #[cfg(target_os = "linux")]
    if rustix::thread::gettid() == getpid()
        && rustix::thread::name().is_ok_and(|name| name.as_bytes() == b"exe")
        && let Ok(path) = std::env::current_exe()
        && let Some(name) = path.file_name().and_then(|name| name.to_str())
        // What the system appends when the file was removed or replaced.
        && let Ok(name) = std::ffi::CString::new(name.trim_end_matches(" (deleted)"))
    {
        let _ = rustix::thread::set_name(&name);
    }
}

/// The lifeline thread: waits for the end of the link, then ends the process. It waits without a
/// limit, for it lives as long as the process.
fn lifeline(link: &OwnedFd, parent_pid: u32, policy: OnParentDeath) -> ! {
    // Died before this thread was armed: the link may be held open by another process.
    while is_parent(parent_pid) && !is_at_end(link) {}
    match policy {
        OnParentDeath::Kill => await_death_of(parent_pid),
        OnParentDeath::Cleanup(limit) => thread::sleep(limit),
    }
    kill_self()
}

/// The last resort.
pub(super) fn kill_self() -> ! {
    loop {
        let _ = kill_process(getpid(), Signal::KILL);
        thread::sleep(PARTING_POLL);
    }
}

/// Blocks until the other end of the link is closed. False when it must be asked again.
pub(super) fn is_at_end(link: &OwnedFd) -> bool {
    #[cfg(target_os = "linux")]
    let ends = PollFlags::RDHUP | PollFlags::HUP;
    #[cfg(not(target_os = "linux"))]
    let ends = PollFlags::HUP;
    let mut fds = [PollFd::new(link, ends)];
    match poll(&mut fds, None) {
        Ok(_) => !fds[0].revents().is_empty(),
        Err(Errno::INTR) => false,
        Err(_) => {
            // Out of kernel memory: not a reason to die.
            thread::sleep(PARTING_POLL);
            false
        }
    }
}

/// Waits, after the end of the link, until the parent has died; at most [`PARTING_MAX`]. A parent
/// that lives has only parted from us, and we may be about to exit by ourselves. A dying one closes
/// the link a moment before it is dead.
pub(super) fn await_death_of(parent_pid: u32) {
    let deadline = Instant::now() + PARTING_MAX;
    while is_parent(parent_pid) && Instant::now() < deadline {
        thread::sleep(PARTING_POLL);
    }
}

/// Ends a child that can't become one. Its parent reads the exit code and the last output.
fn fail(why: &str) -> ! {
    let program = std::env::args_os().next().unwrap_or_default();
    eprintln!("tractor: child {} can't start: {why}", program.display());
    std::process::exit(EXIT_BROKEN)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;

    #[test]
    fn only_a_socketpair_of_the_parent_is_a_link() {
        let own = std::process::id();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        if cfg!(target_os = "linux") {
            assert!(is_link(ours.as_fd(), own));
        }
        assert!(!is_link(ours.as_fd(), own + 1));
        let (datagram, _other) = UnixDatagram::pair().unwrap();
        assert!(!is_link(datagram.as_fd(), own));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(!is_link(tcp.as_fd(), own));
        assert!(!is_link(listener.as_fd(), own));
        assert!(!is_link(std::fs::File::open("/dev/null").unwrap().as_fd(), own));
    }

    #[test]
    fn a_link_ends_when_its_peer_is_closed() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert!(is_at_end(&ours.into()));
    }
}
