//! Faults from a kit: how many at most, within what time. The seed says how many, whom and when.

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

    /// Partitions: some actors, with the children that they start, are apart from all others for up
    /// to 8 s. Nothing arrives across, and a connect across fails, or hangs until it is over.
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

/// Words with commas between them, as [`TRACTOR_SIM_FAULTS`](super) has them: `all`, or the kinds
/// of faults (`kills,cuts=2`), and `within=50` for so many milliseconds.
impl FromStr for Faults {
    type Err = Error;

    fn from_str(text: &str) -> Result<Faults> {
        text.split(',').try_fold(Faults::none(), |faults, word| {
            let (kind, number) = word.split_once('=').unwrap_or((word, "1"));
            let number = number.parse().map_err(|_| Error::config(format!("{word}: no number")))?;
            let unknown = || Error::config(format!("`{kind}` is no kind of faults"));
            faults.with(kind, number).ok_or_else(unknown)
        })
    }
}

impl Faults {
    fn with(self, word: &str, number: u32) -> Option<Faults> {
        let faults = match word {
            "all" => Faults { within: self.within, ..Faults::all() },
            "within" => self.within(Duration::from_millis(number.into())),
            "kills" => self.kills(number),
            "crashes" => self.crashes(number),
            "pauses" => self.pauses(number),
            "cuts" => self.cuts(number),
            "stalls" => self.stalls(number),
            "silences" => self.silences(number),
            "partitions" => self.partitions(number),
            "refused_connects" => self.refused_connects(number),
            "slow_connects" => self.slow_connects(number),
            "failing_spawns" => self.failing_spawns(number),
            "clock_jumps" => self.clock_jumps(number),
            _ => return None,
        };
        Some(faults)
    }
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
        Fault::Refuse => {
            world.event(format_args!("the next connect is refused"));
            world.net.refuse(1, SILENCE_MAX);
        }
        Fault::SlowConnect => {
            let time = moment(world, SILENCE_MAX);
            world.event(format_args!("the next connect takes {time:?} longer"));
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
            world.event(format_args!("the clock jumps by {by:?}"));
            world.sim.jump(by);
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
