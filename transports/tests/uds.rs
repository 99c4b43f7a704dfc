//! What unix domain sockets promise beyond the contract of every transport.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::io::FdFlags;
use tractor_core::Address;
use tractor_executors::smol::Smol;
use tractor_executors::{BoxFuture, Direction, Executor, Readiness, Timer};
use tractor_transports::uds::{self, PATH_LEN_MAX, Uds};
use tractor_transports::{Listener, Stream, Transport as _, contract};

mod common;
use common::Dir;

fn smol() -> Arc<dyn Executor> {
    Arc::new(Smol::new())
}

fn run<T>(executor: &Arc<dyn Executor>, future: impl Future<Output = T>) -> T {
    let mut out = None;
    executor.block_on(pin!(async { out = Some(future.await) }));
    out.expect("block_on runs it to its end")
}

fn listen(executor: &Arc<dyn Executor>, addr: &Address) -> Box<dyn Listener> {
    Uds::new().listen(executor, addr).expect("the address is free")
}

async fn accept(listener: &dyn Listener) -> io::Result<Box<dyn Stream>> {
    poll_fn(|cx| listener.poll_accept(cx)).await
}

fn poll_accept_once(listener: &dyn Listener) -> Poll<io::Result<Box<dyn Stream>>> {
    listener.poll_accept(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn the_file_is_private_and_goes_with_the_listener() {
    let (executor, dir) = (smol(), Dir::new("private"));
    let listener = listen(&executor, &dir.addr("socket"));
    let meta = std::fs::symlink_metadata(dir.path("socket")).expect("it was made");
    assert!(meta.file_type().is_socket());
    assert_eq!(meta.mode() & 0o777, 0o600);
    assert_eq!(listener.local_addr(), dir.addr("socket"));
    drop(listener);
    assert!(!dir.path("socket").exists());
}

#[test]
fn a_foreign_file_in_its_place_stays() {
    let (executor, dir) = (smol(), Dir::new("foreign"));
    let listener = listen(&executor, &dir.addr("socket"));
    std::fs::remove_file(dir.path("socket")).expect("it was made");
    let second = listen(&executor, &dir.addr("socket"));
    drop(listener);
    assert!(dir.path("socket").exists(), "the second listener's file was removed");
    drop(second);
    assert!(!dir.path("socket").exists());
}

#[test]
fn a_file_that_is_there_is_never_replaced() {
    let (executor, dir) = (smol(), Dir::new("stale"));
    drop(UnixListener::bind(dir.path("socket")).expect("the name is free"));
    let error = Uds::new().listen(&executor, &dir.addr("socket")).expect_err("the file is there");
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(dir.path("socket").exists());
    let connect = Uds::new().connect(&executor, &dir.addr("socket"));
    let error = run(&executor, connect).expect_err("nobody listens");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert!(error.to_string().contains("/socket: "), "{error}");
    let inner = error.get_ref().and_then(|inner| inner.source()).expect("the system's error");
    assert!(inner.downcast_ref::<io::Error>().is_some_and(|inner| inner.raw_os_error().is_some()));
}

#[test]
fn a_path_that_is_too_long_is_named_with_the_limit() {
    let (executor, dir) = (smol(), Dir::new("long"));
    let room = PATH_LEN_MAX - dir.path("").as_os_str().len();
    drop(listen(&executor, &dir.addr(&"x".repeat(room))));
    let addr = dir.addr(&"x".repeat(room + 1));
    let connect = run(&executor, Uds::new().connect(&executor, &addr)).map(drop);
    for result in [Uds::new().listen(&executor, &addr).map(drop), connect] {
        let error = result.expect_err("the path is too long");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let text = error.to_string();
        assert!(text.contains(&addr.uds_path().expect("a path")), "{text}");
        assert!(text.contains("107") || !cfg!(target_os = "linux"), "{text}");
    }
}

#[test]
fn an_address_of_another_kind_is_refused() {
    let addr: Address = "/ip4/127.0.0.1/tcp/1".parse().expect("an address");
    assert!(!Uds::new().serves(&addr));
    let error = Uds::new().listen(&smol(), &addr).expect_err("not a path");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
#[cfg(target_os = "linux")]
fn the_peer_is_known() {
    let (executor, dir) = (smol(), Dir::new("peer"));
    let listener = listen(&executor, &dir.addr("socket"));
    let (near, far) = contract::connected(&executor, &Uds::new(), &*listener);
    let (one, _other) = uds::pair().expect("descriptors are left");
    let nameless = uds::from_fd(&*executor, one, "socketpair").expect("a socket");
    for stream in [&near, &far, &nameless] {
        assert_eq!(stream.peer().pid, Some(std::process::id()));
        assert_eq!(stream.peer().uid, Some(rustix::process::getuid().as_raw()));
    }
    assert_eq!((near.link(), nameless.link()), ("uds", "socketpair"));
}

#[test]
fn descriptors_are_closed_on_exec() {
    let closed_on_exec =
        |fd: &OwnedFd| rustix::io::fcntl_getfd(fd).expect("it is open").contains(FdFlags::CLOEXEC);
    let (one, other) = uds::pair().expect("descriptors are left");
    assert!(closed_on_exec(&one) && closed_on_exec(&other));

    let dir = Dir::new("cloexec");
    let spy = Arc::new(Spy::new(smol()));
    let executor: Arc<dyn Executor> = Arc::clone(&spy) as _;
    let listener = listen(&executor, &dir.addr("socket"));
    let _streams = contract::connected(&executor, &Uds::new(), &*listener);
    rustix::io::fcntl_setfd(&one, FdFlags::empty()).expect("it is open");
    let _stream = uds::from_fd(&*executor, one, "socketpair").expect("a socket");
    let watched = spy.watched.lock().expect("no panic");
    assert_eq!(watched.len(), 4, "the listener, two ends, and the pair's one");
    for fd in &*watched {
        assert!(closed_on_exec(fd));
        let flags = rustix::fs::fcntl_getfl(fd).expect("it is open");
        assert!(flags.contains(OFlags::NONBLOCK));
    }
}

#[test]
fn no_socket_is_no_stream() {
    let (reader, _writer) = rustix::pipe::pipe().expect("descriptors are left");
    let made = uds::from_fd(&Smol::new(), reader, "socketpair");
    assert!(made.is_err() || !cfg!(target_os = "linux"));
}

/// Connects until the listener's backlog is full.
#[cfg(target_os = "linux")]
fn fill_backlog(executor: &Arc<dyn Executor>, addr: &Address) -> Vec<Box<dyn Stream>> {
    let hasty = Uds::new().connect_wait_max(Duration::ZERO);
    let mut waiting = Vec::new();
    loop {
        match run(executor, hasty.connect(executor, addr)) {
            Ok(stream) => waiting.push(stream),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                assert!(error.to_string().contains(&addr.uds_path().expect("a path")), "{error}");
                return waiting;
            }
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_connect_waits_for_room_in_the_backlog() {
    let (executor, dir) = (smol(), Dir::new("backlog"));
    let addr = dir.addr("socket");
    let listener = listen(&executor, &addr);
    let waiting = fill_backlog(&executor, &addr);
    assert!(waiting.len() >= 128, "a backlog of {}", waiting.len());
    run(&executor, async {
        let mut late = Uds::new().connect(&executor, &addr);
        let first = poll_fn(|cx| Poll::Ready(late.as_mut().poll(cx).is_pending())).await;
        assert!(first, "there is no room yet");
        accept(&*listener).await.expect("many wait");
        late.await.expect("there is room now");
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_connect_gives_up_at_its_deadline() {
    let (executor, dir) = (smol(), Dir::new("deadline"));
    let addr = dir.addr("socket");
    let _listener = listen(&executor, &addr);
    let _waiting = fill_backlog(&executor, &addr);
    let wait = Duration::from_millis(20);
    let begun = executor.now();
    let late = Uds::new().connect_wait_max(wait).connect(&executor, &addr);
    let error = run(&executor, late).expect_err("nobody accepts");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(executor.now() - begun >= wait);
}

#[test]
fn a_failed_accept_rests_and_goes_on() {
    let dir = Dir::new("rest");
    let spy = Arc::new(Spy::new(smol()));
    let executor: Arc<dyn Executor> = Arc::clone(&spy) as _;
    let listener = listen(&executor, &dir.addr("socket"));
    let _clients: Vec<_> = (0..2)
        .map(|_| UnixStream::connect(dir.path("socket")).expect("somebody listens"))
        .collect();
    spy.refuse.store(1, Ordering::SeqCst);
    run(&executor, async {
        let begun = executor.now();
        accept(&*listener).await.expect_err("the executor refused to watch");
        assert!(poll_accept_once(&*listener).is_pending(), "no rest after a failure");
        accept(&*listener).await.expect("the second one waits still");
        assert!(executor.now() - begun >= Duration::from_millis(100));
    });
}

#[test]
fn reading_tries_only_when_there_may_be_something() {
    let spy = Arc::new(Spy::new(smol()));
    let (one, mut other) = {
        let (one, other) = uds::pair().expect("descriptors are left");
        (one, UnixStream::from(other))
    };
    let stream = uds::from_fd(&*spy, one, "socketpair").expect("a socket");
    let executor: Arc<dyn Executor> = Arc::clone(&spy) as _;
    let mut buf = [0; 4];
    let mut read = |len: usize| {
        run(&executor, poll_fn(|cx| stream.poll_read(cx, &mut buf[..len]))).expect("it is whole")
    };
    let poll_once = || stream.poll_read(&mut Context::from_waker(Waker::noop()), &mut [0; 4]);
    std::io::Write::write_all(&mut other, b"abcdef").expect("it is whole");
    assert_eq!((read(4), spy.empty_reads()), (4, 0));
    assert_eq!((read(4), spy.empty_reads()), (2, 0));
    assert!(poll_once().is_pending());
    assert_eq!(spy.empty_reads(), 0, "the short read before it has emptied the socket");
    std::io::Write::write_all(&mut other, b"gh").expect("it is whole");
    assert_eq!((read(2), spy.empty_reads()), (2, 0));
    assert!(poll_once().is_pending());
    assert_eq!(spy.empty_reads(), 1, "a read that filled its buffer does not tell");
    drop(other);
    assert_eq!((read(2), spy.empty_reads()), (0, 1));
    assert_eq!((read(2), spy.empty_reads()), (0, 1));
}

#[test]
fn a_broken_pipe_is_an_error() {
    let executor = smol();
    let (one, other) = uds::pair().expect("descriptors are left");
    let stream = uds::from_fd(&*executor, one, "socketpair").expect("a socket");
    drop(other);
    for bufs in [&[IoSlice::new(b"x")][..], &[IoSlice::new(b"x"), IoSlice::new(b"y")]] {
        let error = stream.try_write(bufs).expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}

/// An executor that keeps what it was asked to watch, counts empty reads and can refuse.
#[derive(Debug)]
struct Spy {
    executor: Arc<dyn Executor>,
    watched: Mutex<Vec<Arc<OwnedFd>>>,
    empty_reads: Arc<AtomicU32>,
    /// Watches to refuse from now on.
    refuse: AtomicU32,
}

impl Spy {
    fn new(executor: Arc<dyn Executor>) -> Self {
        Self {
            executor,
            watched: Mutex::default(),
            empty_reads: Arc::default(),
            refuse: AtomicU32::new(0),
        }
    }

    /// Reads that found nothing.
    fn empty_reads(&self) -> u32 {
        self.empty_reads.load(Ordering::SeqCst)
    }
}

impl Executor for Spy {
    fn name(&self) -> &'static str {
        "spy"
    }

    fn now(&self) -> Duration {
        self.executor.now()
    }

    fn spawn(&self, future: BoxFuture) {
        self.executor.spawn(future);
    }

    fn timer(&self) -> Box<dyn Timer> {
        self.executor.timer()
    }

    fn watch(&self, fd: Arc<OwnedFd>) -> io::Result<Box<dyn Readiness>> {
        let refuse = |left: u32| left.checked_sub(1);
        if self.refuse.fetch_update(Ordering::SeqCst, Ordering::SeqCst, refuse).is_ok() {
            return Err(io::Error::other("refused"));
        }
        self.watched.lock().expect("no panic").push(Arc::clone(&fd));
        let readiness = self.executor.watch(fd)?;
        Ok(Box::new(SpyReadiness { readiness, empty_reads: Arc::clone(&self.empty_reads) }))
    }

    fn block_on(&self, future: Pin<&mut dyn Future<Output = ()>>) {
        self.executor.block_on(future);
    }
}

#[derive(Debug)]
struct SpyReadiness {
    readiness: Box<dyn Readiness>,
    empty_reads: Arc<AtomicU32>,
}

impl Readiness for SpyReadiness {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.readiness.poll_readable(cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.readiness.poll_writable(cx)
    }

    fn try_io(
        &self,
        direction: Direction,
        op: &mut dyn FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut tried = 0;
        let result = self.readiness.try_io(direction, &mut || {
            tried += 1;
            op()
        });
        assert_eq!(tried, 1, "an attempt is one attempt");
        let empty = result.as_ref().is_err_and(|e| e.raw_os_error().is_some());
        if empty && direction == Direction::Read {
            self.empty_reads.fetch_add(1, Ordering::SeqCst);
        }
        result
    }
}
