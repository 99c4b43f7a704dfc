//! The runtime directory: where the sockets of a tree are.
//!
//! ```text
//!   /run/user/1000/tractor/            base, 0700, ours
//!     tree-4711-0f3c5a7e9b1d2c48/      one per tree, held by a lock (flock) on the directory
//!       registrar.sock  worker@1b2c3d4e.sock  ...
//!     new-4712-...                     being created: gets its lock, then its name
//! ```
//!
//! Nothing depends on anybody's cleanup, because processes get killed. A lock ends with its owner,
//! however that dies, so a directory whose lock is free has no owner any more, and the next tree
//! sweeps it. A directory under its final name was locked before it got that name. Cleaners such
//! as `systemd-tmpfiles` leave locked directories alone, too.

use std::fmt::Write as _;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, FlockOperation, Mode, OFlags, Stat, fchmod, flock, fstat};
use rustix::io::Errno;
use rustix::process::geteuid;

/// The longest path of a Unix socket that every peer can use: 108 bytes with a final NUL.
pub(crate) const SOCKET_PATH_MAX: usize = 107;

/// What every socket's file name ends with.
const SOCKET_SUFFIX: &str = ".sock";

/// The length of a hashed file name: `~`, 32 hex digits, suffix.
const HASHED_LEN: usize = 1 + 32 + SOCKET_SUFFIX.len();

/// How long a directory may be in creation before it counts as left behind.
const CREATION_MAX: Duration = Duration::from_secs(60);

/// How many entries one sweep looks at, so that a start never takes long.
const SWEEP_MAX: usize = 4096;

/// How often creation is tried again when a sweeper took our directory before we had locked it.
const ATTEMPTS_MAX: usize = 8;

/// The directory of one tree. Removed, with all that is in it, on drop; after a crash by the next
/// tree that starts.
#[derive(Debug)]
pub(crate) struct TreeDir {
    path: PathBuf,
    /// `path` as text, without a loss.
    text: String,
    /// Holds the lock.
    _lock: OwnedFd,
}

impl TreeDir {
    /// Makes a fresh directory for a tree, in `base` or where such directories belong: in
    /// `$XDG_RUNTIME_DIR/tractor`, `/run/user/<uid>/tractor` or `/tmp/tractor-<uid>`. Removes those
    /// that dead trees have left there.
    ///
    /// # Errors
    /// When the base can't be made or is not safe: another user could put his sockets there. The
    /// error names the path and what to do.
    pub(crate) fn create(base: Option<&Path>) -> io::Result<Self> {
        let base = match base {
            Some(base) => given_base(base)?,
            None => default_base()?,
        };
        sweep(&base);
        for _ in 0..ATTEMPTS_MAX {
            if let Some(dir) = Self::try_create(&base)? {
                return Ok(dir);
            }
        }
        Err(io::Error::other(format!("something removes new directories in {}", base.display())))
    }

    /// One attempt. None when a sweeper was faster than our lock.
    fn try_create(base: &Path) -> io::Result<Option<Self>> {
        let id = format!("{}-{:016x}", std::process::id(), random());
        let new = base.join(format!("new-{id}"));
        let path = base.join(format!("tree-{id}"));
        let text = path_text(&path)?;
        make_dir(&new).map_err(|error| about(&new, &error, "is it full, or read-only?"))?;
        let locked = open_dir(&new).and_then(|lock| try_lock(&lock).map(|held| (lock, held)));
        let lock = match locked {
            Ok((lock, true)) => lock,
            Ok((_, false)) | Err(Errno::NOENT) => return Ok(None),
            Err(errno) => {
                let _ = fs::remove_dir(&new);
                return Err(about(&new, &errno.into(), "its file system must support flock"));
            }
        };
        match fs::rename(&new, &path) {
            Ok(()) => Ok(Some(Self { path, text, _lock: lock })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(about(&path, &error, "can't rename to it")),
        }
    }

    /// Where it is.
    #[cfg(test)]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory and the file name of the socket of a name. A name that is no file name, or
    /// too long for a socket's path, is hashed; the same name always gives the same file.
    pub(crate) fn socket_path(&self, name: &str) -> (String, String) {
        (self.text.clone(), socket_file(&self.text, name))
    }
}

impl Drop for TreeDir {
    /// Removes the directory. Its lock is held until that is done.
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            let path = self.path.display();
            log::debug!(target: "tractor::runtime", "can't remove {path}, left to sweep: {error}");
        }
    }
}

/// Removes the directories in `base` that dead trees have left behind. What can't be removed is
/// left for another time.
pub(crate) fn sweep(base: &Path) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten().take(SWEEP_MAX) {
        let name = entry.file_name();
        let is_tree = name.as_bytes().starts_with(b"tree-");
        let is_new = name.as_bytes().starts_with(b"new-");
        if (is_tree || is_new) && is_abandoned(&entry.path(), is_new) == Ok(true) {
            log::debug!(target: "tractor::runtime", "sweeping {}", entry.path().display());
        }
    }
}

/// Removes a directory if it is ours and its owner is dead. Says whether it was.
fn is_abandoned(path: &Path, is_new: bool) -> rustix::io::Result<bool> {
    let dir = open_dir(path)?;
    let stat = fstat(&dir)?;
    // One that is just being made has no lock yet for a moment.
    if stat.st_uid != geteuid().as_raw() || (is_new && !is_old(&stat)) || !try_lock(&dir)? {
        return Ok(false);
    }
    // The lock is ours until the end of this function: no two sweepers meet here.
    let _ = fs::remove_dir_all(path);
    Ok(true)
}

/// Whether a directory was last changed longer ago than its creation may take.
fn is_old(stat: &Stat) -> bool {
    let changed = u64::try_from(stat.st_mtime).unwrap_or_default();
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(changed);
    changed.elapsed().is_ok_and(|age| age > CREATION_MAX)
}

/// The base where such directories belong, made and checked.
fn default_base() -> io::Result<PathBuf> {
    let uid = geteuid().as_raw();
    let home = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let homes = home.into_iter().chain([PathBuf::from(format!("/run/user/{uid}"))]);
    // After `su` or `sudo` the variable may name another user's directory: that is not for us.
    let is_ours = |dir: &PathBuf| {
        dir.is_absolute() && open_dir(dir).and_then(fstat).is_ok_and(|stat| stat.st_uid == uid)
    };
    let base = match homes.into_iter().find(is_ours) {
        Some(home) => home.join("tractor"),
        None => std::path::absolute(std::env::temp_dir())?.join(format!("tractor-{uid}")),
    };
    private_dir(&base)?;
    Ok(base)
}

/// Makes a directory that only we can use, or checks that an existing one is.
fn private_dir(path: &Path) -> io::Result<()> {
    match make_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            let hint = "set XDG_RUNTIME_DIR to a directory of yours";
            return Err(about(path, &error, hint));
        }
        _ => {}
    }
    let dir = open_dir(path).map_err(|errno| {
        about(path, &errno.into(), "it must be a directory, not a symlink: remove it")
    })?;
    let stat = fstat(&dir)?;
    if stat.st_uid != geteuid().as_raw() {
        let why = format!("it belongs to user {}", stat.st_uid);
        return Err(unsafe_dir(path, &why, "remove it, or set XDG_RUNTIME_DIR"));
    }
    if stat.st_mode & 0o077 != 0 {
        let (path, mode) = (path.display(), stat.st_mode & 0o7777);
        log::warn!(target: "tractor::runtime", "{path} had mode {mode:o}, setting it to 700");
        fchmod(&dir, Mode::RWXU)?;
    }
    Ok(())
}

/// The base that a user has named, made if need be and checked. It is his, so its mode is not
/// changed; it may be shared, because every tree's own directory is private.
fn given_base(base: &Path) -> io::Result<PathBuf> {
    let base = std::path::absolute(base)?;
    fs::create_dir_all(&base).map_err(|error| about(&base, &error, "can't make it"))?;
    check_base(&base)?;
    Ok(base)
}

/// Whether no other user can put something into a directory, or take something away.
///
/// # Errors
/// When one can, with what to do.
pub(crate) fn check_base(base: &Path) -> io::Result<()> {
    let dir = open_dir(base).map_err(|errno| {
        about(base, &errno.into(), "it must be a directory, not a symlink: name its target")
    })?;
    let stat = fstat(&dir)?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    if mode.intersects(Mode::WGRP | Mode::WOTH) && !mode.contains(Mode::SVTX) {
        return Err(unsafe_dir(base, "other users can write to it", "use `chmod go-w` on it"));
    }
    if stat.st_uid != geteuid().as_raw() && stat.st_uid != 0 {
        let why = format!("it belongs to user {}", stat.st_uid);
        return Err(unsafe_dir(base, &why, "name a directory of yours"));
    }
    Ok(())
}

/// Makes a directory with mode 0700.
fn make_dir(path: &Path) -> io::Result<()> {
    rustix::fs::mkdirat(CWD, path, Mode::RWXU).map_err(io::Error::from)
}

/// Opens a directory that is not a symlink.
fn open_dir(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
    debug_assert!(fstat(&dir).is_ok_and(|s| FileType::from_raw_mode(s.st_mode).is_dir()));
    Ok(dir)
}

/// Takes the lock of a directory if it is free. Never waits.
fn try_lock(dir: &OwnedFd) -> rustix::io::Result<bool> {
    match flock(dir, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// A tree's directory as text, if every socket in it can be named.
fn path_text(path: &Path) -> io::Result<String> {
    let hint = "set XDG_RUNTIME_DIR, or name a base, with a shorter path in UTF-8";
    let text = path.to_str().filter(|text| text.len() + 1 + HASHED_LEN <= SOCKET_PATH_MAX);
    text.map(str::to_owned).ok_or_else(|| {
        let kind = io::ErrorKind::InvalidInput;
        let max = SOCKET_PATH_MAX;
        let text = format!("a socket in {} would have a path over {max} bytes", path.display());
        io::Error::new(kind, format!("{text}: {hint}"))
    })
}

/// The file name of a socket in `dir`.
pub(crate) fn socket_file(dir: &str, name: &str) -> String {
    let room = SOCKET_PATH_MAX.saturating_sub(dir.len() + 1 + SOCKET_SUFFIX.len());
    // `~` is the sign of a hash, so that no plain name can be one.
    if name.is_empty() || name.len() > room || name.starts_with('~') || name.contains(['/', '\0']) {
        let mut file = String::with_capacity(HASHED_LEN);
        let _ = write!(file, "~{:032x}{SOCKET_SUFFIX}", fnv1a_128(name.as_bytes()));
        return file;
    }
    format!("{name}{SOCKET_SUFFIX}")
}

/// The 128-bit FNV-1a hash: stable over versions and machines, which std's are not.
fn fnv1a_128(bytes: &[u8]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(BASIS, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

/// A number that no other process has, for names only.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// An error about a path, with what to do.
fn about(path: &Path, error: &io::Error, hint: &str) -> io::Error {
    let path = path.display();
    io::Error::new(error.kind(), format!("runtime directory {path}: {error} ({hint})"))
}

/// An error about a directory that others could use against us.
fn unsafe_dir(path: &Path, why: &str, hint: &str) -> io::Error {
    let error = io::Error::new(io::ErrorKind::PermissionDenied, format!("not safe, {why}"));
    about(path, &error, hint)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    /// A directory for one test, removed at its end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("tractor-test-{:x}", random()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_tree_has_a_private_directory_for_its_life() {
        let base = Scratch::new();
        let dir = TreeDir::create(Some(&base.0)).unwrap();
        assert_eq!(mode(dir.path()), 0o700);
        fs::write(dir.path().join("a.sock"), "").unwrap();
        sweep(&base.0);
        assert!(dir.path().join("a.sock").exists(), "a live tree is not swept");
        let path = dir.path().to_owned();
        drop(dir);
        assert!(!path.exists());
    }

    #[test]
    fn what_the_dead_left_is_swept_and_what_is_new_is_not() {
        let base = Scratch::new();
        for name in ["tree-1-dead/sub", "new-2-young", "other"] {
            fs::create_dir_all(base.0.join(name)).unwrap();
        }
        symlink("/tmp", base.0.join("tree-link")).unwrap();
        let dir = TreeDir::create(Some(&base.0)).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(&base.0).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        let own = dir.path().file_name().unwrap();
        assert_eq!(left, ["new-2-young".as_ref(), "other".as_ref(), own, "tree-link".as_ref()]);
    }

    #[test]
    fn a_private_base_is_made_tightened_or_refused() {
        let base = Scratch::new();
        let path = base.0.join("tractor");
        private_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        private_dir(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        symlink(&path, base.0.join("link")).unwrap();
        let error = private_dir(&base.0.join("link")).unwrap_err().to_string();
        assert!(error.contains("/link") && error.contains("remove it"), "{error}");
    }

    /// Only root can make what is somebody else's.
    #[test]
    fn a_private_base_of_another_user_is_refused_and_left_alone() {
        if !geteuid().is_root() {
            return;
        }
        let base = Scratch::new();
        let path = base.0.join("tractor");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
        let error = private_dir(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("belongs to user 65534"), "{error}");
        assert_eq!(mode(&path), 0o755);
    }

    #[test]
    fn a_base_that_others_can_write_to_is_refused() {
        let base = Scratch::new();
        fs::set_permissions(&base.0, fs::Permissions::from_mode(0o777)).unwrap();
        let error = TreeDir::create(Some(&base.0)).unwrap_err().to_string();
        assert!(error.contains("chmod go-w"), "{error}");
        fs::set_permissions(&base.0, fs::Permissions::from_mode(0o1777)).unwrap();
        TreeDir::create(Some(&base.0)).unwrap();
    }

    #[test]
    fn a_base_that_is_too_long_is_refused() {
        let base = Scratch::new();
        let error = TreeDir::create(Some(&base.0.join("x".repeat(60)))).unwrap_err().to_string();
        assert!(error.contains("shorter"), "{error}");
    }

    #[test]
    fn every_name_has_a_socket_path_that_fits() {
        let dir = format!("/run/user/1000/tractor/tree-4194304-{:016x}", 7);
        assert_eq!(socket_file(&dir, "worker@1b2c"), "worker@1b2c.sock");
        let names = ["", "..", "a/b", "a\0b", "~x", &"n".repeat(200), &"ä".repeat(19)];
        let mut files: Vec<String> = names.iter().map(|name| socket_file(&dir, name)).collect();
        for file in &files {
            assert!(dir.len() + 1 + file.len() <= SOCKET_PATH_MAX && !file.contains(['/', '\0']));
        }
        files.sort();
        files.dedup();
        assert_eq!(files.len(), names.len());
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a_128(b""), 0x6c62272e07bb014262b821756295c58d);
        assert_eq!(fnv1a_128(b"foobar"), 0x343e1662793c64bf6f0d3597ba446f18);
    }
}
