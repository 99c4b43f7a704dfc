//! What fails, by hand and from the kit, and what a program sees of it.

use std::time::Duration;

use tractor::scope::{finally, sleep};
use tractor::sim::{self, Config, Faults};
use tractor::{Context, Error, Result, SendHalf, module, open_nursery};

use super::logs::run;
use super::{MS, add, slowly};

#[tractor::context]
async fn guarded(ctx: Context<(), (), ()>) -> Result<()> {
    ctx.started(()).await?;
    let cleanup = async { unreachable!("who is killed does not clean up") };
    finally(sleep(Duration::from_secs(3600)), cleanup).await
}

/// The parent sees the death by signal, and nothing of the child runs any more.
#[test]
fn a_killed_child_is_gone_at_once() {
    for seed in 0..30 {
        let program = || async {
            open_nursery(async |an| {
                let child = an.start_actor("victim").enable(module!()).await?;
                child
                    .open_context(guarded {}, async |_, ()| {
                        assert!(sim::kill("victim"));
                        assert!(!sim::kill("victim"), "it is gone");
                        sleep(Duration::from_secs(3600)).await
                    })
                    .await
            })
            .await
        };
        let run = run(seed, program);
        assert!(run.time < Duration::from_secs(1), "seed {seed}: {:?}", run.time);
        let error = run.result.expect_err("its child was killed");
        let failed = error.leaves().into_iter().find_map(|leaf| match leaf {
            Error::ActorFailed(failed) => Some(failed.to_string()),
            _ => None,
        });
        assert!(failed.as_ref().is_some_and(|text| text.contains("signal 9")), "{error:?}");
    }
}

#[tractor::rpc]
async fn with_a_child() -> Result<()> {
    open_nursery(async |an| {
        an.start_actor("grandchild").await?;
        sleep(Duration::from_secs(3600)).await
    })
    .await
}

/// The system's rule: who loses its parent dies.
#[test]
fn the_children_of_a_killed_actor_die_with_it() {
    for seed in 0..30 {
        let run = run(seed, || async {
            open_nursery(async |an| {
                let child = an.start_actor("middle").isolated().enable(module!()).await?;
                tractor::scope::open_nursery(async |tn| {
                    let asked = child.clone();
                    tn.start_soon(async move {
                        assert!(asked.run(with_a_child {}).await.is_err());
                        Ok(())
                    });
                    sleep(MS * 100).await?;
                    assert!(sim::kill("middle"));
                    assert!(!sim::kill("grandchild"), "it died with its parent");
                    an.next_failure().await?;
                    Ok(())
                })
                .await
            })
            .await
        });
        run.result.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
    }
}

/// A parent ends a child that is stopped: it does not answer, it does not hear SIGTERM, and SIGKILL
/// ends it, within the budget.
#[test]
fn a_stopped_child_is_ended_by_force() {
    for seed in 0..30 {
        let run = run(seed, || async {
            open_nursery(async |an| {
                let child = an.start_actor("stopped").isolated().enable(module!()).await?;
                assert!(sim::pause("stopped"));
                child.cancel_actor().await?;
                child.wait_closed().await
            })
            .await
        });
        run.result.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        assert!(run.time > Duration::from_millis(500) && run.time < Duration::from_secs(4));
    }
}

#[test]
fn a_stopped_child_goes_on() {
    let run = run(1, || async {
        open_nursery(async |an| {
            let child = an.start_actor("child").enable_of::<add>().await?;
            assert!(sim::pause("child"));
            let (asked, started) = (child.run(add { a: 1, b: 2 }), sim::now());
            let sum = tractor::scope::open_nursery(async |tn| {
                tn.start_soon(async {
                    sleep(Duration::from_secs(2)).await?;
                    assert!(sim::resume("child"));
                    Ok(())
                });
                asked.await
            });
            assert_eq!(sum.await?, 3);
            assert!(sim::now() - started >= Duration::from_secs(2));
            child.cancel_actor().await
        })
        .await
    });
    run.result.unwrap();
}

#[test]
fn a_child_that_is_told_to_terminate_ends_by_that_signal() {
    let run = run(1, || async {
        open_nursery(async |an| {
            an.start_actor("child").isolated().await?;
            assert!(sim::terminate("child"));
            Ok(an.next_failure().await?.to_string())
        })
        .await
    });
    let text = run.result.unwrap();
    assert!(text.contains("signal 15") || text.contains("SIGTERM"), "{text}");
}

/// A link that is cut: each side loses the other, and a child without its parent ends.
#[test]
fn a_cut_link_ends_the_child() {
    for seed in 0..30 {
        let run = run(seed, || async {
            open_nursery(async |an| {
                let child = an.start_actor("child").isolated().enable_of::<add>().await?;
                assert_eq!(sim::cut("root", "child"), 1);
                assert!(child.run(add { a: 1, b: 2 }).await.is_err());
                child.wait_closed().await
            })
            .await
        });
        run.result.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
    }
}

#[test]
fn a_stalled_link_delivers_later() {
    let run = run(1, || async {
        open_nursery(async |an| {
            let child = an.start_actor("child").enable_of::<add>().await?;
            assert_eq!(sim::stall("root", "child", Duration::from_secs(1)), 1);
            let before = sim::now();
            assert_eq!(child.run(add { a: 1, b: 2 }).await?, 3);
            assert!(sim::now() - before >= Duration::from_secs(1));
            child.cancel_actor().await
        })
        .await
    });
    run.result.unwrap();
}

#[test]
fn a_failed_spawn_is_the_starters_error() {
    let run = run(1, || async {
        open_nursery(async |an| {
            sim::fail_spawns(1);
            let failed = an.start_actor("first").isolated().await.expect_err("no process");
            assert!(failed.to_string().contains("too many processes"), "{failed}");
            an.start_actor("second").await?.cancel_actor().await
        })
        .await
    });
    run.result.unwrap();
}

#[test]
fn a_jump_of_the_clock_makes_things_late() {
    let run = run(1, || async {
        let before = sim::now();
        sim::jump(Duration::from_secs(60));
        sleep(MS).await?;
        Ok::<_, Error>(sim::now() - before)
    });
    assert!(run.result.unwrap() > Duration::from_secs(60));
}

#[tractor::stream]
async fn numbers(mut out: SendHalf<u64>) -> Result<()> {
    for n in 0.. {
        out.send(n).await?;
        sleep(MS).await?;
    }
    Ok(())
}

#[tractor::rpc]
async fn relay() -> Result<u64> {
    open_nursery(async |an| {
        let source = an.start_actor("source").enable(module!()).await?;
        let sum = source.open_stream_from(numbers {}, async |mut numbers| {
            let mut sum = 0;
            while let Some(n) = numbers.next().await?.filter(|n| *n < 20) {
                sum += n;
            }
            Ok(sum)
        });
        let sum = sum.await?;
        an.cancel().await?;
        Ok(sum)
    })
    .await
}

async fn busy() -> Result<u64> {
    open_nursery(async |an| {
        let other = an.start_actor("other").enable_of::<slowly>().await?;
        let relay = an.run_in_actor(relay {}).await?;
        let slow = other.run(slowly { ms: 20 }).await?;
        let sum = relay.result().await?;
        other.cancel_actor().await?;
        Ok(sum + slow)
    })
    .await
}

/// How many seeds, for long hunts: `SEEDS=100000`.
fn seeds() -> u64 {
    std::env::var("SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

/// Whatever fails, the program ends, in its time, with its value or an error; and no actor is left,
/// which `run` checks.
#[test]
fn whatever_fails_the_tree_ends() {
    let (mut whole, mut failed) = (0, 0);
    for seed in 0..seeds() {
        let faults = Faults::all().kills(2).within(MS * 100);
        let run = run(Config::new(seed).faults(faults), busy);
        assert!(run.time < Duration::from_secs(60), "seed {seed}: {:?}", run.time);
        match run.result {
            Ok(sum) => {
                assert_eq!(sum, 210, "seed {seed}");
                whole += 1;
            }
            Err(_) => failed += 1,
        }
    }
    assert!(whole > 20 && failed > 20, "{whole} runs were whole, {failed} failed");
}

#[test]
fn a_run_with_faults_is_repeatable() {
    for seed in 0..50 {
        let config = || Config::new(seed).faults(Faults::all().within(MS * 100));
        let (one, two) = (run(config(), busy), run(config(), busy));
        assert_eq!((one.trace, one.time), (two.trace, two.time), "seed {seed}");
    }
}

/// Only those that are named.
#[test]
fn faults_hit_whom_they_are_meant_for() {
    let mut hit = 0;
    for seed in 0..100 {
        let faults = Faults::none().kills(3).only("other").within(MS * 50);
        if let Err(error) = run(Config::new(seed).faults(faults), busy).result {
            let text = format!("{error:?}");
            assert!(text.contains("other") && !text.contains("source"), "seed {seed}: {text}");
            hit += 1;
        }
    }
    assert!(hit > 10, "{hit} runs failed");
}
