//! The files under a path.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

/// A file whose digest is wanted.
#[derive(Debug)]
pub(crate) struct File {
    /// As it is printed: what the user typed, and what comes below that.
    pub(crate) path: PathBuf,
    /// Its length in bytes when it was found.
    pub(crate) len: u64,
}

/// What can't be had, and why.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// Where.
    pub(crate) path: PathBuf,
    /// The system's words.
    pub(crate) why: String,
}

/// The regular files at and under `root`; symlinks are not followed. The tree is read while this is
/// read, so a huge one needs no more memory than a small one.
pub(crate) fn files(root: &Path) -> impl Iterator<Item = Result<File, Unreadable>> + Send + use<> {
    let walk = WalkDir::new(root).follow_root_links(false);
    walk.into_iter().filter_map(|entry| match entry {
        Ok(entry) if entry.file_type().is_file() => Some(file(entry)),
        Ok(entry) if entry.depth() == 0 && !entry.file_type().is_dir() => {
            let why = "neither a regular file nor a directory".to_owned();
            Some(Err(Unreadable { path: entry.into_path(), why }))
        }
        Ok(_) => None,
        Err(error) => Some(Err(unreadable(error))),
    })
}

fn file(entry: DirEntry) -> Result<File, Unreadable> {
    let len = entry.metadata().map_err(unreadable)?.len();
    Ok(File { path: entry.into_path(), len })
}

fn unreadable(error: walkdir::Error) -> Unreadable {
    let path = error.path().unwrap_or(Path::new("")).to_owned();
    let why = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
    Unreadable { path, why }
}
