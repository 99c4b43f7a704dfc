//! The contract kit over every transport of this crate.

use std::sync::Arc;

use tractor_core::Address;
use tractor_executors::Executor;
use tractor_executors::smol::Smol;
use tractor_transports::contract::{self, Pair};
use tractor_transports::mem::{self, Mem, Pipes};
use tractor_transports::uds::{self, Uds};

mod common;
use common::Dir;

#[test]
fn socketpair_keeps_the_contract() {
    let smol = Smol::new();
    contract::all(&smol, &|| {
        let (one, other) = uds::pair().expect("descriptors are left");
        let stream = |fd| uds::from_fd(&smol, fd, "socketpair").expect("it is a socket");
        (stream(one), stream(other))
    });
}

#[test]
fn uds_keeps_the_contract() {
    let dir = Dir::new("contract");
    let executor: Arc<dyn Executor> = Arc::new(Smol::new());
    contract::transport(&executor, &Uds::new(), &dir.addr("socket"));
}

#[test]
fn mem_keeps_the_contract() {
    let executor: Arc<dyn Executor> = Arc::new(Smol::new());
    let addr: Address = "/ip4/127.0.0.1/tcp/0".parse().expect("an address");
    contract::transport(&executor, &Mem::default(), &addr);
}

#[test]
fn mem_keeps_the_contract_at_any_split() {
    let smol = Smol::new();
    for (capacity, chunk_max) in [(1, 1), (7, 1), (7, 3), (4096, 5), (65536, usize::MAX)] {
        let make = || -> Pair { mem::pair(Pipes { capacity, chunk_max }) };
        contract::all(&smol, &make);
    }
}
