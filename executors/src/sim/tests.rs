//! What a simulation's executor promises: the order follows from the seed, time from the timers.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use super::*;

const GROUP: Group = Group(1);

fn sim(seed: u64) -> Sim {
    Sim::new(seed, Limits::default(), GROUP)
}

async fn sleep(sim: &Sim, time: Duration) {
    let mut timer = sim.timer();
    timer.set(Some(sim.now() + time));
    poll_fn(|cx| timer.poll_expired(cx)).await;
}

/// Ready when it is polled the second time.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        match std::mem::replace(&mut yielded, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}

/// The order in which ten tasks run, three times each.
fn order(seed: u64) -> (Vec<u32>, u64) {
    let sim = sim(seed);
    let seen = Arc::new(Mutex::new(Vec::new()));
    for n in 0..10 {
        let seen = seen.clone();
        sim.spawn(Box::pin(async move {
            for _ in 0..3 {
                seen.lock().unwrap().push(n);
                yield_now().await;
            }
        }));
    }
    sim.block_on(pin!(sleep(&sim, Duration::from_secs(1))));
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    (seen, sim.trace())
}

#[test]
fn the_seed_decides_the_order() {
    let (first, trace) = order(1);
    assert_eq!(first.len(), 30);
    assert_eq!((first, trace), order(1));
    let others: BTreeSet<Vec<u32>> = (0..20).map(|seed| order(seed).0).collect();
    assert_eq!(others.len(), 20, "each seed has its own");
    assert_ne!(order(2).1, trace);
}

#[test]
fn time_jumps_to_the_next_timer() {
    let (sim, began) = (sim(1), std::time::Instant::now());
    sim.block_on(pin!(sleep(&sim, Duration::from_secs(3600))));
    assert!(sim.now() >= Duration::from_secs(3600) && sim.now() < Duration::from_secs(3601));
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_loop_that_yields_gets_to_a_later_time() {
    let sim = sim(1);
    sim.block_on(pin!(async {
        while sim.now() < Duration::from_millis(1) {
            yield_now().await;
        }
    }));
}

#[test]
fn timers_go_off_in_their_order() {
    let (sim, seen) = (sim(7), Arc::new(Mutex::new(Vec::new())));
    for ms in [3, 1, 2] {
        let (own, seen) = (sim.clone(), seen.clone());
        sim.spawn(Box::pin(async move {
            sleep(&own, Duration::from_millis(ms)).await;
            seen.lock().unwrap().push(ms);
        }));
    }
    sim.block_on(pin!(sleep(&sim, Duration::from_millis(10))));
    assert_eq!(*seen.lock().unwrap(), [1, 2, 3]);
}

#[test]
#[should_panic(expected = "no task can run")]
fn what_can_never_go_on_is_stuck() {
    sim(1).block_on(pin!(std::future::pending()));
}

#[test]
#[should_panic(expected = "it goes in circles")]
fn what_never_ends_is_stopped() {
    let limits = Limits { steps: 1000, ..Limits::default() };
    Sim::new(1, limits, GROUP).block_on(pin!(async {
        loop {
            yield_now().await;
        }
    }));
}

/// Says when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn an_ended_group_runs_no_more_line_and_no_destructor() {
    let (sim, turns, dropped) =
        (sim(1), Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let victim = sim.group(Group(2));
    let (counted, guard) = (turns.clone(), Dropped(dropped.clone()));
    victim.spawn(Box::pin(async move {
        let _guard = guard;
        loop {
            counted.fetch_add(1, SeqCst);
            yield_now().await;
        }
    }));
    sim.block_on(pin!(async {
        sleep(&sim, Duration::from_millis(1)).await;
        sim.end(Group(2));
        let before = turns.load(SeqCst);
        assert!(before > 0);
        victim.spawn(Box::pin(async { unreachable!("its group has ended") }));
        sleep(&sim, Duration::from_millis(1)).await;
        assert_eq!(turns.load(SeqCst), before);
        assert!(!dropped.load(SeqCst), "a process that is killed does not clean up");
    }));
    sim.close();
    assert!(dropped.load(SeqCst), "nothing leaks");
}

#[test]
fn a_paused_group_goes_on_where_it_was() {
    let (sim, turns) = (sim(1), Arc::new(AtomicU32::new(0)));
    let counted = turns.clone();
    sim.group(Group(2)).spawn(Box::pin(async move {
        loop {
            counted.fetch_add(1, SeqCst);
            yield_now().await;
        }
    }));
    sim.block_on(pin!(async {
        sleep(&sim, Duration::from_millis(1)).await;
        sim.pause(Group(2), true);
        let before = turns.load(SeqCst);
        sleep(&sim, Duration::from_millis(1)).await;
        assert_eq!(turns.load(SeqCst), before);
        sim.pause(Group(2), false);
        sleep(&sim, Duration::from_millis(1)).await;
        assert!(turns.load(SeqCst) > before);
    }));
    sim.close();
}

#[test]
fn a_task_that_panics_is_gone_and_the_others_go_on() {
    let (sim, reached) = (sim(1), Arc::new(AtomicBool::new(false)));
    let (own, told) = (sim.clone(), reached.clone());
    sim.spawn(Box::pin(async { panic!("of the task") }));
    sim.spawn(Box::pin(async move {
        sleep(&own, Duration::from_millis(1)).await;
        told.store(true, SeqCst);
    }));
    sim.block_on(pin!(sleep(&sim, Duration::from_millis(2))));
    assert!(reached.load(SeqCst));
}
