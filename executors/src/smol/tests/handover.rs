//! The threads inside `block_on`, and the one wait that they share.

use super::*;
use crate::tests::explore::{explore, explore_fairly};

const RUNS: usize = 4_000;

const SHORT: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_millis(100);

#[test]
fn no_wakeup_is_lost() {
    explore(RUNS, || {
        let world = World::new();
        let signals: [Signal; 3] = Default::default();
        let threads = signals.clone().map(|signal| {
            let world = world.clone();
            spawn(move || world.block_on(signal.wait()))
        });
        signals.iter().for_each(Signal::set);
        join(threads);
    });
}

/// Whoever has the wait may leave at any moment: news of a descriptor reach those who stay.
#[test]
fn whoever_stays_is_told_of_its_descriptor() {
    explore(RUNS, || {
        let world = World::new();
        let (signal, pipes) = (Signal::default(), [world.watch(), world.watch()].map(Arc::new));
        let (leaver, told) = (world.clone(), signal.clone());
        let mut threads = vec![spawn(move || leaver.block_on(told.wait()))];
        threads.extend(pipes.clone().map(|pipe| {
            let world = world.clone();
            spawn(move || world.block_on(pipe.read()))
        }));
        signal.set();
        pipes.iter().for_each(|pipe| pipe.put());
        join(threads);
    });
}

/// One that was offered the wait is woken for something else at the same time, and leaves.
#[test]
fn an_offer_that_is_not_taken_is_passed_on() {
    explore(RUNS, || {
        let world = World::new();
        let (signals, pipe) = ([Signal::default(), Signal::default()], Arc::new(world.watch()));
        let mut threads = Vec::from(signals.clone().map(|signal| {
            let world = world.clone();
            spawn(move || world.block_on(signal.wait()))
        }));
        let (stays, theirs) = (world.clone(), pipe.clone());
        threads.push(spawn(move || {
            stays.block_on(async {
                theirs.read().await;
                theirs.read().await;
            });
        }));
        pipe.put();
        signals.iter().for_each(Signal::set);
        pipe.put();
        join(threads);
    });
}

/// They wake each other, and are told of descriptors in between.
#[test]
fn threads_that_take_turns_go_on() {
    explore(RUNS / 2, || {
        let world = World::new();
        let pipes = [world.watch(), world.watch()].map(Arc::new);
        let sides = [[0, 1], [1, 0]].map(|side| {
            let (world, [from, to]) = (world.clone(), side.map(|n| pipes[n].clone()));
            spawn(move || {
                world.block_on(async {
                    for _ in 0..3 {
                        from.read().await;
                        to.put();
                    }
                });
            })
        });
        pipes[0].put();
        // One that comes and goes.
        for _ in 0..2 {
            world.block_on(std::future::ready(()));
        }
        join(sides);
    });
}

/// News of writes are switched on and off, as one thread waits for them and another one takes news
/// of what can be read.
#[test]
fn room_to_write_is_told() {
    explore(RUNS, || {
        let world = World::new();
        let pipe = Arc::new(world.watch());
        let (theirs, writes) = (world.clone(), pipe.clone());
        let writer = spawn(move || {
            theirs.block_on(async {
                for _ in 0..4 {
                    writes.write().await;
                }
            });
        });
        let reads = pipe.clone();
        let reader = spawn(move || {
            world.block_on(async {
                for _ in 0..4 {
                    reads.read().await;
                }
            });
        });
        for room in [2, 1, 1] {
            pipe.make_room(room);
            pipe.put();
        }
        pipe.put();
        join([writer, reader]);
    });
}

/// The wait that is under way has no end, or one that is too late.
#[test]
fn a_timer_of_another_thread_ends_the_wait() {
    for first in [None, Some(LONG)] {
        explore(RUNS / 2, move || {
            let world = World::new();
            let (signal, other) = (Signal::default(), world.clone());
            let told = signal.clone();
            let waits = spawn(move || {
                let stays = async {
                    let late = async {
                        match first {
                            Some(time) => other.sleep(time).await,
                            None => std::future::pending().await,
                        }
                        told.wait().await;
                    };
                    futures_lite::future::or(late, told.wait()).await;
                };
                other.block_on(stays);
            });
            shuttle::future::block_on(world.sleep(SHORT));
            signal.set();
            join([waits]);
        });
    }
}

/// Never sleeps, for so many turns, which take their time.
async fn busy(turns: usize) {
    for _ in 0..turns {
        clock::pass(Duration::from_micros(50));
        futures_lite::future::yield_now().await;
    }
}

/// A thread that never sleeps is told of its descriptor all the same.
#[test]
fn a_busy_thread_looks_for_news() {
    explore_fairly(RUNS / 8, || {
        let world = World::new();
        let pipe = Arc::new(world.watch());
        let reads = pipe.clone();
        let thread = spawn(move || {
            world.block_on(futures_lite::future::or(reads.read(), busy(usize::MAX)));
        });
        pipe.put();
        join([thread]);
    });
}

/// Who waits while another thread only looks is left with the wait.
#[test]
fn a_look_leaves_nobody_behind() {
    explore(RUNS / 2, || {
        let world = World::new();
        let pipe = Arc::new(world.watch());
        let (theirs, reads) = (world.clone(), pipe.clone());
        let reader = spawn(move || theirs.block_on(reads.read()));
        let looks = spawn(move || world.block_on(busy(20)));
        join([looks]);
        pipe.put();
        join([reader]);
    });
}
