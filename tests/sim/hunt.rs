//! Programs that do random things, all the way down. Without faults they succeed; whatever fails,
//! they end, and nothing wrong is ever said.

use std::future::{Future, IntoFuture as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tractor::scope::{self, finally, move_on_after, sleep};
use tractor::sim::{self, Config, Faults};
use tractor::{
    ActorNursery, BoxError, Context, Error, ParentLink, Portal, Result, RootConfig, SendHalf,
    find_actor, module, open_nursery, open_root_actor,
};

use super::MS;
use super::logs::run;

/// What only a bug of the runtime says.
const WRONG: &str = "this must not be";

/// How many seeds, for long hunts: `SEEDS=100000`.
pub(crate) fn seeds(usual: u64) -> u64 {
    std::env::var("SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[track_caller]
fn check(holds: bool) {
    assert!(holds, "{WRONG}");
}

fn some_ms(most: u64) -> Duration {
    Duration::from_micros(sim::random(most * 1000))
}

/// One that nobody else has: who is looked up is who is meant.
fn some_name(kind: &str) -> String {
    format!("{kind}{}", sim::random(1 << 40))
}

#[tractor::rpc]
async fn echo(n: u64) -> Result<u64> {
    sleep(some_ms(3)).await?;
    Ok(n)
}

#[tractor::rpc]
async fn refuse(n: u64) -> Result<u64, BoxError> {
    sleep(some_ms(3)).await?;
    Err(format!("refused {n}"))?
}

#[tractor::rpc]
async fn blow_up() -> Result<()> {
    sleep(some_ms(3)).await?;
    panic!("on purpose")
}

#[tractor::stream]
async fn count(mut out: SendHalf<u64>) -> Result<()> {
    for n in 0.. {
        out.send(n).await?;
    }
    Ok(())
}

#[tractor::context]
async fn sums(ctx: Context<(), u64, u64>) -> Result<u64> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    let mut sum = 0;
    while let Some(number) = stream.next().await? {
        sum += number;
        stream.send(sum).await?;
    }
    Ok(sum)
}

#[tractor::context]
async fn tidy(ctx: Context<(), (), ()>) -> Result<()> {
    ctx.started(()).await?;
    finally(sleep(Duration::from_secs(3600)), async { drop(sleep(some_ms(20)).await) }).await
}

/// Does random things, in a nursery of its own.
#[tractor::rpc]
async fn play(depth: u64, moves: u64) -> Result<u64> {
    open_nursery(async |an| {
        let child = an.start_actor(some_name("child")).enable(module!()).await?;
        for _ in 0..moves {
            act(&an, &child, depth).await?;
        }
        match sim::random(3) {
            0 => an.cancel().await?,
            1 => child.cancel_actor().await?,
            _ => {
                child.cancel_actor().await?;
                child.wait_closed().await?;
            }
        }
        Ok(moves)
    })
    .await
}

type Acting<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

fn act<'a>(an: &'a ActorNursery, child: &'a Portal, depth: u64) -> Acting<'a> {
    match sim::random(if depth > 0 { 15 } else { 11 }) {
        0 => Box::pin(ask(child)),
        1 => Box::pin(add_up(child)),
        2 => Box::pin(add_up_and_cancel(child)),
        3 => Box::pin(lose_patience(child)),
        4 => Box::pin(read_some(child)),
        5 => Box::pin(be_refused(child)),
        6 => Box::pin(look_up(child)),
        7 => Box::pin(clean_up(child)),
        8 => Box::pin(cancel_a_tidy_one(child)),
        9 => Box::pin(see_a_panic(child)),
        10 => Box::pin(be_misunderstood(child)),
        11 => Box::pin(begin_and_stop(an)),
        12 => Box::pin(play_below(an, depth)),
        13 => Box::pin(give_up_below(child, depth)),
        _ => Box::pin(all_at_once(an, child, depth)),
    }
}

async fn ask(child: &Portal) -> Result<()> {
    let n = sim::random(1000);
    check(child.run(echo { n }).await? == n);
    Ok(())
}

async fn add_up(child: &Portal) -> Result<()> {
    let most = sim::random(50);
    let block = child.open_context(sums {}, async |ctx, ()| {
        let mut stream = ctx.open_stream().await?;
        for n in 1..=most {
            stream.send(n).await?;
            check(stream.recv().await? == n * (n + 1) / 2);
        }
        drop(stream);
        ctx.wait_for_result().await
    });
    check(block.await? == most * (most + 1) / 2);
    Ok(())
}

async fn add_up_and_cancel(child: &Portal) -> Result<()> {
    let block = child.open_context(sums {}, async |ctx, ()| {
        let mut stream = ctx.open_stream().await?;
        for n in 0..sim::random(10) {
            stream.send(n).await?;
        }
        ctx.cancel().await
    });
    block.await
}

async fn lose_patience(child: &Portal) -> Result<()> {
    // In a block of its own: a time that is over cancels the call, and nothing else.
    let called = move_on_after(some_ms(4), child.run(echo { n: 7 })).await;
    check(called.transpose()?.is_none_or(|n| n == 7));
    ask(child).await
}

async fn read_some(child: &Portal) -> Result<()> {
    let most = sim::random(300);
    let block = child.open_stream_from(count {}, async |mut numbers| {
        for n in 0..most {
            check(numbers.recv().await? == n);
        }
        Ok(())
    });
    block.await
}

async fn be_refused(child: &Portal) -> Result<()> {
    match child.run(refuse { n: 3 }).await {
        Ok(_) => panic!("{WRONG}"),
        Err(Error::Remote(error)) => {
            check(error.message() == "refused 3" || error.message().is_empty());
            Ok(())
        }
        Err(other) => Err(other),
    }
}

async fn see_a_panic(child: &Portal) -> Result<()> {
    match child.run(blow_up {}).await {
        Ok(()) => panic!("{WRONG}"),
        Err(Error::Remote(error)) => {
            check(error.message().is_empty() || error.message().contains("on purpose"));
            Ok(())
        }
        Err(other) => Err(other),
    }
}

/// What is of a wrong type is told by who finds it: arguments by the callee, results by the caller.
async fn be_misunderstood(child: &Portal) -> Result<()> {
    #[derive(serde::Serialize)]
    struct Args<T> {
        n: T,
    }
    let echo = (module_path!(), "echo");
    let argument = child.call::<u64>(echo.0, echo.1, &Args { n: "one" }).await;
    is_misunderstanding(argument.map(drop))?;
    let result = child.call::<String>(echo.0, echo.1, &Args { n: 1 }).await;
    is_misunderstanding(result.map(drop))
}

fn is_misunderstanding(result: Result<()>) -> Result<()> {
    match result {
        Ok(()) => panic!("{WRONG}"),
        Err(Error::MsgType(_)) => Ok(()),
        Err(Error::Remote(error)) if error.type_name() == "TypeError" => Ok(()),
        Err(other) => Err(other),
    }
}

async fn look_up(child: &Portal) -> Result<()> {
    let expected = child.uid().clone();
    find_actor(child.name(), async move |found| {
        let found = found.ok_or(Error::PeerLost { peer: expected })?;
        let n = sim::random(1000);
        check(found.run(echo { n }).await? == n);
        Ok(())
    })
    .await
}

/// A cleanup may call, also when it is because of a cancel.
async fn clean_up(child: &Portal) -> Result<()> {
    let (said, other) = (Arc::new(Mutex::new(None)), child.clone());
    let told = said.clone();
    let call = async move {
        let n = other.run(echo { n: 9 }).await;
        *told.lock().unwrap() = Some(n);
    };
    let cut = move_on_after(some_ms(2), finally(sleep(Duration::from_secs(60)), call)).await;
    check(cut.is_none());
    let said = said.lock().unwrap().take();
    // Where an actor does not answer, the time to end may be over before the cleanup is.
    check(said.ok_or(Error::TooSlow)?? == 9);
    Ok(())
}

async fn cancel_a_tidy_one(child: &Portal) -> Result<()> {
    child.open_context(tidy {}, async |ctx, ()| ctx.cancel().await).await
}

async fn begin_and_stop(an: &ActorNursery) -> Result<()> {
    let begin = an.start_actor(some_name("other")).enable(module!()).into_future();
    let begun = move_on_after(some_ms(12), begin).await;
    let Some(other) = begun.transpose()? else { return Ok(()) };
    ask(&other).await?;
    other.cancel_actor().await?;
    other.wait_closed().await
}

async fn play_below(an: &ActorNursery, depth: u64) -> Result<()> {
    let moves = sim::random(4);
    let played = an.run_in_actor(play { depth: depth - 1, moves }).await?;
    check(played.result().await? == moves);
    Ok(())
}

/// A whole tree is cancelled in the middle of it.
async fn give_up_below(child: &Portal, depth: u64) -> Result<()> {
    let call = child.run(play { depth: depth - 1, moves: 5 });
    let played = move_on_after(some_ms(60), call).await;
    check(played.transpose()?.is_none_or(|moves| moves == 5));
    ask(child).await
}

async fn all_at_once(an: &ActorNursery, child: &Portal, depth: u64) -> Result<()> {
    scope::open_nursery(async |tn| {
        for _ in 0..3 {
            tn.start_soon(act(an, child, depth - 1));
        }
        Ok(())
    })
    .await
}

/// The text of an error, in which each death is told once.
fn told_once(seed: u64, error: &Error) -> String {
    let text = format!("{error:?}");
    let mut deaths: Vec<_> = error
        .leaves()
        .into_iter()
        .filter_map(|leaf| match leaf {
            Error::ActorFailed(failed) => Some(failed.uid().clone()),
            _ => None,
        })
        .collect();
    let all = deaths.len();
    deaths.sort();
    deaths.dedup();
    assert_eq!(deaths.len(), all, "seed {seed}: {text}");
    text
}

/// What all of these programs are.
async fn program() -> Result<u64> {
    let (depth, moves) = (sim::random(3), 1 + sim::random(5));
    play(depth, moves).await
}

#[test]
fn what_nothing_fails_succeeds() {
    for seed in 0..seeds(150) {
        let run = run(seed, program);
        assert!(run.result.is_ok(), "seed {seed}: {:?}", run.result);
        assert!(run.time < Duration::from_secs(30), "seed {seed}: {:?}", run.time);
    }
}

#[test]
fn what_anything_fails_ends_and_says_nothing_wrong() {
    for seed in 0..seeds(150) {
        let faults = Faults::all().kills(2).stalls(2).within(MS * 200);
        let run = run(Config::new(seed).faults(faults), program);
        let text = run.result.err().map(|error| told_once(seed, &error)).unwrap_or_default();
        assert!(!text.contains(WRONG), "seed {seed}: {text}");
        assert!(run.time < Duration::from_secs(60), "seed {seed}: {:?}", run.time);
    }
}

/// A death is seen at once: nobody waits for a time that is over, and nothing takes a budget. The
/// word is what the errors say of such a death.
#[track_caller]
fn keeps_nobody_waiting(faults: &Faults, word: &str) {
    let mut died = 0;
    for seed in 0..seeds(150) {
        let run = run(Config::new(seed).faults(faults.clone()), program);
        let text = run.result.err().map(|error| told_once(seed, &error)).unwrap_or_default();
        let slow = ["budget", "too slow", "TooSlow", "given up on", WRONG];
        assert!(!slow.iter().any(|word| text.contains(word)), "seed {seed}: {text}");
        assert!(run.time < Duration::from_secs(2), "seed {seed}: {:?}, {text}", run.time);
        died += u64::from(text.contains(word));
    }
    assert!(died > seeds(150) / 5, "{died} runs with a death");
}

#[test]
fn what_is_killed_keeps_nobody_waiting() {
    keeps_nobody_waiting(&Faults::none().kills(3).within(MS * 200), "signal 9");
}

/// As one that is killed, with its code in the error.
#[test]
fn what_crashes_keeps_nobody_waiting() {
    keeps_nobody_waiting(&Faults::none().crashes(3).within(MS * 200), "exit code");
}

/// Who hears nothing any more ends when it is to end, within a budget; or goes on when it hears
/// again.
#[test]
fn what_hears_nothing_ends_all_the_same() {
    for seed in 0..seeds(150) {
        let faults = match seed % 2 {
            0 => Faults::none().silences(2),
            _ => Faults::none().partitions(2),
        };
        let run = run(Config::new(seed).faults(faults.within(MS * 200)), program);
        let text = run.result.err().map(|error| told_once(seed, &error)).unwrap_or_default();
        assert!(!text.contains(WRONG), "seed {seed}: {text}");
        // Two outages that do not overlap, and the time to end.
        assert!(run.time < Duration::from_secs(22), "seed {seed}: {:?}, {text}", run.time);
    }
}

/// A program whose children connect back to their parents, over a network that may refuse.
async fn connecting_back() -> Result<u64> {
    let config = RootConfig::default().parent_link(ParentLink::ConnectBack).enable(module!());
    open_root_actor(config, async |_| program().await).await
}

#[test]
fn what_connects_back_ends_and_says_nothing_wrong() {
    for seed in 0..seeds(150) {
        let without = run(seed, connecting_back);
        assert!(without.result.is_ok(), "seed {seed}: {:?}", without.result);
        let faults = Faults::all().refused_connects(2).slow_connects(2).within(MS * 200);
        let run = run(Config::new(seed).faults(faults), connecting_back);
        let text = run.result.err().map(|error| told_once(seed, &error)).unwrap_or_default();
        assert!(!text.contains(WRONG), "seed {seed}: {text}");
        assert!(run.time < Duration::from_secs(60), "seed {seed}: {:?}", run.time);
    }
}

/// A link that is cut is the end of who is below it, within one budget for all of them.
#[test]
fn what_is_cut_off_ends_within_a_budget() {
    for seed in 0..seeds(150) {
        let faults = Faults::none().cuts(2).within(MS * 200);
        let run = run(Config::new(seed).faults(faults), program);
        let text = run.result.err().map(|error| told_once(seed, &error)).unwrap_or_default();
        assert!(!text.contains(WRONG), "seed {seed}: {text}");
        assert!(run.time < Duration::from_secs(4), "seed {seed}: {:?}, {text}", run.time);
    }
}

/// A spawn that fails is an error at once, and nothing waits for what was never there.
#[test]
fn what_can_not_be_spawned_keeps_nobody_waiting() {
    for seed in 0..seeds(150) {
        let faults = Faults::none().failing_spawns(2).within(MS * 200);
        let run = run(Config::new(seed).faults(faults), program);
        let text = run.result.err().map(|error| told_once(seed, &error)).unwrap_or_default();
        assert!(text.is_empty() || text.contains("(simulated)"), "seed {seed}: {text}");
        assert!(run.time < Duration::from_secs(2), "seed {seed}: {:?}, {text}", run.time);
    }
}
