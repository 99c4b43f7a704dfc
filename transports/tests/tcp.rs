//! What the contract does not say of TCP.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{Ipv6Addr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tractor_core::Address;
use tractor_executors::Executor;
use tractor_executors::smol::Smol;
use tractor_executors::tokio::Tokio;
use tractor_transports::tcp::{Tcp, is_loopback};
use tractor_transports::{PeerIdentity, Transport as _, contract};

fn executors() -> [Arc<dyn Executor>; 2] {
    [Arc::new(Smol::new()), Arc::new(Tokio::current_thread().expect("descriptors are left"))]
}

fn run<T>(executor: &Arc<dyn Executor>, future: impl Future<Output = T>) -> T {
    let mut out = None;
    executor.block_on(pin!(async { out = Some(future.await) }));
    out.expect("block_on runs it to its end")
}

fn addr(text: &str) -> Address {
    text.parse().expect("an address")
}

#[test]
fn port_zero_becomes_a_real_one_and_nobody_is_known() {
    for executor in executors() {
        let tcp = Tcp::new();
        let listener = tcp.listen(&executor, &addr("/ip4/127.0.0.1/tcp/0")).expect("a free port");
        let Address::Tcp { port, .. } = listener.local_addr() else { panic!("another kind") };
        assert_ne!(port, 0);
        let (near, far) = contract::connected(&executor, &tcp, &*listener);
        for stream in [near, far] {
            assert_eq!((stream.peer(), stream.link()), (PeerIdentity::default(), "tcp"));
        }
    }
}

#[test]
fn ipv6_keeps_the_contract() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        println!("this machine has no IPv6: nothing to check");
        return;
    }
    for executor in executors() {
        contract::transport(&executor, &Tcp::new(), &addr("/ip6/::1/tcp/0"));
    }
}

#[test]
fn an_address_is_free_at_once_after_its_connections() {
    for executor in executors() {
        let tcp = Tcp::new();
        let listener = tcp.listen(&executor, &addr("/ip4/127.0.0.1/tcp/0")).expect("a free port");
        let bound = listener.local_addr();
        // Who closes first is the one that the system remembers.
        let (_near, far) = contract::connected(&executor, &tcp, &*listener);
        drop((far, listener));
        tcp.listen(&executor, &bound).expect("nobody listens there any more");
    }
}

#[test]
fn a_connect_gives_up_at_its_deadline() {
    for executor in executors() {
        // A full backlog answers no further connect.
        let full = rustix_listener();
        let at = full.0.clone();
        let tcp = Tcp::new().connect_wait_max(Duration::from_millis(60));
        let mut held = Vec::new();
        let error = run(&executor, async {
            loop {
                match tcp.connect(&executor, &at).await {
                    Ok(stream) => held.push(stream),
                    Err(error) => break error,
                }
                assert!(held.len() < 64, "the backlog does not fill");
            }
        });
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains(&at.to_string()), "{error}");
    }
}

/// A listener with the smallest backlog, and where it is.
fn rustix_listener() -> (Address, std::os::fd::OwnedFd) {
    use rustix::net::{AddressFamily, SocketType};
    let fd = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    rustix::net::bind(&fd, &any).expect("a free port");
    rustix::net::listen(&fd, 0).expect("it is bound");
    let bound = rustix::net::getsockname(&fd).expect("it is bound");
    let bound = std::net::SocketAddr::try_from(bound).expect("an IP address");
    (Address::Tcp { host: bound.ip(), port: bound.port() }, fd)
}

#[test]
fn an_address_of_another_kind_is_refused() {
    let executor = &executors()[0];
    let other = addr("/unix/tmp/socket");
    assert!(!Tcp::new().serves(&other));
    let error = Tcp::new().listen(executor, &other).expect_err("no TCP address");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let error = run(executor, Tcp::new().connect(executor, &other)).expect_err("no TCP address");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn loopback_is_known() {
    for near in ["/ip4/127.0.0.1/tcp/1", "/ip4/127.9.0.1/tcp/1", "/ip6/::1/tcp/1", "/unix/a/b"] {
        assert!(is_loopback(&addr(near)), "{near}");
    }
    for far in ["/ip4/10.0.0.1/tcp/1", "/ip4/0.0.0.0/tcp/1", "/ip6/::/tcp/1"] {
        assert!(!is_loopback(&addr(far)), "{far}");
    }
}

/// Nothing is lost when a connection is made, used and dropped many times over.
#[test]
fn many_connections_one_after_another() {
    for executor in executors() {
        let tcp = Tcp::new();
        let listener = tcp.listen(&executor, &addr("/ip4/127.0.0.1/tcp/0")).expect("a free port");
        for byte in 0..100 {
            let (near, far) = contract::connected(&executor, &tcp, &*listener);
            near.try_write(&[io::IoSlice::new(&[byte])]).expect("an empty stream has room");
            near.shutdown();
            let mut buf = [0; 4];
            let read = run(&executor, poll_fn(|cx| far.poll_read(cx, &mut buf)));
            assert_eq!((read.expect("it is whole"), buf[0]), (1, byte));
        }
    }
}
