//! Faults from a kit: how many at most, within what time. The seed says how many, whom and when.

use std::sync::Arc;
use std::time::Duration;

use super::world::World;
use crate::os::Signal;

/// How long something is stopped or stalled at most: longer than a teardown takes, so that its
/// limits are seen too.
const OUTAGE_MAX: Duration = Duration::from_secs(4);

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
        }
    }

    /// One of each kind.
    pub fn all() -> Self {
        Faults::none().kills(1).pauses(1).cuts(1).stalls(1).failing_spawns(1).clock_jumps(1)
    }

    /// The time of the run in which they happen, from its beginning: 1 s by default, and early
    /// moments are as likely as late ones.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// Kills and pauses hit actors of this name. Called several times, of any of them; not at all,
    /// any but the root.
    pub fn only(mut self, name: impl Into<String>) -> Self {
        self.victims.push(name.into());
        self
    }

    /// Actors that are killed, as by SIGKILL.
    pub fn kills(mut self, most: u32) -> Self {
        self.kills = most;
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

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill,
    Pause,
    Cut,
    Stall,
    FailSpawn,
    Jump,
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
    for (fault, most) in kinds {
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
        Fault::Jump => {
            let by = moment(world, world.config.faults.jump_max);
            world.event(format_args!("the clock jumps by {by:?}"));
            world.sim.jump(by);
        }
    }
}

fn victim(world: &World) -> Option<u32> {
    let names = &world.config.faults.victims;
    let mut living = world.children();
    living.retain(|(_, name)| names.is_empty() || names.contains(name));
    choose(world, living).map(|(pid, _)| pid)
}

fn choose<T>(world: &World, mut from: Vec<T>) -> Option<T> {
    let index = world.sim.random(from.len() as u64) as usize;
    (index < from.len()).then(|| from.swap_remove(index))
}
