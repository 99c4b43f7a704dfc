//! Races of a thread's `cancel()` with the polls of the tree, on a real executor.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;

use futures_lite::future::block_on;
use tractor_executors::smol::Smol;

use super::*;

const RACES: usize = 3_000;

/// Cancels what it is sent, from a thread of its own.
fn canceller() -> (mpsc::Sender<CancelScope>, thread::JoinHandle<()>) {
    let (send, recv) = mpsc::channel::<CancelScope>();
    let thread = thread::spawn(move || {
        for (n, scope) in recv.iter().enumerate() {
            for _ in 0..(n * 7 % 300) {
                std::hint::spin_loop();
            }
            scope.cancel();
        }
    });
    (send, thread)
}

async fn yields(n: usize) {
    for _ in 0..n {
        futures_lite::future::yield_now().await;
    }
}

/// A tree with holds at several depths, behind foreign combinators and a nursery.
async fn tree(n: usize, begun: &AtomicUsize, cleaned: &Arc<AtomicUsize>) {
    let one = |k: usize| {
        let cleaned = cleaned.clone();
        let body = async move {
            begun.fetch_add(1, SeqCst);
            yields(k % 4).await;
            pending::<Result<()>>().await
        };
        let cleanup = async move {
            yields(k % 3).await;
            cleaned.fetch_add(1, SeqCst);
        };
        finally(CancelScope::new().run(body).map_none(), cleanup)
    };
    let set = foreign_join((0..3).map(|k| one(n + k)));
    let nursery = open_nursery(async |tn| {
        tn.start_soon(one(n));
        yields(n % 5).await;
        tn.start_soon(one(n + 1));
        pending::<Result<()>>().await
    });
    let _ = futures_lite::future::zip(set, nursery).await;
}

trait MapNone: Future<Output = Option<Result<()>>> + Sized {
    fn map_none(self) -> impl Future<Output = Result<()>> + Send
    where
        Self: Send,
    {
        async { self.await.unwrap_or(Ok(())) }
    }
}
impl<F: Future<Output = Option<Result<()>>>> MapNone for F {}

#[test]
fn every_begun_body_is_cleaned_up_exactly_once() {
    let root = Root::new(Smol::global(), Duration::from_secs(60));
    let (send, thread) = canceller();
    let (begun, cleaned) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let (alive, watch) = mpsc::channel::<()>();
    // Here a lost wake-up hangs. Say so, instead of hanging.
    let dog = thread::spawn(move || while watch.recv_timeout(secs(30)).is_ok() {});
    for n in 0..RACES {
        let (top, scope) = (CancelScope::new(), CancelScope::new());
        send.send(if n % 2 == 0 { scope.clone() } else { top.clone() }).unwrap();
        let out = block_on(root.run(&top, scope.run(tree(n, &begun, &cleaned))));
        assert_eq!(out, if n % 2 == 0 { Some(None) } else { None });
        assert_eq!(begun.load(SeqCst), cleaned.load(SeqCst), "race {n}");
        assert!(!dog.is_finished(), "a race took too long");
        if n % 100 == 0 {
            alive.send(()).unwrap();
        }
    }
    drop((send, alive));
    thread.join().unwrap();
    dog.join().unwrap();
    assert_eq!((root.lost(), root.reaping()), (0, 0));
    assert!(begun.load(SeqCst) > RACES);
}

#[test]
fn handles_work_from_another_thread() {
    let root = Root::new(Smol::global(), Duration::from_secs(60));
    for n in 0..200 {
        let count = Arc::new(AtomicUsize::new(0));
        let out = block_on(root.run(
            &CancelScope::new(),
            open_nursery(async |tn| {
                let (theirs, count) = (tn.clone(), count.clone());
                thread::spawn(move || {
                    for _ in 0..n % 7 {
                        let count = count.clone();
                        theirs.start_soon(async move {
                            count.fetch_add(1, SeqCst);
                        });
                    }
                    theirs.cancel();
                });
                pending::<Result<()>>().await
            }),
        ));
        assert!(matches!(out, Some(Err(Error::Cancelled))));
        assert_eq!(count.load(SeqCst), n % 7);
    }
}

#[test]
fn sleep_on_a_real_executor() {
    let root = Root::new(Smol::global(), Duration::from_secs(60));
    let (top, nap) = (CancelScope::new(), Duration::from_millis(5));
    let out = block_on(root.run(&top, fail_after(secs(60), move_on_after(nap, pending::<()>()))));
    assert!(matches!(out, Some(Ok(None))));
}

/// Each race either moves the deadline of the run, or comes before it begins; never is it lost.
#[test]
fn a_thread_moves_the_deadline_of_a_scope_that_just_begins() {
    let root = Root::new(Smol::global(), BUDGET);
    for n in 0..300 {
        let scope = CancelScope::new().timeout(secs(3600));
        let theirs = scope.clone();
        let thread = thread::spawn(move || {
            (0..n * 7 % 100).for_each(|_| std::hint::spin_loop());
            theirs.set_timeout(Duration::from_micros(10));
        });
        let top = CancelScope::new();
        assert_eq!(block_on(root.run(&top, scope.run(pending::<()>()))), Some(None));
        thread.join().unwrap();
    }
}

/// A thread cancels nurseries whose children run on the executor's own thread meanwhile.
#[test]
fn parallel_children_are_cleaned_up_exactly_once() {
    let root = Root::new(Smol::global(), Duration::from_secs(60));
    let (send, thread) = canceller();
    let (begun, cleaned) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for n in 0..500 {
        let (top, scope) = (CancelScope::new(), CancelScope::new());
        send.send(scope.clone()).unwrap();
        let out = block_on(root.run(
            &top,
            scope.run(open_nursery(async |tn| {
                for k in 0..3 {
                    let (begun, cleaned) = (begun.clone(), cleaned.clone());
                    let body = async move {
                        begun.fetch_add(1, SeqCst);
                        yields((n + k) % 4).await;
                        pending::<Result<()>>().await
                    };
                    let cleanup = async move {
                        yields(k).await;
                        cleaned.fetch_add(1, SeqCst);
                    };
                    tn.start_soon_parallel(finally(body, cleanup));
                }
                yields(n % 5).await;
                pending::<Result<()>>().await
            })),
        ));
        assert!(matches!(out, Some(None)), "race {n}: {out:?}");
        assert_eq!(begun.load(SeqCst), cleaned.load(SeqCst), "race {n}");
    }
    drop(send);
    thread.join().unwrap();
    assert_eq!((root.lost(), root.reaping()), (0, 0));
}
