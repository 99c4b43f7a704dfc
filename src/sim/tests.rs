//! What a run leaves behind: nothing. What a write is told of an end, which programs seldom see, as
//! they believe what they read.

use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use tractor_executors::sim::{Limits, Sim};

use super::net::Net;
use super::*;
use crate::error::Result;
use crate::nursery::open_nursery;
use crate::scope::{self, sleep};

/// Children that end, are killed, are stopped and are dropped.
async fn program() -> Result<()> {
    let beside = start_program("beside", || {
        open_nursery(async |an| {
            an.start_actor("its own").await?;
            sleep(Duration::from_secs(60)).await
        })
    });
    let _ = open_nursery(async |an| {
        for name in ["ends", "killed", "stopped"] {
            an.start_actor(name).isolated().await?;
        }
        assert!(kill("killed") && pause("stopped"));
        sleep(Duration::from_millis(5)).await?;
        Err::<(), _>(crate::Error::TooSlow)
    })
    .await;
    let dropped = open_nursery(async |an| {
        an.start_actor("dropped").await?;
        sleep(Duration::from_secs(60)).await
    });
    let _ = scope::move_on_after(Duration::from_millis(20), dropped).await;
    assert_eq!(beside.is_running(), kill("beside"));
    assert!(!beside.is_running());
    Ok(())
}

#[test]
fn nothing_of_a_run_is_left() {
    for seed in 0..20 {
        let config = Config::new(seed).faults(Faults::all());
        let (result, world) = simulate(config, program);
        result.expect("its errors are its own");
        assert!(!is_running());
        assert_eq!(Arc::strong_count(&world), 1, "seed {seed}: something holds its world");
    }
}

/// Until when process 1 writes to process 2 on without an error, in whole seconds, after an outage
/// and the end of 2.
fn writes_on(outage: impl FnOnce(&Sim, &Net)) -> u64 {
    let config = Config::new(1);
    let sim = Sim::new(1, Limits::default(), world::KERNEL);
    let net = Net::new(sim.clone(), &config);
    let [one, _other] = net.link([1, 2]);
    outage(&sim, &net);
    net.forget(2);
    let write = |second: &u64| {
        sim.jump(Duration::from_secs(*second).saturating_sub(sim.now()));
        one.try_write(&[IoSlice::new(b"anybody there?")])
    };
    let error = |second| write(&second).err().map(|error| (second, error.kind()));
    let told = (0..100).find_map(error).expect("no outage is that long");
    assert_eq!(told.1, ErrorKind::BrokenPipe);
    told.0
}

#[test]
fn a_write_is_not_told_of_what_is_not_heard() {
    let time = Duration::from_secs;
    assert_eq!(writes_on(|_, _| ()), 0);
    assert_eq!(writes_on(|_, net| assert_eq!(net.silence(2, 1, time(20)), 1)), 20);
    assert_eq!(writes_on(|_, net| assert_eq!(net.stall(1, 2, time(20)), 1)), 20);
    assert_eq!(writes_on(|_, net| assert_eq!(net.partition([2].into(), time(20)), 1)), 20);
    // Who is not heard itself hears.
    assert_eq!(writes_on(|_, net| assert_eq!(net.silence(1, 2, time(20)), 1)), 0);
}

/// Of several outages the longest counts, and each from its own beginning.
#[test]
fn a_shorter_outage_ends_no_longer_one() {
    let time = Duration::from_secs;
    let shorter = |_: &Sim, net: &Net| {
        net.silence(2, 1, time(20));
        net.silence(2, 1, time(1));
    };
    assert_eq!(writes_on(shorter), 20);
    let later = |sim: &Sim, net: &Net| {
        net.stall(1, 2, time(20));
        sim.jump(time(15));
        net.silence(2, 1, time(10));
    };
    assert_eq!(writes_on(later), 25);
}
