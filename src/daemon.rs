//! Programs that are there for others.

use std::task::Poll;

use crate::endpoint::Module;
use crate::error::{Error, Result};
use crate::init;
use crate::root::{RootConfig, open_root_actor};
use crate::wait::wait;

/// Runs a root actor that lets others call the functions of these modules, until it is ended: by a
/// signal (SIGINT, SIGTERM), or by somebody who cancels it, which is no error. Blocks this thread.
///
/// With [`registry_addrs`](RootConfig::registry_addrs) other programs find it by its name, or find
/// others through it. When its functions start actors, [`init`](init()) is the first line of
/// `main`; if that is this call, it does so itself.
///
/// # Errors
/// As [`open_root_actor`]; [`Error::Interrupted`] when a signal ended it.
pub fn run_daemon(modules: impl IntoIterator<Item = Module>, config: RootConfig) -> Result<()> {
    if !init::is_initialised() {
        init::init();
    }
    let mut config = modules.into_iter().fold(config, RootConfig::enable);
    config.signals.get_or_insert(true);
    let executor = config.executor.clone().map_or_else(init::default_executor, Ok)?;
    config.executor = Some(executor.clone());
    let daemon = open_root_actor(config, async |actor| {
        // Its own end is what it waits for: that is a cancellation.
        wait(&actor.shared, |_, _| Poll::<()>::Pending).await
    });
    match init::block_on(executor.as_ref(), daemon) {
        Err(Error::Cancelled) => Ok(()),
        ended => ended,
    }
}
