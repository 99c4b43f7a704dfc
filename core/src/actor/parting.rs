//! Parting from base peers. A Python peer dies when whom it streams to has gone, or whom it has yet
//! to tell that it started: so what we have asked of it is ended before we close (§4.5).

use alloc::vec::Vec;

use super::Actor;
use crate::dialog::Cancel;
use crate::dialog::table::Side;
use crate::id::{ConnId, DialogId};
use crate::msg::{Features, FuncType};
use crate::output::CloseReason;

impl Actor {
    /// Ends a connection once nothing that we asked for there runs any more. That is at once where
    /// the peer can stand it; else each cancel has its deadline.
    pub(super) fn part(&mut self, conn: ConnId) {
        let held = self.held_tasks(conn);
        if held.is_empty() {
            return self.close_conn(conn, CloseReason::ByUs);
        }
        if let Some(channel) = self.channels.get_mut(conn) {
            channel.parting = true;
        }
        self.end_held(held);
    }

    /// A dialog of ours has ended: it may be what a connection was kept for.
    pub(super) fn part_further(&mut self, conn: ConnId) {
        let parting = self.channels.get(conn).is_some_and(|channel| channel.parting);
        if parting && self.held_tasks(conn).is_empty() {
            self.close_conn(conn, CloseReason::ByUs);
        }
    }

    /// Whether this actor has to stay for tasks at base peers: they are cancelled.
    pub(super) fn stays_for_peers(&mut self) -> bool {
        let conns: Vec<ConnId> = self.channels.keys().collect();
        let held: Vec<_> = conns.iter().flat_map(|conn| self.held_tasks(*conn)).collect();
        let stays = !held.is_empty();
        self.end_held(held);
        stays
    }

    /// Contexts and streams of a base peer that we call. (A call's late answer harms nobody.)
    fn held_tasks(&self, conn: ConnId) -> Vec<DialogId> {
        let Some(channel) = self.channels.get(conn) else { return Vec::new() };
        if !channel.is_open() || channel.features != Features::BASE {
            return Vec::new();
        }
        let held = |id: &DialogId| {
            let dialog = self.dialogs.get(*id);
            dialog.is_some_and(|d| d.side == Side::Caller && d.func != FuncType::Call)
        };
        channel.dialogs.values().copied().filter(held).collect()
    }

    fn end_held(&mut self, held: Vec<DialogId>) {
        for id in held {
            if self.dialogs.get(id).is_some_and(|dialog| dialog.cancel == Cancel::Idle) {
                self.ask_cancel(id);
            }
        }
    }
}
