//! What its application asks of the actor.

use std::time::Duration;

use bytes::Bytes;
use tractor_core::msg::{RemoteError, Request};
use tractor_core::supervise::{ChildConfig, Link};
use tractor_core::{
    Address, Call, Census, DialogId, EndReason, NurseryId, OverrunPolicy, Payload, SPLICE_LEN_MIN,
};

use super::{NOBODY, Run};
use crate::inject;

/// Refused.
type No = String;

fn no(refused: impl std::fmt::Display) -> No {
    refused.to_string()
}

impl Run {
    /// A command. Refused, it has changed nothing.
    pub(super) fn command(&mut self) {
        self.stage.drain();
        let seen = self.stage.outputs.len();
        let before = self.stage.actor.census();
        let result = match self.source.below(8) {
            0 | 1 => self.ask(),
            2..=4 => self.stream(),
            5 | 6 => self.end_task(),
            _ => self.tree(),
        };
        self.stage.drain();
        if let Err(refused) = result {
            let census: Census = self.stage.actor.census();
            assert_eq!(census, before, "refused ({refused}), and yet something changed");
            assert_eq!(self.stage.outputs.len(), seen, "refused ({refused}), and yet");
        }
    }

    /// New dialogs and connections, and their ends.
    fn ask(&mut self) -> Result<(), No> {
        let (now, conn, id) = (self.stage.now, self.conn(), self.dialog());
        let func_type = self.func();
        let actor = &mut self.stage.actor;
        match self.source.below(8) {
            0..=2 => {
                let call = Call { func_type, ns: "app", func: "f", kwargs: &[0x80] };
                let id = actor.start(now, conn, &call).map_err(no)?;
                self.dialogs.push(id);
                self.funcs.insert(id, func_type);
            }
            3 => {
                let request = Request::Find { name: "x".into() };
                self.dialogs.push(actor.request(now, conn, request).map_err(no)?);
            }
            4 => actor.cancel(now, id).map_err(no)?,
            5 => actor.abandon(now, id),
            6 => {
                let addr = Address::Uds { dir: "/run".into(), file: "x".into() };
                self.conns.push(actor.connect(now, addr).map_err(no)?);
            }
            _ if self.source.below(2) == 0 => actor.close(now, conn).map_err(no)?,
            _ => actor.cancel_peer(now, conn).map_err(no)?,
        }
        Ok(())
    }

    fn payload(&mut self) -> Payload<'static> {
        let bin = |len: usize| {
            let head = [&[0xc6][..], &(len as u32).to_be_bytes()].concat();
            Bytes::from([head, vec![7; len]].concat())
        };
        Payload::Owned(match self.source.below(6) {
            0 => bin(300),
            1 => bin(4500),
            2 => bin(SPLICE_LEN_MIN),
            _ => Bytes::from_static(&[5]),
        })
    }

    fn stream(&mut self) -> Result<(), No> {
        let (now, id, payload) = (self.stage.now, self.dialog(), self.payload());
        let actor = &mut self.stage.actor;
        match self.source.below(8) {
            0 | 1 => {
                let policies = [
                    OverrunPolicy::Backpressure,
                    OverrunPolicy::Backpressure,
                    OverrunPolicy::Error,
                    OverrunPolicy::DropOldest(2),
                ];
                let policy = policies[self.source.below(policies.len())];
                actor.open_stream(now, id, policy).map_err(no)?;
            }
            2..=4 => return self.send(id, payload),
            5 => actor.stop(now, id).map_err(no)?,
            6 => actor.close_receiver(now, id),
            _ => {
                let items = self.source.below(50);
                actor.consumed(now, id, items as u32, items * 10);
            }
        }
        Ok(())
    }

    /// Sends items, perhaps until no more may go: only the first of them may be refused.
    fn send(&mut self, id: DialogId, payload: Payload<'static>) -> Result<(), No> {
        let count = 1 + self.source.below(8) * 20;
        for sent in 0..count {
            let result = self.stage.actor.send(self.stage.now, id, payload.clone());
            match result {
                Err(e) if sent == 0 => return Err(no(e)),
                Err(_) => break,
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn end_task(&mut self) -> Result<(), No> {
        let (now, id, payload, func) = (self.stage.now, self.dialog(), self.payload(), self.func());
        match self.source.below(8) {
            0..=2 => self.stage.actor.accept(now, id, func).map_err(no)?,
            3 | 4 => self.stage.actor.started(now, id, payload).map_err(no)?,
            5 if self.tasks.contains(&id) => {
                self.stage.actor.finish(now, id, payload).map_err(no)?;
                self.tasks.remove(&id);
            }
            6 if self.tasks.remove(&id) => {
                let error = self.error();
                self.stage.actor.fail(now, id, error);
            }
            7 if self.tasks.remove(&id) => self.stage.actor.cancelled(now, id),
            _ => {}
        }
        Ok(())
    }

    /// An error, perhaps one that is too long for a frame.
    fn error(&mut self) -> RemoteError {
        let mut error = inject::error(self.stage.actor.uid().clone(), &Default::default());
        if self.source.below(4) == 0 {
            error.traceback = "x".repeat(20_000).as_str().into();
            error.relay_path = vec![error.src.clone(); 300];
        }
        error
    }

    /// Children, and the actor itself.
    fn tree(&mut self) -> Result<(), No> {
        let (now, child, id) = (self.stage.now, self.child(), self.dialog());
        let nursery = self.nurseries.last().copied().unwrap_or(NurseryId::from_u64(NOBODY));
        let actor = &mut self.stage.actor;
        match self.source.below(24) {
            0..=4 => self.nurseries.push(actor.open_nursery(now, None).map_err(no)?),
            5..=10 if self.children.len() < 5 => return self.spawn(nursery),
            11 => actor.join_nursery(now, nursery).map_err(no)?,
            12 => actor.cancel_nursery(now, nursery).map_err(no)?,
            13 | 14 => actor.cancel_child(now, child).map_err(no)?,
            15 => actor.set_main(child, id).map_err(no)?,
            16 => actor.kill_all(now),
            17 => actor.body_ended(now),
            18 => {
                let why = EndReason::Interrupted { signal: 2 };
                actor.cancel_self(now, why).map_err(no)?;
            }
            19..=21 => actor.booted(now, Vec::new()).map_err(no)?,
            22 => {
                let error = self.error();
                self.stage.actor.report_to_parent(now, error);
            }
            _ => {}
        }
        Ok(())
    }

    fn spawn(&mut self, nursery: NurseryId) -> Result<(), No> {
        let back = self.source.below(3) == 0;
        let config = ChildConfig {
            name: "child".into(),
            isolated: self.source.below(3) == 0,
            budget: (self.source.below(3) == 0).then_some(Duration::from_millis(100)),
            spec: inject::spec(),
            link: if back { Link::ConnectBack(inject::TOKEN) } else { Link::Handed },
        };
        let spawned = self.stage.actor.spawn(self.stage.now, nursery, config);
        let (child, conn) = spawned.map_err(no)?;
        self.children.push(child);
        self.conns.push(conn);
        Ok(())
    }
}
