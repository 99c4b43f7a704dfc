//! Links between hosts: what is written at one end comes to the other, in its time.

use std::collections::VecDeque;
use std::time::Duration;

use tractor_core::{Address, ConnId, Input, Instant};

use super::kernel::{End, EndId, HostId, Kernel, SOCKET_BYTES, What, listener};
use super::options::Fault;

impl Kernel {
    pub(super) fn link(&mut self, a: (HostId, ConnId), b: (HostId, ConnId)) {
        for (host, conn) in [a, b] {
            let latency = self.moment();
            self.hosts[host].conns.insert(conn, self.ends.len());
            self.ends.push(End {
                host,
                conn,
                inbox: VecDeque::new(),
                alive: true,
                fin: false,
                closing: false,
                stalled: None,
                mute: false,
                dialed: None,
                latency,
            });
        }
    }

    /// Writes what waits at this end, as far as the socket takes it.
    pub(super) fn write(&mut self, end: EndId) {
        let End { host, conn, alive, closing, stalled, .. } = self.ends[end];
        if !alive || stalled.is_some_and(|until| until > self.now) {
            return;
        }
        let now = self.now;
        let mut room = self.room(end);
        if self.chance(Fault::Split, 4) {
            room = room.min(1 + self.source.below(40));
            let wait = self.moment();
            self.after(wait, What::Write(end));
        }
        let Some(actor) = &mut self.hosts[host].actor else { return };
        if let Some(mut out) = actor.take_outbox(conn) {
            let bytes = crate::front(&out, room);
            out.advance(bytes.len());
            actor.put_back(now, conn, out);
            if !bytes.is_empty() {
                self.send(end ^ 1, bytes);
                self.settle(host);
            }
        }
        let left = self.hosts[host].actor.as_ref().map_or(0, |actor| actor.outbox_len(conn));
        if closing && left == 0 && self.ends[end].alive {
            self.shut(end);
            self.fact(host, Input::Disconnected { conn, why: None });
        }
    }

    /// How many bytes the socket takes now.
    fn room(&self, end: EndId) -> usize {
        let under_way: usize = self.ends[end ^ 1].inbox.iter().map(|(_, bytes)| bytes.len()).sum();
        SOCKET_BYTES.saturating_sub(under_way)
    }

    fn send(&mut self, to: EndId, bytes: Vec<u8>) {
        if self.ends[to ^ 1].mute || self.ends[to].fin || !self.ends[to].alive {
            return;
        }
        let last = self.ends[to].inbox.back().map_or(self.now, |(at, _)| *at);
        let jitter = self.moment();
        let mut at = last.max(self.now + self.ends[to].latency + jitter);
        if self.chance(Fault::Lag, 200) {
            at = at + Duration::from_millis([300, 700, 4000][self.source.below(3)]);
            self.hurt_link(to);
            self.slow(self.now.until(at));
        }
        self.ends[to].inbox.push_back((at, bytes));
        self.at(at, What::Arrive(to));
    }

    /// What is there by now is read, in pieces or together.
    pub(super) fn arrive(&mut self, end: EndId) {
        let mut bytes = Vec::new();
        while let Some((at, _)) = self.ends[end].inbox.front()
            && *at <= self.now
        {
            bytes.extend(self.ends[end].inbox.pop_front().expect("it is there").1);
        }
        if !self.ends[end].alive {
            return;
        }
        if !bytes.is_empty() {
            let split = self.chance(Fault::Split, 4);
            self.read(end, &bytes, split);
            self.after(Duration::ZERO, What::Write(end ^ 1));
        }
        if self.ends[end].fin && self.ends[end].inbox.is_empty() && self.ends[end].alive {
            self.ends[end].alive = false;
            let (host, conn) = (self.ends[end].host, self.ends[end].conn);
            self.wake(host);
            self.fact(host, Input::Disconnected { conn, why: None });
        }
    }

    fn read(&mut self, end: EndId, mut bytes: &[u8], split: bool) {
        let End { host, conn, .. } = self.ends[end];
        while !bytes.is_empty() {
            let most = if split { 1 + self.source.below(30) } else { usize::MAX };
            let Some(actor) = &mut self.hosts[host].actor else { return };
            let Some(buf) = actor.recv_buf(conn) else { return };
            let len = buf.len().min(bytes.len()).min(most);
            buf[..len].copy_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
            self.trace.bytes(self.now, (self.ends[end ^ 1].host, host), end, &buf[..len]);
            self.fact(host, Input::Received { conn, len });
        }
    }

    /// The socket is gone at this end; the other one reads what is under way, and then the end.
    pub fn shut(&mut self, end: EndId) {
        if !self.ends[end].alive {
            return;
        }
        self.ends[end].alive = false;
        self.ends[end].inbox.clear();
        self.wake(self.ends[end].host);
        if self.ends[end].mute {
            return;
        }
        self.ends[end ^ 1].fin = true;
        let last = self.ends[end ^ 1].inbox.back().map_or(self.now, |(at, _)| *at);
        let (here, there) = (self.ends[end].host, self.ends[end ^ 1].host);
        let at = last.max(self.parted_until(here, there).unwrap_or(self.now));
        self.at(at, What::Arrive(end ^ 1));
    }

    /// What comes to this end may end in the middle of a frame.
    pub fn may_cut(&mut self, end: EndId) {
        let End { host, conn, .. } = self.ends[end];
        self.hosts[host].cut.push(conn);
    }

    /// Something went wrong with this link.
    pub fn hurt_link(&mut self, end: EndId) {
        for end in [end, end ^ 1] {
            let host = self.ends[end].host;
            self.hosts[host].hurt = true;
        }
    }

    pub(super) fn connect(&mut self, host: HostId, conn: ConnId, addr: &Address) {
        self.hosts[host].connecting.insert(conn);
        let mut wait = self.moment();
        if self.chance(Fault::DelayConnect, 4) {
            wait += Duration::from_millis([50, 2000][self.source.below(2)]);
            self.hosts[host].hurt = true;
            self.slow(wait);
        }
        let to = listener(addr).filter(|to| *to < self.hosts.len());
        if let Some(until) = to.and_then(|to| self.parted_until(host, to)) {
            wait += self.now.until(until);
            self.hosts[host].hurt = true;
            self.slow(wait);
        }
        let refused = self.chance(Fault::Refuse, 6);
        match to {
            Some(to) if !refused => self.after(wait, What::Connect(host, conn, to)),
            _ => {
                self.hosts[host].hurt |= refused;
                self.after(wait, What::Refused(host, conn));
            }
        }
    }

    /// Until when they can't reach each other.
    fn parted_until(&self, a: HostId, b: HostId) -> Option<Instant> {
        let (until, cut) = self.parted.as_ref()?;
        let apart = cut.get(a).zip(cut.get(b)).is_some_and(|(a, b)| a != b);
        (apart && *until > self.now).then_some(*until)
    }

    pub(super) fn connected(&mut self, host: HostId, conn: ConnId, to: HostId) {
        if self.hosts[host].actor.is_none() {
            return;
        }
        let now = self.now;
        let accepted = self.hosts[to].actor.as_mut().map(|actor| actor.accepted(now));
        let Some(Ok(accepted)) = accepted else {
            return self.after(Duration::ZERO, What::Refused(host, conn));
        };
        let ours = self.ends.len();
        self.hosts[host].connecting.remove(&conn);
        self.link((host, conn), (to, accepted));
        for end in [ours, ours ^ 1] {
            self.ends[end].dialed = Some(now);
        }
        self.settle(to);
        let wanted = self.hosts[host].actor.as_ref().is_some_and(|actor| actor.is_known(conn));
        match wanted {
            true => self.after(Duration::ZERO, What::Connected(host, conn)),
            // It was given up on meanwhile.
            false => {
                self.shut(ours);
                self.fact(host, Input::Disconnected { conn, why: None });
            }
        }
    }

    /// This end takes nothing for a while.
    pub fn stall(&mut self, end: EndId, span: Duration) {
        self.ends[end].stalled = Some(self.now + span);
        if !span.is_zero() {
            self.slow(span);
        }
        self.after(span, What::Write(end));
    }
}
