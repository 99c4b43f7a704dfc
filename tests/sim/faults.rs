//! What fails, by hand and from the kit, and what a program sees of it.

use std::net::Ipv4Addr;
use std::time::Duration;

use tractor::scope::{self, finally, sleep};
use tractor::sim::{self, Config, Faults};
use tractor::{
    ActorNursery, Address, Context, Error, ParentLink, Result, RootConfig, SendHalf, find_actor,
    module, open_nursery, open_root_actor,
};

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

/// As when it calls `exit`: the code is in its parent's error, and its own children die with it.
#[test]
fn a_crashed_child_has_failed_with_its_code() {
    for seed in 0..30 {
        let run = run(seed, || async {
            open_nursery(async |an| {
                let child = an.start_actor("child").isolated().enable(module!()).await?;
                let failed = scope::open_nursery(async |tn| {
                    let asked = child.clone();
                    tn.start_soon(async move {
                        assert!(asked.run(with_a_child {}).await.is_err());
                        Ok(())
                    });
                    sleep(MS * 100).await?;
                    assert!(sim::crash("child", 77));
                    assert!(!sim::crash("child", 77), "it is gone");
                    assert!(!sim::kill("grandchild"), "it died with its parent");
                    an.next_failure().await
                });
                Ok(failed.await?.to_string())
            })
            .await
        });
        let text = run.result.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        assert!(text.contains("77"), "seed {seed}: {text}");
    }
}

/// It can't end by itself as long as it does not run.
#[test]
fn a_stopped_child_crashes_when_it_goes_on() {
    let run = run(1, || async {
        open_nursery(async |an| {
            an.start_actor("child").isolated().await?;
            assert!(sim::pause("child") && sim::crash("child", 0));
            sleep(Duration::from_secs(1)).await?;
            assert!(sim::resume("child") && !sim::kill("child"));
            Ok(an.next_failure().await?.to_string())
        })
        .await
    });
    let text = run.result.unwrap();
    assert!(text.ends_with("exit code 0"), "{text}");
}

/// A root whose children connect back to their parents.
pub(super) async fn connecting<T, Fut>(body: impl FnOnce(ActorNursery) -> Fut + Send) -> Result<T>
where
    T: Send,
    Fut: Future<Output = Result<T>> + Send,
{
    let config = RootConfig::default().parent_link(ParentLink::ConnectBack);
    open_root_actor(config, async |_| open_nursery(body).await).await
}

#[test]
fn a_refused_connect_is_an_error() {
    let run = run(1, || {
        connecting(async |an| {
            sim::refuse_connects(1);
            let failed = an.start_actor("first").isolated().await.expect_err("it was refused");
            an.start_actor("second").await?.cancel_actor().await?;
            Ok(failed.to_string())
        })
    });
    let text = run.result.unwrap();
    let failed = text.starts_with("actor first@") && text.contains("failed while connecting");
    assert!(failed && text.ends_with("exit code 70"), "{text}");
}

#[test]
fn a_slow_connect_takes_its_time() {
    let run = run(1, || {
        connecting(async |an| {
            let began = sim::now();
            sim::slow_connects(1, Duration::from_secs(2));
            an.start_actor("first").await?;
            let (slow, began) = (sim::now() - began, sim::now());
            an.start_actor("second").await?;
            let quick = sim::now() - began;
            an.cancel().await?;
            Ok((slow, quick))
        })
    });
    let (slow, quick) = run.result.unwrap();
    assert!(slow >= Duration::from_secs(2) && slow < Duration::from_secs(3), "{slow:?}");
    assert!(quick < MS * 100, "{quick:?}");
}

/// One direction at a time: what is asked arrives, and the answer does not; then it does.
#[test]
fn a_silent_link_speaks_later() {
    for (from, to) in [("root", "child"), ("child", "root")] {
        let run = run(1, || async {
            open_nursery(async |an| {
                let child = an.start_actor("child").enable_of::<add>().await?;
                let began = sim::now();
                assert_eq!(sim::silence(from, to, Duration::from_secs(20)), 1);
                let asked = scope::move_on_after(Duration::from_secs(10), async {
                    child.run(add { a: 1, b: 2 }).await
                });
                assert!(asked.await.transpose()?.is_none(), "{from} is silent");
                assert_eq!(child.run(add { a: 1, b: 2 }).await?, 3);
                assert!(sim::now() - began >= Duration::from_secs(20));
                child.cancel_actor().await
            })
            .await
        });
        run.result.unwrap();
    }
}

/// Nobody is told of an end either: who tries to end the child finds out by its own limits.
#[test]
fn the_end_of_a_silent_child_is_found_by_deadlines() {
    for seed in 0..30 {
        let run = run(seed, || async {
            open_nursery(async |an| {
                let child = an.start_actor("child").isolated().enable_of::<add>().await?;
                assert_eq!(sim::silence("root", "child", Duration::from_secs(60)), 1);
                assert_eq!(sim::silence("child", "root", Duration::from_secs(60)), 1);
                child.cancel_actor().await?;
                child.wait_closed().await
            })
            .await
        });
        run.result.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        assert!(run.time > Duration::from_millis(500), "seed {seed}: {:?}", run.time);
        assert!(run.time < Duration::from_secs(60), "seed {seed}: {:?}", run.time);
    }
}

pub(super) fn meeting() -> RootConfig {
    let registry = Address::Tcp { host: Ipv4Addr::LOCALHOST.into(), port: 1616 };
    RootConfig::default().registry_addrs([registry]).enable(module!())
}

#[tractor::rpc]
pub(super) async fn answer() -> u64 {
    3
}

/// A program that others ask.
pub(super) async fn asked() -> Result<()> {
    open_root_actor(meeting(), async |_| sleep(Duration::from_secs(3600)).await).await
}

/// What becomes of asking somebody over a connection of its own, and how long it takes.
async fn ask(name: &str) -> (bool, Duration) {
    let began = sim::now();
    let sum = find_actor(name, async |found| match found {
        Some(portal) => portal.run(answer {}).await,
        None => Ok(0),
    });
    (sum.await.is_ok_and(|sum| sum == 3), sim::now() - began)
}

/// Who is parted does not hear from who is apart, on old links and new ones, until it is over; on
/// either side everything is as it was.
#[test]
fn a_partition_parts_and_heals() {
    let (mut failed, mut hung) = (0, 0);
    for seed in 0..60 {
        let run = run(seed, || async {
            let _keeper = sim::start_program("keeper", asked);
            sleep(MS * 100).await?;
            open_root_actor(meeting(), async |_| {
                let _programs = ["near", "far"].map(|name| sim::start_program(name, asked));
                sleep(MS * 100).await?;
                assert!(ask("near").await.0 && ask("far").await.0);
                let began = sim::now();
                let parted = sim::partition(["far", "nobody"], Duration::from_secs(3));
                assert!(parted >= 1, "its link to the registrar");
                let (near, time) = ask("near").await;
                assert!(near && time < MS * 100, "{near}, {time:?}");
                let (far, time) = ask("far").await;
                assert_eq!(far, sim::now() - began >= Duration::from_secs(3), "{time:?}");
                sleep(Duration::from_secs(10)).await?;
                assert!(ask("far").await.0, "it is over");
                Ok(far)
            })
            .await
        });
        match run.result.unwrap_or_else(|error| panic!("seed {seed}: {error:?}")) {
            true => hung += 1,
            false => failed += 1,
        }
    }
    assert!(failed > 10 && hung > 10, "{failed} connects failed, {hung} hung");
}

/// A child that is started meanwhile is where its parent is: the two hear each other.
#[test]
fn a_partition_takes_children_along() {
    let run = run(1, || async {
        let program = sim::start_program("far", || async {
            sleep(MS * 100).await?;
            let began = sim::now();
            let sum = open_nursery(async |an| {
                let child = an.start_actor("child").enable_of::<add>().await?;
                let sum = child.run(add { a: 1, b: 2 }).await?;
                child.cancel_actor().await?;
                Ok(sum)
            });
            assert_eq!(sum.await?, 3);
            assert!(sim::now() - began < MS * 100);
            Ok::<_, Error>(())
        });
        sleep(MS * 50).await?;
        sim::partition(["far"], Duration::from_secs(3));
        program.join().await?.expect("it has not panicked")
    });
    run.result.unwrap();
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

/// A tree whose children connect back, and a program that is found by its name.
async fn connected() -> Result<u64> {
    let other = sim::start_program("other", asked);
    let config = meeting().parent_link(ParentLink::ConnectBack);
    let sum = open_root_actor(config, async |_| {
        open_nursery(async |an| {
            let child = an.start_actor("child").enable_of::<slowly>().await?;
            let slow = child.run(slowly { ms: 20 }).await?;
            let sum = find_actor("other", async |found| match found {
                Some(portal) => portal.run(answer {}).await,
                None => Ok(0),
            });
            let sum = sum.await?;
            an.cancel().await?;
            Ok(slow + sum)
        })
        .await
    });
    let sum = sum.await;
    drop(other);
    sum
}

/// Each kind of fault alone: it is felt, in some runs, and only then.
#[test]
fn each_kind_of_the_kit_is_felt() {
    type Kind = fn(Faults, u32) -> Faults;
    let kinds: [(&str, Kind); 11] = [
        ("kills", Faults::kills),
        ("crashes", Faults::crashes),
        ("pauses", Faults::pauses),
        ("cuts", Faults::cuts),
        ("stalls", Faults::stalls),
        ("silences", Faults::silences),
        ("partitions", Faults::partitions),
        ("refused_connects", Faults::refused_connects),
        ("slow_connects", Faults::slow_connects),
        ("failing_spawns", Faults::failing_spawns),
        ("clock_jumps", Faults::clock_jumps),
    ];
    let felt = |faults: &Faults| {
        let felt = |seed: &u64| {
            let run = run(Config::new(*seed).faults(faults.clone()), connected);
            assert!(run.time < Duration::from_secs(60), "seed {seed}: {:?}", run.time);
            !matches!(run.result, Ok(23)) || run.time > MS * 100
        };
        (0..60).filter(felt).count()
    };
    assert_eq!(felt(&Faults::none().within(MS * 60)), 0, "nothing is felt without them");
    for (kind, with) in kinds {
        let faults = with(Faults::none().within(MS * 60), 4);
        let count = felt(&faults);
        assert!(count > 5, "{kind}: felt in {count} of 60 runs");
        let text = format!("within=60,{kind}=4").parse::<Faults>();
        assert_eq!(format!("{:?}", text.unwrap()), format!("{faults:?}"), "as text");
    }
    assert_eq!(format!("{:?}", "all".parse::<Faults>().unwrap()), format!("{:?}", Faults::all()));
}
