//! Recorded dialogs of the reference, replayed with cores of ours in the place of its actors.
//!
//! ```text
//!  the recording ──▶ plan: who is who, what is asked of whom
//!        │ step by step
//!        ├─ a frame that our actor wrote ──▶ the command behind it ──▶ core ──▶ frames
//!        │                                                                        │ must be the
//!        └─ a frame that it read ──▶ its bytes, cut anywhere ──▶ core             ▼ recorded ones
//!                                                                    (expect: but for differences)
//! ```
//!
//! Time passes as it did. The names that our cores draw (of dialogs, of children) stand for the
//! recorded ones: they have the same length, so all else stays byte for byte what it was.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use crate::random::Source;
use crate::recording::{Recorded, Step};

mod act;
mod expect;
mod plan;
mod player;
mod see;

pub use expect::{Difference, Differs};
pub use plan::{Identity, Link, Plan};

use expect::{Names, Sides, Wants};
use plan::Mine;
use player::Player;

/// What can't be seen on the wire.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints {
    /// Recording and child: its process ended with code 1.
    pub crashed: &'static [(&'static str, &'static str)],
    /// Recording and child: it was made for one task, and is ended with it.
    pub for_one_task: &'static [(&'static str, &'static str)],
    /// Recording and dialog: items are never read.
    pub never_reads: &'static [(&'static str, &'static str)],
    /// Recording and dialog: whoever reads it takes more than the usual number of items.
    pub allows_overruns: &'static [(&'static str, &'static str)],
}

/// In what pieces bytes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cuts {
    /// A frame at once.
    Frames,
    /// Byte by byte.
    Bytes,
    /// Anywhere, also in the middle of a frame that comes with others.
    Random(u64),
}

/// What the application of each actor saw, line by line.
pub type Log = BTreeMap<usize, Vec<String>>;

/// Replays one actor of a recording against what its peers wrote.
///
/// # Errors
/// The first place where our core wrote something else than the recorded actor.
pub fn one_side(
    plan: &Plan<'_>,
    me: usize,
    differences: &[Difference],
    hints: &Hints,
    cuts: Cuts,
) -> Result<Vec<String>, String> {
    let ours = BTreeSet::from([me]);
    let log = Stage::new(plan, ours, Sides::One, differences, hints, cuts).run()?;
    Ok(log.into_values().flatten().collect())
}

/// Replays all actors of a recording against each other.
///
/// # Errors
/// The first place where one of our cores wrote something else than the recorded actor.
pub fn both_sides(
    plan: &Plan<'_>,
    differences: &[Difference],
    hints: &Hints,
    cuts: Cuts,
) -> Result<Log, String> {
    let all = 0..plan.actors.len();
    let ours = all.filter(|actor| !plan.actors[*actor].is_probe).collect();
    Stage::new(plan, ours, Sides::Both, differences, hints, cuts).run()
}

/// Frames that are read at once at most: no application may be left further behind than it has
/// room for items.
const TOGETHER_MAX: usize = 32;
/// What comes further apart is not read at once.
const TOGETHER_WITHIN: Duration = Duration::from_millis(20);

/// Recorded bytes on their way to our one actor.
#[derive(Debug, Default)]
struct Inbox<'a> {
    conn: &'a str,
    since: Duration,
    bytes: Vec<u8>,
    frames: usize,
}

impl Inbox<'_> {
    /// Whether what comes now can be read together with what waits.
    fn takes(&self, frame: &Recorded, at: Duration, cuts: Cuts) -> bool {
        matches!(cuts, Cuts::Random(_))
            && self.frames < TOGETHER_MAX
            && self.conn == frame.conn
            && at < self.since + TOGETHER_WITHIN
    }
}

/// A replay under way.
#[derive(Debug)]
struct Stage<'a> {
    plan: &'a Plan<'a>,
    sides: Sides,
    differences: Rc<[Difference]>,
    hints: &'a Hints,
    cuts: Cuts,
    random: Source,
    names: Names,
    wants: BTreeMap<usize, Wants<'a>>,
    players: BTreeMap<usize, Player<'a>>,
    inbox: Inbox<'a>,
    /// What our actors wrote to each other: by connection and who reads it.
    wire: BTreeMap<(&'a str, usize), Vec<u8>>,
}

impl<'a> Stage<'a> {
    fn new(
        plan: &'a Plan<'a>,
        ours: BTreeSet<usize>,
        sides: Sides,
        differences: &[Difference],
        hints: &'a Hints,
        cuts: Cuts,
    ) -> Stage<'a> {
        let differences: Rc<[Difference]> = expect::seen(differences, sides).into();
        let seed = if let Cuts::Random(seed) = cuts { seed } else { 0 };
        let wants = |me: usize| (me, Wants::new(plan, me, sides, &differences));
        Stage {
            plan,
            sides,
            hints,
            cuts,
            random: Source::seed(seed),
            names: Names::default(),
            wants: ours.into_iter().map(wants).collect(),
            differences,
            players: BTreeMap::new(),
            inbox: Inbox::default(),
            wire: BTreeMap::new(),
        }
    }

    fn run(mut self) -> Result<Log, String> {
        let plan = self.plan;
        for step in &plan.recording.steps {
            let ours: Vec<usize> = self.wants.keys().copied().collect();
            let mine = ours.iter().filter_map(|me| Some((*me, plan.of(*me, &step.what)?)));
            let (hears, does): (Vec<_>, Vec<_>) =
                mine.partition(|(_, mine)| matches!(mine, Mine::Hears(_)));
            for (me, mine) in hears.into_iter().chain(does) {
                self.step(me, step, mine)?;
            }
        }
        self.finish()
    }

    fn player(&mut self, me: usize, at: Duration) -> &mut Player<'a> {
        let (plan, names) = (self.plan, &self.names);
        let (hints, differences) = (self.hints, self.differences.clone());
        self.players.entry(me).or_insert_with(|| {
            let uuid = names.to_ours(plan.actors[me].uuid.as_bytes());
            Player::new(plan, hints, differences, me, &String::from_utf8_lossy(&uuid), at)
        })
    }

    fn step(&mut self, me: usize, step: &'a Step, mine: Mine<'a>) -> Result<(), String> {
        match mine {
            Mine::Hears(frame) if self.inbox.takes(frame, step.at, self.cuts) => {}
            _ => self.deliver(me)?,
        }
        let player = self.player(me, step.at);
        player.advance(step.at);
        player.seq = step.seq;
        match mine {
            Mine::Says(frame) if frame.sent => self.says(me, frame)?,
            Mine::Hears(frame) if frame.sent => self.hears(me, frame, step.at)?,
            Mine::Says(_) | Mine::Hears(_) => {}
            Mine::Began { child } => {
                let player = self.players.get_mut(&me).expect("just made");
                player.began(child, &mut self.names)?;
            }
            Mine::Exited { child } => self.player(me, step.at).exited(child),
            Mine::Closed(conn) => self.player(me, step.at).closed(conn)?,
            // Where both are ours, one finds the end because the other made it.
            Mine::Ended(..) if self.sides == Sides::Both => {}
            Mine::Ended(conn, why) => self.player(me, step.at).lost(conn, why.map(|_| "broken")),
        }
        self.pass_on()
    }

    fn says(&mut self, me: usize, frame: &'a Recorded) -> Result<(), String> {
        let player = self.players.get_mut(&me).expect("it was made by the step");
        player.say(frame, &self.names)
    }

    fn hears(&mut self, me: usize, frame: &'a Recorded, at: Duration) -> Result<(), String> {
        let player = self.players.get_mut(&me).expect("it was made by the step");
        player.expects(frame)?;
        if self.sides == Sides::Both {
            return Ok(());
        }
        if self.inbox.frames == 0 {
            (self.inbox.conn, self.inbox.since) = (&frame.conn, at);
        }
        self.inbox.frames += 1;
        self.inbox.bytes.extend(self.names.to_ours(&frame.frame));
        match self.cuts {
            Cuts::Random(_) => Ok(()),
            Cuts::Frames | Cuts::Bytes => self.deliver(me),
        }
    }

    /// Lets our one actor read what the recording has for it.
    fn deliver(&mut self, me: usize) -> Result<(), String> {
        let Inbox { conn, bytes, frames, .. } = std::mem::take(&mut self.inbox);
        if frames > 0 {
            self.read(me, conn, &bytes)?;
            self.pass_on()?;
        }
        Ok(())
    }

    fn read(&mut self, me: usize, conn: &'a str, bytes: &[u8]) -> Result<(), String> {
        let (cuts, random) = (self.cuts, &mut self.random);
        let Some(player) = self.players.get_mut(&me) else { return Ok(()) };
        player.hear(conn, bytes, || match cuts {
            Cuts::Frames => usize::MAX,
            Cuts::Bytes => 1,
            Cuts::Random(_) => 1 + random.below(bytes.len().max(1)),
        })
    }

    /// Checks what our actors wrote, and lets each other read it.
    fn pass_on(&mut self) -> Result<(), String> {
        loop {
            let mut ends = Vec::new();
            for (me, player) in &mut self.players {
                for (conn, frame) in std::mem::take(&mut player.written) {
                    let wants = self.wants.get_mut(me).expect("each of ours has its own");
                    wants.check(self.plan, &mut self.names, conn, &frame)?;
                    self.wire.entry((conn, self.plan.other(conn, *me))).or_default().extend(frame);
                }
                for conn in std::mem::take(&mut player.shut) {
                    ends.push((conn, self.plan.other(conn, *me)));
                }
            }
            let here = |to: &usize| self.players.contains_key(to);
            let ready = self.wire.keys().find(|(_, to)| here(to)).copied();
            if ready.is_none() && ends.is_empty() {
                return Ok(());
            }
            if let Some((conn, to)) = ready {
                let bytes = self.wire.remove(&(conn, to)).unwrap_or_default();
                self.read(to, conn, &bytes)?;
            }
            for (conn, to) in ends {
                let bytes = self.wire.remove(&(conn, to)).unwrap_or_default();
                self.read(to, conn, &bytes)?;
                if let Some(player) = self.players.get_mut(&to) {
                    player.lost(conn, None);
                }
            }
        }
    }

    fn finish(mut self) -> Result<Log, String> {
        let ours: Vec<usize> = self.wants.keys().copied().collect();
        for me in &ours {
            self.deliver(*me)?;
        }
        for (me, wants) in &self.wants {
            wants.finish()?;
            let Some(player) = self.players.get(me) else { continue };
            if player.after_its_end != wants.after_its_end {
                return Err(format!(
                    "{}: {} opened {:?} after its end, and was to open {:?}",
                    self.plan.recording.name,
                    player.who().name,
                    player.after_its_end,
                    wants.after_its_end,
                ));
            }
        }
        let mut log = Log::new();
        for (me, mut player) in self.players {
            player.finish()?;
            log.insert(me, player.lines().collect());
        }
        Ok(log)
    }
}
