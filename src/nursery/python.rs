//! Children that run Python: actors of Python's tractor, which know the base protocol alone.
//!
//! Such a child is started as the reference starts one: `<python> -m tractor._child` with its uid
//! and an address of ours, to which it connects. What the command line must look like, and what the
//! instructions must have in them, is protocol §7.7.

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::future::{Future, IntoFuture};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tractor_core::msg::SpawnSpec;
use tractor_core::msg::codec::RuntimeVars;
use tractor_core::{Address, Text, Uid};

use super::builder::{ActorBuilder, Stdio, own_addr};
use crate::error::{Error, Result};
use crate::os;
use crate::portal::Portal;
use crate::shared::Shared;

/// The environment variable that names the interpreter.
pub(super) const ENV: &str = "TRACTOR_PYTHON";

/// The interpreter when nobody names one.
const DEFAULT: &str = "python3";

/// What a child that runs Python is to be. Await it to start the child: it counts as ready once it
/// has connected. Calls wait until it has imported its modules; when it can't, they fail with its
/// end.
#[derive(Clone, Debug)]
#[must_use = "a child starts when its builder is awaited"]
pub struct PythonBuilder(ActorBuilder);

impl PythonBuilder {
    pub(super) fn new(child: ActorBuilder, modules: Vec<String>) -> Self {
        let modules = modules.into_iter().map(|name| (name, PathBuf::new())).collect();
        let mut child = child.env("PYTHONBREAKPOINT", "0");
        child.python = Some(Python { modules, interpreter: None });
        PythonBuilder(child)
    }

    fn with(self, change: impl FnOnce(ActorBuilder) -> ActorBuilder) -> Self {
        PythonBuilder(change(self.0))
    }

    /// Lets others call the functions of this module there, too. `path` is its file, when Python
    /// would not find it by its name: the file's directory is searched then.
    pub fn enable(mut self, module: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        if let Some(python) = &mut self.0.python {
            python.modules.push((module.into(), path.into()));
        }
        self
    }

    /// The interpreter: a path, or a name that is looked up in `$PATH`. By default what
    /// [`RootConfig::python`](crate::RootConfig::python) says.
    pub fn python(mut self, interpreter: impl Into<PathBuf>) -> Self {
        if let Some(python) = &mut self.0.python {
            python.interpreter = Some(interpreter.into());
        }
        self
    }

    /// Sets an environment variable there, such as `PYTHONPATH`.
    pub fn env(self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.with(|child| child.env(key, value))
    }

    /// Removes an environment variable there.
    pub fn env_remove(self, key: impl Into<OsString>) -> Self {
        self.with(|child| child.env_remove(key))
    }

    /// The working directory there, where modules are found, too. Ours by default.
    pub fn cwd(self, dir: impl Into<PathBuf>) -> Self {
        self.with(|child| child.cwd(dir))
    }

    /// Shares our standard input with it. `/dev/null` by default.
    pub fn stdin_inherit(self) -> Self {
        self.with(ActorBuilder::stdin_inherit)
    }

    /// Where its standard output goes.
    pub fn stdout(self, stdio: Stdio) -> Self {
        self.with(|child| child.stdout(stdio))
    }

    /// Where its standard error goes.
    pub fn stderr(self, stdio: Stdio) -> Self {
        self.with(|child| child.stderr(stdio))
    }

    /// Its log level, as we name them (`off`, `error`, `warn`, `info`, `debug`, `trace`) or as
    /// Python does. Ours by default.
    pub fn loglevel(self, level: impl Into<String>) -> Self {
        self.with(|child| child.loglevel(level))
    }

    /// Keeps its death local, as [`ActorBuilder::isolated`].
    pub fn isolated(self) -> Self {
        self.with(ActorBuilder::isolated)
    }

    /// What it gets to end, as [`ActorBuilder::teardown`].
    pub fn teardown(self, budget: Duration) -> Self {
        self.with(|child| child.teardown(budget))
    }
}

impl IntoFuture for PythonBuilder {
    type Output = Result<Portal>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Portal>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.0.start())
    }
}

/// What makes a child one that runs Python.
#[derive(Clone, Debug)]
pub(super) struct Python {
    /// The modules that may be called, and their files where that is needed.
    modules: Vec<(String, PathBuf)>,
    interpreter: Option<PathBuf>,
}

impl Python {
    /// What the child is told over the link. A base child needs all variables of the base, and none
    /// of ours.
    pub(super) fn spec(&self, shared: &Shared, bound: Option<&Address>) -> SpawnSpec {
        let tree = shared.tree.get().cloned().unwrap_or_default();
        let own = shared.own_addrs.get().cloned().unwrap_or_default();
        let vars = RuntimeVars {
            root_mailbox: tree.root_addrs.first().cloned(),
            root_addrs: tree.root_addrs,
            enable_tpts: own.first().map(kind).into_iter().collect(),
            registry_addrs: tree.registry_addrs.clone(),
            ..RuntimeVars::default()
        };
        let mut raw = Vec::new();
        vars.encode(&mut raw);
        let path = |path: &Path| Text::from(path.to_string_lossy().into_owned());
        let modules = self.modules.iter();
        SpawnSpec {
            parent_main_data: bytes::Bytes::from_static(&[0x80]),
            runtime_vars: raw.into(),
            enable_modules: modules
                .map(|(name, file)| (Text::from(name.as_str()), path(file)))
                .collect(),
            reg_addrs: tree.registry_addrs,
            bind_addrs: bound.map(|addr| vec![addr.clone()]),
        }
    }

    /// Where the child listens: at a socket in the tree's own directory, which goes with the tree.
    /// By itself it would take a place for all trees, where what a killed one leaves stays. (A port
    /// needs no place.)
    pub(super) fn address(shared: &Shared, name: &str) -> Option<Address> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let Some(Address::Uds { dir, .. }) = own_addr(shared).ok() else { return None };
        let (pid, count) = (shared.host.pid(), COUNT.fetch_add(1, Ordering::Relaxed));
        let file = os::rtdir::socket_file(&dir, &format!("{name}@{pid}-{count}"));
        Some(Address::Uds { dir, file })
    }

    /// Finds the interpreter, before anything is spawned.
    pub(super) fn program(&self, shared: &Shared, level: Option<&str>) -> Result<Program> {
        if crate::host::is_simulated() {
            return Err(Error::config("a simulation has no Python"));
        }
        let chosen = self.interpreter.clone().or_else(|| shared.settings.python.clone());
        let chosen = chosen.or_else(|| env::var_os(ENV).map(PathBuf::from));
        let interpreter = find(&chosen.unwrap_or_else(|| DEFAULT.into()))?;
        let level = level_of(level.unwrap_or("error"));
        Ok(Program { interpreter, parent: own_addr(shared)?, level })
    }
}

/// The command that a Python child is.
#[derive(Debug)]
pub(super) struct Program {
    interpreter: PathBuf,
    parent: Address,
    level: String,
}

impl Program {
    /// Exactly what the reference's child expects.
    pub(super) fn command_line(&self, uid: &Uid) -> Vec<OsString> {
        let (name, uuid) = (literal(uid.name.as_str()), literal(uid.uuid.as_str()));
        let parent = match &self.parent {
            Address::Tcp { host, port } => format!("('{host}', {port})"),
            Address::Uds { dir, file } => format!("({}, {})", literal(dir), literal(file)),
            other => format!("({}, 0)", literal(&other.to_string())),
        };
        let uid = format!("({name}, {uuid})");
        let args = ["-m", "tractor._child", "--uid", &uid, "--parent_addr", &parent];
        let mut line = vec![self.interpreter.clone().into_os_string()];
        line.extend(args.iter().chain(&["--loglevel", &self.level]).map(OsString::from));
        line
    }
}

/// A text as Python would write it, in ASCII, as not every locale has more.
fn literal(text: &str) -> String {
    let mut out = String::from("'");
    for c in text.chars() {
        // Writing to a String can't fail.
        let _ = match (c, u32::from(c)) {
            ('\\' | '\'', _) => write!(out, "\\{c}"),
            (' '..='~', _) => write!(out, "{c}"),
            (_, code @ ..=0xff) => write!(out, "\\x{code:02x}"),
            (_, code @ ..=0xffff) => write!(out, "\\u{code:04x}"),
            (_, code) => write!(out, "\\U{code:08x}"),
        };
    }
    out.push('\'');
    out
}

/// Python's name of our level; one of Python's own stays.
fn level_of(ours: &str) -> String {
    match ours.to_ascii_lowercase().as_str() {
        "off" => "CRITICAL".to_owned(),
        "warn" => "WARNING".to_owned(),
        "trace" => "TRANSPORT".to_owned(),
        _ => ours.to_ascii_uppercase(),
    }
}

/// Python's name of a kind of address.
fn kind(addr: &Address) -> Text {
    match addr {
        Address::Uds { .. } => Text::from_static("uds"),
        _ => Text::from_static("tcp"),
    }
}

/// The program's file. A name without a slash is looked up in `$PATH`. Links are not followed: an
/// interpreter finds the packages of its environment by the name that it was called by.
fn find(program: &Path) -> Result<PathBuf> {
    let found = match program.components().count() {
        0 | 1 if !program.is_absolute() => {
            let dirs = env::var_os("PATH").unwrap_or_default();
            env::split_paths(&dirs).map(|dir| dir.join(program)).find(|path| path.is_file())
        }
        _ => Some(program.to_owned()).filter(|path| path.is_file()),
    };
    let absolute = found.and_then(|path| std::path::absolute(path).ok());
    absolute.ok_or_else(|| {
        let name = program.display();
        Error::config(format!(
            "there is no Python interpreter `{name}`: name one by `python` of the child or of \
             `RootConfig`, or by `{ENV}`"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_written_as_python_reads_them() {
        for (text, written) in [
            ("", "''"),
            ("plain name", "'plain name'"),
            ("it's", r"'it\'s'"),
            (r#"a "b" \c"#, r#"'a "b" \\c'"#),
            ("a\nb\0", r"'a\x0ab\x00'"),
            ("é", r"'\xe9'"),
            ("✓", r"'\u2713'"),
            ("🦀", r"'\U0001f980'"),
        ] {
            assert_eq!(literal(text), written);
        }
    }

    #[test]
    fn an_interpreter_that_is_not_there_is_named() {
        for name in ["/no/where/python", "no-such-python", ""] {
            let error = find(Path::new(name)).unwrap_err().to_string();
            assert!(error.contains(&format!("`{name}`")), "{error}");
        }
        assert_eq!(find(Path::new("sh")).unwrap().file_name().unwrap(), "sh");
        assert_eq!(find(Path::new("/bin/sh")).unwrap(), Path::new("/bin/sh"));
    }
}
