//! What the memory transport promises beyond the contract of every transport.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tractor_core::Address;
use tractor_executors::Executor;
use tractor_executors::smol::Smol;
use tractor_transports::mem::{self, BACKLOG, Mem, Pipes};
use tractor_transports::{Stream, Transport as _, contract};

fn read(stream: &dyn Stream, buf: &mut [u8]) -> Poll<usize> {
    let read = stream.poll_read(&mut Context::from_waker(Waker::noop()), buf);
    read.map(|read| read.expect("it never breaks"))
}

#[test]
fn capacity_and_chunks_are_exact() {
    let (near, far) = mem::pair(Pipes { capacity: 5, chunk_max: 3 });
    let write = || near.try_write(&[IoSlice::new(b"ab"), IoSlice::new(b"cdef")]);
    assert_eq!(write().expect("room for 5"), 3);
    assert_eq!(write().expect("room for 2"), 2);
    assert_eq!(write().expect_err("no room").kind(), io::ErrorKind::WouldBlock);
    let mut buf = [0; 8];
    assert_eq!(read(&*far, &mut buf), Poll::Ready(3));
    assert_eq!(&buf[..3], b"abc");
    assert_eq!(read(&*far, &mut buf), Poll::Ready(2));
    assert_eq!(&buf[..2], b"ab");
    assert_eq!(read(&*far, &mut buf), Poll::Pending);
}

#[test]
fn hubs_are_apart_and_clones_together() {
    let executor: Arc<dyn Executor> = Arc::new(Smol::new());
    let addr: Address = "/unix/nowhere/socket".parse().expect("an address");
    let (hub, other) = (Mem::default(), Mem::default());
    let listener = hub.listen(&executor, &addr).expect("the address is free");
    other.listen(&executor, &addr).expect("another hub's addresses are its own");
    let (near, far) = contract::connected(&executor, &hub.clone(), &*listener);
    assert_eq!((near.link(), far.peer().pid), ("mem", Some(std::process::id())));
}

#[test]
fn port_zero_becomes_a_free_one() {
    let executor: Arc<dyn Executor> = Arc::new(Smol::new());
    let addr: Address = "/ip4/127.0.0.1/tcp/0".parse().expect("an address");
    let hub = Mem::default();
    let one = hub.listen(&executor, &addr).expect("ports are free");
    let two = hub.listen(&executor, &addr).expect("ports are free");
    assert_ne!(one.local_addr(), two.local_addr());
    assert_ne!(one.local_addr(), addr);
}

#[test]
fn a_full_backlog_refuses_and_a_gone_listener_ends_what_waits() {
    let executor: Arc<dyn Executor> = Arc::new(Smol::new());
    let addr: Address = "/unix/nowhere/socket".parse().expect("an address");
    let hub = Mem::default();
    let listener = hub.listen(&executor, &addr).expect("the address is free");
    let connect = || {
        let mut connect = hub.connect(&executor, &addr);
        match connect.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(connected) => connected,
            Poll::Pending => panic!("it never waits"),
        }
    };
    let waiting: Vec<_> = (0..BACKLOG).map(|_| connect().expect("room")).collect();
    assert_eq!(connect().expect_err("no room").kind(), io::ErrorKind::ConnectionRefused);
    drop(listener);
    assert_eq!(read(&*waiting[0], &mut [0; 4]), Poll::Ready(0));
}
