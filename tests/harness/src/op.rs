//! Everything that can happen to a world of actors, as one enum: facts of the world and commands of
//! the applications. A script's line is one; so is a step of a random run; both print alike.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tractor_core::OverrunPolicy;
use tractor_core::msg::FuncType;
use tractor_core::supervise::ExitStatus;

/// One side of a dialog: `actor.label`. The label is also the function's name, so that both sides
/// have the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Side {
    /// The actor.
    pub at: String,
    /// The dialog.
    pub label: String,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at, self.label)
    }
}

/// `key=value` arguments, and bare words with an empty value.
pub type Opts = BTreeMap<String, String>;

/// One thing that happens. See [`Op::parse`] for how each is written.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "named like the core's methods and facts, which say it")]
pub enum Op {
    // Actors and processes.
    Actor {
        name: String,
        opts: Opts,
    },
    Child {
        parent: String,
        name: String,
        opts: Opts,
    },
    Nursery {
        at: String,
        name: String,
        opts: Opts,
    },
    Spawn {
        at: String,
        name: String,
        opts: Opts,
    },
    Forked {
        name: String,
    },
    Spawned {
        name: String,
    },
    SpawnFailed {
        name: String,
    },
    Boot {
        at: String,
    },
    Crash {
        name: String,
    },
    Exited {
        name: String,
        status: ExitStatus,
    },
    Join {
        at: String,
        nursery: String,
    },
    CancelNursery {
        at: String,
        nursery: String,
    },
    CancelChild {
        at: String,
        child: String,
    },
    KillAll {
        at: String,
    },
    Main {
        side: Side,
        child: String,
    },
    BodyStarted {
        at: String,
    },
    BodyEnded {
        at: String,
    },
    CancelSelf {
        at: String,
    },
    // Connections.
    Connect {
        at: String,
        to: String,
    },
    Probe {
        at: String,
        to: String,
    },
    /// `to` is who answers; where, if that is not its own address: `addr=whose`.
    Dialled {
        at: String,
        to: String,
        opts: Opts,
    },
    Close {
        at: String,
        to: String,
    },
    CancelPeer {
        at: String,
        to: String,
    },
    // Dialogs.
    Start {
        side: Side,
        to: String,
        func: FuncType,
        opts: Opts,
    },
    Request {
        side: Side,
        to: String,
        what: String,
        opts: Opts,
    },
    Accept {
        side: Side,
        func: FuncType,
    },
    Started {
        side: Side,
        opts: Opts,
    },
    Open {
        side: Side,
        policy: OverrunPolicy,
    },
    Send {
        side: Side,
        opts: Opts,
    },
    Read {
        side: Side,
        items: u32,
    },
    CloseReceiver {
        side: Side,
    },
    Stop {
        side: Side,
    },
    Finish {
        side: Side,
        opts: Opts,
    },
    Fail {
        side: Side,
        kind: String,
        opts: Opts,
    },
    Cancelled {
        side: Side,
    },
    Cancel {
        side: Side,
    },
    Abandon {
        side: Side,
    },
    // The wire.
    Inject {
        at: String,
        to: String,
        what: String,
        opts: Opts,
    },
    Eof {
        at: String,
        to: String,
        why: Option<String>,
    },
    Stall {
        at: String,
        to: String,
        on: bool,
    },
    Flush {
        at: String,
        to: String,
        bytes: usize,
    },
    Deliver {
        at: String,
        to: String,
        bytes: usize,
    },
    Split {
        bytes: usize,
    },
    Run,
    Advance {
        by: Duration,
    },
    // Looking.
    Census {
        at: String,
    },
    Deadline {
        at: String,
    },
    Stats {
        side: Side,
    },
}

/// Words of a line: what stands alone, in order, and what has the form `key=value`.
struct Words {
    bare: Vec<String>,
    opts: Opts,
    next: usize,
}

impl Words {
    fn new(words: &[String]) -> Words {
        let mut bare = Vec::new();
        let mut opts = Opts::new();
        for word in words {
            match word.split_once('=') {
                Some((key, value)) => drop(opts.insert(key.into(), value.into())),
                None => bare.push(word.clone()),
            }
        }
        Words { bare, opts, next: 0 }
    }

    fn word(&mut self) -> Result<String, String> {
        self.next += 1;
        self.bare.get(self.next - 1).cloned().ok_or_else(|| "a word is missing".to_string())
    }

    fn side(&mut self) -> Result<Side, String> {
        let word = self.word()?;
        let (at, label) = word.split_once('.').ok_or(format!("`{word}` is not actor.label"))?;
        Ok(Side { at: at.into(), label: label.into() })
    }

    /// Bare words that are left become options without a value.
    fn opts(&mut self) -> Opts {
        for word in self.bare.drain(self.next.min(self.bare.len())..) {
            self.opts.insert(word, String::new());
        }
        std::mem::take(&mut self.opts)
    }

    fn number(&mut self, key: &str, default: usize) -> Result<usize, String> {
        self.opts.get(key).map_or(Ok(default), |v| v.parse().map_err(|_| format!("bad {key}")))
    }

    fn status(&self) -> Result<ExitStatus, String> {
        let number = |v: &String| v.parse::<i32>().map_err(|e| e.to_string());
        match (self.opts.get("code"), self.opts.get("signal")) {
            (Some(code), None) => Ok(ExitStatus::Code(number(code)?)),
            (None, Some(signal)) => Ok(ExitStatus::Signal(number(signal)?)),
            _ => Err("code= or signal=".into()),
        }
    }
}

/// A span such as `500ms` or `2s`.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is no span like 500ms or 2s");
    if let Some(ms) = text.strip_suffix("ms") {
        return ms.parse().map(Duration::from_millis).map_err(|_| bad());
    }
    let secs = text.strip_suffix('s').ok_or_else(bad)?;
    secs.parse().map(Duration::from_secs).map_err(|_| bad())
}

fn parse_func(text: &str) -> Result<FuncType, String> {
    match text {
        "call" => Ok(FuncType::Call),
        "stream" => Ok(FuncType::Stream),
        "context" => Ok(FuncType::Context),
        _ => Err(format!("`{text}` is not call, stream or context")),
    }
}

fn parse_policy(text: Option<&String>) -> Result<OverrunPolicy, String> {
    match text.map(String::as_str) {
        None => Ok(OverrunPolicy::Backpressure),
        Some("error") => Ok(OverrunPolicy::Error),
        Some(text) => {
            let keep = text.strip_prefix("drop").and_then(|n| n.parse().ok());
            keep.map(OverrunPolicy::DropOldest).ok_or(format!("`{text}` is not error or dropN"))
        }
    }
}

impl Op {
    /// The operation that a line of words says: the verb, then words in the fields' order, then
    /// `key=value`.
    pub fn parse(verb: &str, words: &[String]) -> Result<Op, String> {
        let mut w = Words::new(words);
        let op = match verb {
            "start" | "request" | "accept" | "started" | "open" | "send" | "read" | "closerx"
            | "stop" | "finish" | "fail" | "cancelled" | "cancel" | "abandon" | "main"
            | "stats" => Op::parse_dialog(verb, &mut w)?,
            "connect" | "probe" | "dialled" | "close" | "cancelpeer" | "inject" | "eof"
            | "stall" | "unstall" | "flush" | "deliver" => Op::parse_wire(verb, &mut w)?,
            "split" => Op::Split { bytes: w.word()?.parse().map_err(|_| "bad number")? },
            "run" => Op::Run,
            "advance" => Op::Advance { by: parse_span(&w.word()?)? },
            _ => Op::parse_actor(verb, &mut w)?,
        };
        Ok(op)
    }

    fn parse_actor(verb: &str, w: &mut Words) -> Result<Op, String> {
        let at = w.word()?;
        Ok(match verb {
            "actor" => Op::Actor { name: at, opts: w.opts() },
            "child" => Op::Child { parent: at, name: w.word()?, opts: w.opts() },
            "nursery" => Op::Nursery { at, name: w.word()?, opts: w.opts() },
            "spawn" => Op::Spawn { at, name: w.word()?, opts: w.opts() },
            "forked" => Op::Forked { name: at },
            "spawned" => Op::Spawned { name: at },
            "spawnfailed" => Op::SpawnFailed { name: at },
            "boot" => Op::Boot { at },
            "crash" => Op::Crash { name: at },
            "exited" => Op::Exited { name: at, status: w.status()? },
            "join" => Op::Join { at, nursery: w.word()? },
            "cancelnursery" => Op::CancelNursery { at, nursery: w.word()? },
            "cancelchild" => Op::CancelChild { at, child: w.word()? },
            "killall" => Op::KillAll { at },
            "bodystarted" => Op::BodyStarted { at },
            "bodyended" => Op::BodyEnded { at },
            "cancelself" => Op::CancelSelf { at },
            "census" => Op::Census { at },
            "deadline" => Op::Deadline { at },
            _ => return Err(format!("unknown verb `{verb}`")),
        })
    }

    fn parse_wire(verb: &str, w: &mut Words) -> Result<Op, String> {
        let (at, to) = (w.word()?, w.word()?);
        Ok(match verb {
            "connect" => Op::Connect { at, to },
            "probe" => Op::Probe { at, to },
            "dialled" => Op::Dialled { at, to, opts: w.opts() },
            "close" => Op::Close { at, to },
            "cancelpeer" => Op::CancelPeer { at, to },
            "inject" => Op::Inject { at, to, what: w.word()?, opts: w.opts() },
            "eof" => Op::Eof { at, to, why: w.word().ok() },
            "stall" => Op::Stall { at, to, on: true },
            "unstall" => Op::Stall { at, to, on: false },
            "flush" => Op::Flush { at, to, bytes: w.number("bytes", usize::MAX)? },
            _ => Op::Deliver { at, to, bytes: w.number("bytes", usize::MAX)? },
        })
    }

    fn parse_dialog(verb: &str, w: &mut Words) -> Result<Op, String> {
        let side = w.side()?;
        Ok(match verb {
            "start" => {
                let (to, func) = (w.word()?, parse_func(&w.word()?)?);
                Op::Start { side, to, func, opts: w.opts() }
            }
            "request" => Op::Request { side, to: w.word()?, what: w.word()?, opts: w.opts() },
            "accept" => Op::Accept { side, func: parse_func(&w.word()?)? },
            "started" => Op::Started { side, opts: w.opts() },
            "open" => Op::Open { side, policy: parse_policy(w.opts.get("policy"))? },
            "send" => Op::Send { side, opts: w.opts() },
            "read" => Op::Read { side, items: w.number("n", 1)? as u32 },
            "closerx" => Op::CloseReceiver { side },
            "stats" => Op::Stats { side },
            "stop" => Op::Stop { side },
            "finish" => Op::Finish { side, opts: w.opts() },
            // `of=label`: of what another dialog of this actor failed of, which is sent on.
            "fail" => Op::Fail { side, kind: w.word()?, opts: w.opts() },
            "cancelled" => Op::Cancelled { side },
            "cancel" => Op::Cancel { side },
            "abandon" => Op::Abandon { side },
            _ => Op::Main { side, child: w.word()? },
        })
    }
}

fn func_name(func: FuncType) -> &'static str {
    match func {
        FuncType::Call => "call",
        FuncType::Stream => "stream",
        FuncType::Context => "context",
    }
}

fn write_opts(f: &mut fmt::Formatter<'_>, opts: &Opts) -> fmt::Result {
    for (key, value) in opts {
        match value.is_empty() {
            true => write!(f, " {key}")?,
            false => write!(f, " {key}={value}")?,
        }
    }
    Ok(())
}

fn write_bytes(f: &mut fmt::Formatter<'_>, bytes: usize) -> fmt::Result {
    if bytes == usize::MAX { Ok(()) } else { write!(f, " bytes={bytes}") }
}

/// As [`Op::parse`] reads it.
impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Actor { name, opts } => {
                write!(f, "actor {name}")?;
                write_opts(f, opts)
            }
            Op::Child { parent: at, name, opts } => {
                write!(f, "child {at} {name}")?;
                write_opts(f, opts)
            }
            Op::Nursery { at, name, opts } => {
                write!(f, "nursery {at} {name}")?;
                write_opts(f, opts)
            }
            Op::Spawn { at, name, opts } => {
                write!(f, "spawn {at} {name}")?;
                write_opts(f, opts)
            }
            Op::Forked { name } => write!(f, "forked {name}"),
            Op::Spawned { name } => write!(f, "spawned {name}"),
            Op::SpawnFailed { name } => write!(f, "spawnfailed {name}"),
            Op::Boot { at } => write!(f, "boot {at}"),
            Op::Crash { name } => write!(f, "crash {name}"),
            Op::Exited { name, status: ExitStatus::Code(n) } => write!(f, "exited {name} code={n}"),
            Op::Exited { name, status: ExitStatus::Signal(n) } => {
                write!(f, "exited {name} signal={n}")
            }
            Op::Exited { name, status: ExitStatus::Unknown } => write!(f, "exited {name}"),
            Op::Join { at, nursery } => write!(f, "join {at} {nursery}"),
            Op::CancelNursery { at, nursery } => write!(f, "cancelnursery {at} {nursery}"),
            Op::CancelChild { at, child } => write!(f, "cancelchild {at} {child}"),
            Op::KillAll { at } => write!(f, "killall {at}"),
            Op::BodyStarted { at } => write!(f, "bodystarted {at}"),
            Op::BodyEnded { at } => write!(f, "bodyended {at}"),
            Op::CancelSelf { at } => write!(f, "cancelself {at}"),
            Op::Split { bytes } => write!(f, "split {bytes}"),
            Op::Run => f.write_str("run"),
            Op::Advance { by } => write!(f, "advance {}ms", by.as_millis()),
            Op::Census { at } => write!(f, "census {at}"),
            Op::Deadline { at } => write!(f, "deadline {at}"),
            op => op.fmt_rest(f),
        }
    }
}

impl Op {
    /// Dialogs and the wire.
    fn fmt_rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Connect { at, to } => write!(f, "connect {at} {to}"),
            Op::Probe { at, to } => write!(f, "probe {at} {to}"),
            Op::Dialled { at, to, opts } => {
                write!(f, "dialled {at} {to}")?;
                write_opts(f, opts)
            }
            Op::Close { at, to } => write!(f, "close {at} {to}"),
            Op::CancelPeer { at, to } => write!(f, "cancelpeer {at} {to}"),
            Op::Inject { at, to, what, opts } => {
                write!(f, "inject {at} {to} {what}")?;
                write_opts(f, opts)
            }
            Op::Eof { at, to, why } => {
                write!(f, "eof {at} {to} {}", why.as_deref().unwrap_or_default())
            }
            Op::Stall { at, to, on: true } => write!(f, "stall {at} {to}"),
            Op::Stall { at, to, on: false } => write!(f, "unstall {at} {to}"),
            Op::Flush { at, to, bytes } => {
                write!(f, "flush {at} {to}")?;
                write_bytes(f, *bytes)
            }
            Op::Deliver { at, to, bytes } => {
                write!(f, "deliver {at} {to}")?;
                write_bytes(f, *bytes)
            }
            Op::Main { side, child } => write!(f, "main {side} {child}"),
            Op::Start { side, to, func, opts } => {
                write!(f, "start {side} {to} {}", func_name(*func))?;
                write_opts(f, opts)
            }
            Op::Request { side, to, what, opts } => {
                write!(f, "request {side} {to} {what}")?;
                write_opts(f, opts)
            }
            Op::Accept { side, func } => write!(f, "accept {side} {}", func_name(*func)),
            Op::Started { side, opts } => {
                write!(f, "started {side}")?;
                write_opts(f, opts)
            }
            Op::Open { side, policy: OverrunPolicy::Error } => {
                write!(f, "open {side} policy=error")
            }
            Op::Open { side, policy: OverrunPolicy::DropOldest(n) } => {
                write!(f, "open {side} policy=drop{n}")
            }
            Op::Open { side, .. } => write!(f, "open {side}"),
            Op::Send { side, opts } => {
                write!(f, "send {side}")?;
                write_opts(f, opts)
            }
            Op::Read { side, items } => write!(f, "read {side} n={items}"),
            Op::CloseReceiver { side } => write!(f, "closerx {side}"),
            Op::Stats { side } => write!(f, "stats {side}"),
            Op::Stop { side } => write!(f, "stop {side}"),
            Op::Finish { side, opts } => {
                write!(f, "finish {side}")?;
                write_opts(f, opts)
            }
            Op::Fail { side, kind, opts } => {
                write!(f, "fail {side} {kind}")?;
                write_opts(f, opts)
            }
            Op::Cancelled { side } => write!(f, "cancelled {side}"),
            Op::Cancel { side } => write!(f, "cancel {side}"),
            Op::Abandon { side } => write!(f, "abandon {side}"),
            _ => Ok(()),
        }
    }
}
