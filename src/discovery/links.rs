//! Connections that are made to find somebody.

use std::sync::Arc;
use std::task::Poll;

use tractor_core::{Address, ConnId};

use crate::error::Result;
use crate::portal::Portal;
use crate::shared::Shared;
use crate::wait::wait;

/// Connects, and waits for the handshake, which has a deadline. `None`: nobody there.
pub(super) async fn connect(shared: &Arc<Shared>, addr: &Address) -> Result<Option<Link>> {
    let conn = shared.command(|inner, now| inner.core.connect(now, addr.clone()))?;
    let link = Link { shared: shared.clone(), conn: Some(conn) };
    let open = wait(shared, |inner, waker| {
        if inner.core.peer(conn).is_some() {
            return Poll::Ready(true);
        }
        if !inner.core.is_known(conn) {
            return Poll::Ready(false);
        }
        inner.conn_wakers.add(waker);
        Poll::Pending
    })
    .await?;
    Ok(open.then_some(link))
}

/// A connection of our own: closed when dropped.
pub(super) struct Link {
    shared: Arc<Shared>,
    conn: Option<ConnId>,
}

impl Link {
    /// The connection, which stays from now on.
    pub(super) fn keep(mut self) -> Option<ConnId> {
        self.conn.take()
    }

    pub(super) fn conn(&self) -> Option<ConnId> {
        self.conn
    }

    /// A portal to whoever is at the other end.
    pub(super) fn portal(&self) -> Option<Portal> {
        let conn = self.conn?;
        let uid = self.shared.lock().core.peer(conn)?.uid.clone();
        Some(Portal { shared: self.shared.clone(), conn, child: None, uid })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(conn) = self.conn {
            // It may be gone already.
            let _ = self.shared.command(|inner, now| inner.core.close(now, conn));
        }
    }
}
