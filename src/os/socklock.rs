//! The right to listen at a socket's path that others know, and start programs at.
//!
//! Who binds there first keeps the registry; the others must see it listening. The file of a socket
//! stays when its process is killed, and in the way of the next one. To remove it is safe only for
//! who can be sure that nobody else does so at the same time, and then removes the next one's: that
//! is what a lock beside it is for, `registry.sock.lock`. It ends with its owner, however that
//! dies.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::geteuid;

use super::rtdir;

/// How often the lock is tried again when its last owner has just removed the file.
const ATTEMPTS_MAX: usize = 8;

/// Held while its owner listens at the path.
#[derive(Debug)]
pub(crate) struct SocketLock {
    path: PathBuf,
    lock: fs::File,
}

impl SocketLock {
    /// Takes the right, makes the directory if need be, and removes the socket that a dead process
    /// has left at the path.
    ///
    /// # Errors
    /// Of kind `AddrInUse` when somebody has it, or listens there without having asked; another
    /// when the directory or the file that is there is not ours to use. They name the path.
    pub(crate) fn take(socket: &Path) -> io::Result<SocketLock> {
        let dir = socket.parent().unwrap_or(Path::new("/"));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|e| about(dir, &e))?;
        rtdir::check_base(dir)?;
        let mut path = socket.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        for _ in 0..ATTEMPTS_MAX {
            if let Some(lock) = try_take(&path).map_err(|e| about(&path, &e))? {
                let taken = SocketLock { path, lock };
                remove_stale(socket)?;
                return Ok(taken);
            }
        }
        Err(in_use(socket))
    }
}

impl Drop for SocketLock {
    /// Removes the file, while the lock on it is held: who opened it meanwhile finds that out.
    fn drop(&mut self) {
        if is_still(&self.path, &self.lock) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// One attempt. `None` when the file was removed before it was locked.
fn try_take(path: &Path) -> io::Result<Option<fs::File>> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = fs::File::from(rustix::fs::openat(CWD, path, flags, Mode::RUSR | Mode::WUSR)?);
    if lock.metadata()?.uid() != geteuid().as_raw() {
        let text = "the lock beside the socket is another user's: name another path";
        return Err(about(path, &io::Error::new(io::ErrorKind::PermissionDenied, text)));
    }
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(is_still(path, &lock).then_some(lock)),
        Err(Errno::WOULDBLOCK) => Err(io::ErrorKind::AddrInUse.into()),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether this is the file at the path.
fn is_still(path: &Path, file: &fs::File) -> bool {
    let Ok(there) = fs::symlink_metadata(path) else { return false };
    file.metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) == (there.dev(), there.ino()))
}

/// Removes a socket of ours that nobody listens at.
fn remove_stale(socket: &Path) -> io::Result<()> {
    let there = match fs::symlink_metadata(socket) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(about(socket, &error)),
    };
    if !there.file_type().is_socket() || there.uid() != geteuid().as_raw() {
        let error = io::Error::new(
            io::ErrorKind::AlreadyExists,
            "what is there is no socket of this user: remove it, or name another path",
        );
        return Err(about(socket, &error));
    }
    match answers(socket) {
        Err(Errno::CONNREFUSED) => fs::remove_file(socket).map_err(|e| about(socket, &e)),
        Err(Errno::NOENT) => Ok(()),
        _ => Err(in_use(socket)),
    }
}

/// Sockets are closed on exec from birth, where the system can do that.
#[cfg(not(target_vendor = "apple"))]
const MADE_CLOEXEC: SocketFlags = SocketFlags::CLOEXEC;
#[cfg(target_vendor = "apple")]
const MADE_CLOEXEC: SocketFlags = SocketFlags::empty();

/// Whether somebody listens. Never waits: a listener that is busy is one.
fn answers(socket: &Path) -> Result<(), Errno> {
    let fd = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, MADE_CLOEXEC, None)?;
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    net::connect(&fd, &SocketAddrUnix::new(socket)?)
}

fn in_use(socket: &Path) -> io::Error {
    about(socket, &io::Error::new(io::ErrorKind::AddrInUse, "another program listens there"))
}

fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    /// A directory for one test, removed at its end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
            let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let name = format!("tractor-socklock-{}-{count}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn kind(result: io::Result<SocketLock>) -> io::ErrorKind {
        result.unwrap_err().kind()
    }

    #[test]
    fn there_is_one_owner_at_a_time_and_nothing_is_left() {
        let dir = Scratch::new();
        let socket = dir.0.join("made/for/it/registry.sock");
        let held = SocketLock::take(&socket).unwrap();
        let made = fs::metadata(socket.parent().unwrap()).unwrap();
        assert_eq!(made.mode() & 0o777, 0o700);
        assert_eq!(kind(SocketLock::take(&socket)), io::ErrorKind::AddrInUse);
        drop(held);
        assert_eq!(fs::read_dir(socket.parent().unwrap()).unwrap().count(), 0);
        SocketLock::take(&socket).unwrap();
    }

    #[test]
    fn socket_of_the_dead_is_removed_and_that_of_the_living_is_not() {
        let dir = Scratch::new();
        let socket = dir.0.join("registry.sock");
        let living = UnixListener::bind(&socket).unwrap();
        assert_eq!(kind(SocketLock::take(&socket)), io::ErrorKind::AddrInUse);
        assert!(socket.exists());
        drop(living);
        assert!(socket.exists(), "std leaves it there");
        let _held = SocketLock::take(&socket).unwrap();
        assert!(!socket.exists());
    }

    #[test]
    fn what_is_no_socket_stays() {
        let dir = Scratch::new();
        let socket = dir.0.join("registry.sock");
        fs::write(&socket, "precious").unwrap();
        let error = SocketLock::take(&socket).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(error.to_string().contains("registry.sock: what is there is no socket"), "{error}");
        assert_eq!(fs::read_to_string(&socket).unwrap(), "precious");
        fs::remove_file(&socket).unwrap();
        // Nor is a link followed, to be removed or to be locked.
        symlink(dir.0.join("elsewhere"), &socket).unwrap();
        assert_eq!(kind(SocketLock::take(&socket)), io::ErrorKind::AlreadyExists);
        fs::remove_file(&socket).unwrap();
        symlink(dir.0.join("elsewhere"), dir.0.join("registry.sock.lock")).unwrap();
        SocketLock::take(&socket).unwrap_err();
        assert!(!dir.0.join("elsewhere").exists());
    }

    #[test]
    fn directory_that_others_can_write_to_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = Scratch::new();
        fs::set_permissions(&dir.0, fs::Permissions::from_mode(0o777)).unwrap();
        let error = SocketLock::take(&dir.0.join("registry.sock")).unwrap_err();
        assert!(error.to_string().contains("chmod go-w"), "{error}");
    }
}
