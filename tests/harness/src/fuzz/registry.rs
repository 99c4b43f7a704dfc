//! What peers ask of a registrar, against a registry that is a list: the same answers, the same
//! records, and whoever waits is answered once.

use bytes::Bytes;
use tractor_core::msg::{AckOutcome, Features, Msg, Request, codec};
use tractor_core::{Address, Cid, Config, ConnId, Effect, Event, Input, Output, Uid};

use super::registry_model::{Answer, Model, answers, is_left};
use super::stage::{self, Stage};
use crate::random::Source;

/// Records that there is room for, and waiters.
const LIMITS: (usize, usize) = (5, 6);
/// Peers that there may be; the even ones are ours, the others the base's.
const PEERS: usize = 8;
const NAMES: [&str; 3] = ["ann", "bob", "cat"];

/// A connection of a peer.
struct Line {
    slot: usize,
    conn: ConnId,
    cids: u64,
    /// The last wait, which may be over.
    wait: Option<Cid>,
}

struct Run {
    stage: Stage,
    model: Model,
    lines: Vec<Line>,
    source: Source,
}

/// Operations.
pub fn run(data: &[u8]) {
    let mut run = Run::new(data);
    while !run.source.is_empty() {
        run.step();
        run.compare();
    }
    run.rest();
}

fn uid(slot: usize) -> Uid {
    let (name, uuid) = (NAMES[slot % NAMES.len()], format!("0000-{slot}"));
    Uid { name: name.into(), uuid: uuid.as_str().into() }
}

fn is_base(slot: usize) -> bool {
    slot % 2 == 1
}

impl Run {
    fn new(data: &[u8]) -> Run {
        let mut config = Config::new("registrar");
        config.is_registrar = true;
        (config.registry_max, config.waiters_max) = LIMITS;
        let mut stage = Stage::new(config);
        let own = vec![address(0)];
        stage.actor.body_started();
        stage.actor.booted(stage.now, own.clone()).expect("it has just been made");
        stage.drain();
        let model = Model::new(stage.actor.uid().clone(), own, LIMITS);
        Run { stage, model, lines: Vec::new(), source: Source::bytes(data) }
    }

    fn step(&mut self) {
        self.stage.outputs.clear();
        let op = self.source.below(16);
        let at = self.source.below(PEERS);
        let Some(at) = (!self.lines.is_empty()).then(|| at % self.lines.len()) else {
            return self.connect(at);
        };
        match op {
            0 | 1 if self.lines.len() < 2 * PEERS => {
                let slot = self.source.below(PEERS);
                self.connect(slot);
            }
            0 | 1 => self.disconnect(at),
            2..=5 => self.register(at),
            6 => {
                let uid = uid(self.source.below(PEERS));
                self.ask(at, Request::Unregister { uid });
            }
            7 | 8 => {
                let name = self.name(true);
                self.ask(at, Request::Find { name });
            }
            9..=11 => {
                let name = self.name(false);
                let cid = self.ask(at, Request::Wait { name });
                self.lines[at].wait = Some(cid);
            }
            12 => self.cancel(at),
            13 => drop(self.ask(at, Request::List)),
            14 => {
                let addr = address(self.source.below(10));
                self.ask(at, Request::ReportDead { addr });
            }
            _ => {
                let name = self.name(false);
                self.ask(at, Request::Watch { name, seen: None });
            }
        }
    }

    fn name(&mut self, or_uuid: bool) -> tractor_core::Text {
        match self.source.below(16) {
            0 => "x".repeat(5000).as_str().into(),
            n if n < 6 && or_uuid => uid(n).uuid,
            n => NAMES[n % NAMES.len()].into(),
        }
    }

    fn connect(&mut self, slot: usize) {
        let conn = self.stage.actor.accepted(self.stage.now).expect("there is room");
        let features = if is_base(slot) { Features::BASE } else { Features::ALL };
        assert!(self.stage.say(conn, &stage::aid(&uid(slot), slot as u64 + 1, features)));
        self.lines.push(Line { slot, conn, cids: 1, wait: None });
    }

    fn disconnect(&mut self, at: usize) {
        let conn = self.lines.swap_remove(at).conn;
        self.stage.fact(Input::Disconnected { conn, why: None });
        self.model.gone(conn);
    }

    fn register(&mut self, at: usize) {
        let slot = self.lines[at].slot;
        let of = if self.source.once_in(8) { self.source.below(PEERS) } else { slot };
        let addr = match self.source.below(24) {
            23 => Address::Uds { dir: "/d".repeat(3000), file: "f".into() },
            n => address(n),
        };
        self.ask(at, Request::Register { uid: uid(of), addr });
    }

    /// Asks both. The name of the dialog.
    fn ask(&mut self, at: usize, request: Request) -> Cid {
        let line = &mut self.lines[at];
        line.cids += 2;
        let cid = match is_base(line.slot) {
            true => Cid::Text(format!("{}-{}", line.slot, line.cids).as_str().into()),
            false => Cid::Num(line.cids),
        };
        let (conn, asker) = (line.conn, uid(line.slot));
        let there = match &request {
            Request::ReportDead { addr } => self.model.base_holder(addr),
            Request::Register { uid, addr } if self.model.is_claimed(uid, addr) => {
                // Whoever it is: not the one who claims it.
                let other = || Uid { name: "another".into(), uuid: "another".into() };
                Some(if is_left(addr) { uid.clone() } else { other() })
            }
            _ => None,
        };
        self.model.ask((conn, &asker, is_base(line.slot)), &cid, &request);
        let msg = Msg::Request { cid: cid.clone(), uid: asker, request };
        assert!(self.stage.say(conn, &msg), "nothing that is asked ends the connection");
        self.answer_probes(there);
        cid
    }

    /// Who is at an address that the registrar asks at; or nobody is.
    fn answer_probes(&mut self, there: Option<Uid>) {
        let dials = self.stage.outputs.iter().filter_map(|output| match output {
            Output::Effect(Effect::Connect { conn, addr }) => Some((*conn, addr.clone())),
            _ => None,
        });
        let dials: Vec<_> = dials.collect();
        for (conn, addr) in dials {
            let uid = there.clone().expect("it asks where one was reported, or two claim to be");
            if answers(&addr) {
                self.stage.fact(Input::Connected { conn });
                assert!(self.stage.say(conn, &stage::aid(&uid, 99, Features::BASE)));
            }
            self.stage.fact(Input::Disconnected { conn, why: None });
        }
    }

    fn cancel(&mut self, at: usize) {
        if let Some(target) = self.lines[at].wait.take() {
            self.ask(at, Request::CancelTask { target });
        }
    }

    /// Both have given the same answers and have the same records; a change was told.
    fn compare(&mut self) {
        let mut heard = Vec::new();
        for line in &self.lines {
            for msg in self.stage.hear(line.conn) {
                heard.extend(answer(&msg).map(|(cid, answer)| (line.conn, cid, answer)));
            }
        }
        let mut expected = std::mem::take(&mut self.model.answers);
        heard.sort();
        expected.sort();
        // What the records are told under is the registrar's own.
        for ((_, _, heard), (_, _, expected)) in heard.iter_mut().zip(&expected) {
            if let (Answer::Value(pld), Answer::Actors(_)) = (&*heard, expected) {
                let records = codec::decode_records(pld).expect("we write records");
                *heard = Answer::Actors(records.actors);
            }
        }
        assert_eq!(heard, expected, "the answers");
        let records = self.stage.actor.registry().map(|(uid, addrs)| (uid.clone(), addrs.to_vec()));
        assert_eq!(records.collect::<Vec<_>>(), self.model.entries(), "the records");
        let is_told = |output: &Output| matches!(output, Output::Event(Event::RegistryChanged));
        let (told, changed) = (self.stage.outputs.iter().any(is_told), self.model.has_changed());
        assert!(told || !changed, "a change is told");
    }

    /// Without connections there are only the records of base peers and our own.
    fn rest(mut self) {
        while !self.lines.is_empty() {
            self.stage.outputs.clear();
            self.disconnect(0);
            self.compare();
        }
        assert_eq!(self.stage.actor.census().connections, 0);
    }
}

fn address(n: usize) -> Address {
    match n % 10 {
        n if n < 4 => Address::Tcp { host: [127, 0, 0, 1].into(), port: 1000 + n as u16 },
        n => Address::Uds { dir: "/run".into(), file: format!("{n}.sock") },
    }
}

/// What a message answers.
fn answer(msg: &Msg) -> Option<(Cid, Answer)> {
    Some(match msg {
        Msg::Return { cid, pld } => (cid.clone(), Answer::Value(pld.clone())),
        Msg::Error { cid: Some(cid), error } => {
            (cid.clone(), Answer::Error(error.boxed_type.to_string()))
        }
        Msg::CancelAck { cid, outcome } => {
            (cid.clone(), Answer::Ack(*outcome == AckOutcome::Cancelling))
        }
        _ => return None,
    })
}

/// The addresses as an answer has them.
pub(super) fn addrs(addrs: &[Address]) -> Bytes {
    let mut out = Vec::new();
    codec::encode_addrs(addrs, &mut out);
    out.into()
}
