//! Programs that share a registry whose keeper is killed, cut off and replaced: whoever lives is
//! found in the end, at one address, and nobody else is.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use tractor::scope::{self, sleep};
use tractor::sim::{self, Config, Faults, Program};
use tractor::{
    Address, Change, Error, Result, RootConfig, current_actor, find_actor, get_registry, module,
    open_nursery, open_root_actor, wait_for_actor, watch,
};

use super::MS;
use super::hunt::seeds;
use super::logs::run;

/// Longer than any of them waits between two looks for a registrar.
const SETTLED: Duration = Duration::from_secs(12);

fn registry(port: u16) -> Address {
    Address::Tcp { host: Ipv4Addr::LOCALHOST.into(), port }
}

fn config() -> RootConfig {
    RootConfig::default().registry_addrs([registry(1616)]).enable(module!())
}

#[tractor::rpc]
async fn who() -> Result<String> {
    Ok(current_actor()?.name().to_owned())
}

/// A program that is there until it is killed.
async fn member() -> Result<()> {
    open_root_actor(config(), async |_| sleep(Duration::from_secs(100_000)).await).await
}

/// One with children, who are as easily found.
async fn parent_of(count: usize) -> Result<()> {
    open_root_actor(config(), async move |me| {
        open_nursery(async |an| {
            for n in 0..count {
                an.start_actor(format!("{}.{n}", me.name())).enable(module!()).await?;
            }
            sleep(Duration::from_secs(100_000)).await
        })
        .await
    })
    .await
}

/// Who is registered, by name, as a program of its own sees it: it takes the registry over when
/// nobody keeps it.
async fn registered() -> Result<Vec<String>> {
    open_root_actor(config().name("looks"), async |_| {
        let all = get_registry().await?;
        let names = all.into_iter().map(|(uid, _)| uid.name.as_str().to_owned());
        Ok(names.filter(|name| name != "looks").collect())
    })
    .await
}

/// One of these programs keeps the registry: which.
async fn keeper(names: &BTreeSet<String>) -> Result<Option<String>> {
    open_root_actor(config().name("looks"), async |me| {
        if me.is_registrar() {
            return Ok(None);
        }
        for name in names {
            let keeps = find_actor(name, async |found| match found {
                Some(portal) => portal.run(keeps {}).await,
                None => Ok(false),
            });
            if keeps.await? {
                return Ok(Some(name.clone()));
            }
        }
        Err(Error::PeerLost { peer: me.uid().clone() })
    })
    .await
}

#[tractor::rpc]
async fn keeps() -> Result<bool> {
    Ok(current_actor()?.is_registrar())
}

/// Each of them is found by its name, and is who it says.
async fn are_found(names: &BTreeSet<String>) -> Result<()> {
    open_root_actor(config().name("looks"), async |_| {
        for name in names {
            let said = wait_for_actor(name, async |portal| portal.run(who {}).await);
            let said = scope::fail_after(SETTLED, said).await??;
            assert_eq!(said, *name);
        }
        Ok(())
    })
    .await
}

type Members = Vec<(String, Program<Result<()>>)>;

fn names(members: &Members) -> BTreeSet<String> {
    members.iter().map(|(name, _)| name.clone()).collect()
}

fn start(name: impl Into<String>) -> (String, Program<Result<()>>) {
    let name = name.into();
    (name.clone(), sim::start_program(name, member))
}

/// Roots that start at once: one of them keeps the registry, the others are with it.
#[test]
fn of_roots_that_start_at_once_one_keeps_the_registry() {
    for seed in 0..seeds(40) {
        let run = run(seed, || async {
            let members: Members = (0..8).map(|n| start(format!("member{n}"))).collect();
            sleep(SETTLED).await?;
            let known = registered().await?;
            assert_eq!(known.len(), 8, "each is there once: {known:?}");
            assert_eq!(known.into_iter().collect::<BTreeSet<_>>(), names(&members));
            are_found(&names(&members)).await
        });
        run.result.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

/// The keeper is killed: the next program that comes keeps the registry, and the others register
/// there.
#[test]
fn killed_keeper_is_replaced() {
    for seed in 0..seeds(40) {
        let run = run(seed, || async {
            let mut members: Members = (0..5).map(|n| start(format!("member{n}"))).collect();
            sleep(SETTLED).await?;
            for n in 0..3 {
                let keeper = keeper(&names(&members)).await?.expect("one of them keeps it");
                assert!(sim::kill(&keeper));
                members.retain(|(name, _)| *name != keeper);
                sleep(MS * sim::random(3000) as u32).await?;
                members.push(start(format!("next{n}")));
                sleep(SETTLED).await?;
                are_found(&names(&members)).await?;
                let known: BTreeSet<String> = registered().await?.into_iter().collect();
                assert_eq!(known, names(&members));
            }
            Ok(())
        });
        run.result.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

/// The keeper and a member are cut off from each other, for longer than anybody waits: others still
/// find both, and after it they find each other.
#[test]
fn partition_heals() {
    for seed in 0..seeds(40) {
        let run = run(seed, || async {
            let mut members: Members = vec![start("keeper")];
            sleep(MS * 100).await?;
            members.extend([start("cut off"), start("other")]);
            sleep(MS * 100).await?;
            assert!(sim::stall("keeper", "cut off", Duration::from_secs(20)) > 0);
            if sim::random(2) == 0 {
                sim::cut("keeper", "cut off");
            }
            sleep(MS * sim::random(15_000) as u32).await?;
            are_found(&["keeper", "other"].map(str::to_owned).into()).await?;
            sleep(Duration::from_secs(20) + SETTLED).await?;
            are_found(&names(&members)).await?;
            let known = registered().await?;
            assert_eq!(known.len(), 3, "each is there once: {known:?}");
            Ok(())
        });
        run.result.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

/// Two registrars that know nothing of each other: who is with both finds the actors of either, and
/// hears of them.
#[test]
fn two_registrars_are_asked_at_once() {
    async fn member_at(port: u16) -> Result<()> {
        let config = config().registry_addrs([registry(port)]);
        open_root_actor(config, async |_| sleep(Duration::from_secs(100_000)).await).await
    }
    for seed in 0..seeds(40) {
        let run = run(seed, || async {
            let start =
                |name: &'static str, port| sim::start_program(name, move || member_at(port));
            let mut keepers = [start("left", 1), start("right", 2)];
            sleep(MS * 100).await?;
            let config = config().registry_addrs([registry(1), registry(2)]);
            open_root_actor(config, async |_| {
                let mut watch = watch("late")?;
                for port in [2, 1] {
                    // Who waits began before it, or not.
                    let late = sim::start_program("late", async move || {
                        sleep(MS * sim::random(50) as u32).await?;
                        member_at(port).await
                    });
                    let said = wait_for_actor("late", async |late| late.run(who {}).await);
                    assert_eq!(said.await?, "late");
                    let Change::Added { uid, .. } = watch.next().await? else { panic!("it came") };
                    let mut known = get_registry().await?;
                    known.retain(|(other, _)| *other == uid);
                    assert_eq!(known.len(), 1);
                    drop(late);
                    assert_eq!(watch.next().await?, Change::Gone { uid });
                }
                // One of them is replaced: what the other knows stays.
                let stays = start("late", 1);
                assert!(matches!(watch.next().await?, Change::Added { .. }));
                assert!(sim::kill("right"));
                keepers[1] = start("right", 2);
                sleep(SETTLED).await?;
                let again = start("late", 2);
                let Change::Added { uid, .. } = watch.next().await? else { panic!("it came") };
                let known = get_registry().await?;
                assert_eq!(known.iter().filter(|(uid, _)| uid.name == *"late").count(), 2);
                // And it is gone for good: so is whom it alone knew, without a word from anybody.
                assert!(sim::kill("right"));
                let gone = scope::fail_after(SETTLED, watch.next()).await??;
                assert_eq!(gone, Change::Gone { uid });
                drop((stays, again));
                Ok(())
            })
            .await?;
            drop(keepers);
            Ok(())
        });
        run.result.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

/// A thousand actors register at once, and again when their registrar is replaced.
#[test]
fn thousand_register_at_once() {
    let run = run(1, || async {
        let mut keeper = start("keeper");
        sleep(MS * 100).await?;
        let _programs: Vec<_> =
            (0..20).map(|n| sim::start_program(format!("program{n}"), || parent_of(49))).collect();
        for _ in 0..2 {
            sleep(SETTLED).await?;
            let known = registered().await?;
            assert_eq!(known.len(), 1001);
            assert_eq!(known.iter().collect::<BTreeSet<_>>().len(), 1001, "each is there once");
            are_found(&["program7.31", "program19.0"].map(str::to_owned).into()).await?;
            assert!(sim::kill("keeper"));
            keeper = start("keeper");
        }
        drop(keeper);
        Ok(())
    });
    run.result.unwrap();
}

/// Members come, go, are killed, stopped and cut off, the keeper among them.
async fn chaos() -> Result<()> {
    let mut members: Members = Vec::new();
    for n in 0..20 {
        let victim = sim::random(members.len() as u64) as usize;
        match sim::random(6) {
            0 | 1 => members.push(start(format!("member{n}"))),
            2 => members.push((format!("member{n}"), {
                sim::start_program(format!("member{n}"), || parent_of(3))
            })),
            3 if !members.is_empty() => drop(members.swap_remove(victim)),
            4 if members.len() > 1 => {
                let (one, other) = (&members[0].0, &members[victim].0);
                sim::stall(one, other, MS * sim::random(8000) as u32);
                if sim::random(2) == 0 {
                    sim::cut(one, other);
                }
            }
            _ => sleep(MS * sim::random(2000) as u32).await?,
        }
        members.retain(|(_, program)| program.is_running());
    }
    // From here on nothing fails any more: there is a keeper, and it has time.
    let last = FAULTS_WITHIN + Duration::from_secs(16);
    sleep(last.saturating_sub(sim::now()) + Duration::from_secs(10)).await?;
    members.push(start("last"));
    sleep(SETTLED).await?;
    members.retain(|(_, program)| program.is_running());
    are_found(&names(&members)).await?;
    let known = registered().await?;
    let roots = || known.iter().filter(|name| !name.contains('.'));
    assert_eq!(roots().cloned().collect::<BTreeSet<_>>(), names(&members), "no more, no less");
    assert_eq!(roots().count(), members.len(), "each is there once: {known:?}");
    Ok(())
}

/// When the last fault of the kit happens at the latest. What it does is over 16 s later: a connect
/// that begins within 8 s may take 8 s.
const FAULTS_WITHIN: Duration = Duration::from_secs(9);

fn are_found_in_the_end(faults: &Faults) {
    for seed in 0..seeds(300) {
        let run = run(Config::new(seed).faults(faults.clone().within(FAULTS_WITHIN)), chaos);
        run.result.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
}

#[test]
fn whoever_lives_is_found_in_the_end() {
    are_found_in_the_end(&Faults::none().kills(2).pauses(2).cuts(3).stalls(3));
}

#[test]
fn whoever_was_apart_is_found_in_the_end() {
    are_found_in_the_end(&Faults::none().partitions(3).silences(3).kills(1));
}

#[test]
fn whoever_could_not_connect_is_found_in_the_end() {
    are_found_in_the_end(&Faults::none().refused_connects(5).slow_connects(5).crashes(3));
}
