//! CACHE: one resource for many tasks of an actor.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use tractor::scope::{self, CancelScope, Lease, Nursery, checkpoint, move_on_after, sleep};
use tractor::{
    Cached, Context, Error, Result, maybe_open_context, maybe_open_context_in, module, open_nursery,
};

use crate::FOREVER;

const MOMENT: Duration = Duration::from_millis(20);

/// A resource that can be watched: its value counts the openings.
#[derive(Clone, Default)]
struct Watched(Arc<Counts>);

#[derive(Default)]
struct Counts {
    opened: AtomicUsize,
    open: AtomicUsize,
}

impl Watched {
    fn is_open(&self) -> usize {
        self.0.open.load(SeqCst)
    }

    fn opened(&self) -> usize {
        self.0.opened.load(SeqCst)
    }

    /// Opens it and, when it is given back, closes it, which takes a moment.
    async fn open(self, lease: Lease<usize>, closing: Result<()>) -> Result<()> {
        let counts = self.0.clone();
        let body = async move {
            sleep(MOMENT / 4).await?;
            self.0.open.fetch_add(1, SeqCst);
            let count = self.0.opened.fetch_add(1, SeqCst) + 1;
            lease.hold(count).await
        };
        let close = async move {
            sleep(MOMENT).await?;
            counts.open.fetch_sub(1, SeqCst);
            closing
        };
        scope::finally(body, close).await
    }
}

/// The arguments of something that is opened, as a key.
#[derive(Clone, Serialize)]
struct Kwargs {
    task_name: String,
}

/// Ten tasks at once, all of them in before the first leaves. How many opened it, and for each
/// what it got.
async fn ten_tasks<K: Serialize + Clone + Send + Sync>(key: K) -> Result<(usize, Vec<usize>)> {
    let resource = Watched::default();
    let (misses, inside) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let values = Mutex::new(Vec::new());
    scope::open_nursery(async |tn| {
        for _ in 0..10 {
            let (theirs, key) = (resource.clone(), key.clone());
            let (misses, inside, values) = (&misses, &inside, &values);
            tn.start_soon(async move {
                let open = async move |lease| theirs.open(lease, Ok(())).await;
                maybe_open_context(key, open, async |cached, value| {
                    misses.fetch_add(usize::from(cached == Cached::Miss), SeqCst);
                    values.lock().unwrap().push(*value);
                    inside.fetch_add(1, SeqCst);
                    while inside.load(SeqCst) < 10 {
                        checkpoint().await?;
                    }
                    Ok(())
                })
                .await
            });
        }
        Ok(())
    })
    .await?;
    assert_eq!((resource.opened(), resource.is_open()), (1, 0));
    Ok((misses.into_inner(), values.into_inner().unwrap()))
}

#[tractor::test(matrix)]
async fn cache_01_resource_only_entered_once_by_key() -> Result<()> {
    open_nursery(async |_| {
        assert_eq!(ten_tasks("some_key").await?, (1, vec![1; 10]));
        Ok(())
    })
    .await
}

/// The reference makes a key of the arguments by itself; here the program names them.
#[tractor::test(matrix)]
async fn cache_01_resource_only_entered_once_by_kwargs() -> Result<()> {
    open_nursery(async |_| {
        let kwargs = Kwargs { task_name: "doggy".to_owned() };
        assert_eq!(ten_tasks(kwargs.clone()).await?, (1, vec![1; 10]));
        // The same arguments under two keys are two resources.
        let resource = Watched::default();
        let open = |resource: &Watched| {
            let resource = resource.clone();
            move |lease| resource.open(lease, Ok(()))
        };
        maybe_open_context(("one", kwargs.clone()), open(&resource), async |one, _| {
            maybe_open_context(("other", kwargs), open(&resource), async |other, _| {
                assert_eq!((one, other), (Cached::Miss, Cached::Miss));
                assert_eq!(resource.is_open(), 2);
                Ok(())
            })
            .await
        })
        .await?;
        assert_eq!(resource.is_open(), 0);
        Ok(())
    })
    .await
}

#[tractor::test(matrix)]
async fn cache_02_last_user_waits_for_resource_exit() -> Result<()> {
    open_nursery(async |_| {
        let resource = Watched::default();
        let open = || {
            let resource = resource.clone();
            move |lease| resource.open(lease, Ok(()))
        };
        maybe_open_context("key", open(), async |_, _| {
            maybe_open_context("key", open(), async |cached, _| {
                assert_eq!(cached, Cached::Hit);
                Ok(())
            })
            .await?;
            assert_eq!(resource.is_open(), 1, "the first to leave does not wait");
            Ok(())
        })
        .await?;
        assert_eq!(resource.is_open(), 0, "the last one does");
        Ok(())
    })
    .await
}

/// A last user that is cancelled, and whose resource closes with `closing`.
async fn cancelled_last_user(closing: Result<()>) -> Option<Result<()>> {
    let (resource, cut) = (Watched::default(), CancelScope::new());
    let theirs = resource.clone();
    let open = async move |lease| theirs.open(lease, closing).await;
    let used = maybe_open_context("key", open, async |_, _| {
        cut.cancel();
        sleep(FOREVER).await
    });
    let result = cut.run(used).await;
    assert_eq!((resource.opened(), resource.is_open()), (1, 0), "it has waited");
    assert_eq!(cut.cancelled_caught(), result.is_none());
    result
}

#[tractor::test(matrix)]
async fn cache_04_final_user_cancellation_waits_for_exit() -> Result<()> {
    open_nursery(async |_| {
        assert!(cancelled_last_user(Ok(())).await.is_none());
        Ok(())
    })
    .await
}

#[tractor::test(matrix)]
async fn cache_05_exit_error_masks_final_user_cancellation() -> Result<()> {
    open_nursery(async |_| {
        let result = cancelled_last_user(Err(Error::TooSlow)).await;
        assert!(matches!(result, Some(Err(Error::TooSlow))), "{result:?}");
        Ok(())
    })
    .await
}

#[tractor::test(matrix)]
async fn cache_06_service_nursery_cancellation_completes_exit() -> Result<()> {
    open_nursery(async |_| {
        let resource = Watched::default();
        let users = AtomicUsize::new(0);
        let (freed, theirs) = (&users, resource.clone());
        scope::open_nursery(async |tn| {
            let host = tn.start(host).await?;
            for _ in 0..2 {
                let (host, resource) = (host.clone(), theirs.clone());
                tn.start_soon(async move {
                    let open = async move |lease| resource.open(lease, Ok(())).await;
                    let used =
                        maybe_open_context_in(&host, "key", open, async |_, _| pending().await);
                    let result: Result<()> = used.await;
                    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
                    freed.fetch_add(1, SeqCst);
                });
            }
            while theirs.is_open() == 0 {
                checkpoint().await?;
            }
            host.cancel();
            Ok(())
        })
        .await?;
        assert_eq!((users.into_inner(), resource.is_open()), (2, 0));
        // The cache is empty: the next user opens another one.
        let open = async move |lease| resource.open(lease, Ok(())).await;
        maybe_open_context("key", open, async |cached, value| {
            assert_eq!((cached, *value), (Cached::Miss, 2));
            Ok(())
        })
        .await
    })
    .await
}

/// A nursery for others, which ends well when it is cancelled.
async fn host(status: scope::Status<Nursery<'static>>) -> Result<()> {
    let served = scope::open_nursery(async |tn| {
        status.started(tn);
        pending().await
    });
    match served.await {
        Err(Error::Cancelled) => Ok(()),
        result => result,
    }
}

/// Opens the resource, be it slowly, and holds it until it is cancelled or told to leave.
#[tractor::context]
async fn hold_resource(ctx: Context<bool, (), ()>, opening: Duration) -> Result<()> {
    let open = async move |lease: Lease<()>| {
        sleep(opening).await?;
        lease.hold(()).await
    };
    maybe_open_context("resource", open, async |cached, _| {
        ctx.started(cached == Cached::Miss).await?;
        ctx.open_stream().await?.next().await?;
        Ok(())
    })
    .await
}

/// By the far task's own cancellation, before and after it is open; then it can be opened again.
#[tractor::test(matrix)]
async fn cache_08_lock_not_corrupted_on_fast_cancel_by_ctx() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("locker").enable(module!()).await?;
        for (opening, delay) in [(FOREVER, 0), (FOREVER, 5), (MOMENT, 20), (Duration::ZERO, 5)] {
            let block =
                child.open_context(hold_resource { opening }, async |_, _| sleep(FOREVER).await);
            assert!(move_on_after(Duration::from_millis(delay), block).await.is_none());
            let again = hold_resource { opening: Duration::ZERO };
            child
                .open_context(again, async |ctx, opened| {
                    assert!(opened, "{opening:?}: nothing of the first one is left");
                    ctx.open_stream().await?.send(()).await
                })
                .await?;
        }
        child.cancel_actor().await
    })
    .await
}

#[tractor::test(matrix)]
async fn cache_08_lock_not_corrupted_on_fast_cancel_by_scope() -> Result<()> {
    open_nursery(async |_| {
        for delay in [0, 1, 5, 20] {
            let slow = async |lease: Lease<u8>| {
                sleep(MOMENT / 4).await?;
                lease.hold(1).await
            };
            let used = maybe_open_context("key", slow, async |_, _| sleep(FOREVER).await);
            assert!(move_on_after(Duration::from_millis(delay), used).await.is_none());
            let quick = async |lease: Lease<u8>| lease.hold(2).await;
            maybe_open_context("key", quick, async |cached, value| {
                assert_eq!((cached, *value), (Cached::Miss, 2), "after {delay} ms");
                Ok(())
            })
            .await?;
        }
        Ok(())
    })
    .await
}

#[tractor::test(matrix)]
async fn cache_09_per_ctx_key_resource_lifecycle() -> Result<()> {
    open_nursery(async |_| {
        let (one, other) = (Watched::default(), Watched::default());
        let (first, second) = (one.clone(), other.clone());
        let open_one = async move |lease| first.open(lease, Ok(())).await;
        let open_other = async move |lease| second.open(lease, Ok(())).await;
        let left = CancelScope::new();
        scope::open_nursery(async |tn| {
            let (one, other, leaving) = (&one, &other, left.clone());
            tn.start_soon(async move {
                maybe_open_context(1, open_one, async |_, _| {
                    leaving.run(pending::<()>()).await;
                    Ok(())
                })
                .await?;
                assert_eq!((one.is_open(), other.is_open()), (0, 1), "the other lives on");
                Ok(())
            });
            let leave = &left;
            maybe_open_context(2, open_other, async |_, _| {
                while one.is_open() == 0 {
                    checkpoint().await?;
                }
                leave.cancel();
                while one.is_open() == 1 {
                    checkpoint().await?;
                }
                checkpoint().await
            })
            .await
        })
        .await?;
        assert_eq!((one.is_open(), other.is_open()), (0, 0));
        Ok(())
    })
    .await
}

#[tractor::test(matrix)]
async fn cache_10_reentry_during_teardown() -> Result<()> {
    open_nursery(async |_| {
        let resource = Watched::default();
        let (left, stage) = (CancelScope::new(), &AtomicUsize::new(0));
        scope::open_nursery(async |tn| {
            let (theirs, leave) = (resource.clone(), left.clone());
            tn.start_soon(async move {
                let open = async move |lease: Lease<usize>| {
                    scope::finally(lease.hold(1), async move {
                        stage_is(&theirs, 1).await?;
                        theirs.0.open.store(2, SeqCst); // It closes...
                        sleep(MOMENT).await?;
                        theirs.0.open.store(3, SeqCst); // ... and is closed.
                        Ok(())
                    })
                    .await
                };
                maybe_open_context("key", open, async |_, _| {
                    stage.store(1, SeqCst);
                    leave.run(pending::<()>()).await;
                    Ok(())
                })
                .await
            });
            while stage.load(SeqCst) == 0 {
                checkpoint().await?;
            }
            resource.0.open.store(1, SeqCst);
            left.cancel();
            stage_is(&resource, 2).await?;
            let open = async |lease: Lease<usize>| lease.hold(2).await;
            maybe_open_context("key", open, async |cached, value| {
                assert_eq!((cached, *value), (Cached::Miss, 2));
                assert_eq!(resource.is_open(), 3, "the old one was gone before");
                Ok(())
            })
            .await
        })
        .await
    })
    .await
}

async fn stage_is(resource: &Watched, stage: usize) -> Result<()> {
    while resource.is_open() != stage {
        checkpoint().await?;
    }
    Ok(())
}
