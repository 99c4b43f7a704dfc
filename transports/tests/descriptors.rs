//! A listener when descriptors run out. Alone in its file: the limit is the whole process's.
#![cfg(target_os = "linux")]

use std::future::{Future, poll_fn};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tractor_executors::Executor;
use tractor_executors::smol::Smol;
use tractor_transports::Transport as _;
use tractor_transports::uds::Uds;

mod common;
use common::Dir;

/// `EMFILE`: the process has as many descriptors as it may.
const TOO_MANY_OPEN_FILES: i32 = 24;

fn run<T>(executor: &Arc<dyn Executor>, future: impl Future<Output = T>) -> T {
    let mut out = None;
    executor.block_on(pin!(async { out = Some(future.await) }));
    out.expect("block_on runs it to its end")
}

#[test]
fn a_listener_outlives_a_lack_of_descriptors() {
    let (executor, dir): (Arc<dyn Executor>, _) = (Arc::new(Smol::new()), Dir::new("emfile"));
    let listener = Uds::new().listen(&executor, &dir.addr("socket")).expect("the name is free");
    let client = UnixStream::connect(dir.path("socket")).expect("somebody listens");
    run(&executor, async {
        let before = getrlimit(Resource::Nofile);
        let probe = client.try_clone().expect("descriptors are left");
        let lowest_free = u64::try_from(probe.as_raw_fd()).expect("not negative");
        drop(probe);
        let none_left = Rlimit { current: Some(lowest_free), maximum: before.maximum };
        setrlimit(Resource::Nofile, none_left).expect("a soft limit");

        let begun = executor.now();
        for _ in 0..2 {
            let error = poll_fn(|cx| listener.poll_accept(cx)).await.expect_err("none is left");
            assert_eq!(error.raw_os_error(), Some(TOO_MANY_OPEN_FILES));
            let again = listener.poll_accept(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(again, Poll::Pending), "no rest after a failure");
        }
        assert!(executor.now() - begun >= Duration::from_millis(100));

        setrlimit(Resource::Nofile, before).expect("back to what it was");
        poll_fn(|cx| listener.poll_accept(cx)).await.expect("the connection waited");
    });
}
