//! What the runtime relies on in an executor, shown on `Smol`.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::future::{Future, poll_fn};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use tractor_executors::smol::Smol;
use tractor_executors::{Executor, Timer};

/// Longer than anything here takes; only a hang reaches it.
const HANG: Duration = Duration::from_secs(20);
const MS: Duration = Duration::from_millis(1);

fn run<T>(executor: &dyn Executor, future: impl Future<Output = T>) -> T {
    let mut out = None;
    executor.block_on(pin!(async { out = Some(future.await) }));
    out.unwrap()
}

async fn expired(timer: &mut dyn Timer) {
    poll_fn(|cx| timer.poll_expired(cx)).await;
}

/// Polls once with `cx` of the caller, so that the waker gets registered.
async fn poll_once(timer: &mut dyn Timer) -> Poll<()> {
    poll_fn(|cx| Poll::Ready(timer.poll_expired(cx))).await
}

fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe().unwrap()
}

#[test]
fn the_clock_does_not_go_back() {
    let (one, other) = (Smol::new(), Smol::new());
    let first = one.now();
    let second = other.now();
    assert!(first <= second && second <= one.now());
}

#[test]
fn a_timer_fires_at_its_time_and_is_disarmed_then() {
    let smol = Smol::new();
    run(&smol, async {
        let mut timer = smol.timer();
        let at = smol.now() + 5 * MS;
        timer.set(Some(at));
        expired(&mut *timer).await;
        assert!(smol.now() >= at);
        assert_eq!(poll_once(&mut *timer).await, Poll::Pending);
    });
}

#[test]
fn a_timer_armed_in_the_past_is_ready_at_once() {
    let smol = Smol::new();
    run(&smol, async {
        let mut timer = smol.timer();
        timer.set(Some(Duration::ZERO));
        assert_eq!(poll_once(&mut *timer).await, Poll::Ready(()));
    });
}

#[test]
fn a_timer_is_rearmed_earlier() {
    let smol = Smol::new();
    run(&smol, async {
        let mut timer = smol.timer();
        timer.set(Some(smol.now() + HANG));
        assert_eq!(poll_once(&mut *timer).await, Poll::Pending);
        timer.set(Some(smol.now() + 5 * MS));
        let begun = smol.now();
        expired(&mut *timer).await;
        assert!(smol.now() - begun < HANG / 2);
    });
}

#[test]
fn a_timer_is_rearmed_later() {
    let smol = Smol::new();
    run(&smol, async {
        let mut timer = smol.timer();
        timer.set(Some(smol.now() + 2 * MS));
        assert_eq!(poll_once(&mut *timer).await, Poll::Pending);
        let at = smol.now() + 30 * MS;
        timer.set(Some(at));
        expired(&mut *timer).await;
        assert!(smol.now() >= at, "the first arming must not count");
    });
}

#[test]
fn a_disarmed_timer_does_not_fire() {
    let smol = Smol::new();
    run(&smol, async {
        let (mut timer, mut clock) = (smol.timer(), smol.timer());
        timer.set(Some(smol.now() + 2 * MS));
        assert_eq!(poll_once(&mut *timer).await, Poll::Pending);
        timer.set(None);
        clock.set(Some(smol.now() + 10 * MS));
        expired(&mut *clock).await;
        assert_eq!(poll_once(&mut *timer).await, Poll::Pending);
        timer.set(Some(smol.now() + MS));
        expired(&mut *timer).await;
    });
}

#[test]
fn a_timer_for_ever_never_fires() {
    let smol = Smol::new();
    run(&smol, async {
        let mut timer = smol.timer();
        timer.set(Some(Duration::MAX));
        assert_eq!(poll_once(&mut *timer).await, Poll::Pending);
        timer.set(Some(smol.now() + MS));
        expired(&mut *timer).await;
    });
}

#[test]
fn a_timer_wakes_the_last_waker_it_was_polled_with() {
    struct Tell(mpsc::Sender<()>);
    impl Wake for Tell {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(());
        }
    }
    let smol = Smol::new();
    let mut timer = smol.timer();
    let (told, tells) = mpsc::channel();
    timer.set(Some(smol.now() + 30 * MS));
    assert!(timer.poll_expired(&mut Context::from_waker(Waker::noop())).is_pending());
    let waker = Waker::from(Arc::new(Tell(told)));
    assert!(timer.poll_expired(&mut Context::from_waker(&waker)).is_pending());
    tells.recv_timeout(HANG).unwrap();
    assert!(timer.poll_expired(&mut Context::from_waker(&waker)).is_ready());
}

#[test]
fn tasks_run_on_the_thread_in_block_on() {
    let smol = Smol::new();
    let (tell, told) = async_pair();
    run(&smol, async {
        smol.spawn(Box::pin(async move { tell.send(thread::current().id()) }));
        assert_eq!(told.recv().await, thread::current().id());
    });
}

#[test]
fn a_task_spawned_from_another_thread_wakes_block_on() {
    let smol = Arc::new(Smol::new());
    let (tell, told) = async_pair();
    let (go, gone) = mpsc::channel();
    let other = thread::spawn({
        let smol = Arc::clone(&smol);
        move || {
            gone.recv().unwrap();
            smol.spawn(Box::pin(async move { tell.send(thread::current().id()) }));
        }
    });
    run(&*smol, async {
        go.send(()).unwrap();
        assert_eq!(told.recv().await, thread::current().id());
    });
    other.join().unwrap();
}

#[test]
fn a_panic_in_a_task_ends_only_that_task() {
    let smol = Smol::new();
    let (tell, told) = async_pair();
    run(&smol, async {
        smol.spawn(Box::pin(async { panic!("expected in this test") }));
        smol.spawn(Box::pin(async move { tell.send(7) }));
        assert_eq!(told.recv().await, 7);
    });
}

#[test]
fn without_block_on_the_helper_thread_drives() {
    let smol = Smol::new();
    let (done, ended) = mpsc::channel();
    smol.spawn(Box::pin(async { panic!("expected in this test") }));
    let mut timer = smol.timer();
    timer.set(Some(smol.now() + 2 * MS));
    smol.spawn(Box::pin(async move {
        expired(&mut *timer).await;
        done.send(thread::current().name().map(String::from)).unwrap();
    }));
    assert_eq!(ended.recv_timeout(HANG).unwrap().as_deref(), Some("tractor-smol"));
}

#[test]
fn under_a_foreign_block_on_the_global_executor_drives() {
    let (tell, told) = async_pair();
    let value = futures_lite::future::block_on(async {
        Smol::global().spawn(Box::pin(async move { tell.send(3) }));
        told.recv().await
    });
    assert_eq!(value, 3);
}

#[test]
fn the_helper_steps_back_and_takes_over_again() {
    let smol = Smol::new();
    let (ask, asked) = mpsc::channel();
    let (wakes, task) = sync_task(ask);
    smol.spawn(Box::pin(task));
    assert_eq!(asked.recv_timeout(HANG).unwrap().as_deref(), Some("tractor-smol"));
    for _ in 0..200 {
        let (tell, told) = async_pair();
        run(&smol, async {
            smol.spawn(Box::pin(async move { tell.send(()) }));
            told.recv().await;
        });
        wakes.wake_by_ref();
        assert_eq!(asked.recv_timeout(HANG).unwrap().as_deref(), Some("tractor-smol"));
    }
}

#[test]
fn block_on_takes_the_tasks_from_the_helper() {
    let smol = Smol::new();
    let (started, start) = mpsc::channel();
    smol.spawn(Box::pin(async move { started.send(()).unwrap() }));
    start.recv_timeout(HANG).unwrap();
    run(&smol, async {
        // The helper may still be on its way out at first; once it is, every task runs here.
        let (begun, mut in_a_row) = (smol.now(), 0);
        while in_a_row < 400 {
            assert!(smol.now() - begun < HANG, "the helper goes on beside block_on");
            // A crowd, for one task alone is not worth waking a second thread.
            let crowd: Vec<_> = (0..50)
                .map(|_| {
                    let (tell, told) = async_pair();
                    smol.spawn(Box::pin(async move { tell.send(thread::current().id()) }));
                    told
                })
                .collect();
            let mut here = true;
            for told in crowd {
                here &= told.recv().await == thread::current().id();
            }
            in_a_row = if here { in_a_row + 1 } else { 0 };
        }
    });
}

#[test]
fn a_task_left_by_block_on_goes_on_after_it() {
    let smol = Smol::new();
    let (done, ended) = mpsc::channel();
    run(&smol, async {
        let mut timer = smol.timer();
        timer.set(Some(smol.now() + 5 * MS));
        smol.spawn(Box::pin(async move {
            expired(&mut *timer).await;
            done.send(()).unwrap();
        }));
    });
    ended.recv_timeout(HANG).unwrap();
}

#[test]
fn many_short_block_ons_lose_no_task() {
    let smol = Arc::new(Smol::new());
    let (done, ended) = mpsc::channel();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (smol, done) = (Arc::clone(&smol), done.clone());
            thread::spawn(move || {
                for _ in 0..500 {
                    let outside = done.clone();
                    smol.spawn(Box::pin(async move { outside.send(()).unwrap() }));
                    let inside = done.clone();
                    run(&*smol, async {
                        smol.spawn(Box::pin(async move { inside.send(()).unwrap() }));
                    });
                }
            })
        })
        .collect();
    for _ in 0..4000 {
        ended.recv_timeout(HANG).unwrap();
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn dropping_the_executor_drops_its_tasks() {
    let smol = Smol::new();
    let (held, dropped) = mpsc::channel::<()>();
    let (started, start) = mpsc::channel();
    smol.spawn(Box::pin(async move {
        let _held = held;
        started.send(()).unwrap();
        std::future::pending::<()>().await;
    }));
    start.recv_timeout(HANG).unwrap();
    drop(smol);
    assert_eq!(dropped.recv_timeout(HANG), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn a_watched_pipe_tells_when_it_is_readable() {
    let smol = Smol::new();
    let (reader, writer) = pipe();
    let reader = Arc::new(reader);
    let watch = smol.watch(Arc::clone(&reader)).unwrap();
    run(&smol, async {
        let first = poll_fn(|cx| Poll::Ready(watch.poll_readable(cx).is_ready())).await;
        assert!(!first, "nothing was written yet");
        smol.spawn(Box::pin(async move {
            rustix::io::write(&writer, b"x").unwrap();
        }));
        poll_fn(|cx| watch.poll_readable(cx)).await.unwrap();
    });
    let mut buf = [0; 4];
    assert_eq!(rustix::io::read(&*reader, &mut buf).unwrap(), 1);
    assert!(rustix::fs::fcntl_getfl(&*reader).unwrap().contains(rustix::fs::OFlags::NONBLOCK));
}

#[test]
fn a_watch_is_rearmed_while_there_is_something_to_read() {
    let smol = Smol::new();
    let (reader, writer) = pipe();
    rustix::io::write(&writer, b"xyz").unwrap();
    let watch = smol.watch(Arc::new(reader)).unwrap();
    run(&smol, async {
        for _ in 0..3 {
            poll_fn(|cx| watch.poll_readable(cx)).await.unwrap();
        }
    });
}

#[test]
fn a_watched_pipe_tells_of_its_end_and_of_room() {
    let smol = Smol::new();
    let (reader, writer) = pipe();
    let reads = smol.watch(Arc::new(reader)).unwrap();
    let writes = smol.watch(Arc::new(writer)).unwrap();
    run(&smol, async {
        poll_fn(|cx| writes.poll_writable(cx)).await.unwrap();
        drop(writes);
        poll_fn(|cx| reads.poll_readable(cx)).await.unwrap();
    });
}

#[test]
fn a_descriptor_is_watched_once() {
    let smol = Smol::new();
    let (reader, _writer) = pipe();
    let reader = Arc::new(reader);
    let watch = smol.watch(Arc::clone(&reader)).unwrap();
    assert!(smol.watch(Arc::clone(&reader)).is_err());
    drop(watch);
    assert!(smol.watch(reader).is_ok());
}

/// One value from a task to a future, through a waker.
fn async_pair<T: Send + 'static>() -> (Tell<T>, Told<T>) {
    let slot = Arc::new(std::sync::Mutex::new((None, None)));
    (Tell(Arc::clone(&slot)), Told(slot))
}

type Slot<T> = Arc<std::sync::Mutex<(Option<T>, Option<Waker>)>>;
struct Tell<T>(Slot<T>);
struct Told<T>(Slot<T>);

impl<T> Tell<T> {
    fn send(self, value: T) {
        let waker = {
            let mut slot = self.0.lock().unwrap();
            slot.0 = Some(value);
            slot.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Told<T> {
    async fn recv(self) -> T {
        poll_fn(|cx| {
            let mut slot = self.0.lock().unwrap();
            slot.1 = Some(cx.waker().clone());
            slot.0.take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// A task that tells at each of its polls which thread polled it, and its waker.
fn sync_task(ask: mpsc::Sender<Option<String>>) -> (Waker, impl Future<Output = ()> + Send) {
    struct Relay(std::sync::Mutex<Option<Waker>>);
    impl Wake for Relay {
        fn wake(self: Arc<Self>) {
            if let Some(waker) = &*self.0.lock().unwrap() {
                waker.wake_by_ref();
            }
        }
    }
    let relay = Arc::new(Relay(std::sync::Mutex::new(None)));
    let waker = Waker::from(Arc::clone(&relay));
    let task = poll_fn(move |cx| {
        *relay.0.lock().unwrap() = Some(cx.waker().clone());
        ask.send(thread::current().name().map(String::from)).unwrap();
        Poll::Pending
    });
    (waker, task)
}
