//! A bug that one order of things in a hundred shows, found by trying seeds in simulation.
//!
//! A client gives jobs to a front, which hands them to a store, and tells the client that they are
//! safe. When a front dies, another one takes its place, and gets what was not said to be safe.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tractor::sim::{self, Config, Faults};
use tractor::{ActorNursery, BoxError, Context, Result, module, open_nursery, wait_for_actor};

const JOBS: u32 = 10;

/// What the store holds. (Actors of a simulation share the statics of the program: only the store
/// uses this one.)
static STORED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Runs in the store.
#[tractor::rpc]
async fn put(job: u32) {
    STORED.lock().unwrap_or_else(PoisonError::into_inner).insert(job);
}

/// Runs in the store: what it holds, and no longer.
#[tractor::rpc]
async fn take_all() -> BTreeSet<u32> {
    std::mem::take(&mut *STORED.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Runs in the front: jobs come in, and go out again when they are safe. Or a moment before.
#[tractor::context]
async fn serve(ctx: Context<(), u32, u32>, careful: bool) -> Result<()> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    wait_for_actor("store", async |store| {
        while let Some(job) = stream.next().await? {
            if careful {
                store.run(put { job }).await?;
                stream.send(job).await?;
            } else {
                stream.send(job).await?;
                store.run(put { job }).await?;
            }
        }
        Ok(())
    })
    .await
}

/// Gives jobs to one front, until it has all of them or dies.
async fn give(an: &ActorNursery, careful: bool, jobs: &mut VecDeque<u32>) -> Result<()> {
    let front = an.start_actor("front").isolated().enable(module!()).await?;
    let given = front.open_context(serve { careful }, async |ctx, ()| {
        let mut stream = ctx.open_stream().await?;
        while let Some(job) = jobs.front() {
            stream.send(*job).await?;
            stream.recv().await?;
            jobs.pop_front(); // it is safe, they say
        }
        Ok(())
    });
    given.await?;
    front.cancel_actor().await
}

/// The program: an ordinary one, which would do the same with processes.
async fn program(careful: bool) -> Result<(), BoxError> {
    let lost = open_nursery(async |an| {
        let store = an.start_actor("store").enable(module!()).await?;
        store.run(take_all {}).await?;
        let mut jobs: VecDeque<u32> = (1..=JOBS).collect();
        while !jobs.is_empty() {
            // An error is the end of that front, and not of the program.
            let _ = give(&an, careful, &mut jobs).await;
        }
        let stored = store.run(take_all {}).await?;
        store.cancel_actor().await?;
        Ok((1..=JOBS).find(|job| !stored.contains(job)))
    });
    match lost.await? {
        Some(job) => Err(format!("job {job} was said to be safe, and is lost"))?,
        None => Ok(()),
    }
}

/// Worlds in which fronts are killed, at some moment.
fn worlds() -> impl Iterator<Item = Config> {
    let faults = Faults::none().kills(3).only("front").within(Duration::from_millis(40));
    (0..1000).map(move |seed| Config::new(seed).faults(faults.clone()))
}

fn main() {
    match sim::search(worlds(), || program(false)) {
        Some(failure) => println!("it is said first and done then: {failure}"),
        None => println!("not found"),
    }
    match sim::search(worlds(), || program(true)) {
        Some(failure) => println!("still wrong: {failure}"),
        None => println!("it is done first and said then: no job is lost in 1000 worlds"),
    }
}
