//! Code of the program that came to run under the actor's lock.

use log::{LevelFilter, Log, Metadata, Record};
use tractor::{Result, current_actor, module, open_nursery};

/// A logger that asks the runtime whenever it is asked: it would wait for itself under the lock.
struct Curious;

impl Log for Curious {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        let _ = current_actor().map(|actor| actor.peers());
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.enabled(record.metadata());
    }

    fn flush(&self) {}
}

#[tractor::rpc]
async fn answer() -> u32 {
    42
}

#[tractor::test(matrix, timeout = 10)]
async fn logger_never_runs_under_the_lock() -> Result<()> {
    // No other test of this binary installs one; each variant of this one does.
    let _ = log::set_logger(&Curious);
    log::set_max_level(LevelFilter::Debug);
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).await?;
        assert_eq!(child.run(answer {}).await?, 42);
        child.cancel_actor().await
    })
    .await
}
