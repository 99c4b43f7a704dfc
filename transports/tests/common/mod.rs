//! What the tests share.
#![allow(dead_code, reason = "no test file uses all of it")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use tractor_core::Address;

/// A directory of its own, removed on drop.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let unique = format!("tractor-{name}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(unique);
        std::fs::create_dir(&path).expect("the name is unique");
        Self(path)
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    pub(crate) fn addr(&self, file: &str) -> Address {
        let dir = self.0.to_str().expect("made of ASCII").to_owned();
        Address::Uds { dir, file: file.to_owned() }
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
