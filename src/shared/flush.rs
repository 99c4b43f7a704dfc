//! Writing: whoever takes a connection's outbox writes it, without the lock, and puts back what is
//! left. One writer at a time, as an outbox that is out can't be taken.

use std::io::{self, IoSlice};
use std::time::Duration;

use tractor_core::{ConnId, Instant, Outbound};
use tractor_transports::Stream;

use super::{Inner, Shared};
use crate::ready::Source;
use crate::sync::MutexGuard;

/// When bytes have to go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Now: somebody waits for an answer. But a crowd of tasks that began together is written
    /// together.
    Now,
    /// Now, unless a burst is under way, which the driver's next turn writes in one go.
    Burst,
    /// The driver's turn: everything, except what a task that was just started will add to.
    Driver,
}

/// As many slices as one system call takes in any case.
const SLICES_MAX: usize = 64;

/// A lane this full is written even in a burst.
const BURST_LEN_MAX: usize = 64 << 10;

/// How long the tasks that one turn of the driver sets going count as a crowd, and the longest that
/// one of them waits for the others. A few dozen quick tasks fit, and one that computes for long is
/// written at once.
const CROWD_MAX: Duration = Duration::from_micros(100);

impl Shared {
    /// Writes the connections that have something new.
    pub(super) fn flush_dirty<'a>(
        &'a self,
        now: Instant,
        mut inner: MutexGuard<'a, Inner>,
        urgency: Urgency,
    ) -> MutexGuard<'a, Inner> {
        while let Some(conn) = inner.core.next_dirty() {
            inner = self.flush_conn(now, inner, conn, urgency);
            inner.drain_events();
        }
        inner
    }

    /// The driver's turn: writes everything that is dirty, and wakes whoever got something. Whether
    /// there are effects now.
    pub(crate) fn flush_all(&self) -> bool {
        let mut inner = self.lock();
        inner.drain_events();
        let now = inner.core.now();
        let mut inner = self.flush_dirty(now, inner, Urgency::Driver);
        let after = std::mem::take(&mut inner.after);
        if after.woken() + std::mem::take(&mut inner.begun) > 1 {
            inner.crowd_until = now + CROWD_MAX;
        }
        let has_effects = !inner.effects.is_empty();
        drop(inner);
        after.run(&self.executor);
        has_effects
    }

    /// A task that was just started has been polled: what it and its ack have to say goes out.
    pub(crate) fn flush_lazy(&self, conn: ConnId) {
        let (now, mut inner) = self.lock_now();
        if let Some(io) = inner.conns.get_mut(&conn) {
            io.lazy = io.lazy.saturating_sub(1);
        }
        let inner = self.flush_conn(now, inner, conn, Urgency::Now);
        self.finish(now, inner, Urgency::Now);
    }

    fn flush_conn<'a>(
        &'a self,
        now: Instant,
        mut inner: MutexGuard<'a, Inner>,
        conn: ConnId,
        urgency: Urgency,
    ) -> MutexGuard<'a, Inner> {
        let len = inner.core.outbox_len(conn);
        let crowded = now < inner.crowd_until;
        let Some(io) = inner.conns.get_mut(&conn) else { return inner };
        if io.want_write || io.broken {
            return inner; // The driver goes on when the socket takes more.
        }
        match urgency {
            Urgency::Burst if io.burst && len < BURST_LEN_MAX => {
                return inner;
            }
            Urgency::Burst => {
                io.burst = true;
                self.ready.wake(Source::Conn(conn));
            }
            Urgency::Now if io.burst && len < BURST_LEN_MAX && now < io.held_at + CROWD_MAX => {
                return inner;
            }
            Urgency::Now if io.burst => io.held_at = now,
            Urgency::Now if crowded && len < BURST_LEN_MAX => {
                (io.burst, io.held_at) = (true, now);
                self.ready.wake(Source::Conn(conn));
                return inner;
            }
            Urgency::Driver if io.lazy > 0 && len < BURST_LEN_MAX => return inner,
            Urgency::Driver | Urgency::Now => {}
        }
        self.write_out(inner, conn)
    }

    /// Takes the outbox, writes without the lock, puts back what is left; until it is empty or the
    /// socket is full.
    pub(crate) fn write_out<'a>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
        conn: ConnId,
    ) -> MutexGuard<'a, Inner> {
        let mut wrote = false;
        loop {
            let Some(io) = inner.conns.get_mut(&conn) else { return inner };
            let (stream, closing) = (io.stream.clone(), io.closing);
            let Some(mut out) = inner.core.take_outbox(conn) else {
                if wrote && closing {
                    // The driver may have looked meanwhile, and found bytes that still waited.
                    self.ready.wake(Source::Conn(conn));
                }
                return inner;
            };
            wrote = true;
            drop(inner);
            let result = write(stream.as_ref(), &mut out);
            inner = self.lock();
            // The write took no time that matters to a deadline.
            let now = inner.core.now();
            inner.core.put_back(now, conn, out);
            match result {
                Ok(()) => {}
                Err(error) => {
                    if let Some(io) = inner.conns.get_mut(&conn) {
                        // Full: the driver waits. Broken: reading tells, once what the peer had
                        // sent before is read.
                        io.want_write = error.kind() == io::ErrorKind::WouldBlock;
                        io.broken = !io.want_write;
                        self.ready.wake(Source::Conn(conn));
                    }
                    return inner;
                }
            }
        }
    }
}

fn write(stream: &dyn Stream, out: &mut Outbound) -> io::Result<()> {
    while !out.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        for (slot, slice) in slices.iter_mut().zip(out.slices()) {
            *slot = IoSlice::new(slice);
            count += 1;
        }
        let written = stream.try_write(&slices[..count])?;
        out.advance(written);
    }
    Ok(())
}
