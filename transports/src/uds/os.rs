//! The system calls that differ between unix systems. Linux is what is tested; the others are made
//! of the calls every unix has.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};

use crate::PeerIdentity;

/// The longest path of a socket, in bytes: the address holds it with a NUL at its end.
pub const PATH_LEN_MAX: usize = if cfg!(any(target_os = "linux", target_os = "android")) {
    107
} else {
    103 // macOS and the BSDs
};

/// The mode of a socket's file: for its user only.
const PRIVATE: u32 = 0o600;

/// A pair of connected stream sockets without a name, both closed on exec.
///
/// # Errors
/// When descriptors or memory ran out.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (one, other) =
        net::socketpair(AddressFamily::UNIX, SocketType::STREAM, MADE_CLOEXEC, None)?;
    close_on_exec(&one)?;
    close_on_exec(&other)?;
    Ok((one, other))
}

/// A new stream socket, non-blocking, closed on exec.
pub(super) fn socket() -> io::Result<OwnedFd> {
    let fd = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, MADE_CLOEXEC, None)?;
    close_on_exec(&fd)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok(fd)
}

/// The socket address of `path`, whose length is checked.
pub(super) fn socket_name(path: &str) -> io::Result<SocketAddrUnix> {
    if path.len() > PATH_LEN_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the path has {} bytes, a socket's has at most {PATH_LEN_MAX}", path.len()),
        ));
    }
    Ok(SocketAddrUnix::new(path)?)
}

/// On Linux the file gets the socket's mode; elsewhere a socket has none before it is bound.
pub(super) fn make_private_before_bind(fd: &OwnedFd) -> io::Result<()> {
    if cfg!(any(target_os = "linux", target_os = "android")) {
        rustix::fs::fchmod(fd, Mode::RUSR | Mode::WUSR)?;
    }
    Ok(())
}

pub(super) fn make_private_after_bind(path: &str) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    if cfg!(any(target_os = "linux", target_os = "android")) {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(PRIVATE))
}

/// Whether sockets are closed on exec from birth. Without it a fork in between inherits them.
#[cfg(not(target_vendor = "apple"))]
const MADE_CLOEXEC: SocketFlags = SocketFlags::CLOEXEC;
#[cfg(target_vendor = "apple")]
const MADE_CLOEXEC: SocketFlags = SocketFlags::empty();

/// Sees to it where [`MADE_CLOEXEC`] can't.
fn close_on_exec(fd: &OwnedFd) -> io::Result<()> {
    if cfg!(target_vendor = "apple") {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok(())
}

#[cfg(not(target_vendor = "apple"))]
pub(super) fn accept(fd: &OwnedFd) -> Result<OwnedFd, Errno> {
    net::accept_with(fd, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
}

#[cfg(target_vendor = "apple")]
pub(super) fn accept(fd: &OwnedFd) -> Result<OwnedFd, Errno> {
    let fd = net::accept(fd)?;
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    Ok(fd)
}

/// Flags that keep a write to a broken connection from raising `SIGPIPE`.
#[cfg(not(target_vendor = "apple"))]
pub(super) const NO_SIGPIPE: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
pub(super) const NO_SIGPIPE: SendFlags = SendFlags::empty();

/// Does once per socket what [`NO_SIGPIPE`] can't say per write.
#[cfg(not(target_vendor = "apple"))]
pub(super) fn silence_sigpipe(_: &OwnedFd) -> io::Result<()> {
    Ok(())
}
#[cfg(target_vendor = "apple")]
pub(super) fn silence_sigpipe(fd: &OwnedFd) -> io::Result<()> {
    Ok(net::sockopt::set_socket_nosigpipe(fd, true)?)
}

/// Who made the other end, as the kernel saw it then.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn peer(fd: &OwnedFd) -> io::Result<PeerIdentity> {
    let cred = net::sockopt::socket_peercred(fd)?;
    // A process that this pid namespace can't see has number 0, although rustix's type says it
    // can't: keep the compiler from believing that.
    let pid = std::hint::black_box(cred.pid.as_raw_pid());
    let pid = u32::try_from(pid).ok().filter(|&pid| pid != 0);
    Ok(PeerIdentity { pid, uid: Some(cred.uid.as_raw()) })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn peer(_: &OwnedFd) -> io::Result<PeerIdentity> {
    Ok(PeerIdentity::default())
}
