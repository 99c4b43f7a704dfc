//! An actor `p` with a peer `r` that it works with, and peers that mean it no good.

use bytes::Bytes;
use tractor_core::msg::Features;
use tractor_core::{
    Actor, CloseReason, Config, ConnId, DialogEvent, DialogId, Effect, Event, Input, Output, Uid,
};
use tractor_harness::World;
use tractor_harness::fuzz::stage;

use crate::MEMORY;

/// A receive buffer at its largest, twice: the old one is there until what is left of it has moved.
pub(crate) const RECEIVE: usize = 2 * (64 << 10);
/// A receive buffer of a connection that has said little, and the connection.
pub(crate) const HALF_OPEN: usize = (8 << 10) + (4 << 10);
/// A dialog with its places in tables, which double when they grow.
pub(crate) const DIALOG: usize = 2 << 10;

/// What the core may need for a body of this length: it is received once more in a vector that
/// grows by doubling, and what is decoded of it is a small multiple.
pub(crate) const fn body(len: usize) -> usize {
    RECEIVE + 4 * len
}

/// How a bad peer, and the driver and the application behind `p`, behave.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manners {
    /// The peer reads what is written to it.
    pub(crate) reads: bool,
    /// Tasks end once they are told to.
    pub(crate) obeys: bool,
}

/// What an attack came to.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    /// The most that the core had allocated at a time, over what it had before.
    pub(crate) peak: usize,
    /// Tasks that were started.
    pub(crate) tasks: usize,
    /// Why the connection ended.
    pub(crate) closed: Option<CloseReason>,
    /// The outcomes of dialogs.
    pub(crate) done: usize,
}

pub(crate) struct Siege {
    pub(crate) world: World,
    /// What the core has allocated since the attack began, and the most of it at a time.
    live: isize,
    peak: isize,
    left: Vec<DialogId>,
    damage: Damage,
}

impl Siege {
    /// `settings` are those of `actor` in scripts.
    pub(crate) fn new(settings: &str) -> Siege {
        crate::assert_alone();
        let mut world = World::after(&format!("actor p {settings}\nactor r\nconnect r p\nrun"));
        for line in [
            "start r.b p call",
            "start r.s p context",
            "run",
            "accept p.b call",
            "accept p.s context",
            "started p.s",
            "open p.s",
            "run",
            "open r.s",
            "run",
            "send r.s n=10",
            "run",
        ] {
            assert_eq!(world.step(line), Ok(()), "{line}");
        }
        let left = Vec::with_capacity(1 << 16);
        let damage = Damage::default();
        Siege { world, live: 0, peak: 0, left, damage }
    }

    pub(crate) fn actor(&mut self) -> &mut Actor {
        self.world.hosts[0].actor.as_mut().expect("`p` lives")
    }

    pub(crate) fn config(&mut self) -> Config {
        self.actor().config().clone()
    }

    /// Counts what the core allocates in `run`.
    pub(crate) fn counted<T>(&mut self, run: impl FnOnce(&mut Actor) -> T) -> T {
        let before = MEMORY.current_usage() as isize;
        MEMORY.reset_peak_usage();
        let result = run(self.actor());
        let peak = MEMORY.peak_usage() as isize - before;
        self.peak = self.peak.max(self.live + peak);
        self.live += MEMORY.current_usage() as isize - before;
        result
    }

    /// A peer comes that has introduced itself as the `n`th.
    pub(crate) fn meet(&mut self, n: usize, features: Features) -> ConnId {
        let now = self.world.now;
        let conn = self.actor().accepted(now).expect("there is room");
        let aid = stage::frame(&stage::aid(&uid(n), 1000 + n as u64, features));
        self.say(conn, &aid, Manners { reads: true, obeys: true });
        conn
    }

    /// Bytes come in. Whether the connection still stands.
    pub(crate) fn say(&mut self, conn: ConnId, mut bytes: &[u8], manners: Manners) -> bool {
        let now = self.world.now;
        while !bytes.is_empty() {
            let len = self.counted(|actor| {
                let Some(buf) = actor.recv_buf(conn) else { return 0 };
                let len = buf.len().min(bytes.len());
                buf[..len].copy_from_slice(&bytes[..len]);
                actor.handle_input(now, Input::Received { conn, len });
                len
            });
            self.drive(conn, manners);
            bytes = &bytes[len..];
            if len == 0 {
                return false;
            }
        }
        self.actor().is_known(conn)
    }

    /// Pops and drops what was decided, and writes.
    fn drive(&mut self, conn: ConnId, manners: Manners) {
        let now = self.world.now;
        while let Some(output) = self.counted(Actor::poll_output) {
            match &output {
                Output::Effect(Effect::StartTask { dialog, .. }) => {
                    self.damage.tasks += 1;
                    self.left.push(*dialog);
                }
                Output::Effect(Effect::CancelTask { dialog }) if manners.obeys => {
                    self.counted(|actor| actor.cancelled(now, *dialog));
                    self.left.retain(|left| left != dialog);
                }
                Output::Event(Event::Closed { conn: of, why }) if *of == conn => {
                    self.damage.closed = Some(why.clone());
                }
                Output::Event(Event::Dialog(_, DialogEvent::Done(_))) => self.damage.done += 1,
                _ => {}
            }
            self.counted(|_| drop(output));
        }
        self.counted(|actor| while actor.next_dirty().is_some() {});
        if manners.reads {
            self.counted(|actor| {
                while let Some(mut out) = actor.take_outbox(conn) {
                    let len = out.slices().map(<[u8]>::len).sum();
                    out.advance(len);
                    actor.put_back(now, conn, out);
                }
            });
        }
    }

    /// Says all of it, as long as it is listened to.
    pub(crate) fn attack(
        &mut self,
        conn: ConnId,
        manners: Manners,
        frames: impl IntoIterator<Item = Bytes>,
    ) {
        for frame in frames {
            if !self.say(conn, &frame, manners) {
                break;
            }
        }
    }

    /// What the core has allocated now, over what it had before.
    pub(crate) fn live(&self) -> usize {
        self.live.max(0) as usize
    }

    /// Why that connection ended, so far.
    pub(crate) fn closed(&self) -> Option<&CloseReason> {
        self.damage.closed.as_ref()
    }

    /// A task that is not told to end before the attack is over.
    pub(crate) fn leave(&mut self, dialog: DialogId) {
        self.left.push(dialog);
    }

    /// The attack is over: those peers go, the work with `r` goes on and ends, and of what was kept
    /// for them nothing is left.
    pub(crate) fn over(mut self, conns: &[ConnId]) -> Damage {
        let now = self.world.now;
        let closed = self.damage.closed.take();
        for conn in conns {
            self.counted(|actor| {
                actor.handle_input(now, Input::Disconnected { conn: *conn, why: None });
            });
            self.drive(*conn, Manners { reads: true, obeys: false });
        }
        for dialog in std::mem::take(&mut self.left) {
            self.counted(|actor| actor.cancelled(now, dialog));
        }
        let mut damage = std::mem::take(&mut self.damage);
        damage.closed = closed;
        damage.peak = self.peak.max(0) as usize;
        self.unharmed();
        damage
    }

    fn unharmed(mut self) {
        for line in [
            "run",
            "send r.s n=10",
            "run",
            "read p.s n=20",
            "finish p.s val=2",
            "finish p.b val=1",
            "run",
        ] {
            assert_eq!(self.world.step(line), Ok(()), "{line}");
        }
        for line in ["r b: done: returned 1", "r s: done: returned 2"] {
            assert!(self.world.trace.iter().any(|seen| seen == line), "{line}");
        }
        let census = self.actor().census();
        assert_eq!(
            (census.connections, census.dialogs, census.tasks),
            (1, 0, 0),
            "only `r` is left"
        );
    }
}

pub(crate) fn uid(n: usize) -> Uid {
    Uid { name: "x".into(), uuid: format!("0000-{n}").as_str().into() }
}
