//! What peers say to the actor.

use bytes::Bytes;
use tractor_core::msg::{AckOutcome, Aid, Extension, Features, FuncType, Msg, Request, Start};
use tractor_core::{Address, Cid, ConnId, Uid};

use super::Run;
use crate::inject;

const ONE: Bytes = Bytes::from_static(&[1]);

impl Run {
    /// A peer comes, or one says something.
    pub(super) fn peer(&mut self) {
        if self.source.below(8) == 0 {
            let accepted = self.stage.actor.accepted(self.stage.now);
            self.conns.extend(accepted);
            return;
        }
        let conn = self.conn();
        if self.stage.actor.peer(conn).is_none() && self.source.below(8) > 0 {
            return self.introduce(conn);
        }
        match self.source.below(32) {
            16.. => self.answer(),
            0 => drop(self.stage.receive(conn, &[9, 0, 0, 0, 0xc1])),
            1 => drop(self.stage.receive(conn, &[40, 0, 0, 0, 0x83])),
            _ => {
                let msg = self.msg(conn);
                self.stage.say(conn, &msg);
            }
        }
    }

    /// Something about a dialog that lives, from who it is with.
    fn answer(&mut self) {
        let id = self.dialog();
        let Some(conn) = self.stage.actor.conn_of(id) else { return };
        let Some(uid) = self.stage.actor.peer(conn).map(|aid| aid.uid.clone()) else { return };
        let Some(cid) = self.stage.actor.progress(id).map(|dialog| dialog.cid) else { return };
        let functype = self.funcs.get(&id).copied().unwrap_or(FuncType::Call);
        let msg = match self.source.below(8) {
            0..=2 => Msg::StartAck { cid, functype },
            3 | 4 if functype == FuncType::Context => Msg::Started { cid, pld: ONE },
            _ => self.dialog_msg(cid, uid),
        };
        self.stage.say(conn, &msg);
    }

    /// Who it must be, when that is known.
    pub(super) fn introduce(&mut self, conn: ConnId) {
        let of_child = |id| self.stage.actor.child_conn(id) == Some(conn);
        let child = self.children.iter().find(|id| of_child(**id));
        let uid = child.and_then(|id| self.stage.actor.child_uid(*id)).cloned();
        let n = self.source.below(4);
        let uid = uid.unwrap_or_else(|| self.any_uid(n));
        let features = [Features::ALL, Features::ALL, Features::BASE, Features(0x155)];
        let features = features[self.source.below(4)];
        let token = (self.source.below(4) == 0).then_some(inject::TOKEN);
        let ext = Extension { version_min: 1, version_max: 1, features, build: 0, token };
        let aid = Aid {
            uid,
            pid: Some(n as u64),
            is_registrar: None,
            is_probe: self.source.once_in(16),
            ext: (features != Features::BASE).then_some(ext),
        };
        self.stage.say(conn, &Msg::Aid(aid));
    }

    /// A peer, or a child of the actor, whose link this need not be.
    fn any_uid(&self, n: usize) -> Uid {
        let child = self.children.last().and_then(|id| self.stage.actor.child_uid(*id));
        match (n, child) {
            (3, Some(uid)) => uid.clone(),
            _ => Uid { name: "peer".into(), uuid: format!("0000-{n}").as_str().into() },
        }
    }

    /// The name of a dialog: a live one's, or any.
    fn cid(&mut self) -> Cid {
        let id = self.dialog();
        match self.source.below(8) {
            0..=4 => self.stage.actor.progress(id).map_or(Cid::Num(3), |dialog| dialog.cid),
            5 => Cid::Text(["a", "b", "c"][self.source.below(3)].into()),
            _ => Cid::Num(self.source.below(24) as u64),
        }
    }

    fn msg(&mut self, conn: ConnId) -> Msg {
        let uid = self.stage.actor.peer(conn).map(|aid| aid.uid.clone());
        let uid = uid.unwrap_or_else(|| self.any_uid(0));
        let cid = self.cid();
        match self.source.below(20) {
            0..=3 => {
                let ns = if self.source.once_in(8) { "other" } else { "app" };
                let kwargs = Bytes::from_static(&[0x80]);
                let cid = self.new_cid(cid);
                Msg::Start(Start { cid, ns: ns.into(), func: "f".into(), kwargs, uid })
            }
            4 | 5 => {
                let (request, cid) = (self.request(cid.clone(), &uid), self.new_cid(cid));
                Msg::Request { cid, uid, request }
            }
            6 => Msg::SpawnSpec(inject::spec()),
            7 => Msg::Ready { addrs: vec![address(self.source.below(3))] },
            8 => Msg::Goodbye { reason: "bye".into() },
            9 => Msg::Error { cid: None, error: inject::error(uid, &Default::default()) },
            _ => self.dialog_msg(cid, uid),
        }
    }

    /// A name that is not taken, as a rule.
    fn new_cid(&mut self, taken: Cid) -> Cid {
        match self.source.below(16) {
            0 => taken,
            n => Cid::Num(2 * (self.dialogs.len() * 16 + n) as u64 + (n as u64 % 2)),
        }
    }

    fn dialog_msg(&mut self, cid: Cid, uid: Uid) -> Msg {
        let funcs = [FuncType::Call, FuncType::Context, FuncType::Context, FuncType::Stream];
        match self.source.below(16) {
            0..=2 => Msg::StartAck { cid, functype: funcs[self.source.below(4)] },
            3 => Msg::Started { cid, pld: ONE },
            4..=6 => Msg::Yield { cid, pld: ONE },
            7 => {
                let count = self.source.below(120) as u32;
                Msg::Yields { cid, count, plds: vec![1; count as usize].into() }
            }
            8 => Msg::Stop { cid, sent: (self.source.below(2) == 0).then_some(3) },
            9 | 10 => {
                let (items, bytes) =
                    [(1, 65), (100, 10_000), (u32::MAX, u64::MAX)][self.source.below(3)];
                Msg::Credit { cid, items, bytes }
            }
            11 => Msg::Return { cid, pld: ONE },
            12 | 13 => {
                let outcomes =
                    [AckOutcome::Cancelling, AckOutcome::AlreadyDone, AckOutcome::Refused];
                Msg::CancelAck { cid, outcome: outcomes[self.source.below(3)] }
            }
            _ => Msg::Error { cid: Some(cid), error: inject::error(uid, &Default::default()) },
        }
    }

    fn request(&mut self, target: Cid, uid: &Uid) -> Request {
        match self.source.below(16) {
            0 => Request::CancelActor { budget: None },
            1..=7 => Request::CancelTask { target },
            8 | 9 => Request::Register { uid: uid.clone(), addr: address(self.source.below(3)) },
            10 => Request::Unregister { uid: uid.clone() },
            11 => Request::Find { name: "peer".into() },
            12 => Request::Wait { name: "nobody".into() },
            13 => Request::List,
            14 => Request::ReportDead { addr: address(self.source.below(3)) },
            _ => Request::Unknown { func: "x".repeat(self.source.below(200)).as_str().into() },
        }
    }
}

fn address(n: usize) -> Address {
    Address::Uds { dir: "/run".into(), file: format!("{n}") }
}
