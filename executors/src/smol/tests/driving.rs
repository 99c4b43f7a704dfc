//! Who drives the tasks: the threads inside `block_on`, or else the helper.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;

use super::*;
use crate::drive::{Drive, Runner};
use crate::tests::explore::explore;

const RUNS: usize = 3_000;

/// Tasks that are functions, run by whoever drives.
struct Tasks {
    world: Arc<World>,
    queue: Mutex<Queue>,
    /// Set when nobody has the tasks any more.
    gone: Signal,
}

#[derive(Default)]
struct Queue {
    tasks: VecDeque<Box<dyn FnOnce() + Send>>,
    drivers: Vec<Waker>,
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tasks")
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.gone.set();
    }
}

impl Tasks {
    fn push(&self, task: impl FnOnce() + Send + 'static) {
        let mut queue = self.queue.lock().unwrap();
        queue.tasks.push_back(Box::new(task));
        let drivers = std::mem::take(&mut queue.drivers);
        drop(queue);
        drivers.into_iter().for_each(Waker::wake);
    }

    /// Runs what is there, and leaves the waker for what comes.
    fn poll(&self, cx: &Context<'_>) {
        loop {
            let mut queue = self.queue.lock().unwrap();
            let Some(task) = queue.tasks.pop_front() else {
                queue.drivers.push(cx.waker().clone());
                return;
            };
            drop(queue);
            task();
        }
    }
}

impl Runner for Tasks {
    const HELPER_NAME: &'static str = "helper";

    fn run(&self, mut until: Pin<&mut dyn Future<Output = ()>>) {
        self.world.block_on(poll_fn(|cx| {
            let ended = until.as_mut().poll(cx);
            if ended.is_pending() {
                self.poll(cx);
            }
            ended
        }));
    }
}

/// An executor, and what is set once all of it is gone.
fn executor() -> (Arc<Drive<Tasks>>, Signal) {
    let gone = Signal::default();
    let tasks = Tasks { world: World::new(), queue: Mutex::default(), gone: gone.clone() };
    (Drive::new(tasks), gone)
}

fn start(drive: &Arc<Drive<Tasks>>, task: impl FnOnce() + Send + 'static) {
    let user = drive.user();
    drive.runner().push(move || {
        task();
        drop(user);
    });
}

/// It is dropped, as an executor is, and its helper ends.
fn close(drive: Arc<Drive<Tasks>>, gone: &Signal) {
    drive.close();
    drop(drive);
    gone.block();
}

#[test]
fn a_task_is_run_whoever_comes_and_goes() {
    explore(RUNS, || {
        let (drive, gone) = executor();
        let visitors = [(); 2].map(|()| {
            let drive = drive.clone();
            spawn(move || drive.block_on(pin!(std::future::ready(()))))
        });
        let done: [Signal; 2] = Default::default();
        for done in done.clone() {
            start(&drive, move || done.set());
        }
        done.iter().for_each(Signal::block);
        join(visitors);
        close(drive, &gone);
    });
}

#[test]
fn the_helper_takes_over_what_the_last_one_leaves() {
    explore(RUNS, || {
        let (drive, gone) = executor();
        let (done, theirs) = (Signal::default(), drive.clone());
        let set = done.clone();
        let visitor = spawn(move || {
            let ours = theirs.clone();
            theirs.block_on(pin!(async move {
                // A task that starts a task, when its starter may be gone already.
                let again = ours.clone();
                start(&ours, move || start(&again, move || set.set()));
            }));
        });
        done.block();
        join([visitor]);
        close(drive, &gone);
    });
}

/// A thread that waits elsewhere has its timer driven.
#[test]
fn a_timer_is_driven_without_anybody_inside() {
    explore(RUNS, || {
        let (drive, gone) = executor();
        let theirs = drive.clone();
        let visitor = spawn(move || theirs.block_on(pin!(std::future::ready(()))));
        let world = drive.runner().world.clone();
        let user = drive.user();
        shuttle::future::block_on(world.sleep(Duration::from_millis(1)));
        drop(user);
        join([visitor]);
        close(drive, &gone);
    });
}

#[test]
fn closing_ends_the_helper_whatever_it_does() {
    explore(RUNS, || {
        let (drive, gone) = executor();
        start(&drive, || {});
        let theirs = drive.clone();
        let visitor = spawn(move || {
            theirs.block_on(pin!(std::future::ready(())));
            drop(theirs);
        });
        close(drive, &gone);
        join([visitor]);
    });
}
