//! CANCEL: one cancels all, and nobody is left.

use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use tractor::endpoint::{EndpointPath, Named, Rpc};
use tractor::scope::sleep;
use tractor::{
    ActorNursery, BoxError, Error, Result, RootConfig, RunHandle, current_actor, module,
    open_nursery, open_root_actor,
};

use crate::{FOREVER, exists, marks, remote_type};

/// The reference's `assert 0`: here a failed assertion is a panic, of the type `Panic` on the wire.
#[tractor::rpc]
async fn assert_err(delay: Duration) -> Result<()> {
    sleep(delay).await?;
    assert_eq!(1, 2, "on purpose");
    Ok(())
}

#[tractor::rpc]
async fn do_nothing() {}

#[tractor::rpc]
async fn sleep_forever() -> Result<()> {
    sleep(FOREVER).await
}

fn assert_err_now() -> assert_err {
    assert_err { delay: Duration::ZERO }
}

/// All errors in it are failed assertions, each of another actor. Returns how many.
#[track_caller]
fn count_asserted(error: &Error) -> usize {
    let mut sources = std::collections::BTreeSet::new();
    for leaf in error.leaves() {
        assert_eq!(remote_type(leaf), "Panic", "{error:?}");
        let remote = leaf.remote().unwrap();
        assert!(remote.message().contains("on purpose"), "{error:?}");
        assert!(sources.insert(remote.source_actor().to_string()), "reported once: {error:?}");
    }
    sources.len()
}

#[tractor::test(matrix)]
async fn cancel_01_remote_error_assertion() {
    let seen = OnceLock::new();
    let result: Result<()> = open_nursery(async |an| {
        let run = an.run_in_actor(assert_err_now()).await?;
        let result = run.result().await;
        seen.set(result.clone()).unwrap();
        result
    })
    .await;
    let seen = seen.into_inner().expect("the body has seen it").unwrap_err();
    assert_eq!(count_asserted(&seen), 1);
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Remote(_)), "bare, though it was raised twice: {error:?}");
    assert_eq!(count_asserted(&error), 1);
}

/// The arguments of `assert_err`, as somebody would have them who does not know it.
#[derive(serde::Serialize, serde::Deserialize)]
struct UnexpectedKwarg {
    delay: Duration,
    blah: bool,
}

impl Named for UnexpectedKwarg {
    const PATH: EndpointPath = assert_err::PATH;
}

impl Rpc for UnexpectedKwarg {
    type Output = ();

    async fn call(self) -> Result<(), BoxError> {
        unreachable!("it is not registered")
    }
}

#[tractor::test(matrix)]
async fn cancel_01_remote_error_unexpected_kwarg() {
    let seen = OnceLock::new();
    let result: Result<()> = open_nursery(async |an| {
        let wrong = UnexpectedKwarg { delay: Duration::ZERO, blah: true };
        let run = an.run_in_actor(wrong).await?;
        let result = run.result().await;
        seen.set(result.clone()).unwrap();
        result
    })
    .await;
    let seen = seen.into_inner().expect("the body has seen it").unwrap_err();
    assert_eq!(remote_type(&seen), "TypeError");
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Remote(_)), "bare: {error:?}");
    assert_eq!(remote_type(&error), "TypeError");
    assert!(error.remote().unwrap().message().contains("`blah`"), "names it: {error:?}");
}

/// In the reference main raises a group with both, always, as a cancelled child counts as an error
/// too. Here it is the errors that there were: of the second child, too, if it was that fast.
#[tractor::test(matrix)]
async fn cancel_02_multierror() {
    let result: Result<()> = open_nursery(async |an| {
        let _first = an.start_actor("errorer1").run(assert_err_now()).await?;
        let second = an.start_actor("errorer2").run(assert_err_now()).await?;
        let result = second.result().await;
        assert_eq!(count_asserted(result.as_ref().unwrap_err()), 1);
        result
    })
    .await;
    let count = count_asserted(&result.unwrap_err());
    assert!((1..=2).contains(&count), "{count}");
}

/// All of them fail; the later ones while the nursery is still spawning, and is then told to stop.
async fn cancel_03(delay: Duration) {
    const CHILDREN: usize = 25;
    let began = Instant::now();
    let result: Result<()> = open_nursery(async |an| {
        for n in 0..CHILDREN {
            an.start_actor(format!("errorer{n}")).run(assert_err { delay }).await?;
        }
        Ok(())
    })
    .await;
    let count = count_asserted(&result.unwrap_err());
    assert!((1..=CHILDREN).contains(&count), "{count}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tractor::test(matrix)]
async fn cancel_03_multierror_fast_nursery_at_once() {
    cancel_03(Duration::ZERO).await;
}

#[tractor::test(matrix)]
async fn cancel_03_multierror_fast_nursery_after_a_while() {
    cancel_03(Duration::from_millis(500)).await;
}

#[tractor::test(matrix)]
async fn cancel_04_single_subactor_by_its_nursery() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("nothin").enable(module!()).await?;
        child.run(do_nothing {}).await?;
        an.cancel().await?;
        assert!(an.cancel_called());
        assert!(an.children().is_empty());
        child.wait_closed().await
    })
    .await
}

/// The reference raises a keyboard interrupt in the body; here it is any error of the body's own.
#[tractor::test(matrix)]
async fn cancel_04_single_subactor_by_an_error() {
    let result: Result<()> = open_nursery(async |an| {
        let child = an.start_actor("nothin").enable(module!()).await?;
        child.run(do_nothing {}).await?;
        Err(Error::Interrupted { signal: 2 })
    })
    .await;
    assert!(matches!(result, Err(Error::Interrupted { signal: 2 })), "bare: {result:?}");
}

/// What the run-once children of CANCEL-06 do.
#[derive(Clone, Copy)]
enum Once {
    Assert(Duration),
    SleepForever,
    Nothing,
}

impl Once {
    async fn run(self, an: &ActorNursery) -> Result<RunHandle<()>> {
        match self {
            Once::Assert(delay) => an.run_in_actor(assert_err { delay }).await,
            Once::SleepForever => an.run_in_actor(sleep_forever {}).await,
            Once::Nothing => an.run_in_actor(do_nothing {}).await,
        }
    }
}

/// What the daemons of CANCEL-06 are asked for.
#[derive(Clone, Copy, PartialEq)]
enum Asked {
    ForNothing,
    ToDoNothing,
    ToAssert(Duration),
}

/// `count` daemons and as many run-once children in one nursery, which fails. Returns its error.
async fn some_cancels_all(count: usize, once: Once, asked: Asked) -> Error {
    let (seen, pids) = (OnceLock::new(), Mutex::new(Vec::new()));
    let begun = Instant::now();
    let result: Result<()> = open_nursery(async |an| {
        assert!(seen.set(an.clone()).is_ok());
        let mut daemons = Vec::new();
        for n in 0..count {
            let daemon = an.start_actor(format!("actor_{n}")).enable(module!()).await?;
            pids.lock().unwrap().extend(daemon.pid());
            daemons.push(daemon);
        }
        for _ in 0..count {
            // Nobody keeps the handle: the nursery is told all the same.
            let run = once.run(&an).await?;
            pids.lock().unwrap().extend(run.portal().pid());
        }
        for daemon in &daemons {
            match asked {
                Asked::ForNothing => {}
                Asked::ToDoNothing => daemon.run(do_nothing {}).await?,
                Asked::ToAssert(delay) => daemon.run(assert_err { delay }).await?,
            }
        }
        assert!(!matches!(asked, Asked::ToAssert(_)), "the first daemon has failed");
        Ok(())
    })
    .await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let an = seen.into_inner().unwrap();
    assert!(an.cancel_called() && an.children().is_empty(), "{:?}", an.children());
    let pids = pids.into_inner().unwrap();
    assert!(pids.len() >= count && !pids.iter().any(|pid| exists(*pid)), "{pids:?}");
    result.expect_err("somebody has failed")
}

const SOON: Duration = Duration::from_secs(1);

#[tractor::test(matrix)]
async fn cancel_06_some_cancels_all_1_run_in_actor_fails() {
    let error = some_cancels_all(1, Once::Assert(Duration::ZERO), Asked::ForNothing).await;
    assert!(matches!(error, Error::Remote(_)), "bare: {error:?}");
    assert_eq!(count_asserted(&error), 1);
}

/// The reference's groups have as many members as there are children, of which all but the first
/// may be mere cancellations. Ours have the failures.
#[tractor::test(matrix)]
async fn cancel_06_some_cancels_all_2_run_in_actors_fail() {
    let error = some_cancels_all(2, Once::Assert(Duration::ZERO), Asked::ForNothing).await;
    assert!((1..=2).contains(&count_asserted(&error)), "{error:?}");
}

#[tractor::test(matrix)]
async fn cancel_06_some_cancels_all_3_run_in_actors_fail() {
    let error = some_cancels_all(3, Once::Assert(Duration::ZERO), Asked::ForNothing).await;
    assert!((1..=3).contains(&count_asserted(&error)), "{error:?}");
}

#[tractor::test(matrix)]
async fn cancel_06_some_cancels_all_1_daemon_fails_and_the_others_sleep() {
    let error = some_cancels_all(3, Once::SleepForever, Asked::ToAssert(Duration::ZERO)).await;
    assert!(matches!(error, Error::Remote(_)), "bare: {error:?}");
    assert_eq!(count_asserted(&error), 1);
}

#[tractor::test(matrix)]
async fn cancel_06_some_cancels_all_1_daemon_fails_and_the_others_are_done() {
    let error = some_cancels_all(3, Once::Nothing, Asked::ToAssert(SOON)).await;
    assert!(matches!(error, Error::Remote(_)), "bare: {error:?}");
    assert_eq!(count_asserted(&error), 1);
}

#[tractor::test(matrix)]
async fn cancel_06_some_cancels_all_no_daemon_fails_and_the_others_do() {
    let error = some_cancels_all(3, Once::Assert(SOON), Asked::ToDoNothing).await;
    assert!((1..=3).contains(&count_asserted(&error)), "{error:?}");
}

/// Sets a mark in the root: whoever is in between passes it up.
#[tractor::rpc]
async fn mark_in_root(mark: String) -> Result<()> {
    match current_actor()?.parent() {
        Some(parent) => parent.run(mark_in_root { mark }).await,
        None => {
            marks::set(&mark);
            Ok(())
        }
    }
}

/// Blocks the thread, and with it the whole actor: no cancel gets through.
#[tractor::rpc]
async fn sync_sleep(mark: String) -> Result<()> {
    std::fs::write(&mark, std::process::id().to_string())?;
    mark_in_root(mark).await?;
    std::thread::sleep(FOREVER);
    Ok(())
}

#[tractor::rpc]
async fn spawn_sync_sleeper(mark: String) -> Result<()> {
    open_nursery(async |an| an.run_in_actor(sync_sleep { mark }).await?.result().await).await
}

/// Root, child, grandchild; the grandchild sleeps in the kernel. Its kill is inside of the child's
/// patience, which is inside of the root's.
async fn cancel_while_grandchild_sleeps(cancel_outer_first: bool) {
    let dir = crate::program::temp_dir();
    let mark = dir.path().join("pid").to_str().unwrap().to_owned();
    let failed_at = OnceLock::new();
    let result: Result<()> = open_root_actor(RootConfig::default().enable(module!()), async |_| {
        open_nursery(async |an| {
            let _child = an.run_in_actor(spawn_sync_sleeper { mark: mark.clone() }).await?;
            marks::happened(&mark).await;
            failed_at.set(Instant::now()).unwrap();
            if cancel_outer_first {
                an.cancel().await?;
            }
            Err(std::io::Error::other("on purpose").into())
        })
        .await
    })
    .await;
    let took = failed_at.get().unwrap().elapsed();
    assert!(matches!(result, Err(Error::Io(_))), "bare: {result:?}");
    assert!(took < Duration::from_secs(3), "the teardown budget is 2.5 s, it took {took:?}");
    let pid: u32 = std::fs::read_to_string(&mark).unwrap().parse().unwrap();
    assert!(!exists(pid), "the grandchild is gone");
}

#[tractor::test(matrix)]
async fn cancel_10_while_childs_child_in_sync_sleep() {
    cancel_while_grandchild_sleeps(false).await;
}

/// The reference knows that it fails this one.
#[tractor::test(matrix)]
async fn cancel_10_while_childs_child_in_sync_sleep_cancelled_first() {
    cancel_while_grandchild_sleeps(true).await;
}

#[tractor::rpc]
async fn mark_later(mark: String) -> Result<()> {
    sleep(Duration::from_millis(50)).await?;
    mark_in_root(mark).await
}

/// Dropping a handle changes who gets told, never who gets killed.
#[tractor::test(matrix)]
async fn dropped_run_handle_lets_the_function_run_to_its_end() -> Result<()> {
    open_root_actor(RootConfig::default().enable(module!()), async |_| {
        let mark = "dropped run handle".to_owned();
        open_nursery(async |an| {
            drop(an.run_in_actor(mark_later { mark: mark.clone() }).await?);
            Ok(())
        })
        .await?;
        // The nursery has waited for the child, and so for the mark: this ends at once, or never.
        marks::happened(&mark).await;
        Ok(())
    })
    .await
}

/// A call is different: who drops it wants no result, and the task is cancelled.
#[tractor::rpc]
async fn mark_when_cancelled(mark: String) -> Result<()> {
    let cancelled = mark_in_root(format!("{mark}: cancelled"));
    let body = async {
        mark_in_root(format!("{mark}: begun")).await?;
        sleep(FOREVER).await
    };
    tractor::scope::finally(body, cancelled).await
}

#[tractor::test(matrix)]
async fn dropped_call_cancels_the_remote_task() -> Result<()> {
    open_root_actor(RootConfig::default().enable(module!()), async |_| {
        open_nursery(async |an| {
            let child = an.start_actor("child").enable(module!()).await?;
            let mark = "dropped call".to_owned();
            let call = async { child.run(mark_when_cancelled { mark: mark.clone() }).await };
            let begun = async {
                marks::happened("dropped call: begun").await;
                Ok(())
            };
            futures_lite::future::or(begun, call).await?;
            marks::happened("dropped call: cancelled").await;
            child.cancel_actor().await
        })
        .await
    })
    .await
}
