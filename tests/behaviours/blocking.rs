//! `unblock`: blocking work beside tasks.

use std::sync::mpsc;

use tractor::scope::{self, sleep};
use tractor::{Error, Result, current_actor, module, open_nursery, unblock};

use crate::{FOREVER, marks};

/// Blocks until a task of the same executor, which may have one thread, lets it go on.
#[tractor::rpc]
async fn ask_a_sibling() -> Result<(String, String)> {
    let (open, gate) = mpsc::channel();
    let blocked = unblock(move || {
        let name = gate.recv().unwrap_or_default();
        // It is no task; but it runs as the actor, also when there are several in a process.
        let actor = current_actor().map(|actor| actor.name().to_owned());
        (name, actor.unwrap_or_default())
    });
    scope::open_nursery(async move |tn| {
        tn.start_soon(async move {
            scope::checkpoint().await?;
            open.send("sibling".to_owned()).unwrap();
            Ok(())
        });
        blocked.await
    })
    .await
}

#[tractor::test(matrix)]
async fn blocking_work_holds_up_nobody_and_runs_as_its_actor() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("worker").enable(module!()).await?;
        let (sibling, actor) = child.run(ask_a_sibling {}).await?;
        assert_eq!((sibling.as_str(), actor.as_str()), ("sibling", "worker"));
        child.cancel_actor().await
    })
    .await
}

#[tractor::test(matrix)]
async fn a_panic_of_blocking_work_is_an_error_that_names_its_place() {
    let failed: Result<()> = open_nursery(async |_| unblock(|| panic!("on purpose")).await).await;
    let Err(Error::Panic(report)) = failed else { panic!("{failed:?}") };
    assert_eq!(report.message, "on purpose");
    let place = report.location.unwrap();
    assert!(place.starts_with("tests/behaviours/blocking.rs"), "{place}");
}

#[tractor::test(matrix)]
async fn an_actor_does_not_end_before_blocking_work_whose_task_is_gone() -> Result<()> {
    let (open, gate) = mpsc::channel::<()>();
    let (done, ended) = mpsc::channel();
    let begun = marks::unique("blocking work has begun");
    let ended = open_nursery(async move |_| {
        let mark = begun.clone();
        let work = move || {
            marks::set(&mark);
            gate.recv().unwrap();
            done.send(()).unwrap();
        };
        scope::open_nursery(async move |tn| {
            tn.start_soon(async { unblock(work).await });
            tn.start_soon(async { sleep(FOREVER).await });
            marks::happened(&begun).await;
            tn.cancel();
            Ok(())
        })
        .await?;
        ended.try_recv().unwrap_err();
        open.send(()).unwrap();
        Ok(ended)
    })
    .await?;
    ended.try_recv().unwrap();
    Ok(())
}
