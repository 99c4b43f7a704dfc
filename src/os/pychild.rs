//! Being a child of a Python parent.
//!
//! Such a parent starts its `sys.executable`, which leads to this program, as
//!
//! ```text
//! <program> -m tractor._child --uid "('name', 'uuid')" --parent_addr "('127.0.0.1', 21037)" \
//!           [--loglevel ERROR] [--asyncio]
//! ```
//!
//! and waits for a connection of that uid. The two values are what Python prints of a tuple.
//! Anything but exactly this is the program's own business.
//!
//! # Nothing outlives its parent
//!
//! There is no socketpair that we were born with, so:
//!
//! 1. `tractor-lifeline`, a thread of its own, waits for the end of the parent's *process* (a
//!    pidfd), and then kills us, however busy the executor is. Another one waits for the end of the
//!    link: the parent may have started us through a program that stays between.
//! 2. The kernel sends us SIGCONT when our parent dies (PDEATHSIG; Linux), so that the lifeline
//!    runs although we are stopped. Not SIGKILL: the signal is about the *thread* that has started
//!    us, and a Python parent starts its children on threads that end while it lives.

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, getppid};

use super::child;

/// How long a connect waits for an answer. The parent listens before it starts us.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How often a lifeline looks that can't be told of its parent's end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a Python parent wants of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PyOrders {
    /// Who it is to be: its name,
    pub(crate) name: String,
    /// and its id, which may be any text.
    pub(crate) uuid: String,
    /// Where to connect.
    pub(crate) parent: PyAddr,
    /// Python's name of a level.
    pub(crate) loglevel: Option<String>,
    /// It is to run Python's event loop, which it can't.
    pub(crate) asyncio: bool,
}

/// Where a Python parent listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PyAddr {
    Tcp(SocketAddr),
    Uds { dir: String, file: String },
}

/// A process that a Python parent has started.
#[derive(Debug)]
pub(crate) struct PyChild {
    pub(crate) orders: PyOrders,
    /// Who has started us, when we looked.
    started_by: Option<Pid>,
}

/// Finds out whether a Python parent has started this process. Call it first thing in `main`, after
/// [`child_entry`](child::child_entry); only the first call can find a child.
pub(crate) fn python_entry() -> Option<PyChild> {
    let orders = parse(std::env::args_os().skip(1))?;
    if !child::become_child() {
        return None;
    }
    child::set_parent_death_signal(Signal::CONT);
    Some(PyChild { orders, started_by: getppid() })
}

impl PyChild {
    /// Connects to the parent. Blocks this thread: over TCP for 5 s at most; at a socket while the
    /// parent's queue is full, which its own patience bounds, or its end.
    ///
    /// # Errors
    /// When nobody listens there.
    pub(crate) fn connect(&self) -> io::Result<OwnedFd> {
        match &self.orders.parent {
            PyAddr::Tcp(addr) => Ok(TcpStream::connect_timeout(addr, CONNECT_MAX)?.into()),
            PyAddr::Uds { dir, file } => Ok(UnixStream::connect(format!("{dir}/{file}"))?.into()),
        }
    }

    /// Starts the lifeline, and leaves Ctrl-C to the root, which hears it too.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left; when the parent has died meanwhile.
    pub(crate) fn arm(&self) -> io::Result<()> {
        child::catch_interrupt()?;
        let parent = self.started_by;
        let exit = parent.and_then(watch_exit);
        if getppid() != parent {
            // Before we could watch it; the number may be another process's by now.
            return Err(io::Error::other("the parent has died"));
        }
        let lifeline = thread::Builder::new().name("tractor-lifeline".into());
        lifeline.spawn(move || {
            child::set_parent_death_signal(Signal::CONT);
            while getppid() == parent {
                wait_exit(exit.as_ref());
            }
            child::kill_self()
        })?;
        Ok(())
    }

    /// Has our life hang on this connection, too: the parent that has started us may be another one
    /// than that which we serve.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn hang_on(&self, link: OwnedFd) -> io::Result<()> {
        let parent = self.started_by.map_or(0, |pid| pid.as_raw_pid().unsigned_abs());
        let lifeline = thread::Builder::new().name("tractor-lifeline".into());
        lifeline.spawn(move || {
            while !child::is_at_end(&link) {}
            // Alive, it has only parted from us, and we may be about to exit by ourselves.
            child::await_death_of(parent);
            child::kill_self()
        })?;
        Ok(())
    }
}

/// Waits for the parent's end. May return early.
fn wait_exit(exit: Option<&OwnedFd>) {
    let Some(exit) = exit else { return thread::sleep(LOOK_EVERY) };
    match poll(&mut [PollFd::new(exit, PollFlags::IN)], None) {
        Ok(_) | Err(Errno::INTR) => {}
        // Out of kernel memory: not a reason to die.
        Err(_) => thread::sleep(LOOK_EVERY),
    }
}

/// What is readable once that process has ended.
fn watch_exit(parent: Pid) -> Option<OwnedFd> {
    #[cfg(target_os = "linux")]
    return rustix::process::pidfd_open(parent, rustix::process::PidfdFlags::empty()).ok();
    #[cfg(not(target_os = "linux"))]
    return {
        let _ = parent;
        None
    };
}

/// Reads the arguments after the program's name. None when they are no Python parent's.
fn parse(args: impl IntoIterator<Item = OsString>) -> Option<PyOrders> {
    let args = args.into_iter().map(|arg| arg.into_string().ok()).collect::<Option<Vec<_>>>()?;
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ["-m", "tractor._child", "--uid", uid, "--parent_addr", addr, options @ ..] = &args[..]
    else {
        return None;
    };
    let (loglevel, options) = match options {
        ["--loglevel", level, rest @ ..] => (Some((*level).to_owned()), rest),
        rest => (None, rest),
    };
    let asyncio = match options {
        [] => false,
        ["--asyncio"] => true,
        _ => return None,
    };
    let (Value::Text(name), Value::Text(uuid)) = pair(uid)? else { return None };
    Some(PyOrders { name, uuid, parent: address(addr)?, loglevel, asyncio })
}

fn address(text: &str) -> Option<PyAddr> {
    match pair(text)? {
        (Value::Text(host), Value::Int(port)) => {
            let host: IpAddr = host.parse().ok()?;
            Some(PyAddr::Tcp(SocketAddr::new(host, port)))
        }
        (Value::Text(dir), Value::Text(file)) => Some(PyAddr::Uds { dir, file }),
        _ => None,
    }
}

/// What stands in the tuples: a text, or a port.
#[derive(Debug, PartialEq, Eq)]
enum Value {
    Text(String),
    Int(u16),
}

/// A tuple of two as Python prints it: `('a', 'b')`, `("it's", 1)`.
fn pair(text: &str) -> Option<(Value, Value)> {
    let rest = text.strip_prefix('(')?;
    let (first, rest) = value(rest)?;
    let (second, rest) = value(rest.strip_prefix(", ")?)?;
    (rest == ")").then_some((first, second))
}

/// One value, and what follows it.
fn value(text: &str) -> Option<(Value, &str)> {
    match text.chars().next()? {
        quote @ ('\'' | '"') => {
            let (value, rest) = literal(&text[1..], quote)?;
            Some((Value::Text(value), rest))
        }
        _ => {
            let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            let (digits, rest) = text.split_at(end);
            let plain = !digits.starts_with('0') || digits == "0";
            plain.then_some((Value::Int(digits.parse().ok()?), rest))
        }
    }
}

/// The text up to this quote, which stands after it.
fn literal(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '\\' => value.push(escaped(&mut chars)?),
            end if end == quote => return Some((value, chars.as_str())),
            other => value.push(other),
        }
    }
}

/// What follows a backslash, as Python writes it.
fn escaped(chars: &mut std::str::Chars<'_>) -> Option<char> {
    let digits = match chars.next()? {
        plain @ ('\\' | '\'' | '"') => return Some(plain),
        'n' => return Some('\n'),
        'r' => return Some('\r'),
        't' => return Some('\t'),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => return None,
    };
    let rest = chars.as_str();
    let hex = rest.get(..digits).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))?;
    *chars = rest[digits..].chars();
    // Python can print half of a pair of surrogates, which is no text elsewhere.
    char::from_u32(u32::from_str_radix(hex, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "('name', 'aa36a914-1155-44be-a503-21c2c5f1b215')";

    fn orders(args: &[&str]) -> Option<PyOrders> {
        parse(args.iter().map(OsString::from))
    }

    fn with(uid: &str, addr: &str) -> Option<PyOrders> {
        orders(&["-m", "tractor._child", "--uid", uid, "--parent_addr", addr])
    }

    #[test]
    fn the_reference_s_command_lines_are_read() {
        let all = ["-m", "tractor._child", "--uid", UID, "--parent_addr", "('127.0.0.1', 21037)"];
        let plain = PyOrders {
            name: "name".into(),
            uuid: "aa36a914-1155-44be-a503-21c2c5f1b215".into(),
            parent: PyAddr::Tcp(([127, 0, 0, 1], 21037).into()),
            loglevel: None,
            asyncio: false,
        };
        assert_eq!(orders(&all), Some(plain.clone()));
        let level = PyOrders { loglevel: Some("ERROR".into()), ..plain.clone() };
        assert_eq!(orders(&[&all[..], &["--loglevel", "ERROR"]].concat()), Some(level.clone()));
        let aio = PyOrders { asyncio: true, ..level };
        let args = [&all[..], &["--loglevel", "ERROR", "--asyncio"]].concat();
        assert_eq!(orders(&args), Some(aio));
        let aio = PyOrders { asyncio: true, ..plain };
        assert_eq!(orders(&[&all[..], &["--asyncio"]].concat()), Some(aio));
    }

    #[test]
    fn addresses_of_both_kinds_are_read() {
        let tcp = |text: &str| PyAddr::Tcp(text.parse().unwrap());
        let uds = |dir: &str, file: &str| PyAddr::Uds { dir: dir.into(), file: file.into() };
        for (text, addr) in [
            ("('127.0.0.1', 1616)", Some(tcp("127.0.0.1:1616"))),
            ("('::1', 65535)", Some(tcp("[::1]:65535"))),
            (r#"("127.0.0.1", 1)"#, Some(tcp("127.0.0.1:1"))),
            (
                "('/tmp/runtime-0/tractor', 'reg@1.sock')",
                Some(uds("/tmp/runtime-0/tractor", "reg@1.sock")),
            ),
            (r#"("/tmp/it's", 'a b')"#, Some(uds("/tmp/it's", "a b"))),
            ("('localhost', 1616)", None),
            ("('127.0.0.1', 65536)", None),
            ("('127.0.0.1', -1)", None),
            ("('127.0.0.1', 01)", None),
            ("('127.0.0.1', '1616', 1)", None),
            ("('127.0.0.1',)", None),
            ("(1616, '127.0.0.1')", None),
            ("['127.0.0.1', 1616]", None),
            ("('127.0.0.1',1616)", None),
            ("('127.0.0.1', 1616) ", None),
            ("('127.0.0.1', )", None),
            ("/ip4/127.0.0.1/tcp/1616", None),
            ("", None),
        ] {
            assert_eq!(with(UID, text).map(|orders| orders.parent), addr, "{text}");
        }
    }

    #[test]
    fn names_are_read_as_python_prints_them() {
        for (text, name) in [
            (r"('a', 'u')", Some("a")),
            (r"('', 'u')", Some("")),
            (r#"("it's", 'u')"#, Some("it's")),
            (r#"('say "hi"', 'u')"#, Some(r#"say "hi""#)),
            (r#"('both \' and "', 'u')"#, Some("both ' and \"")),
            (r"('back\\slash', 'u')", Some(r"back\slash")),
            (r"('\n\r\t', 'u')", Some("\n\r\t")),
            (r"('\x00\x7f\xad', 'u')", Some("\0\u{7f}\u{ad}")),
            (r"('\u2028', 'u')", Some("\u{2028}")),
            (r"('\U000e0001', 'u')", Some("\u{e0001}")),
            ("('héllo ✓', 'u')", Some("héllo ✓")),
            (r"('a, b) (', 'u')", Some("a, b) (")),
            (r"('\ud800', 'u')", None),
            (r"('\xé0', 'u')", None),
            (r"('\x+1', 'u')", None),
            (r"('\x0', 'u')", None),
            (r"('\q', 'u')", None),
            (r"('\101', 'u')", None),
            (r"('a' 'b', 'u')", None),
            (r"(r'a', 'u')", None),
            (r"('a, 'u')", None),
            (r"('a', 1)", None),
            (r"('a', 'u'", None),
            (r"('a', 'u\", None),
            (r"('a', None)", None),
        ] {
            let found = with(text, "('::1', 1)").map(|orders| orders.name);
            assert_eq!(found.as_deref(), name, "{text}");
        }
    }

    #[test]
    fn anything_else_is_the_program_s_own_business() {
        let all = [
            "-m",
            "tractor._child",
            "--uid",
            UID,
            "--parent_addr",
            "('::1', 1)",
            "--loglevel",
            "X",
        ];
        for n in [0, 1, 2, 3, 4, 5, 7] {
            assert_eq!(orders(&all[..n]), None, "{n} of them");
        }
        for more in [&["more"][..], &["--asyncio", "more"], &["--asyncio", "--asyncio"]] {
            assert_eq!(orders(&[&all[..], more].concat()), None, "{more:?}");
        }
        assert_eq!(orders(&[&["-u"], &all[..]].concat()), None);
        for (at, other) in [(0, "-c"), (1, "tractor"), (2, "--name"), (4, "--addr"), (6, "-l")] {
            let mut args = all;
            args[at] = other;
            assert_eq!(orders(&args), None, "{other}");
        }
        let swapped = ["-m", "tractor._child", "--parent_addr", "('::1', 1)", "--uid", UID];
        assert_eq!(orders(&swapped), None);
    }
}
