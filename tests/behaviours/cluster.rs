//! CLUSTER: several workers of one kind.

use std::time::{Duration, Instant};

use tractor::scope::sleep;
use tractor::{
    Cluster, Context, Error, Result, Stdio, current_actor, gather_contexts, module,
    open_actor_cluster, open_nursery,
};

use crate::{FOREVER, exists, remote_type};

const ROUNDS: u64 = 100;

/// Counts what it is sent, until no more comes.
#[tractor::context]
async fn count_items(ctx: Context<String, (), u64>) -> Result<u64> {
    ctx.started(current_actor()?.name().to_owned()).await?;
    let mut stream = ctx.open_stream().await?;
    let mut count = 0;
    while let Some(n) = stream.next().await? {
        assert_eq!(n, count);
        count += 1;
    }
    Ok(count)
}

/// Instead of sending for a second, as the reference does: so many rounds.
#[tractor::test(matrix)]
async fn cluster_02_streaming_to_actor_cluster() -> Result<()> {
    let cores = std::thread::available_parallelism().unwrap().get();
    let mut pids = Vec::new();
    open_actor_cluster(Cluster::of(module!()), async |portals| {
        assert_eq!(portals.len(), cores);
        pids.extend(portals.iter().filter_map(|portal| portal.pid()));
        gather_contexts(portals.iter().map(|p| (p, count_items {})), async |contexts| {
            let mut streams = Vec::new();
            for (n, (ctx, name)) in contexts.iter().enumerate() {
                let expected = format!("root.worker_{n}");
                assert_eq!((name, portals[n].name()), (&expected, expected.as_str()));
                streams.push(ctx.open_stream().await?);
            }
            for round in 0..ROUNDS {
                for stream in &mut streams {
                    stream.send(round).await?;
                }
            }
            drop(streams);
            for (ctx, _) in &contexts {
                assert_eq!(ctx.wait_for_result().await?, ROUNDS, "its loop has ended");
            }
            Ok(())
        })
        .await
    })
    .await?;
    assert_eq!(pids.len(), cores);
    assert!(!pids.into_iter().any(exists), "all are gone with the block");
    Ok(())
}

#[tractor::rpc]
async fn name_and_mark() -> Result<(String, Option<String>)> {
    Ok((current_actor()?.name().to_owned(), std::env::var("CLUSTER_MARK").ok()))
}

#[tractor::test(matrix)]
async fn workers_are_found_by_place_and_by_name() -> Result<()> {
    let cluster = Cluster::of(module!())
        .names(["ann", "bob"])
        .each(|worker| worker.env("CLUSTER_MARK", "set").stderr(Stdio::Inherit));
    open_actor_cluster(cluster, async |portals| {
        assert_eq!((portals[0].name(), portals[1].name(), portals.len()), ("ann", "bob", 2));
        let (name, mark) = portals["bob"].run(name_and_mark {}).await?;
        assert_eq!((name.as_str(), mark.as_deref()), ("bob", Some("set")));
        assert!(portals.get_named("eve").is_none());
        let names: Vec<_> = (&portals).into_iter().map(|portal| portal.name()).collect();
        assert_eq!(names, ["ann", "bob"]);
        Ok(())
    })
    .await
}

/// Workers are named after the actor that opens the cluster.
#[tractor::rpc]
async fn open_a_cluster() -> Result<Vec<String>> {
    open_actor_cluster(Cluster::of(module!()).count(2), async |portals| {
        Ok(portals.iter().map(|portal| portal.name().to_owned()).collect())
    })
    .await
}

#[tractor::test(matrix)]
async fn clusters_are_opened_in_any_actor() -> Result<()> {
    open_nursery(async |an| {
        let child = an.start_actor("boss").enable(module!()).await?;
        let names = child.run(open_a_cluster {}).await?;
        assert_eq!(names, ["boss.worker_0", "boss.worker_1"]);
        child.cancel_actor().await
    })
    .await
}

#[tractor::test(matrix)]
async fn clusters_that_can_not_be_are_refused_before_anything_is_started() {
    let named = |names: &[&str]| Cluster::of(module!()).names(names.iter().copied());
    for (cluster, problem) in [
        (named(&["ann", "bob"]).count(3), "2 names for a cluster of 3"),
        (named(&["ann", "ann"]), "`ann`"),
        (Cluster::of(module!()).count(0), "at least one"),
        (named(&[]), "at least one"),
    ] {
        let text = format!("{cluster:?}");
        let refused: Result<()> =
            open_actor_cluster(cluster, async |_| unreachable!("nothing to run")).await;
        let Err(Error::Misuse(misuse)) = refused else { panic!("{text}: {refused:?}") };
        assert!(misuse.to_string().contains(problem), "{text}: {misuse}");
    }
    let none: Vec<(tractor::Portal, count_items)> = Vec::new();
    let refused = open_nursery(async |_| gather_contexts(none, async |_| Ok(())).await).await;
    assert!(matches!(refused, Err(Error::Misuse(_))), "{refused:?}");
}

/// Fails, or sleeps until it is cancelled.
#[tractor::context]
async fn fail_or_sleep(ctx: Context<(), (), ()>, fails: bool) -> Result<()> {
    ctx.started(()).await?;
    match fails {
        true => Err(std::io::Error::other("on purpose").into()),
        false => sleep(FOREVER).await,
    }
}

#[tractor::test(matrix)]
async fn one_failing_context_ends_the_others_and_is_reported_once() -> Result<()> {
    let start = Instant::now();
    open_actor_cluster(Cluster::of(module!()).count(3), async |portals| {
        let endpoint = |n: usize| fail_or_sleep { fails: n == 1 };
        let all = portals.iter().enumerate().map(|(n, portal)| (portal, endpoint(n)));
        let failed: Result<()> = gather_contexts(all, async |contexts| {
            // Sees the failure, too: it is the same one.
            contexts[1].0.wait_for_result().await
        })
        .await;
        let error = failed.unwrap_err();
        assert!(matches!(error, Error::Remote(_)), "bare: {error:?}");
        assert_eq!(remote_type(&error), "OSError");
        assert!(portals.iter().all(|portal| portal.is_connected()), "the workers live on");
        Ok(())
    })
    .await?;
    assert!(start.elapsed() < Duration::from_secs(6));
    Ok(())
}

#[tractor::test(matrix)]
async fn an_error_of_the_body_ends_the_cluster() {
    let mut pids = Vec::new();
    let failed: Result<()> = open_actor_cluster(Cluster::of(module!()).count(2), async |portals| {
        pids.extend(portals.iter().filter_map(|portal| portal.pid()));
        Err(Error::TooSlow)
    })
    .await;
    assert!(matches!(failed, Err(Error::TooSlow)), "{failed:?}");
    assert!(pids.len() == 2 && !pids.into_iter().any(exists));
}

#[tractor::test(matrix)]
async fn a_worker_that_can_not_start_ends_the_cluster() {
    let cluster = Cluster::of(module!()).count(2).each(|worker| worker.exe("/nonexistent/program"));
    let failed: Result<()> = open_actor_cluster(cluster, async |_| unreachable!()).await;
    let error = failed.unwrap_err();
    for leaf in error.leaves() {
        assert!(matches!(leaf, Error::ActorFailed(_)), "{error:?}");
    }
    assert!((1..=2).contains(&error.leaves().len()), "each once: {error:?}");
}
