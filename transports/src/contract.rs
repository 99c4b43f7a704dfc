//! The contract of a transport, as checks its author can run.
//!
//! Every check takes an executor and a way to make a connected pair of streams, and panics with
//! what was broken. [`all`] runs all that a pair of streams can show; [`transport`] adds what
//! listening and connecting must do. A check that hangs fails after [`CHECK_WAIT_MAX`].
//!
//! ```
//! use tractor_executors::smol::Smol;
//! use tractor_transports::{contract, mem};
//!
//! contract::all(&Smol::new(), &|| mem::pair(mem::Pipes { capacity: 5, chunk_max: 3 }));
//! ```
//!
//! Where a check needs a reader and a writer at once, each has a waker of its own and is polled
//! only when that one was woken: a wakeup that went to the wrong side, or to nobody, is a hang.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tractor_core::Address;
use tractor_executors::Executor;

use crate::{Listener, Stream, Transport};

/// Both ends of one connection.
pub type Pair = (Box<dyn Stream>, Box<dyn Stream>);

/// How long a check may take before it counts as hung. The longest takes milliseconds.
pub const CHECK_WAIT_MAX: Duration = Duration::from_secs(30);

/// What is written at most to fill a stream: one that takes more without its peer reading has no
/// bound.
const UNREAD_MAX: usize = 64 << 20;

/// Runs every check on pairs of streams.
///
/// # Panics
/// When the contract is broken.
pub fn all(executor: &dyn Executor, make: &dyn Fn() -> Pair) {
    keeps_order_byte_by_byte(executor, make);
    answers_each_byte(executor, make);
    carries_large_vectored_writes_both_ways(executor, make);
    blocks_then_tells_of_room(executor, make);
    ends_after_shutdown(executor, make);
    shutdown_wakes_its_own_reader(executor, make);
    a_gone_peer_wakes_the_reader(executor, make);
    a_gone_peer_breaks_the_writer(executor, make);
    wakes_the_last_waker(executor, make);
}

/// What is written byte by byte is read byte by byte, in order.
///
/// # Panics
/// When the contract is broken.
pub fn keeps_order_byte_by_byte(executor: &dyn Executor, make: &dyn Fn() -> Pair) {
    let (near, far) = make();
    let sent = pattern(3000);
    let (_, received) = within(executor, "keeps_order_byte_by_byte", async {
        both(write_all(&*near, &sent, 1), read_exactly(&*far, sent.len(), 1)).await
    });
    assert!(received == sent, "the bytes came in another order, or changed");
}

/// A byte that waits for the answer to the one before it arrives: no wakeup is lost or late.
///
/// # Panics
/// When the contract is broken.
pub fn answers_each_byte(executor: &dyn Executor, make: &dyn Fn() -> Pair) {
    let (near, far) = make();
    let rounds = pattern(300);
    let asks = async {
        for byte in &rounds {
            write_all(&*near, &[*byte], 1).await;
            assert_eq!(read_exactly(&*near, 1, 16).await, [!*byte], "another byte came back");
        }
    };
    let answers = async {
        for _ in &rounds {
            let asked = read_exactly(&*far, 1, 16).await;
            write_all(&*far, &[!asked[0]], 1).await;
        }
    };
    within(executor, "answers_each_byte", both(asks, answers));
}

/// More slices than a system call takes, some of them empty, more bytes than a buffer holds, both
/// ways at once over the same two streams.
///
/// # Panics
/// When the contract is broken.
pub fn carries_large_vectored_writes_both_ways(executor: &dyn Executor, make: &dyn Fn() -> Pair) {
    let (near, far) = make();
    let sent = pattern(300_000);
    let slices: Vec<&[u8]> = sent.chunks(211).flat_map(|part| [part, &[]]).collect();
    let there = both(write_vectored(&*near, &slices), read_exactly(&*far, sent.len(), 4096));
    let back = both(write_vectored(&*far, &slices), read_exactly(&*near, sent.len(), 65536));
    let ((_, there), (_, back)) =
        within(executor, "carries_large_vectored_writes_both_ways", both(there, back));
    assert!(there == sent && back == sent, "the bytes came in another order, or changed");
}

/// A stream nobody reads says `WouldBlock` at some point, and tells its writer once there is room.
///
/// # Panics
/// When the contract is broken.
pub fn blocks_then_tells_of_room(executor: &dyn Executor, make: &dyn Fn() -> Pair) {
    let (near, far) = make();
    let filled = fill(&*near);
    let rest = pattern(100_000);
    let total = filled + rest.len();
    let (_, received) = within(executor, "blocks_then_tells_of_room", async {
        both(write_all(&*near, &rest, usize::MAX), read_exactly(&*far, total, 1000)).await
    });
    assert!(received[filled..] == rest, "a write that would have blocked left bytes behind");
}

/// After a shutdown the peer reads what was written, then the end, as often as it asks; writes
/// fail, the peer's at least once it has heard of it.
///
/// # Panics
/// When the contract is broken.
pub fn ends_after_shutdown(executor: &dyn Executor, make: &dyn Fn() -> Pair) {
    let (near, far) = make();
    within(executor, "ends_after_shutdown", async {
        let last = b"last words";
        let written = near.try_write(&[IoSlice::new(last)]).expect("an empty stream has room");
        near.shutdown();
        near.shutdown();
        assert_eq!(read_exactly(&*far, written, 3).await, last[..written]);
        for _ in 0..3 {
            assert_eq!(read(&*far, &mut [0; 8]).await.expect("an orderly end"), 0);
        }
        let error = near.try_write(&[IoSlice::new(b"x")]).expect_err("its own write was taken");
        assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "its own write is to fail");
        // The peer's fails as soon as it hears that nobody reads, which may take a while.
        while far.try_write(&[IoSlice::new(b"x")]).is_ok_and(|written| written > 0) {
            turn().await;
        }
        let error = far.try_write(&[IoSlice::new(b"x")]).expect_err("a write that fails once");
        assert_ne!(error.kind(), io::ErrorKind::WouldBlock, "the peer's write is to fail");
    });
}

/// Lets others have their turn.
async fn turn() {
    let mut had = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut had, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A shutdown ends the read that is pending on the same stream.
///
/// # Panics
/// When the contract is broken.
pub fn shutdown_wakes_its_own_reader(executor: &dyn Executor, make: &dyn Fn() -> Pair) {
    let (near, _far) = make();
    let ended = within(executor, "shutdown_wakes_its_own_reader", async {
        let mut buf = [0; 8];
        both(read(&*near, &mut buf), async { near.shutdown() }).await.0
    });
    assert!(!matches!(ended, Ok(1..)), "bytes that nobody wrote: {ended:?}");
}

/// A peer that is dropped wakes the pending read with the end or an error.
///
/// # Panics
/// When the contract is broken.
pub fn a_gone_peer_wakes_the_reader(executor: &dyn Executor, make: &dyn Fn() -> Pair) {
    let (near, far) = make();
    let ended = within(executor, "a_gone_peer_wakes_the_reader", async {
        let mut buf = [0; 8];
        both(read(&*near, &mut buf), async move { drop(far) }).await.0
    });
    assert!(!matches!(ended, Ok(1..)), "bytes that nobody wrote: {ended:?}");
}

/// A peer that is dropped with bytes it never read breaks the writer that waits for room, and the
/// reader comes to an end or an error.
///
/// # Panics
/// When the contract is broken.
pub fn a_gone_peer_breaks_the_writer(executor: &dyn Executor, make: &dyn Fn() -> Pair) {
    let (near, far) = make();
    fill(&*near);
    within(executor, "a_gone_peer_breaks_the_writer", async {
        let writes = async {
            loop {
                match near.try_write(&[IoSlice::new(&[0; 1024])]) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        writable(&*near).await;
                    }
                    Err(_) => break,
                }
            }
        };
        both(writes, async move { drop(far) }).await;
        let ended = read(&*near, &mut [0; 8]).await;
        assert!(!matches!(ended, Ok(1..)), "bytes that nobody wrote: {ended:?}");
    });
}

/// A read polled twice wakes the waker of the second poll.
///
/// # Panics
/// When the contract is broken.
pub fn wakes_the_last_waker(executor: &dyn Executor, make: &dyn Fn() -> Pair) {
    let (near, far) = make();
    within(executor, "wakes_the_last_waker", async {
        let mut buf = [0; 8];
        let first = near.poll_read(&mut Context::from_waker(Waker::noop()), &mut buf);
        assert!(first.is_pending(), "nothing was written, yet a read was ready: {first:?}");
        let (read, _) = both(read(&*near, &mut buf), write_all(&*far, b"x", 1)).await;
        assert_eq!(read.expect("a whole connection"), 1);
    });
}

/// Runs every check on a transport, listening on `addr`, which must be free.
///
/// # Panics
/// When the contract is broken.
pub fn transport(executor: &Arc<dyn Executor>, transport: &dyn Transport, addr: &Address) {
    assert!(transport.serves(addr), "the transport does not serve {addr}");
    let listener = transport.listen(executor, addr).expect("the address is free");
    let addr = listener.local_addr();
    let taken = transport.listen(executor, &addr).expect_err("the address is taken");
    assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    assert_names(&taken, &addr);

    all(&**executor, &|| connected(executor, transport, &*listener));

    drop(listener);
    let refused = within(&**executor, "connect to nobody", transport.connect(executor, &addr))
        .expect_err("nobody listens any more");
    assert_names(&refused, &addr);
    transport.listen(executor, &addr).expect("a dropped listener leaves its address free");
}

/// Connects to `listener` and accepts: the connecting end, and the accepted one.
///
/// # Panics
/// When that fails.
pub fn connected(
    executor: &Arc<dyn Executor>,
    transport: &dyn Transport,
    listener: &dyn Listener,
) -> Pair {
    let connect = transport.connect(executor, &listener.local_addr());
    let accept = poll_fn(|cx| listener.poll_accept(cx));
    let (near, far) = within(&**executor, "connect and accept", both(connect, accept));
    (near.expect("somebody listens"), far.expect("somebody connects"))
}

fn assert_names(error: &io::Error, addr: &Address) {
    let text = error.to_string();
    let named = text.contains(&addr.to_string())
        || addr.uds_path().is_some_and(|path| text.contains(&path));
    assert!(named, "the error does not name {addr}: {text}");
}

/// Bytes in which a lost, doubled or swapped piece shows: the period is prime.
fn pattern(len: usize) -> Vec<u8> {
    (0..=250).cycle().take(len).collect()
}

async fn read(stream: &dyn Stream, buf: &mut [u8]) -> io::Result<usize> {
    poll_fn(|cx| stream.poll_read(cx, buf)).await
}

async fn writable(stream: &dyn Stream) {
    poll_fn(|cx| stream.poll_writable(cx)).await.expect("the reactor lives");
}

async fn read_exactly(stream: &dyn Stream, len: usize, buf_len: usize) -> Vec<u8> {
    let mut received = Vec::with_capacity(len);
    let mut buf = vec![0; buf_len];
    while received.len() < len {
        let room = buf_len.min(len - received.len());
        let read = read(stream, &mut buf[..room]).await.expect("a whole connection");
        assert!(read > 0, "the stream ended after {} of {len} bytes", received.len());
        assert!(read <= room, "a read of {read} bytes into {room}");
        received.extend_from_slice(&buf[..read]);
    }
    received
}

async fn write_all(stream: &dyn Stream, bytes: &[u8], chunk_len: usize) {
    for chunk in bytes.chunks(chunk_len) {
        write_vectored(stream, &[chunk]).await;
    }
}

async fn write_vectored(stream: &dyn Stream, slices: &[&[u8]]) {
    let mut slices: Vec<IoSlice<'_>> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
    let mut left = &mut slices[..];
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match stream.try_write(left) {
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => writable(stream).await,
            Err(error) => panic!("a write to a whole connection failed: {error}"),
        }
    }
}

/// Writes until it would block, and says how much that was.
fn fill(stream: &dyn Stream) -> usize {
    let chunk = [0x5a; 4096];
    let mut filled = 0;
    while filled < UNREAD_MAX {
        match stream.try_write(&[IoSlice::new(&chunk)]) {
            Ok(written) => filled += written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return filled,
            Err(error) => panic!("a write to a whole connection failed: {error}"),
        }
    }
    panic!("the stream took {filled} bytes that nobody read");
}

/// Runs a check to its end, or panics when it hangs.
fn within<T>(executor: &dyn Executor, what: &str, check: impl Future<Output = T>) -> T {
    let mut check = pin!(check);
    let mut timer = executor.timer();
    timer.set(Some(executor.now() + CHECK_WAIT_MAX));
    let mut out = None;
    executor.block_on(pin!(poll_fn(|cx| {
        if let Poll::Ready(value) = check.as_mut().poll(cx) {
            out = Some(value);
            return Poll::Ready(());
        }
        timer.poll_expired(cx)
    })));
    out.unwrap_or_else(|| panic!("{what}: not done after {CHECK_WAIT_MAX:?}, a wakeup is missing"))
}

/// Runs two futures, each polled only when its own waker was woken.
async fn both<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (turn_a, turn_b) = (Turn::new(), Turn::new());
    let (mut out_a, mut out_b) = (None, None);
    poll_fn(|cx| {
        if out_a.is_none() {
            out_a = turn_a.poll(a.as_mut(), cx);
        }
        if out_b.is_none() {
            out_b = turn_b.poll(b.as_mut(), cx);
        }
        match (out_a.take(), out_b.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (out_a, out_b) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

/// The waker of one of two futures.
struct Turn {
    woken: AtomicBool,
    /// Whom to wake then: the task both futures are in.
    task: Mutex<Waker>,
}

impl Turn {
    fn new() -> Arc<Self> {
        // Woken at first, for the first poll.
        Arc::new(Self { woken: AtomicBool::new(true), task: Mutex::new(Waker::noop().clone()) })
    }

    fn poll<T>(
        self: &Arc<Self>,
        future: Pin<&mut impl Future<Output = T>>,
        cx: &Context<'_>,
    ) -> Option<T> {
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = cx.waker().clone();
        if !self.woken.swap(false, Ordering::SeqCst) {
            return None;
        }
        match future.poll(&mut Context::from_waker(&Waker::from(Arc::clone(self)))) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
        task.wake();
    }
}
