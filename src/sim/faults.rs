//! Faults from a kit: how many at most, within what time. The seed says how many, whom and when.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::world::World;
use crate::error::{Error, Result};
use crate::os::{ExitStatus, Signal};

/// How long something is stopped or stalled at most: longer than a teardown takes, so that its
/// limits are seen too.
const OUTAGE_MAX: Duration = Duration::from_secs(4);

/// How long a link is silent, or a partition lasts, or a connect takes at most: longer than every
/// limit of a connection.
const SILENCE_MAX: Duration = Duration::from_secs(8);

/// Halvings of the time in which faults happen: as many happen in its first 128th as in its second
/// half, as programs begin and end quickly.
const HALVINGS: u64 = 8;

/// What fails in a run. Each number is the most there is of it, and for some seeds there is none.
#[derive(Clone, Debug)]
#[must_use = "it is for `Config::faults`"]
pub struct Faults {
    within: Duration,
    victims: Vec<String>,
    kills: u32,
    pauses: u32,
    cuts: u32,
    stalls: u32,
    failing_spawns: u32,
    jumps: u32,
    jump_max: Duration,
    crashes: u32,
    refused_connects: u32,
    slow_connects: u32,
    silences: u32,
    partitions: u32,
}

impl Faults {
    /// None at all.
    pub fn none() -> Self {
        Faults {
            within: Duration::from_secs(1),
            victims: Vec::new(),
            kills: 0,
            pauses: 0,
            cuts: 0,
            stalls: 0,
            failing_spawns: 0,
            jumps: 0,
            jump_max: Duration::from_secs(10),
            crashes: 0,
            refused_connects: 0,
            slow_connects: 0,
            silences: 0,
            partitions: 0,
        }
    }

    /// One of each kind.
    pub fn all() -> Self {
        let processes = Faults::none().kills(1).pauses(1).crashes(1).failing_spawns(1);
        let connects = processes.refused_connects(1).slow_connects(1);
        connects.cuts(1).stalls(1).silences(1).partitions(1).clock_jumps(1)
    }

    /// The time of the run in which they happen, from its beginning: 1 s by default, and early
    /// moments are as likely as late ones.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// Kills, crashes and pauses hit actors of this name, and partitions part some of them from all
    /// others. Called several times, of any of these names; not at all, any but the root.
    pub fn only(mut self, name: impl Into<String>) -> Self {
        self.victims.push(name.into());
        self
    }

    /// Actors that are killed, as by SIGKILL.
    pub fn kills(mut self, most: u32) -> Self {
        self.kills = most;
        self
    }

    /// Actors that crash: they end at once, with an exit code of their own.
    pub fn crashes(mut self, most: u32) -> Self {
        self.crashes = most;
        self
    }

    /// Actors that stop for up to 4 s, as by SIGSTOP, and go on.
    pub fn pauses(mut self, most: u32) -> Self {
        self.pauses = most;
        self
    }

    /// Links that are cut: what is under way on them is lost.
    pub fn cuts(mut self, most: u32) -> Self {
        self.cuts = most;
        self
    }

    /// Links on which nothing arrives for up to 4 s.
    pub fn stalls(mut self, most: u32) -> Self {
        self.stalls = most;
        self
    }

    /// Links that carry nothing any more, in one direction or both, and nobody is told: not even
    /// when the other side is gone. Only deadlines find out. After up to 8 s everything arrives.
    /// New connections are as they should be.
    pub fn silences(mut self, most: u32) -> Self {
        self.silences = most;
        self
    }

    /// Partitions: some actors, with the children that they start from then on, are apart from all
    /// others for up to 8 s: from the children that they had, too, unless the seed takes these
    /// along. Nothing arrives across, and a connect across fails, or hangs until it is over.
    pub fn partitions(mut self, most: u32) -> Self {
        self.partitions = most;
        self
    }

    /// Connects that are refused, although somebody listens: each is the next one within 8 s.
    pub fn refused_connects(mut self, most: u32) -> Self {
        self.refused_connects = most;
        self
    }

    /// Connects that take up to 8 s longer: each is the next one within 8 s.
    pub fn slow_connects(mut self, most: u32) -> Self {
        self.slow_connects = most;
        self
    }

    /// Spawns that fail as if the system had no more processes.
    pub fn failing_spawns(mut self, most: u32) -> Self {
        self.failing_spawns = most;
        self
    }

    /// Jumps of the clock, forward by up to 10 s, as when the machine was asleep.
    pub fn clock_jumps(mut self, most: u32) -> Self {
        self.jumps = most;
        self
    }
}

/// A kind of faults: its word, and what sets how many there are at most.
type Kind = (&'static str, fn(Faults, u32) -> Faults);

/// Each of them.
const KINDS: [Kind; 11] = [
    ("kills", Faults::kills),
    ("crashes", Faults::crashes),
    ("pauses", Faults::pauses),
    ("cuts", Faults::cuts),
    ("stalls", Faults::stalls),
    ("silences", Faults::silences),
    ("partitions", Faults::partitions),
    ("refused_connects", Faults::refused_connects),
    ("slow_connects", Faults::slow_connects),
    ("failing_spawns", Faults::failing_spawns),
    ("clock_jumps", Faults::clock_jumps),
];

/// Words with commas between them, as [`TRACTOR_SIM_FAULTS`](super) has them: kinds of faults, with
/// or without how many (`kills,cuts=2`), `all` for one of each kind that is not there by itself,
/// and `within=50` for so many milliseconds. Nothing is no faults.
impl FromStr for Faults {
    type Err = Error;

    fn from_str(text: &str) -> Result<Faults> {
        let words: Vec<&str> = text.split(',').map(str::trim).collect();
        if words == [""] {
            return Ok(Faults::none());
        }
        // First, wherever it stands: what is there by itself counts beside it.
        let base = if words.contains(&"all") { Faults::all() } else { Faults::none() };
        let mut before = BTreeSet::new();
        words.into_iter().try_fold(base, |faults, word| {
            let (kind, number) = match word.split_once('=') {
                Some((kind, number)) => (kind.trim_end(), Some(number.trim_start())),
                None => (word, None),
            };
            if !before.insert(kind) {
                return Err(wrong(format_args!("`{kind}` is there twice: say it once")));
            }
            faults.with(word, kind, number)
        })
    }
}

impl Faults {
    fn with(self, word: &str, kind: &str, number: Option<&str>) -> Result<Faults> {
        let parse = |text: &str| {
            text.parse::<u32>().map_err(|_| {
                wrong(format_args!("`{word}`: no number from 0 to {} after the `=`", u32::MAX))
            })
        };
        match (kind, number) {
            ("all", None) => Ok(self),
            ("all", Some(_)) => Err(wrong(format_args!("`{word}`: `all` has no number"))),
            ("within", Some(number)) => {
                Ok(self.within(Duration::from_millis(parse(number)?.into())))
            }
            ("within", None) => {
                Err(wrong(format_args!("`within` has no time: say `within=50` for 50 ms")))
            }
            _ => {
                let known = KINDS.iter().find(|(known, _)| *known == kind);
                let Some((_, set)) = known else {
                    return Err(wrong(format_args!("`{kind}` is no kind of faults")));
                };
                Ok(set(self, number.map_or(Ok(1), parse)?))
            }
        }
    }
}

/// What is wrong with a text, and what would be right.
fn wrong(what: fmt::Arguments<'_>) -> Error {
    let kinds = KINDS.map(|(kind, _)| kind).join(", ");
    Error::config(format!(
        "{what}. Give words with commas between them, such as `all,kills=2,within=50`: `all`, \
         `within=<milliseconds>`, and these, each with `=<how many>` or for one at most: {kinds}"
    ))
}

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    Pause,
    Cut,
    Stall,
    FailSpawn,
    Jump,
    Crash,
    Refuse,
    SlowConnect,
    Silence,
    Partition,
}

/// Lets all of a run's faults happen.
pub(super) fn inject(world: &Arc<World>) {
    let faults = &world.config.faults;
    let kinds = [
        (Fault::Kill, faults.kills),
        (Fault::Pause, faults.pauses),
        (Fault::Cut, faults.cuts),
        (Fault::Stall, faults.stalls),
        (Fault::FailSpawn, faults.failing_spawns),
        (Fault::Jump, faults.jumps),
    ];
    let later = [
        (Fault::Crash, faults.crashes),
        (Fault::Refuse, faults.refused_connects),
        (Fault::SlowConnect, faults.slow_connects),
        (Fault::Silence, faults.silences),
        (Fault::Partition, faults.partitions),
    ];
    // Who asks for none of these draws nothing for them: seeds mean what they meant without them.
    for (fault, most) in kinds.into_iter().chain(later.into_iter().filter(|it| it.1 > 0)) {
        for _ in 0..world.sim.random(u64::from(most) + 1) {
            let (at, own) = (moment(world, faults.within), world.clone());
            let happening = async move {
                own.sleep(at).await;
                happen(&own, fault).await;
            };
            tractor_executors::Executor::spawn(&world.sim, Box::pin(happening));
        }
    }
}

/// A random time below `most`, mostly a short one.
fn moment(world: &World, most: Duration) -> Duration {
    let halvings = u32::try_from(world.sim.random(HALVINGS)).unwrap_or(0);
    world.sim.random_time(Duration::ZERO, most / (1 << halvings))
}

async fn happen(world: &Arc<World>, fault: Fault) {
    match fault {
        Fault::Kill => {
            if let Some(pid) = victim(world) {
                world.signal(pid, Signal::KILL.as_raw());
            }
        }
        Fault::Pause => {
            let Some(pid) = victim(world) else { return };
            world.pause(pid, true);
            world.sleep(moment(world, OUTAGE_MAX)).await;
            world.pause(pid, false);
        }
        Fault::Cut => {
            if let Some([one, other]) = choose(world, world.net.pairs()) {
                world.event(format_args!("{} and {}: cut", world.name(one), world.name(other)));
                world.net.cut(one, other);
            }
        }
        Fault::Stall => {
            if let Some([one, other]) = choose(world, world.net.pairs()) {
                let time = moment(world, OUTAGE_MAX);
                let (a, b) = (world.name(one), world.name(other));
                world.event(format_args!("{a} and {b}: nothing arrives for {time:?}"));
                world.net.stall(one, other, time);
            }
        }
        Fault::FailSpawn => world.fail_spawns(1),
        Fault::Crash => {
            if let Some(pid) = victim(world) {
                let code = 1 + i32::try_from(world.sim.random(255)).unwrap_or(0);
                world.exit(pid, ExitStatus::Code(code));
            }
        }
        Fault::Refuse => world.net.refuse(1, SILENCE_MAX),
        Fault::SlowConnect => {
            let time = moment(world, SILENCE_MAX);
            world.net.delay_connects(1, time, SILENCE_MAX);
        }
        Fault::Silence => silence(world),
        Fault::Partition => {
            let mut inside = victims(world);
            inside.retain(|_| world.sim.random(2) == 0);
            if !inside.is_empty() {
                let inside = inside.into_iter().map(|(pid, _)| pid).collect();
                world.partition(inside, moment(world, SILENCE_MAX));
            }
        }
        Fault::Jump => {
            let by = moment(world, world.config.faults.jump_max);
            world.jump(by);
        }
    }
}

fn silence(world: &World) {
    let Some([one, other]) = choose(world, world.net.pairs()) else { return };
    let time = moment(world, SILENCE_MAX);
    let ways = match world.sim.random(3) {
        0 => vec![(one, other)],
        1 => vec![(other, one)],
        _ => vec![(one, other), (other, one)],
    };
    for (from, to) in ways {
        let (a, b) = (world.name(from), world.name(to));
        world.event(format_args!("{b} hears nothing of {a} for {time:?}"));
        world.net.silence(from, to, time);
    }
}

/// Whom faults may hit.
fn victims(world: &World) -> Vec<(u32, String)> {
    let names = &world.config.faults.victims;
    let mut living = world.children();
    living.retain(|(_, name)| names.is_empty() || names.contains(name));
    living
}

fn victim(world: &World) -> Option<u32> {
    choose(world, victims(world)).map(|(pid, _)| pid)
}

fn choose<T>(world: &World, mut from: Vec<T>) -> Option<T> {
    let index = world.sim.random(from.len() as u64) as usize;
    (index < from.len()).then(|| from.swap_remove(index))
}
