//! Orders of events that need two threads, made by hand.

#![allow(clippy::unwrap_used, reason = "these helpers are test code, which clippy can't see")]

use std::fmt;
use std::io::IoSlice;
use std::sync::Mutex;

use tractor_core::{Config, Uid};
use tractor_transports::PeerIdentity;

use super::*;

#[cfg(shuttle)]
mod interleavings;

use crate::portal::Portal;
use crate::shared::Parts;

/// A stream that takes everything, and runs the driver in the middle of its first write: as if
/// that had its own thread.
struct Interleaved(Mutex<Option<Arc<Mutex<Driver>>>>);

impl fmt::Debug for Interleaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interleaved")
    }
}

fn turn(driver: &Mutex<Driver>) {
    let polled = driver.lock().unwrap().turn(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
}

impl Stream for Interleaved {
    fn poll_read(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn try_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let driver = self.0.lock().unwrap().take();
        driver.iter().for_each(|driver| turn(driver));
        Ok(bufs.iter().map(|buf| buf.len()).sum())
    }

    fn poll_writable(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn shutdown(&self) {}

    fn peer(&self) -> PeerIdentity {
        PeerIdentity::default()
    }

    fn link(&self) -> &'static str {
        "test"
    }
}

/// An actor, its driver, and a connection that has something to write.
fn connected() -> (Arc<Shared>, Arc<Mutex<Driver>>, ConnId) {
    let shared = Shared::new(Parts {
        config: Config::new("root"),
        host: Arc::new(crate::host::System),
        executor: Arc::new(tractor_executors::smol::Smol::new()),
        scopes: None,
        settings: crate::shared::Settings::default(),
    });
    let driver = Arc::new(Mutex::new(Driver::new(shared.clone())));
    let conn = {
        let (now, mut inner) = shared.lock_now();
        inner.core.accepted(now).unwrap()
    };
    let stream = Box::new(Interleaved(Mutex::new(Some(driver.clone()))));
    driver.lock().unwrap().attach(conn, stream);
    (shared, driver, conn)
}

/// A task writes while the driver wants to close: who of them comes last sees to it.
#[test]
fn connection_that_is_being_written_is_closed_afterwards() {
    let (shared, driver, conn) = connected();
    shared.command(|inner, now| inner.core.close(now, conn)).unwrap();
    assert_eq!(shared.lock().conns.len(), 1, "the driver found it being written");
    turn(&driver);
    assert_eq!(shared.lock().conns.len(), 0);
}

/// From then on nobody tells a waiter of its end again.
#[test]
fn closing_connection_is_gone_for_those_who_wait() {
    let (shared, _driver, conn) = connected();
    let uid = Uid { name: "peer".into(), uuid: "".into() };
    let portal = Portal { shared: shared.clone(), conn, child: None, uid };
    assert!(portal.is_connected());
    shared.command(|inner, now| inner.core.close(now, conn)).unwrap();
    assert!(!portal.is_connected());
}
