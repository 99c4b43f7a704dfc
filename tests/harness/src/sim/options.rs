//! What a run is made of: sizes, and which kinds of faults may come. Drawn from the seed, or said.

use std::fmt;
use std::str::FromStr;

use crate::random::Source;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $word:literal),+ $(,)?) => {
        /// A kind of fault. Each is switched on or off per seed, so that every mixture comes up.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault {
            $($(#[$doc])* $name),+
        }

        impl Fault {
            /// All of them.
            pub const ALL: &[Fault] = &[$(Fault::$name),+];

            /// The word for it in options and lists.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Fault::$name => $word),+
                }
            }
        }
    };
}

faults! {
    /// Reads split and merge what was written.
    Split = "split",
    /// A socket takes nothing for a while.
    Stall = "stall",
    /// A connection breaks in the middle of a frame, and what was under way is lost.
    Reset = "reset",
    /// Nobody answers a connect.
    Refuse = "refuse",
    /// An answer to a connect takes long.
    DelayConnect = "delayconnect",
    /// A link carries nothing any more, and nobody is told.
    HalfOpen = "halfopen",
    /// Hosts can't reach each other, until they can again.
    Partition = "partition",
    /// A process is killed.
    Kill = "kill",
    /// A process is killed before it has its instructions, or before it is ready.
    KillBoot = "killboot",
    /// A process crashes with a code of its own.
    Crash = "crash",
    /// A process is stopped, and goes on later.
    Stop = "stop",
    /// A process is slow to be made.
    SlowSpawn = "slowspawn",
    /// A process can't be made.
    SpawnFail = "spawnfail",
    /// Answers come late, past every limit.
    Lag = "lag",
    /// The clock jumps forward.
    Jump = "jump",
    /// Somebody interrupts a program.
    Interrupt = "interrupt",
}

/// What a run is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The kinds of faults that may come.
    pub faults: Vec<Fault>,
    /// How many faults at most.
    pub count: usize,
    /// How deep the tree of actors may be.
    pub depth: usize,
    /// Actors at most.
    pub actors: usize,
    /// Steps of all programs at most.
    pub steps: usize,
    /// Roots: programs that share a registrar.
    pub roots: usize,
    /// Whether some actors speak the base protocol only.
    pub base: bool,
    /// Whether tasks may take long to end, or never do.
    pub stuck: bool,
    /// Whether some actors have little room for what is sent and received.
    pub tight: bool,
}

impl Options {
    /// A mixture. One run in four has no fault at all: then nothing excuses a lost error.
    pub fn draw(source: &mut Source) -> Options {
        let quiet = source.below(4) == 0;
        let mut on = |fault: &Fault| {
            let on = source.below(2) == 1;
            (on && !quiet).then_some(*fault)
        };
        let faults: Vec<Fault> = Fault::ALL.iter().filter_map(&mut on).collect();
        Options {
            count: if faults.is_empty() { 0 } else { 1 + source.below(6) },
            faults,
            depth: 1 + source.below(5),
            actors: 3 + source.below(30),
            steps: 10 + source.below(120),
            roots: 1 + source.below(3),
            base: source.below(3) == 0,
            stuck: !quiet && source.below(3) == 0,
            tight: source.below(3) == 0,
        }
    }

    /// What the run of a seed has.
    pub fn of(seed: u64) -> Options {
        Options::draw(&mut Source::seed(seed).beside())
    }

    /// Whether this kind of fault may come.
    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// Smaller runs than this one, the most different first: what a shrinker tries.
    pub fn smaller(&self) -> Vec<Options> {
        let mut all = Vec::new();
        let mut add = |change: &dyn Fn(&mut Options)| {
            let mut smaller = self.clone();
            change(&mut smaller);
            if smaller != *self {
                all.push(smaller);
            }
        };
        // One alone comes first: taking one away changes how all others are drawn.
        for fault in &self.faults {
            add(&|o| o.faults = vec![*fault]);
        }
        for fault in &self.faults {
            add(&|o| o.faults.retain(|f| f != fault));
        }
        add(&|o| o.count /= 2);
        add(&|o| o.count = o.count.saturating_sub(1));
        add(&|o| o.roots = 1);
        add(&|o| o.base = false);
        add(&|o| o.stuck = false);
        add(&|o| o.tight = false);
        add(&|o| o.actors = (o.actors / 2).max(1));
        add(&|o| o.actors = (o.actors - 1).max(1));
        add(&|o| o.depth = (o.depth - 1).max(1));
        add(&|o| o.steps = (o.steps / 2).max(1));
        add(&|o| o.steps = (o.steps - 1).max(1));
        all
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { count, depth, actors, steps, roots, base, stuck, tight, .. } = self;
        let words: Vec<&str> = self.faults.iter().map(|fault| fault.word()).collect();
        write!(f, "faults={} count={count} depth={depth} actors={actors}", words.join(","))?;
        write!(f, " steps={steps} roots={roots} base={base} stuck={stuck} tight={tight}")
    }
}

/// As it is printed.
impl FromStr for Options {
    type Err = String;

    fn from_str(text: &str) -> Result<Options, String> {
        let mut options = Options::of(0);
        for word in text.split_whitespace() {
            let (key, value) = word.split_once('=').ok_or(format!("`{word}` is not key=value"))?;
            let number = || value.parse().map_err(|_| format!("`{value}` is no number"));
            match key {
                "faults" => options.faults = parse_faults(value)?,
                "count" => options.count = number()?,
                "depth" => options.depth = number()?,
                "actors" => options.actors = number()?,
                "steps" => options.steps = number()?,
                "roots" => options.roots = number()?,
                "base" => options.base = value == "true",
                "stuck" => options.stuck = value == "true",
                "tight" => options.tight = value == "true",
                _ => return Err(format!("no option `{key}`")),
            }
        }
        Ok(options)
    }
}

fn parse_faults(words: &str) -> Result<Vec<Fault>, String> {
    let parse = |word: &str| {
        let found = Fault::ALL.iter().find(|fault| fault.word() == word);
        found.copied().ok_or(format!("no fault `{word}`"))
    };
    words.split(',').filter(|word| !word.is_empty()).map(parse).collect()
}
