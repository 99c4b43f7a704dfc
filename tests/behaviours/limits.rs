//! What no Rust future can promise, and what is done instead: the four limits of
//! `docs/guide/cancellation.md`, one test for each paragraph.

use std::future::{pending, ready};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use futures_lite::future::{block_on, or};
use tractor::scope::{
    self, CancelScope, Nursery, checkpoint, finally, finally_borrowed, shield, sleep,
};
use tractor::{Context, Error, Portal, Result, current_actor, module, open_nursery};

use crate::{FOREVER, exists, program};

/// What happened, in any order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<&'static str>>>);

impl Log {
    /// A cleanup that takes a few suspensions.
    fn cleanup(&self, what: &'static str) -> impl Future<Output = Result<()>> + Send + use<> {
        let log = self.0.clone();
        async move {
            checkpoint().await?;
            log.lock().unwrap().push(what);
            Ok(())
        }
    }

    fn sorted(&self) -> Vec<&'static str> {
        let mut log = self.0.lock().unwrap().clone();
        log.sort_unstable();
        log
    }
}

static LINGERING: AtomicUsize = AtomicUsize::new(0);

/// Lives until it is cancelled, and counts itself for as long.
#[tractor::context]
async fn linger(ctx: Context<(), (), ()>) -> Result<()> {
    LINGERING.fetch_add(1, SeqCst);
    ctx.started(()).await?;
    let over = async {
        LINGERING.fetch_sub(1, SeqCst);
    };
    finally(sleep(FOREVER), over).await
}

#[tractor::rpc]
async fn lingering() -> usize {
    LINGERING.load(SeqCst)
}

/// A process of its own, a remote task, and cleanups of all kinds. `up` counts what is there.
async fn everything(keeper: &Portal, log: &Log, pid: &AtomicUsize, up: &AtomicUsize) -> Result<()> {
    let begun = || async {
        up.fetch_add(1, SeqCst);
        sleep(FOREVER).await
    };
    scope::open_nursery(async |tn| {
        tn.start_soon(open_nursery(async |an| {
            let child = an.start_actor("child").await?;
            pid.store(child.pid().unwrap_or_default() as usize, SeqCst);
            begun().await
        }));
        tn.start_soon(keeper.open_context(linger {}, async |_, ()| begun().await));
        tn.start_soon(finally(begun(), log.cleanup("it owns what it needs")));
        tn.start_soon(finally_borrowed(begun(), log.cleanup("never: it borrows")));
        tn.start_soon(shield(begun()));
        tn.start_soon_parallel(finally(sleep(FOREVER), log.cleanup("it ran in parallel")));
        Ok(())
    })
    .await
}

/// **A foreign future may drop ours.**
#[tractor::test(matrix)]
async fn limit_1_a_foreign_drop_hands_what_owns_itself_to_the_actor() -> Result<()> {
    let (log, pid, up) = (Log::default(), AtomicUsize::new(0), AtomicUsize::new(0));
    open_nursery(async |an| {
        let keeper = an.start_actor("keeper").enable(module!()).await?;
        let all_up = async {
            while up.load(SeqCst) < 5 {
                checkpoint().await?;
            }
            Ok(())
        };
        or(everything(&keeper, &log, &pid, &up), all_up).await?;
        // We are past it: nothing has waited here. The remote task is cancelled meanwhile.
        while keeper.run(lingering {}).await? > 0 {
            checkpoint().await?;
        }
        keeper.cancel_actor().await
    })
    .await?;
    // The actor has not ended before what it took over.
    assert_eq!(log.sorted(), ["it owns what it needs", "it ran in parallel"]);
    let pid = u32::try_from(pid.into_inner()).unwrap();
    assert!(pid > 0 && !exists(pid), "the child process {pid} was ended, and reaped");
    Ok(())
}

/// **A body that never suspends can't be cancelled.** That a process which blocks is ended by the
/// ladder is `cancel::cancel_10_while_childs_child_in_sync_sleep`.
#[tractor::test(matrix)]
async fn limit_2_a_body_that_never_suspends_runs_on() -> Result<()> {
    open_nursery(async |_| {
        let scope = CancelScope::new();
        let busy = async {
            scope.cancel();
            for _ in 0..1000 {
                ready(()).await;
            }
            "to its end"
        };
        assert_eq!(scope.run(busy).await, Some("to its end"));
        assert!(scope.cancel_called() && !scope.cancelled_caught());

        let (scope, turns) = (CancelScope::new(), AtomicUsize::new(0));
        let polite = async {
            loop {
                if turns.fetch_add(1, SeqCst) == 2 {
                    scope.cancel();
                }
                ready(()).await;
                checkpoint().await?;
            }
        };
        let cut: Option<Result<()>> = scope.run(polite).await;
        assert!(cut.is_none() && scope.cancelled_caught());
        assert_eq!(turns.into_inner(), 3);
        Ok(())
    })
    .await
}

/// Runs `future` on an executor that is none of ours, on another thread.
fn somebody_elses_spawn<T: Send + 'static>(
    future: impl Future<Output = T> + Send + 'static,
) -> thread::JoinHandle<T> {
    thread::spawn(move || block_on(future))
}

/// **In somebody else's `spawn` there is no scope.**
#[tractor::test(matrix)]
async fn limit_3_somebody_elses_spawn_is_neither_cancelled_nor_waited_for() -> Result<()> {
    open_nursery(async |_| {
        let scope = CancelScope::new();
        let (tell, told) = mpsc::channel::<()>();
        let mut spawned = None;
        let cut = scope.run(async {
            spawned = Some(somebody_elses_spawn(async move {
                told.recv().unwrap();
                checkpoint().await
            }));
            scope.cancel();
            sleep(FOREVER).await
        });
        assert!(cut.await.is_none(), "it was not waited for: it can't end yet");
        tell.send(()).unwrap();
        let spawned = spawned.unwrap().join().unwrap();
        assert!(spawned.is_ok(), "and it is not cancelled: {spawned:?}");

        // A scope that is moved in reaches it.
        let inside = CancelScope::new();
        let theirs = inside.clone();
        let spawned = somebody_elses_spawn(async move { theirs.run(pending::<()>()).await });
        inside.cancel();
        assert_eq!(spawned.join().unwrap(), None);
        Ok(())
    })
    .await
}

const HERE: &str = module_path!();

/// The actor is found only while it is the only one of its process: so, in a process of its own.
#[tractor::test]
async fn limit_3_somebody_elses_spawn_finds_the_only_actor() -> Result<()> {
    let name = "limit_3_somebody_elses_spawn_finds_the_only_actor";
    if !program::is_program() {
        let mut command: Command = program::again(HERE, name);
        command.arg("--test-threads=1");
        let ended = program::run(command);
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        return Ok(());
    }
    let find = || {
        let found = somebody_elses_spawn(async { current_actor() }).join().unwrap();
        found.map(|actor| actor.name().to_owned())
    };
    assert!(matches!(find(), Err(Error::NoCurrentActor)), "there is none");
    tractor::open_root_actor(tractor::RootConfig::default(), async |_| {
        assert_eq!(find()?, "root");
        Ok(())
    })
    .await
}

/// **Dropping a handle kills nobody.** That the function behind a dropped `RunHandle` runs to its
/// end, and that a dropped call is no handle, is in `cancel`: `dropped_run_handle_..`,
/// `dropped_call_..`.
#[tractor::test(matrix)]
async fn limit_4_dropping_a_handle_ends_nobody() -> Result<()> {
    open_nursery(async |an| {
        let portal = an.start_actor("child").enable(module!()).await?;
        let other = portal.clone();
        drop(portal);
        drop(an.clone());
        assert_eq!(an.children(), ["child"]);
        assert_eq!(other.run(lingering {}).await?, 0, "it lives, and answers");

        // The block's end of a context: the task there lives as long as the block.
        other
            .open_context(linger {}, async |ctx, ()| {
                drop(ctx.clone());
                assert_eq!(other.run(lingering {}).await?, 1);
                ctx.cancel().await
            })
            .await?;

        let (scope, ended) = (CancelScope::new(), AtomicUsize::new(0));
        let body = scope.run(async {
            checkpoint().await?;
            scope::open_nursery(async |tn: Nursery<'_>| {
                tn.start_soon(async {
                    checkpoint().await?;
                    ended.fetch_add(1, SeqCst);
                    Ok(())
                });
                drop(tn);
                Ok(())
            })
            .await
        });
        drop(scope);
        assert!(matches!(body.await, Some(Ok(()))));
        assert_eq!(ended.into_inner(), 1);
        other.cancel_actor().await
    })
    .await
}
