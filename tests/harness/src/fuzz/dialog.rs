//! Dialogs between two actors of any features and limits: both sides' tasks do anything at any
//! moment, over a connection that is cut anywhere. Items come in order and none is lost, and in the
//! end every dialog has its outcome.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::check;
use crate::random::Source;
use crate::world::World;

/// Dialogs in a run.
const DIALOGS_MAX: usize = 5;
/// An item's number is its length, modulo this; longer ones have a multiple on top.
const NUMBERS: usize = 4096;
/// What encoding adds to the length that is asked for.
const HEAD: usize = 5;

/// One side's stream.
#[derive(Default)]
struct Stream {
    sent: usize,
    /// The number of the next item that its reader has not seen.
    next: usize,
    /// Whether its reader may miss some, and has all that came.
    drops: bool,
    closed: bool,
    opened: bool,
}

struct Dialog {
    label: String,
    func: &'static str,
    caller: &'static str,
    /// By the actor that sends.
    streams: BTreeMap<&'static str, Stream>,
}

struct Run {
    world: World,
    source: Source,
    dialogs: Vec<Dialog>,
    /// All that was seen.
    log: Vec<String>,
}

/// Settings, then operations.
pub fn run(data: &[u8]) {
    let mut run = Run::new(data);
    while !run.source.is_empty() {
        run.step();
        run.look();
    }
    run.rest();
}

fn other(actor: &str) -> &'static str {
    if actor == "p" { "q" } else { "p" }
}

impl Run {
    fn new(data: &[u8]) -> Run {
        let (world, source) = (World::new(), Source::bytes(data));
        let mut run = Run { world, source, dialogs: Vec::new(), log: Vec::new() };
        for name in ["p", "q"] {
            let settings = run.settings();
            run.must(&format!("actor {name}{settings}"));
        }
        run.must("connect q p");
        run.must("run");
        run
    }

    fn settings(&mut self) -> String {
        let features = match self.source.below(4) {
            0 => 0,
            1 => self.source.below(512),
            _ => 511,
        };
        let lane = [2000, 20_000, 256 << 10][self.source.below(3)];
        let window = [64 << 10, 100_000, 1 << 20][self.source.below(3)];
        format!(" features={features} lane={lane} window={window} dialogs=4 frame=700000")
    }

    /// Does what a line says; whether it was done.
    fn line(&mut self, line: &str) -> bool {
        self.log.push(line.into());
        let result = self.world.step(line);
        self.world.trace.iter().for_each(|line| check::line(line));
        self.log.append(&mut self.world.trace);
        result.is_ok()
    }

    fn must(&mut self, line: &str) {
        assert!(self.line(line), "{line}");
    }

    fn step(&mut self) {
        match self.source.below(16) {
            0 if self.dialogs.len() < DIALOGS_MAX => self.start(),
            0..=4 => self.wire(),
            5 => drop(self.line("run")),
            6 => {
                let ms = [1, 100, 600, 3000][self.source.below(4)];
                self.line(&format!("advance {ms}ms"));
            }
            _ if self.dialogs.is_empty() => self.start(),
            _ => self.task(),
        }
    }

    fn start(&mut self) {
        let caller = ["p", "q"][self.source.below(2)];
        let func = ["context", "stream", "call", "context"][self.source.below(4)];
        let label = format!("d{}", self.dialogs.len());
        if self.line(&format!("start {caller}.{label} {} {func}", other(caller))) {
            let streams = ["p", "q"].map(|name| (name, Stream::default())).into();
            self.dialogs.push(Dialog { label, func, caller, streams });
        }
    }

    fn wire(&mut self) {
        let at = ["p", "q"][self.source.below(2)];
        let to = other(at);
        let bytes = match self.source.below(3) {
            0 => 1 + self.source.below(9),
            1 => 1 + self.source.below(250) * 40,
            _ => usize::MAX,
        };
        let line = match self.source.below(16) {
            0..=5 => format!("flush {at} {to} bytes={bytes}"),
            6..=12 => format!("deliver {at} {to} bytes={bytes}"),
            13 => format!("stall {at} {to}"),
            14 => format!("unstall {at} {to}"),
            _ if self.source.once_in(16) => format!("eof {at} {to} reset"),
            _ => format!("unstall {at} {to}"),
        };
        self.line(&line);
    }

    fn task(&mut self) {
        let n = self.source.below(self.dialogs.len());
        let at = ["p", "q"][self.source.below(2)];
        let dialog = &self.dialogs[n];
        let (side, func) = (format!("{at}.{}", dialog.label), dialog.func);
        let is_caller = dialog.caller == at;
        match self.source.below(24) {
            16.. => self.go_on(n, at),
            0 | 1 if !is_caller => drop(self.line(&format!("accept {side} {func}"))),
            2 if !is_caller => drop(self.line(&format!("started {side} val=3"))),
            0..=3 => self.open(n, at),
            4..=7 => self.send(n, at),
            8..=10 => self.read(n, at),
            11 => drop(self.line(&format!("stop {side}"))),
            12 if self.line(&format!("closerx {side}")) => self.reader(n, at).closed = true,
            13 if is_caller => self.leave(&side),
            14 if !is_caller => self.end(&side),
            _ => self.send(n, at),
        }
    }

    /// The natural next step: what was done already is refused.
    fn go_on(&mut self, n: usize, at: &'static str) {
        let (func, is_caller) = (self.dialogs[n].func, self.dialogs[n].caller == at);
        let side = format!("{at}.{}", self.dialogs[n].label);
        self.line("run");
        let stepped = !is_caller
            && (self.line(&format!("accept {side} {func}"))
                || (func == "context" && self.line(&format!("started {side} val=3"))));
        if !stepped {
            self.open(n, at);
        }
        self.line("run");
    }

    fn leave(&mut self, side: &str) {
        match self.source.below(8) {
            0 => self.line(&format!("abandon {side}")),
            1 => self.line(&format!("cancel {side}")),
            _ => self.line("run"),
        };
    }

    fn end(&mut self, side: &str) {
        match self.source.below(6) {
            0 => self.line(&format!("fail {side} ValueError")),
            1 => self.line(&format!("cancelled {side}")),
            _ => self.line(&format!("finish {side} val=4")),
        };
    }

    /// The stream that this side reads.
    fn reader(&mut self, n: usize, at: &str) -> &mut Stream {
        self.dialogs[n].streams.get_mut(other(at)).expect("there are two")
    }

    fn open(&mut self, n: usize, at: &str) {
        let policy = ["", "", "", " policy=error", " policy=drop3"][self.source.below(5)];
        let line = format!("open {at}.{}{policy}", self.dialogs[n].label);
        if self.line(&line) {
            let stream = self.reader(n, at);
            stream.drops = policy.contains("drop");
            stream.opened = true;
        }
    }

    fn send(&mut self, n: usize, at: &'static str) {
        let count = 1 + self.source.below(40);
        let extra = if self.source.once_in(4) { self.source.below(160) } else { 0 };
        for _ in 0..count {
            let number = self.dialogs[n].streams[at].sent;
            let len = number % NUMBERS + NUMBERS * extra;
            let line = format!("send {at}.{} len={len}", self.dialogs[n].label);
            if !self.line(&line) {
                return;
            }
            self.dialogs[n].streams.entry(at).or_default().sent += 1;
        }
    }

    /// The lengths of the items that wait for this side.
    fn waiting(&self, n: usize, at: &str) -> Vec<usize> {
        let host = &self.world.hosts[self.world.host(at).expect("both live")];
        let id = host.labels.get(&self.dialogs[n].label);
        let task = id.and_then(|id| host.tasks.get(id));
        task.map(|task| task.items.iter().copied().collect()).unwrap_or_default()
    }

    fn read(&mut self, n: usize, at: &str) {
        let items = 1 + self.source.below(100);
        let before = self.waiting(n, at).len();
        self.line(&format!("read {at}.{} n={items}", self.dialogs[n].label));
        self.reader(n, at).next += before.min(items);
    }

    /// What waits to be read are the next items, in order; of one that drops, the latest.
    fn look(&mut self) {
        for n in 0..self.dialogs.len() {
            for at in ["p", "q"] {
                let waiting = self.waiting(n, at);
                let stream = self.reader(n, at);
                let Some(first) = waiting.first().filter(|_| !stream.closed) else { continue };
                if stream.drops {
                    let behind = (first - HEAD) % NUMBERS + NUMBERS - stream.next % NUMBERS;
                    stream.next += behind % NUMBERS;
                }
                let numbers = waiting.iter().map(|len| (len - HEAD) % NUMBERS);
                let expected = (stream.next..).map(|number| number % NUMBERS);
                assert!(numbers.zip(expected).all(|(a, b)| a == b), "in order: {waiting:?}");
                assert!(stream.next + waiting.len() <= stream.sent, "no more than was sent");
            }
        }
    }

    fn rest(&mut self) {
        for line in ["unstall p q", "unstall q p", "run"] {
            self.line(line);
        }
        self.return_all();
        self.look();
        self.nothing_lost();
        for line in ["bodyended p", "bodyended q"] {
            self.line(line);
        }
        for _ in 0..30 {
            self.end_tasks();
            self.line("run");
            let Some((at, _)) = self.world.next_deadline() else { break };
            let wait = self.world.now.until(at).max(Duration::from_millis(1));
            self.line(&format!("advance {}ms", wait.as_millis() + 1));
        }
        self.end_tasks();
        self.line("run");
        check::at_rest(&self.world);
    }

    /// What still runs returns.
    fn return_all(&mut self) {
        for n in 0..self.dialogs.len() {
            let (func, caller) = (self.dialogs[n].func, self.dialogs[n].caller);
            let side = format!("{}.{}", other(caller), self.dialogs[n].label);
            self.line(&format!("accept {side} {func}"));
            self.line(&format!("started {side} val=3"));
            self.line(&format!("finish {side} val=4"));
        }
        self.line("run");
    }

    fn end_tasks(&mut self) {
        for n in 0..self.dialogs.len() {
            let callee = format!("{}.{}", other(self.dialogs[n].caller), self.dialogs[n].label);
            self.line(&format!("cancelled {callee}"));
        }
    }

    /// Of a task that returned, its caller has every item, unless it chose otherwise.
    fn nothing_lost(&mut self) {
        for n in 0..self.dialogs.len() {
            let caller = self.dialogs[n].caller;
            let returned = format!("{caller} {}: done: returned", self.dialogs[n].label);
            let waiting = self.waiting(n, caller).len();
            let stream = self.reader(n, caller);
            let chose = stream.closed || stream.drops || !stream.opened;
            let (have, sent) = (stream.next + waiting, stream.sent);
            if !chose && self.log.iter().any(|line| line.starts_with(&returned)) {
                assert_eq!(have, sent, "all items of {}", self.dialogs[n].label);
            }
        }
    }
}
