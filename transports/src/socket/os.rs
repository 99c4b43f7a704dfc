//! The system calls that differ between unix systems. Linux is what is tested; the others are made
//! of the calls every unix has.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SendFlags, SocketFlags, SocketType};

use crate::PeerIdentity;

/// A new stream socket, non-blocking, closed on exec.
pub(crate) fn socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let fd = net::socket_with(family, SocketType::STREAM, MADE_CLOEXEC, None)?;
    close_on_exec(&fd)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok(fd)
}

/// Whether sockets are closed on exec from birth. Without it a fork in between inherits them.
#[cfg(not(target_vendor = "apple"))]
pub(crate) const MADE_CLOEXEC: SocketFlags = SocketFlags::CLOEXEC;
#[cfg(target_vendor = "apple")]
pub(crate) const MADE_CLOEXEC: SocketFlags = SocketFlags::empty();

/// Sees to it where [`MADE_CLOEXEC`] can't.
pub(crate) fn close_on_exec(fd: &OwnedFd) -> io::Result<()> {
    if cfg!(target_vendor = "apple") {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok(())
}

#[cfg(not(target_vendor = "apple"))]
pub(crate) fn accept(fd: &OwnedFd) -> Result<OwnedFd, Errno> {
    net::accept_with(fd, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
}

#[cfg(target_vendor = "apple")]
pub(crate) fn accept(fd: &OwnedFd) -> Result<OwnedFd, Errno> {
    let fd = net::accept(fd)?;
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    Ok(fd)
}

/// Flags that keep a write to a broken connection from raising `SIGPIPE`.
#[cfg(not(target_vendor = "apple"))]
pub(crate) const NO_SIGPIPE: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
pub(crate) const NO_SIGPIPE: SendFlags = SendFlags::empty();

/// Does once per socket what [`NO_SIGPIPE`] can't say per write.
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn silence_sigpipe(_: &OwnedFd) -> io::Result<()> {
    Ok(())
}
#[cfg(target_vendor = "apple")]
pub(crate) fn silence_sigpipe(fd: &OwnedFd) -> io::Result<()> {
    Ok(net::sockopt::set_socket_nosigpipe(fd, true)?)
}

/// Who made the other end, as the kernel saw it then.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn peer(fd: &OwnedFd) -> io::Result<PeerIdentity> {
    let cred = net::sockopt::socket_peercred(fd)?;
    // A process that this pid namespace can't see has number 0, although rustix's type says it
    // can't: keep the compiler from believing that.
    let pid = std::hint::black_box(cred.pid.as_raw_pid());
    let pid = u32::try_from(pid).ok().filter(|&pid| pid != 0);
    Ok(PeerIdentity { pid, uid: Some(cred.uid.as_raw()) })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn peer(_: &OwnedFd) -> io::Result<PeerIdentity> {
    Ok(PeerIdentity::default())
}
