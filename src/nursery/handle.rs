//! The handle of a function that runs in a child of its own.

use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::payload;
use crate::portal::{Dialog, Portal};
use crate::wait::{self, Waiting};

/// A function that runs in a child of its own.
pub struct RunHandle<T> {
    portal: Portal,
    dialog: Arc<Dialog>,
    result: std::marker::PhantomData<fn() -> T>,
}

impl<T> Clone for RunHandle<T> {
    fn clone(&self) -> Self {
        RunHandle {
            portal: self.portal.clone(),
            dialog: self.dialog.clone(),
            result: std::marker::PhantomData,
        }
    }
}

impl<T> fmt::Debug for RunHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunHandle({})", self.portal.uid)
    }
}

impl<T> RunHandle<T> {
    pub(super) fn new(portal: Portal, dialog: Arc<Dialog>) -> Self {
        RunHandle { portal, dialog, result: std::marker::PhantomData }
    }
}

impl<T: serde::de::DeserializeOwned> RunHandle<T> {
    /// Waits for the function's result. Repeatable, also after the nursery has closed.
    ///
    /// A function that fails cancels the nursery's body; but one that waits here, or comes here
    /// next, sees the error first, and is cancelled where it suspends next.
    ///
    /// # Errors
    /// As [`Portal::run`].
    ///
    /// # Cancel safety
    /// Safe: the result is kept.
    pub async fn result(&self) -> Result<T> {
        let waiting = Waiting::on_dialog(&self.dialog.shared, self.dialog.id);
        // What is there already needs no wait that a cancellation could refuse.
        let known = self.dialog.shared.lock().outcome(self.dialog.id);
        let bytes = match known {
            Some(outcome) => outcome?,
            None => wait::outcome(&self.dialog.shared, self.dialog.id).await?,
        };
        drop(waiting);
        Ok(payload::decode(&bytes)?)
    }

    /// The child it runs in.
    pub fn portal(&self) -> &Portal {
        &self.portal
    }
}
