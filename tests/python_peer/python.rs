//! Where Python is, and what it runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::{TempDir, temp_dir};

/// A Python that can be an actor.
#[derive(Clone, Debug)]
pub(crate) struct Python {
    pub(crate) interpreter: PathBuf,
    /// Where its modules are.
    pub(crate) modules: PathBuf,
}

/// One that has what the peer needs.
pub(crate) fn find() -> Option<Python> {
    let interpreter = std::env::var_os("TRACTOR_TEST_PYTHON").unwrap_or("python3".into()).into();
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python");
    Some(Python { interpreter, modules }).filter(|python| python.has("msgspec, trio"))
}

/// One that has the reference itself, and what is called there: without the peer, which would be
/// found in its place.
pub(crate) fn find_reference() -> Option<(Python, TempDir)> {
    let interpreter = std::env::var_os("TRACTOR_TEST_REFERENCE")?.into();
    let dir = temp_dir();
    let functions = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/interop.py");
    std::fs::copy(functions, dir.path().join("interop.py")).unwrap();
    let python = Python { interpreter, modules: dir.path().to_owned() };
    assert!(python.has("tractor.msg"), "TRACTOR_TEST_REFERENCE is no Python with tractor");
    Some((python, dir))
}

impl Python {
    fn has(&self, modules: &str) -> bool {
        let mut check = Command::new(&self.interpreter);
        check.args(["-c", &format!("import {modules}")]);
        check.stdout(Stdio::null()).stderr(Stdio::null());
        check.status().is_ok_and(|status| status.success())
    }

    /// `python -m peer <role>`.
    pub(crate) fn peer(&self, role: &str) -> Command {
        let mut command = Command::new(&self.interpreter);
        command.args(["-m", "peer", role]).env("PYTHONPATH", &self.modules);
        command
    }
}
