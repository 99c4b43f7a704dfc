//! The contract kit over every transport of this crate, on every executor.

use std::sync::Arc;

use tractor_core::Address;
use tractor_executors::Executor;
use tractor_executors::smol::Smol;
use tractor_executors::tokio::Tokio;
use tractor_transports::contract::{self, Pair};
use tractor_transports::mem::{self, Mem, Pipes};
use tractor_transports::tcp::Tcp;
use tractor_transports::uds::{self, Uds};

mod common;
use common::Dir;

fn addr(text: &str) -> Address {
    text.parse().expect("an address")
}

fn socketpair(executor: &Arc<dyn Executor>) {
    contract::all(&**executor, &|| {
        let (one, other) = uds::pair().expect("descriptors are left");
        let stream = |fd| uds::from_fd(&**executor, fd, "socketpair").expect("it is a socket");
        (stream(one), stream(other))
    });
}

fn uds(executor: &Arc<dyn Executor>) {
    let dir = Dir::new(&format!("contract-{}", executor.name()));
    contract::transport(executor, &Uds::new(), &dir.addr("socket"));
}

fn tcp(executor: &Arc<dyn Executor>) {
    contract::transport(executor, &Tcp::new(), &addr("/ip4/127.0.0.1/tcp/0"));
}

fn mem(executor: &Arc<dyn Executor>) {
    contract::transport(executor, &Mem::default(), &addr("/ip4/127.0.0.1/tcp/0"));
}

macro_rules! executors {
    ($($name:ident => $make:expr),+ $(,)?) => {
        $(mod $name {
            use super::*;

            fn make() -> Arc<dyn Executor> {
                Arc::new($make)
            }

            #[test]
            fn socketpair_keeps_the_contract() {
                socketpair(&make());
            }

            #[test]
            fn uds_keeps_the_contract() {
                uds(&make());
            }

            #[test]
            fn tcp_keeps_the_contract() {
                tcp(&make());
            }

            #[test]
            fn mem_keeps_the_contract() {
                mem(&make());
            }
        })+
    };
}

executors! {
    smol => Smol::new(),
    tokio_current_thread => Tokio::current_thread().expect("descriptors are left"),
    tokio_multi_thread => Tokio::multi_thread().expect("threads are left"),
}

#[test]
fn mem_keeps_the_contract_at_any_split() {
    let smol = Smol::new();
    for (capacity, chunk_max) in [(1, 1), (7, 1), (7, 3), (4096, 5), (65536, usize::MAX)] {
        let make = || -> Pair { mem::pair(Pipes { capacity, chunk_max }) };
        contract::all(&smol, &make);
    }
}
