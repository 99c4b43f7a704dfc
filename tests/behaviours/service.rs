//! SERVICE: an actor that keeps a task nursery for others.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tractor::scope::{self, Lease, Nursery, checkpoint, sleep};
use tractor::{Context, Error, Result, maybe_open_context, module, open_nursery};

use crate::{FOREVER, remote_type};

/// Where the service's tasks find its nursery.
static NURSERY: Mutex<Option<Nursery<'static>>> = Mutex::new(None);

/// What the service has done, for who asks.
static CONSUMED: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
static SOURCES: AtomicUsize = AtomicUsize::new(0);
static LIVING: AtomicUsize = AtomicUsize::new(0);

/// Counts itself as long as it lives.
struct Living;

impl Living {
    fn new() -> Living {
        LIVING.fetch_add(1, SeqCst);
        Living
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        LIVING.fetch_sub(1, SeqCst);
    }
}

/// Opens the service's nursery, and publishes it.
#[tractor::context]
async fn keep_nursery(ctx: Context<(), (), ()>) -> Result<()> {
    scope::open_nursery(async |tn| {
        *NURSERY.lock().unwrap() = Some(tn);
        ctx.started(()).await?;
        sleep(FOREVER).await
    })
    .await
}

/// Starts two consumers of one source in the service's nursery, and a task that fails when both
/// have got something.
#[tractor::context]
async fn use_nursery(ctx: Context<(), (), ()>, fails: bool) -> Result<()> {
    let tn = NURSERY.lock().unwrap().clone().expect("it was published");
    for counter in &CONSUMED {
        tn.start_soon(consume(counter));
    }
    while CONSUMED.iter().any(|counter| counter.load(SeqCst) < 3) {
        checkpoint().await?;
    }
    if fails {
        tn.start_soon(async {
            sleep(Duration::from_millis(5)).await?;
            Err(std::io::Error::other("name error").into())
        });
    }
    ctx.started(()).await
}

/// One source for all consumers: a task that produces, and who reads sees how far it is.
async fn consume(counter: &'static AtomicUsize) -> Result<()> {
    let open = async |lease: Lease<AtomicUsize>| {
        SOURCES.fetch_add(1, SeqCst);
        let _living = Living::new();
        lease.hold(AtomicUsize::new(0)).await
    };
    maybe_open_context("source", open, async |_, source: Arc<AtomicUsize>| {
        let _living = Living::new();
        loop {
            source.fetch_add(1, SeqCst);
            counter.fetch_add(1, SeqCst);
            sleep(Duration::from_millis(1)).await?;
        }
    })
    .await
}

/// How many sources were opened, and how much is alive.
#[tractor::rpc]
async fn report() -> (usize, usize) {
    (SOURCES.load(SeqCst), LIVING.load(SeqCst))
}

/// Without the foreign event loop, of which there is none.
#[tractor::test(matrix)]
async fn svc_01_actor_managed_nursery_task_error_cancels_all() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("service").enable(module!()).await?;
        let user = child.clone();
        let result: Result<()> = child
            .open_context(keep_nursery {}, async move |_, ()| {
                user.open_context(use_nursery { fails: true }, async |_, ()| Ok(())).await?;
                sleep(FOREVER).await
            })
            .await;
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Remote(_)), "bare, from the nursery's owner: {error:?}");
        assert_eq!(remote_type(&error), "OSError");
        assert!(error.to_string().contains("name error"), "{error:?}");
        // The source is closed by its last user, which the nursery has waited for.
        assert_eq!(child.run(report {}).await?, (1, 0), "one source, and everything is cancelled");
        child.cancel_actor().await
    })
    .await
}

/// Nobody fails: the tasks live in the nursery, not in the context that started them, and end with
/// the context that owns it.
#[tractor::test(matrix)]
async fn svc_01_tasks_end_with_the_owner_of_their_nursery() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("service").enable(module!()).await?;
        let user = child.clone();
        child
            .open_context(keep_nursery {}, async move |ctx, ()| {
                user.open_context(use_nursery { fails: false }, async |_, ()| Ok(())).await?;
                assert_eq!(user.run(report {}).await?, (1, 3), "the second context has ended");
                ctx.cancel().await
            })
            .await?;
        assert_eq!(child.run(report {}).await?, (1, 0));
        child.cancel_actor().await
    })
    .await
}
