//! TRIOISM and TRIONICS: what the reference asks of its task trees, where Rust has the question.

use std::future::{pending, ready};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use tractor::scope::{
    self, CancelScope, Lease, Nursery, Status, checkpoint, finally, finally_borrowed, gather,
    shield, sleep,
};
use tractor::{Context, Error, Result, module, open_nursery};

use crate::FOREVER;

/// The reference's `NameError`: an error of the program's own.
fn name_error() -> Error {
    std::io::Error::other("name error").into()
}

#[track_caller]
fn is_name_error(error: &Error) {
    assert!(matches!(error, Error::Io(_)), "bare: {error:?}");
    assert!(error.to_string().contains("name error"), "{error:?}");
}

/// Gives its nursery away, and keeps it open.
async fn stash(status: Status<Nursery<'static>>) -> Result<()> {
    scope::open_nursery(async |tn| {
        status.started(tn);
        pending().await
    })
    .await
}

/// The reference expects this of `start` only; with `start_soon` it is known to fail there.
#[tractor::test(matrix)]
async fn trioism_01_stashed_child_nursery() {
    let start = Instant::now();
    for starts in [true, false] {
        let result: Result<()> = scope::open_nursery(async |tn| {
            let stashed = match starts {
                true => tn.start(stash).await?,
                false => start_soon_and_wait(&tn).await?,
            };
            stashed.start_soon(async { Err(name_error()) });
            sleep(FOREVER).await
        })
        .await;
        is_name_error(&result.unwrap_err());
    }
    assert!(start.elapsed() < Duration::from_secs(1));
}

/// A nursery that a task which was merely started put where others find it.
async fn start_soon_and_wait(tn: &Nursery<'_>) -> Result<Nursery<'static>> {
    let stash: Arc<OnceLock<Nursery<'static>>> = Arc::default();
    let stashed = stash.clone();
    tn.start_soon(scope::open_nursery(async move |tn| {
        stashed.get_or_init(|| tn);
        pending::<Result<()>>().await
    }));
    loop {
        match stash.get() {
            Some(stashed) => return Ok(stashed.clone()),
            None => checkpoint().await?,
        }
    }
}

/// Better: bare. In the reference it is a group of one.
#[tractor::test(matrix)]
async fn trioism_02_acm_embedded_nursery_propagates_enter_err() {
    for cancel_in_finally in [false, true] {
        let wrapping = CancelScope::new();
        let handle = wrapping.clone();
        let cleanup = async move {
            if cancel_in_finally {
                handle.cancel();
            }
            checkpoint().await
        };
        let nursery = scope::open_nursery(async |tn| {
            tn.start_soon(sleep(FOREVER));
            let failing = async {
                assert_eq!(1, 2, "on purpose");
                Ok(())
            };
            finally(failing, cleanup).await
        });
        let result = wrapping.run(nursery).await;
        let Some(Err(Error::Panic(report))) = &result else { panic!("bare: {result:?}") };
        assert!(report.message.contains("on purpose"), "{report:?}");
    }
}

#[tractor::test(matrix)]
async fn trioism_03_gatherctxs_with_memchan_breaks_multicancelled() {
    let closed = Mutex::new(0);
    let resource = |lease: Lease<u32>| {
        let closed = &closed;
        finally_borrowed(lease.hold(1), async move {
            *closed.lock().unwrap() += 1;
        })
    };
    let result: Result<()> = gather([resource, resource], async |values| {
        assert_eq!(values, [1, 1]);
        Err(Error::Interrupted { signal: 2 })
    })
    .await;
    assert!(matches!(result, Err(Error::Interrupted { signal: 2 })), "bare: {result:?}");
    assert_eq!(closed.into_inner().unwrap(), 2);
}

/// Sends without end, or fails in the middle of it.
#[tractor::context]
async fn send_numbers(ctx: Context<(), u32, ()>, fails: bool) -> Result<()> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    stream.recv().await?; // the other end reads from now on
    for n in 0.. {
        if fails && n == 3 {
            return Err(std::io::Error::other("mid stream").into());
        }
        stream.send(n).await?;
    }
    Ok(())
}

/// What the body has raised wins over what its cleanup then meets: here a cancelled scope. When the
/// far task has failed too, both are there, the body's own error first.
#[tractor::test(matrix)]
async fn trioism_04_unmask_aclose_as_checkpoint_on_aexit() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("streamer").enable(module!()).await?;
        for fails in [false, true] {
            let result: Result<()> = child
                .open_context(send_numbers { fails }, async |ctx, ()| {
                    let mut stream = ctx.open_stream().await?;
                    stream.send(()).await?;
                    let close = async {
                        // The awaits of a cleanup that sees the cancellation.
                        CancelScope::new().run(checkpoint()).await;
                    };
                    let body = async {
                        while let Ok(Some(_)) = stream.next().await {
                            if !fails {
                                break;
                            }
                        }
                        Err(name_error())
                    };
                    finally_borrowed(body, close).await
                })
                .await;
            let error = result.unwrap_err();
            is_name_error(error.leaves()[0]);
            let others = &error.leaves()[1..];
            assert!(others.len() <= usize::from(fails), "{error:?}");
            assert!(others.iter().all(|e| e.to_string().contains("mid stream")), "{error:?}");
        }
        child.cancel_actor().await
    })
    .await
}

/// Waits for a lock that nobody gives back, while it deals with an error that has nothing to do
/// with that.
#[tractor::context]
async fn wait_for_a_lock(ctx: Context<(), (), ()>) -> Result<()> {
    ctx.started(()).await?;
    let lock = Lock(Mutex::new(true));
    let unrelated: Result<()> = ready(Err(name_error())).await;
    match unrelated {
        Err(_handled) => lock.acquire().await,
        Ok(()) => Ok(()),
    }
}

struct Lock(Mutex<bool>);

impl Lock {
    async fn acquire(&self) -> Result<()> {
        while *self.0.lock().unwrap() {
            checkpoint().await?;
        }
        Ok(())
    }
}

/// The rule which asks for this, that a cancellation may not be masked by the exception that is
/// being handled, needs implicit exception contexts; that the cancel is clean, does not.
#[tractor::test(matrix)]
async fn trioism_05_cancelled_lockacquire_in_ipctx_not_unmasked() -> Result<()> {
    let start = Instant::now();
    open_nursery(async |an| {
        let child = an.start_actor("locker").enable(module!()).await?;
        child.open_context(wait_for_a_lock {}, async |ctx, ()| ctx.cancel().await).await?;
        child.cancel_actor().await
    })
    .await?;
    assert!(start.elapsed() < Duration::from_secs(2));
    Ok(())
}

// `start`. The reference has a helper beside its plain `start`, which reports a cancelled start as
// an error of the task; here there is one `start`, which does what the helper does.

/// Neither it nor its starter is cut by a cancellation: both see it only afterwards, and it ends
/// without having said `started`.
async fn swallow_cancel(_status: Status<()>) {
    shield(async {
        for _ in 0..4 {
            let _ = checkpoint().await;
        }
    })
    .await;
}

#[tractor::test(matrix)]
async fn trionics_03_sibling_err_not_masked_by_startup_rte() {
    let raised = OnceLock::new();
    let result: Result<()> = scope::open_nursery(async |tn| {
        tn.start_soon(async {
            checkpoint().await?;
            Err(name_error())
        });
        let started = shield(tn.start(swallow_cancel)).await;
        raised.get_or_init(|| started.clone());
        started
    })
    .await;
    let raised = raised.into_inner().unwrap();
    assert!(matches!(raised, Err(Error::Cancelled)), "{raised:?}");
    is_name_error(&result.unwrap_err());
}

#[tractor::test(matrix)]
async fn trionics_04_pure_oob_cancel_not_morphed_to_rte() {
    let outer = CancelScope::new();
    let nursery = scope::open_nursery(async |tn| {
        tn.start_soon(async {
            checkpoint().await?;
            outer.cancel();
            Ok(())
        });
        shield(tn.start(swallow_cancel)).await
    });
    let result = outer.run(nursery).await;
    assert!(result.is_none(), "the scope has absorbed it: {result:?}");
    assert!(outer.cancelled_caught());
}

#[tractor::test(matrix)]
async fn trionics_05_genuine_startup_rte_still_raised() {
    let result: Result<()> =
        scope::open_nursery(async |tn| tn.start(async |_status: Status<()>| {}).await).await;
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Misuse(_)), "{error:?}");
    assert!(error.to_string().contains("without calling `started`"), "{error}");
}

/// Also when its words are those of the runtime, and while everything is cancelled.
#[tractor::test(matrix)]
async fn trionics_06_childs_own_rte_never_demoted_to_cancel() {
    for text in ["name error", "name error: cancelled", "name error without calling `started`"] {
        let own = move |_status: Status<()>| {
            finally(
                pending::<Result<()>>(),
                ready(Err::<(), _>(std::io::Error::other(text).into())),
            )
        };
        let result: Result<()> = scope::open_nursery(async |tn| {
            tn.start_soon_with(async move |tn| tn.start(own).await);
            checkpoint().await?;
            checkpoint().await?;
            tn.cancel();
            checkpoint().await
        })
        .await;
        is_name_error(&result.unwrap_err());
    }
}

#[tractor::test(matrix)]
async fn trionics_07_started_value_and_args_passthru() -> Result<()> {
    let task = |one: u32, two: &'static str| {
        async move |status: Status<(u32, String)>| status.started((one, two.to_owned()))
    };
    let started = scope::open_nursery(async |tn| tn.start(task(1, "two")).await).await?;
    assert_eq!(started, (1, "two".to_owned()));
    Ok(())
}
