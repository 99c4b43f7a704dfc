//! What the kit and its calls promise beyond single faults: counts, outages one upon another, and
//! faults as text.

use std::time::Duration;

use tractor::scope::sleep;
use tractor::sim::{self, Faults};
use tractor::{Error, ParentLink, find_actor, open_nursery, open_root_actor};

use super::MS;
use super::faults::{answer, asked, connecting, meeting};
use super::logs::run;

/// As many as there are numbers, and more can't be too many.
#[test]
fn all_spawns_may_fail() {
    let run = run(1, || {
        open_nursery(async |an| {
            sim::fail_spawns(1);
            sim::fail_spawns(u32::MAX);
            let failed = an.start_actor("first").isolated().await.expect_err("no process");
            assert!(failed.to_string().contains("too many processes"), "{failed}");
            Ok(())
        })
    });
    run.result.unwrap();
}

/// As many take no more memory than one.
#[test]
fn all_connects_may_fail() {
    let run = run(1, || {
        connecting(async |an| {
            for _ in 0..2 {
                sim::refuse_connects(u32::MAX);
                sim::slow_connects(u32::MAX, Duration::from_secs(2));
            }
            for name in ["first", "second"] {
                let began = sim::now();
                an.start_actor(name).isolated().await.expect_err("it was refused");
                assert!(sim::now() - began >= Duration::from_secs(2), "{name}");
            }
            Ok(())
        })
    });
    run.result.unwrap();
}

/// So many, and not one more; none is none.
#[test]
fn refusals_and_delays_are_counted() {
    let run = run(1, || {
        connecting(async |an| {
            sim::refuse_connects(0);
            sim::refuse_connects(2);
            sim::refuse_connects(1);
            sim::slow_connects(1, Duration::from_secs(1));
            sim::slow_connects(2, Duration::from_secs(2));
            let mut seen = Vec::new();
            for name in ["a", "b", "c", "d"] {
                let began = sim::now();
                let started = an.start_actor(name).isolated().await.is_ok();
                seen.push((started, (sim::now() - began).as_secs()));
            }
            an.cancel().await?;
            Ok(seen)
        })
    });
    assert_eq!(run.result.unwrap(), [(false, 1), (false, 2), (false, 2), (true, 0)]);
}

/// A root that looks for its registry finds nobody there: that takes no refusal from the child.
#[test]
fn a_refusal_is_for_where_somebody_listens() {
    let run = run(1, || async {
        sim::refuse_connects(1);
        let config = meeting().parent_link(ParentLink::ConnectBack);
        open_root_actor(config, async |_| {
            open_nursery(async |an| {
                an.start_actor("first").isolated().await.expect_err("it was refused");
                an.start_actor("second").await?.cancel_actor().await
            })
            .await
        })
        .await
    });
    run.result.unwrap();
}

/// When who speaks to a program that is killed in an outage is told, whatever it says meanwhile.
fn told_after(outage: fn()) -> Duration {
    let program = || async {
        let _keeper = sim::start_program("keeper", asked);
        let _far = sim::start_program("far", asked);
        sleep(MS * 100).await?;
        open_root_actor(meeting().name("asker"), async |_| {
            find_actor("far", async |found| {
                let portal = found.expect("it is registered");
                assert_eq!(portal.run(answer {}).await?, 3);
                outage();
                let began = sim::now();
                assert!(sim::kill("far"));
                sleep(Duration::from_secs(2)).await?;
                assert!(portal.run(answer {}).await.is_err(), "it is gone");
                Ok(sim::now() - began)
            })
            .await
        })
        .await
    };
    let run = run(1, program);
    run.result.unwrap()
}

/// Who hears nothing does not hear of an end either: it learns of it when the outage is over.
#[test]
fn who_hears_nothing_is_not_told_of_an_end() {
    const OUTAGE: Duration = Duration::from_secs(20);
    let outages: [(&str, fn()); 4] = [
        ("silence", || assert_eq!(sim::silence("far", "asker", OUTAGE), 1)),
        ("a shorter silence", || {
            assert_eq!(sim::silence("far", "asker", OUTAGE), 1);
            assert_eq!(sim::silence("far", "asker", Duration::from_secs(1)), 1);
        }),
        ("stall", || assert_eq!(sim::stall("asker", "far", OUTAGE), 1)),
        ("partition", || assert!(sim::partition(["far"], OUTAGE) >= 1)),
    ];
    for (what, outage) in outages {
        let told = told_after(outage);
        assert!(told >= OUTAGE && told < OUTAGE + Duration::from_secs(1), "{what}: {told:?}");
    }
    // Who is not heard hears.
    let told = told_after(|| assert_eq!(sim::silence("asker", "far", OUTAGE), 1));
    assert!(told < Duration::from_secs(3), "{told:?}");
}

/// What is done by hand is part of the trace, also where nothing meets it.
#[test]
fn what_is_done_by_hand_is_traced() {
    let trace = |act: fn()| {
        let program = || async {
            act();
            Ok(())
        };
        run(1, program).trace
    };
    let traces = |acts: [fn(); 5]| acts.map(trace);
    let [nothing, refusals, delays, spawns, jump] = traces([
        || (),
        || sim::refuse_connects(1),
        || sim::slow_connects(1, MS),
        || sim::fail_spawns(1),
        || sim::jump(Duration::ZERO),
    ]);
    for (what, trace) in [("refuse", refusals), ("slow", delays), ("fail", spawns), ("jump", jump)]
    {
        assert_ne!(trace, nothing, "{what}");
    }
}

/// What a parent sees of an exit code has eight bits.
#[test]
fn an_exit_code_has_eight_bits() {
    for (code, seen) in [(7, 7), (256 + 7, 7), (-1, 255)] {
        let run = run(1, async || {
            open_nursery(async |an| {
                an.start_actor("child").isolated().await?;
                assert!(sim::crash("child", code));
                Ok(an.next_failure().await?.to_string())
            })
            .await
        });
        let text = run.result.unwrap();
        assert!(text.ends_with(&format!("exit code {seen}")), "{text}");
    }
}

#[track_caller]
fn is_as(text: &str, faults: &Faults) {
    let parsed = text.parse::<Faults>().unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(format!("{parsed:?}"), format!("{faults:?}"), "{text}");
}

#[test]
fn faults_are_words() {
    is_as("", &Faults::none());
    is_as(" ", &Faults::none());
    is_as("all", &Faults::all());
    is_as("kills, cuts = 2 ,stalls=0", &Faults::none().kills(1).cuts(2));
    is_as("within=50,kills", &Faults::none().kills(1).within(MS * 50));
    let most = Faults::all().kills(2).cuts(0).within(MS * 50);
    for text in ["all,kills=2,cuts=0,within=50", "kills=2,within=50,cuts=0,all"] {
        is_as(text, &most);
    }
}

/// What is meant otherwise than it is read is refused, with what would be right.
#[test]
fn words_that_say_nothing_are_refused() {
    let wrong = [
        ("kills,earthquakes", "`earthquakes` is no kind of faults"),
        ("kills,", "`` is no kind of faults"),
        ("within", "`within` has no time: say `within=50`"),
        ("within=", "`within=`: no number"),
        ("all=3", "`all=3`: `all` has no number"),
        ("kills=many", "`kills=many`: no number"),
        ("kills=-1", "`kills=-1`: no number"),
        ("kills=4294967296", "from 0 to 4294967295"),
        ("kills=2,all,kills", "`kills` is there twice"),
    ];
    for (text, why) in wrong {
        let error = text.parse::<Faults>().expect_err(text);
        assert!(matches!(error, Error::Misuse(_)), "{error:?}");
        let told = error.to_string();
        assert!(told.contains(why), "{text}: {told}");
        for word in ["kills", "refused_connects", "clock_jumps", "`within=<milliseconds>`"] {
            assert!(told.contains(word), "{text}: {told}");
        }
    }
}
