//! Actors inside of somebody else's program: on the program's own runtime, without a macro of ours.

#![allow(clippy::unwrap_used, reason = "these helpers are test code, which clippy can't see")]

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};
use tractor::scope::{move_on_after, sleep};
use tractor::{
    ParentLink, Portal, Result, RootConfig, Stdio, module, open_nursery, open_root_actor,
};

/// What an actor runs on.
#[tractor::rpc]
async fn flavour() -> String {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::CurrentThread) => "tokio".into(),
        Ok(RuntimeFlavor::MultiThread) => "tokio-multi-thread".into(),
        Ok(_) => "another".into(),
        Err(_) => "none".into(),
    }
}

/// A child of its own, on what that runs.
#[tractor::rpc]
async fn flavour_of_a_child() -> Result<String> {
    open_nursery(async |an| {
        let child = start(&an, "grandchild").await?;
        let said = child.run(flavour {}).await?;
        child.cancel_actor().await?;
        Ok(said)
    })
    .await
}

/// This program again, told to run the running test, which makes it the child in `tractor::init`.
async fn start(an: &tractor::ActorNursery, name: &str) -> Result<Portal> {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let known = std::env::args_os().skip(1).collect::<Vec<_>>();
    let child = an.start_actor(name).enable(module!()).stdout(Stdio::Null);
    match tractor::current_actor()?.is_root() {
        true => child.args([test.as_str(), "--exact", "--nocapture"]).await,
        false => child.args(known).await,
    }
}

/// A tree in a task of this runtime, and what its actors run on.
fn embedded(runtime: &Runtime, link: ParentLink) -> Vec<String> {
    // The thread of a multi-thread runtime's task has no test's name.
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    runtime.block_on(async {
        tractor::init(); // a child goes on from here, inside of a running runtime
        let config = RootConfig::named("embedded").parent_link(link);
        let body = async move |_| {
            open_nursery(async |an| {
                let child = an.start_actor("child").enable(module!()).stdout(Stdio::Null);
                let child = child.args([test.as_str(), "--exact", "--nocapture"]).await?;
                let said = vec![
                    flavour().await,
                    child.run(flavour {}).await?,
                    child.run(flavour_of_a_child {}).await?,
                ];
                assert!(move_on_after(Duration::from_millis(5), sleep(FOREVER)).await.is_none());
                child.cancel_actor().await?;
                Ok(said)
            })
            .await
        };
        tokio::spawn(open_root_actor(config, body)).await.unwrap().unwrap()
    })
}

/// Longer than any test may take.
const FOREVER: Duration = Duration::from_secs(3600);

#[test]
fn a_tokio_program_with_one_thread() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(embedded(&runtime, ParentLink::Socketpair), ["tokio"; 3]);
}

#[test]
fn a_tokio_program_with_many_threads() {
    let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
    assert_eq!(embedded(&runtime, ParentLink::ConnectBack), ["tokio-multi-thread"; 3]);
}

/// A tree on tokio inside of a program that knows nothing of it: its thread only waits.
#[test]
fn a_program_without_a_runtime() {
    tractor::init();
    let executor = tractor_executors::tokio::Tokio::current_thread().unwrap();
    let config = RootConfig::named("embedded").executor(Arc::new(executor));
    let said = futures_lite::future::block_on(open_root_actor(config, async |_| {
        open_nursery(async |an| {
            let child = start(&an, "child").await?;
            let said = child.run(flavour_of_a_child {}).await?;
            sleep(Duration::from_millis(1)).await?;
            child.cancel_actor().await?;
            Ok(said)
        })
        .await
    }));
    assert_eq!(said.unwrap(), "tokio");
}

/// The runtime that an actor runs on goes away under it: who waits for the actor is told.
#[test]
fn actor_ends_with_the_runtime_that_it_was_attached_to() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let executor = Arc::new(tractor_executors::tokio::Tokio::attached(runtime.handle().clone()));
    let config = RootConfig::named("bereft").executor(executor);
    let (tell, told) = std::sync::mpsc::channel();
    let waiting = std::thread::spawn(move || {
        futures_lite::future::block_on(open_root_actor(config, async move |_| {
            tell.send(()).unwrap();
            sleep(FOREVER).await
        }))
    });
    told.recv().unwrap();
    runtime.shutdown_timeout(FOREVER);
    let ended = waiting.join().unwrap();
    assert!(matches!(ended, Err(tractor::Error::Cancelled)), "{ended:?}");
}
