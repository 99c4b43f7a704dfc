//! All of the runtime, in simulation.

use std::time::Duration;

use tractor::scope::{fail_after, finally, move_on_after, sleep};
use tractor::{
    Address, Context, Error, ParentLink, Result, RootConfig, SendHalf, current_actor, find_actor,
    module, open_nursery, open_root_actor, sim, wait_for_actor,
};

use super::{MS, add, slowly};

/// As many seeds as each of these programs runs with.
const SEEDS: u64 = 40;

/// Runs it with many seeds, each twice: the same comes out, and the same happens.
#[track_caller]
fn always<T, Fut>(expected: T, program: impl Fn() -> Fut)
where
    T: PartialEq + std::fmt::Debug,
    Fut: Future<Output = Result<T>>,
{
    for seed in 0..SEEDS {
        let run = sim::run(seed, &program);
        assert_eq!(run.result.unwrap(), expected, "seed {seed}");
        assert_eq!(sim::run(seed, &program).trace, run.trace, "seed {seed} is one run");
    }
}

#[tractor::context]
async fn adder(ctx: Context<u64, u64, u64>, from: u64) -> Result<u64> {
    ctx.started(from).await?;
    let mut stream = ctx.open_stream().await?;
    let mut sum = from;
    while let Some(number) = stream.next().await? {
        sum += number;
        stream.send(sum).await?;
    }
    Ok(sum)
}

#[test]
fn contexts_and_streams_go_both_ways() {
    always(5050, || async {
        open_nursery(async |an| {
            let child = an.start_actor("child").enable(module!()).await?;
            let total = child.open_context(adder { from: 0 }, async |ctx, first| {
                assert_eq!(first, 0);
                let mut stream = ctx.open_stream().await?;
                for number in 1..=100 {
                    stream.send(number).await?;
                    assert_eq!(stream.recv().await?, number * (number + 1) / 2);
                }
                drop(stream);
                ctx.wait_for_result().await
            });
            let total = total.await?;
            child.cancel_actor().await?;
            Ok(total)
        })
        .await
    });
}

/// More than links and mailboxes hold: the sender waits for the reader.
#[tractor::stream]
async fn blocks(mut out: SendHalf<String>, count: usize) -> Result<()> {
    for n in 0..count {
        out.send(n.to_string().repeat(2000)).await?;
    }
    Ok(())
}

#[test]
fn streams_have_backpressure() {
    always(200, || async {
        open_nursery(async |an| {
            let child = an.start_actor("child").enable(module!()).await?;
            let read = child.open_stream_from(blocks { count: 200 }, async |mut blocks| {
                let mut count = 0;
                while let Some(block) = blocks.next().await? {
                    assert_eq!(block, count.to_string().repeat(2000));
                    count += 1;
                    sleep(MS).await?;
                }
                Ok(count)
            });
            let count = read.await?;
            child.cancel_actor().await?;
            Ok(count)
        })
        .await
    });
}

#[tractor::rpc]
async fn tree(depth: u32) -> Result<u64> {
    if depth == 0 {
        return Ok(1);
    }
    open_nursery(async |an| {
        let left = an.run_in_actor(tree { depth: depth - 1 }).await?;
        let right = an.run_in_actor(tree { depth: depth - 1 }).await?;
        Ok(left.result().await? + right.result().await? + 1)
    })
    .await
}

#[test]
fn trees_of_any_depth() {
    always(15, || async { tree(3).await });
}

#[tractor::rpc]
async fn whoami() -> Result<(String, u64)> {
    let me = current_actor()?;
    assert!(me.parent().is_some() && !me.is_root());
    Ok((me.name().to_owned(), u64::from(sim::is_running())))
}

/// Each knows who it is, and has a number of its own.
#[test]
fn actors_are_processes_of_their_own() {
    always((), || async {
        open_nursery(async |an| {
            let mut pids = std::collections::BTreeSet::new();
            for name in ["a", "b", "c"] {
                let child = an.start_actor(name).enable(module!()).await?;
                assert_eq!(child.run(whoami {}).await?, (name.to_owned(), 1));
                assert!(pids.insert(child.pid().expect("it is running")));
            }
            assert_eq!(an.children(), ["a", "b", "c"]);
            an.cancel().await?;
            assert_eq!(an.children(), [""; 0]);
            Ok(())
        })
        .await
    });
}

#[tractor::rpc]
async fn ask(name: String) -> Result<u64> {
    let asked = wait_for_actor(&name, async |portal| portal.run(add { a: 20, b: 22 }).await);
    fail_after(Duration::from_secs(10), asked).await?
}

/// A sibling is found by its name and called over a link of its own.
#[test]
fn actors_find_each_other() {
    always(42, || async {
        open_nursery(async |an| {
            let asker = an.start_actor("asker").enable(module!()).await?;
            an.start_actor("service").enable_of::<add>().await?;
            let answer = asker.run(ask { name: "service".into() }).await?;
            assert!(find_actor("nobody", async |found| Ok(found.is_none())).await?);
            an.cancel().await?;
            Ok(answer)
        })
        .await
    });
}

#[test]
fn children_connect_back_over_any_address() {
    for addr in ["tcp", "uds"] {
        always(7, move || async move {
            let config = RootConfig::named("root").parent_link(ParentLink::ConnectBack);
            let any = Address::Tcp { host: std::net::Ipv4Addr::LOCALHOST.into(), port: 0 };
            let config = if addr == "tcp" { config.registry_addrs([any]) } else { config };
            open_root_actor(config, async |_| super::one_call().await).await
        });
    }
}

#[test]
fn timeouts_are_of_the_simulated_time() {
    always((true, true), || async {
        open_nursery(async |an| {
            let child = an.start_actor("slow").enable_of::<slowly>().await?;
            let cut = move_on_after(MS * 50, child.run(slowly { ms: 1_000_000 })).await;
            let whole = move_on_after(MS * 50, child.run(slowly { ms: 10 })).await;
            child.cancel_actor().await?;
            Ok((cut.is_none(), whole.is_some()))
        })
        .await
    });
}

#[tractor::rpc]
async fn fail() -> Result<(), String> {
    sleep(MS).await.map_err(|e| e.to_string())?;
    Err("as it must".into())
}

/// One fails, and the others are cancelled: its error is what comes out.
#[test]
fn one_cancels_all() {
    always("as it must".to_owned(), || async {
        let result = open_nursery(async |an| {
            for _ in 0..3 {
                an.run_in_actor(slowly { ms: 1_000_000 }).await?;
            }
            an.run_in_actor(fail {}).await?;
            Ok(())
        })
        .await;
        let error = result.expect_err("one has failed");
        Ok(error.remote().expect("in another actor").message().to_owned())
    });
}

#[tractor::context]
async fn patient(ctx: Context<(), (), ()>) -> Result<()> {
    ctx.started(()).await?;
    let cleanup = async { drop(sleep(MS * 100).await) };
    finally(sleep(Duration::from_secs(3600)), cleanup).await
}

/// Cancelled tasks clean up over there, before the block here ends.
#[test]
fn cancels_cross_the_border() {
    always(true, || async {
        open_nursery(async |an| {
            let child = an.start_actor("child").enable(module!()).await?;
            let before = sim::now();
            child.open_context(patient {}, async |ctx, ()| ctx.cancel().await).await?;
            let took = sim::now() - before;
            child.cancel_actor().await?;
            child.wait_closed().await?;
            Ok(took >= MS * 100 && !child.is_connected())
        })
        .await
    });
}

#[test]
fn errors_of_misuse_are_the_same() {
    always((), || async {
        let error = open_nursery(async |an| {
            an.start_actor("other").exe("/bin/true").await?;
            Ok(())
        })
        .await
        .expect_err("there are no other programs");
        assert!(error.to_string().contains("no other programs"), "{error}");
        let nested = open_root_actor(RootConfig::named("a"), async |_| {
            open_root_actor(RootConfig::named("b"), async |_| Ok(())).await
        });
        assert!(matches!(nested.await, Err(Error::Misuse(_))));
        Ok(())
    });
}

/// Programs beside the main one: what they return is there at their end, if they come to it.
#[test]
fn programs_of_their_own_end_in_four_ways() {
    always((Some(Ok(3)), None, None, false), || async {
        let returns = sim::start_program("returns", || async { one_call_of(1, 2).await });
        let killed = sim::start_program("killed", || sleep(Duration::from_secs(3600)));
        let panics = sim::start_program("panics", || async {
            let blown: Result<()> = open_root_actor(RootConfig::default(), async |_| {
                std::panic::resume_unwind(Box::new("on purpose"));
            })
            .await;
            assert!(blown.is_err(), "a root's body that panics has failed");
            std::panic::resume_unwind(Box::new("of the program itself"))
        });
        let dropped = sim::start_program("dropped", || sleep(Duration::from_secs(3600)));
        sleep(MS * 20).await?;
        assert!(sim::kill("killed") && !sim::kill("killed"));
        drop(dropped);
        let running = sim::kill("dropped");
        let returned = returns.join().await?.map(|result| result.map_err(|e| e.to_string()));
        let panicked: Option<()> = panics.join().await?;
        Ok((returned, killed.join().await?.map(drop), panicked, running))
    });
}

async fn one_call_of(a: u64, b: u64) -> Result<u64> {
    open_nursery(async |an| {
        let child = an.start_actor("child").enable(module!()).enable_of::<add>().await?;
        let sum = child.run(add { a, b }).await?;
        child.cancel_actor().await?;
        Ok(sum)
    })
    .await
}

/// A program's tree dies with it, and nobody hears of it but who asks.
#[test]
fn killed_program_takes_its_tree_along() {
    always(true, || async {
        let parent = sim::start_program("parent", || {
            open_nursery(async |an| {
                an.start_actor("grandchild").await?;
                sleep(Duration::from_secs(3600)).await
            })
        });
        sleep(MS * 100).await?;
        assert!(sim::pause("grandchild") && sim::kill("parent"));
        Ok(parent.join().await?.is_none() && !sim::kill("grandchild"))
    });
}

/// Between actors that are stalled no new connection comes about, until that is over.
#[test]
fn stall_keeps_new_connections_out() {
    always(true, || async {
        let config = || {
            let host = std::net::Ipv4Addr::LOCALHOST.into();
            RootConfig::default().registry_addrs([Address::Tcp { host, port: 1616 }])
        };
        let other = sim::start_program("other", async move || {
            open_root_actor(config(), async |_| sleep(Duration::from_secs(60)).await).await
        });
        open_root_actor(config(), async |_| {
            wait_for_actor("other", async |_| Ok(())).await?;
            sim::stall("root", "other", Duration::from_secs(2));
            let before = sim::now();
            find_actor("other", async |found| Ok(found.is_some())).await?;
            drop(other);
            Ok(sim::now() - before >= Duration::from_secs(2))
        })
        .await
    });
}
