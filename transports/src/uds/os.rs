//! The system calls of unix domain sockets that differ between unix systems.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::Mode;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketType};

use crate::socket::os::{MADE_CLOEXEC, close_on_exec};

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
