//! Directories to compute digests of.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use sha2::{Digest as _, Sha256};

/// A directory of the test's own, gone with it.
#[derive(Debug)]
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> TempDir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tractor-digest-{}-{count}", std::process::id());
        let path = std::fs::canonicalize(std::env::temp_dir()).unwrap().join(name);
        std::fs::create_dir(&path).unwrap();
        TempDir(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file, and the directories on the way to it.
    pub(crate) fn write(&self, name: impl AsRef<Path>, content: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A file that takes days to read: 1 TiB, and a hole. So whoever reads it does so until
    /// something happens to him, however long the test takes to make it happen.
    pub(crate) fn endless(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        path
    }

    /// The sockets in here.
    pub(crate) fn sockets(&self) -> Vec<PathBuf> {
        let walk = walkdir::WalkDir::new(&self.0).into_iter().flatten();
        walk.filter(|e| !e.file_type().is_dir() && !e.file_type().is_file())
            .map(walkdir::DirEntry::into_path)
            .collect()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Puts a small file in the place of an endless one. Who reads the old one goes on doing so; who
/// opens it from now on reads this.
pub(crate) fn replace(endless: &Path, content: &[u8]) {
    let new = endless.with_extension("new");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(&new, endless).unwrap();
}

/// Files with all kinds of names and contents, beside others that have no digest.
pub(crate) fn odd_tree() -> TempDir {
    let dir = TempDir::new();
    let names: [&[u8]; 12] = [
        b"plain",
        b"two words",
        b"new\nline",
        b"back\\slash",
        b"carriage\rreturn",
        b"all\\of\nthem\r",
        b"not utf-8 \xff\xfe",
        b"-n",
        b"*",
        b"tab\tand \x1b[31mred",
        b"a/b/c/d/deep",
        b"sub\ndir/file",
    ];
    for name in names {
        dir.write(OsStr::from_bytes(name), name);
    }
    dir.write("empty", b"");
    dir.write("one piece", &vec![7; 1 << 20]);
    dir.write("pieces and a bit", &vec![9; (3 << 20) + 1]);
    std::fs::create_dir(dir.path().join("empty dir")).unwrap();
    std::os::unix::fs::symlink("plain", dir.path().join("link")).unwrap();
    std::os::unix::fs::symlink("a", dir.path().join("link to a directory")).unwrap();
    std::os::unix::fs::symlink("nowhere", dir.path().join("dangling")).unwrap();
    let fifo = (dir.path().join("fifo"), rustix::fs::Mode::RUSR);
    rustix::fs::mknodat(rustix::fs::CWD, fifo.0, rustix::fs::FileType::Fifo, fifo.1, 0).unwrap();
    dir
}

/// Makes a file whose path is longer than the system takes: it is found, but whoever names it by
/// its path gets an error, also as root. Returns the path that can't be had.
pub(crate) fn beyond_path_max(dir: &TempDir) -> PathBuf {
    let name = OsString::from_vec(vec![b'x'; 200]);
    let mut path = dir.path().to_owned();
    let mut at = File::open(&path).unwrap();
    let mode = rustix::fs::Mode::RWXU;
    while path.as_os_str().len() + name.len() < 4096 {
        rustix::fs::mkdirat(&at, &name, mode).unwrap();
        let flags = rustix::fs::OFlags::DIRECTORY;
        at = rustix::fs::openat(&at, &name, flags, mode).unwrap().into();
        path.push(&name);
    }
    let flags = rustix::fs::OFlags::CREATE;
    rustix::fs::openat(&at, &name, flags, mode).unwrap();
    path.join(name)
}

/// Takes everybody's right to read a file. Whether that means anything to us: not to root.
pub(crate) fn forbid(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o000)).unwrap();
    OpenOptions::new().read(true).open(path).is_err()
}

/// A line of `sha256sum`, of a name that needs no escape.
pub(crate) fn line(path: &Path, content: &[u8]) -> Vec<u8> {
    let digest: String = Sha256::digest(content).iter().map(|b| format!("{b:02x}")).collect();
    [digest.as_bytes(), b"  ", path.as_os_str().as_bytes()].concat()
}

/// What `sha256sum` says of all files, sorted. `None` where it is not installed.
pub(crate) fn sha256sum(cwd: &Path, path: &OsStr) -> Option<Vec<Vec<u8>>> {
    Command::new("sha256sum").arg("--version").output().ok()?;
    let script = r#"find "$1" -type f -print0 | xargs -0 sha256sum --"#;
    let mut command = Command::new("sh");
    let ended = command.args(["-c", script, "sh"]).arg(path).current_dir(cwd).output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let mut lines: Vec<Vec<u8>> = ended
        .stdout
        .split_inclusive(|b| *b == b'\n')
        .map(|l| l.trim_ascii_end().to_vec())
        .collect();
    lines.sort();
    Some(lines)
}
