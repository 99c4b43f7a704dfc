//! Programs of actors in simulation: what they do is what they do as processes, and the seed
//! decides the rest.

#![allow(clippy::unwrap_used, reason = "these helpers are test code, which clippy can't see")]

use std::time::Duration;

use tractor::scope::sleep;
use tractor::sim::{self, Config};
use tractor::{Result, module, open_nursery};

#[path = "sim/faults.rs"]
mod faults;
#[path = "sim/hunt.rs"]
mod hunt;
#[path = "sim/kit.rs"]
mod kit;
#[path = "sim/logs.rs"]
mod logs;
#[path = "sim/programs.rs"]
mod programs;
#[path = "sim/registrars.rs"]
mod registrars;

const MS: Duration = Duration::from_millis(1);

#[tractor::rpc]
async fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[tractor::rpc]
async fn slowly(ms: u64) -> Result<u64> {
    sleep(MS * ms as u32).await?;
    Ok(ms)
}

async fn one_call() -> Result<u64> {
    open_nursery(async |an| {
        let adder = an.start_actor("adder").enable(module!()).await?;
        let sum = adder.run(add { a: 3, b: 4 }).await?;
        adder.cancel_actor().await?;
        Ok(sum)
    })
    .await
}

#[test]
fn a_child_answers_a_call() {
    assert_eq!(sim::run(1, one_call).result.unwrap(), 7);
}

#[test]
fn the_same_seed_is_the_same_run() {
    let first = sim::run(7, one_call);
    for _ in 0..5 {
        let again = sim::run(7, one_call);
        assert_eq!((again.trace, again.steps, again.time), (first.trace, first.steps, first.time));
    }
    let others: std::collections::BTreeSet<u64> =
        (0..50).map(|seed| sim::run(seed, one_call).trace).collect();
    assert_eq!(others.len(), 50, "each seed is a run of its own");
}

/// An hour of the program, and of its child, takes next to no time.
#[test]
fn nothing_waits_for_time_to_pass() {
    let began = std::time::Instant::now();
    let program = || async {
        open_nursery(async |an| {
            let child = an.start_actor("sleeper").enable(module!()).await?;
            child.run(slowly { ms: 3_600_000 }).await?;
            sleep(Duration::from_secs(3600)).await?;
            child.cancel_actor().await
        })
        .await
    };
    let run = sim::run(1, program);
    run.result.unwrap();
    assert!(run.time > Duration::from_secs(7200) && run.time < Duration::from_secs(7201));
    assert!(began.elapsed() < Duration::from_secs(60));
}

/// Two children that answer: who is first depends on the seed.
#[test]
fn another_seed_is_another_order() {
    let program = || async {
        open_nursery(async |an| {
            let left = an.start_actor("left").enable(module!()).await?;
            let right = an.start_actor("right").enable(module!()).await?;
            let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
            tractor::scope::open_nursery(async |tn| {
                for (name, child) in [("left", left), ("right", right)] {
                    let seen = seen.clone();
                    tn.start_soon(async move {
                        child.run(slowly { ms: 1 }).await?;
                        seen.lock().unwrap().push(name);
                        Ok(())
                    });
                }
                Ok(())
            })
            .await?;
            an.cancel().await?;
            let first = seen.lock().unwrap()[0];
            Ok::<_, tractor::Error>(first)
        })
        .await
    };
    let firsts: std::collections::BTreeSet<&str> =
        (0..30).map(|seed| sim::run(seed, program).result.unwrap()).collect();
    assert_eq!(firsts.len(), 2, "{firsts:?}");
}

#[test]
#[should_panic(expected = "the simulation is stuck")]
fn what_can_never_go_on_is_told() {
    let _ = sim::run(1, std::future::pending::<Result<()>>);
}

#[test]
#[should_panic(expected = "takes more than 5s of its own time")]
fn what_takes_too_long_is_told() {
    let config = Config::new(1).time_max(Duration::from_secs(5));
    let _ = sim::run(config, || sleep(Duration::from_secs(3600)));
}

#[test]
#[should_panic(expected = "of the program itself")]
fn a_panic_comes_out() {
    let _ = sim::run(1, || async {
        one_call().await?;
        if true {
            panic!("of the program itself");
        }
        Ok::<_, tractor::Error>(())
    });
}

/// Blocking work runs at once: there is one thread, and the run stays the same.
#[test]
fn blocking_work_runs_at_once() {
    let program = || async { tractor::unblock(|| std::thread::current().id()).await };
    let id = sim::run(1, program).result.unwrap();
    assert_eq!(id, std::thread::current().id());
}

/// Simulations on several threads don't see each other.
#[test]
fn many_run_side_by_side() {
    let alone = sim::run(3, one_call).trace;
    let run = || (0..20).map(|_| sim::run(3, one_call).trace).collect::<Vec<_>>();
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(run)).collect();
    for traces in threads {
        assert_eq!(traces.join().unwrap(), [alone; 20]);
    }
}

#[test]
fn a_search_finds_the_seed_that_fails() {
    let program = || async {
        open_nursery(async |an| {
            let child = an.start_actor("child").enable(module!()).await?;
            child.run(slowly { ms: 1 }).await?;
            child.cancel_actor().await
        })
        .await?;
        match sim::random(10) {
            0 => Err(tractor::BoxError::from("a rare one")),
            _ => Ok(()),
        }
    };
    let failure = sim::search(0..1000, program).expect("one in ten");
    assert!(failure.why.contains("a rare one"), "{failure}");
    assert!(sim::search(0..failure.seed, program).is_none(), "it is the first");
    let again = sim::search([failure.seed], program).expect("the same seed fails again");
    assert_eq!(again.why, failure.why);
    assert!(sim::search(0..0, program).is_none());
}
