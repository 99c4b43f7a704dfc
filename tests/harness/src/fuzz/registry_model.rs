//! The registry as `docs/protocol.md` §6.6 says it, as a list.

use bytes::Bytes;
use tractor_core::msg::{Request, codec};
use tractor_core::{Address, Cid, ConnId, Text, Uid};

use super::registry::addrs;

/// What an asker gets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answer {
    Value(Bytes),
    /// An error of this type.
    Error(String),
    /// All of a name.
    Actors(Vec<(Uid, Vec<Address>)>),
    /// An acknowledgement; whether something was cancelled.
    Ack(bool),
}

/// Who holds a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Registrar,
    Lease(ConnId),
    Base,
}

#[derive(Clone, Debug, PartialEq)]
struct Record {
    uid: Uid,
    addrs: Vec<Address>,
    holder: Holder,
}

#[derive(Debug)]
pub(super) struct Model {
    /// The oldest first.
    records: Vec<Record>,
    before: Vec<Record>,
    waits: Vec<(ConnId, Cid, Text)>,
    records_max: usize,
    waits_max: usize,
    /// What was answered since it was last taken.
    pub(super) answers: Vec<(ConnId, Cid, Answer)>,
}

/// Who asks: over which connection, who that is, and whether it knows the base alone.
type Asker<'a> = (ConnId, &'a Uid, bool);

const NAME_LEN_MAX: usize = 4096;
const PATH_LEN_MAX: usize = 256;
const ADDRS_MAX: usize = 16;

/// Whether an actor is there: some addresses are of the living.
pub(super) fn answers(addr: &Address) -> bool {
    matches!(addr, Address::Tcp { .. })
}

/// Whether whoever claims such an address that another has is the one who is there.
pub(super) fn is_left(addr: &Address) -> bool {
    matches!(addr, Address::Tcp { port, .. } if port % 2 == 0)
}

fn nil() -> Answer {
    Answer::Value(Bytes::from_static(&[0xc0]))
}

fn error(kind: &str) -> Answer {
    Answer::Error(kind.into())
}

impl Model {
    pub(super) fn new(uid: Uid, addrs: Vec<Address>, max: (usize, usize)) -> Model {
        let records = vec![Record { uid, addrs, holder: Holder::Registrar }];
        Model {
            before: records.clone(),
            records,
            waits: Vec::new(),
            records_max: max.0,
            waits_max: max.1,
            answers: Vec::new(),
        }
    }

    pub(super) fn entries(&self) -> Vec<(Uid, Vec<Address>)> {
        self.records.iter().map(|r| (r.uid.clone(), r.addrs.clone())).collect()
    }

    /// Whether it has since it was last asked.
    pub(super) fn has_changed(&mut self) -> bool {
        let before = std::mem::replace(&mut self.before, self.records.clone());
        before != self.records
    }

    pub(super) fn gone(&mut self, conn: ConnId) {
        self.records.retain(|r| r.holder != Holder::Lease(conn));
        self.waits.retain(|(of, ..)| *of != conn);
    }

    pub(super) fn ask(&mut self, asker: Asker<'_>, cid: &Cid, request: &Request) {
        let conn = asker.0;
        let answer = match request {
            Request::Register { uid, addr } => self.register(asker, uid, addr),
            Request::Unregister { uid } => self.unregister(asker, uid),
            Request::Find { name } => {
                let has = |r: &&Record| r.uid.name == *name || r.uid.uuid == *name;
                let found = self.records.iter().rev().find(has);
                found.map_or_else(nil, |record| Answer::Value(addrs(&record.addrs)))
            }
            Request::Wait { name } => match self.wait(conn, cid, name) {
                Some(answer) => answer,
                None => return,
            },
            Request::CancelTask { target } => self.cancel(asker, target),
            Request::ReportDead { addr } => self.report_dead(addr),
            Request::Watch { name, .. } => {
                let of_name = self.records.iter().filter(|r| r.uid.name == *name);
                Answer::Actors(of_name.map(|r| (r.uid.clone(), r.addrs.clone())).collect())
            }
            _ => self.list(),
        };
        self.answers.push((conn, cid.clone(), answer));
    }

    fn register(&mut self, (conn, asker, base): Asker<'_>, uid: &Uid, addr: &Address) -> Answer {
        let holder = if base { Holder::Base } else { Holder::Lease(conn) };
        if uid != asker {
            return error("PermissionError");
        }
        if addr.uds_path().is_some_and(|path| path.len() > PATH_LEN_MAX + 1) {
            return error("ValueError");
        }
        if let Some(rival) = self.rival(uid, addr) {
            if rival == Holder::Registrar || !is_left(addr) {
                return error("PermissionError");
            }
            self.take_from_others(uid, addr);
        }
        let full = self.records.len() >= self.records_max;
        match self.records.iter_mut().find(|r| r.uid == *uid) {
            Some(record) if record.holder != holder => return error("PermissionError"),
            Some(record) if record.addrs.contains(addr) => {}
            Some(record) if record.addrs.len() == ADDRS_MAX => return error("RuntimeError"),
            Some(record) => record.addrs.push(addr.clone()),
            None if full => return error("RuntimeError"),
            None => {
                self.records.push(Record { uid: uid.clone(), addrs: vec![addr.clone()], holder });
            }
        }
        self.serve(&uid.name);
        nil()
    }

    /// How another than this one has the address, if one does.
    fn rival(&self, uid: &Uid, addr: &Address) -> Option<Holder> {
        let mut others = self.records.iter().filter(|r| r.uid != *uid);
        others.find(|r| r.addrs.contains(addr)).map(|r| r.holder)
    }

    /// Another is where it says.
    pub(super) fn is_claimed(&self, uid: &Uid, addr: &Address) -> bool {
        self.rival(uid, addr).is_some_and(|holder| holder != Holder::Registrar)
    }

    /// Whoever had this address before has left it.
    fn take_from_others(&mut self, uid: &Uid, addr: &Address) {
        for record in self.records.iter_mut().filter(|r| r.uid != *uid) {
            record.addrs.retain(|a| a != addr);
        }
        self.records.retain(|r| !r.addrs.is_empty());
    }

    fn all_of(&self, name: &Text) -> Vec<Address> {
        let of_name = self.records.iter().filter(|r| r.uid.name == *name);
        of_name.flat_map(|r| r.addrs.clone()).collect()
    }

    fn serve(&mut self, name: &Text) {
        let answer = Answer::Value(addrs(&self.all_of(name)));
        for (conn, cid, _) in self.waits.extract_if(.., |(.., of)| of == name) {
            self.answers.push((conn, cid, answer.clone()));
        }
    }

    fn unregister(&mut self, (conn, asker, _): Asker<'_>, uid: &Uid) -> Answer {
        let Some(at) = self.records.iter().position(|r| r.uid == *uid) else { return nil() };
        let may = match self.records[at].holder {
            Holder::Registrar => false,
            Holder::Lease(of) => of == conn,
            Holder::Base => asker == uid,
        };
        if !may {
            return error("PermissionError");
        }
        self.records.remove(at);
        nil()
    }

    fn wait(&mut self, conn: ConnId, cid: &Cid, name: &Text) -> Option<Answer> {
        let found = self.all_of(name);
        if !found.is_empty() {
            return Some(Answer::Value(addrs(&found)));
        }
        if name.as_str().len() > NAME_LEN_MAX {
            return Some(error("ValueError"));
        }
        let of_conn = self.waits.iter().filter(|(of, ..)| *of == conn).count();
        if self.waits.len() >= self.waits_max || of_conn >= self.waits_max.div_ceil(4) {
            return Some(error("RuntimeError"));
        }
        self.waits.push((conn, cid.clone(), name.clone()));
        None
    }

    fn cancel(&mut self, (conn, _, base): Asker<'_>, target: &Cid) -> Answer {
        let at = self.waits.iter().position(|(of, cid, _)| *of == conn && cid == target);
        if let Some(at) = at {
            self.waits.remove(at);
            self.answers.push((conn, target.clone(), error("ContextCancelled")));
        }
        // To the base, what was never there is cancelled as well.
        Answer::Ack(base || at.is_some())
    }

    fn report_dead(&mut self, addr: &Address) -> Answer {
        let Some(uid) = self.base_holder(addr).filter(|_| !answers(addr)) else { return nil() };
        let mut out = Vec::new();
        codec::encode_uid(&uid, &mut out);
        self.records.iter_mut().for_each(|r| r.addrs.retain(|a| a != addr));
        self.records.retain(|r| !r.addrs.is_empty());
        Answer::Value(out.into())
    }

    /// The base peer that has registered it.
    pub(super) fn base_holder(&self, addr: &Address) -> Option<Uid> {
        let holds = |r: &&Record| r.addrs.contains(addr) && r.holder == Holder::Base;
        self.records.iter().find(holds).map(|record| record.uid.clone())
    }

    fn list(&self) -> Answer {
        let mut out = Vec::new();
        let entries: Vec<_> = self.records.iter().map(|r| (&r.uid, r.addrs.as_slice())).collect();
        codec::encode_registry(&entries, &mut out);
        Answer::Value(out.into())
    }
}
