//! The tasks of the actors: they do what their plans say, by the rules that a real runtime keeps.
//! Nurseries end with their children, a block ends its task and waits for it, whoever is cancelled
//! hears it at each wait, and errors go up.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tractor_core::msg::{FuncType, RemoteError};
use tractor_core::{Actor, ChildId, DialogId, Instant, NurseryId, Outcome};

use super::check::ErrorId;
use super::kernel::{HostId, Kernel, Way, What};
use super::plan::Plans;

/// The world, as tasks have it: borrowed between two waits only.
pub type World = Rc<RefCell<Kernel>>;

/// A task's future.
pub type Running = Pin<Box<dyn Future<Output = ()>>>;

/// The types of the errors that programs raise: as such, and by a panic.
pub const RAISED: &str = "Raised";
/// See [`RAISED`].
pub const PANICKED: &str = "RustPanic";

/// The type of those that the world is to blame for.
pub const LOST: &str = "Lost";

/// Where a task runs that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Far {
    /// The number of its way.
    pub way: usize,
    /// What kind of function it is.
    pub func: FuncType,
    /// Its host.
    pub to: Option<HostId>,
}

/// What something has failed of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Failure {
    /// Errors that programs raised, each once.
    pub ids: Vec<ErrorId>,
    /// What the world is to blame for: peers that are gone, and the like.
    pub lost: u32,
    /// It was cancelled.
    pub cancelled: bool,
    /// A task panicked.
    pub panicked: bool,
}

impl Failure {
    /// It was cancelled, and nothing else.
    pub fn cancelled() -> Failure {
        Failure { cancelled: true, ..Failure::default() }
    }

    /// The world failed.
    pub fn lost() -> Failure {
        Failure { lost: 1, ..Failure::default() }
    }

    /// Both.
    pub fn and(mut self, other: Failure) -> Failure {
        self.ids.extend(other.ids);
        self.lost += other.lost;
        self.cancelled |= other.cancelled;
        self.panicked |= other.panicked;
        self
    }

    /// What is told when it is sent to another actor.
    fn message(&self) -> String {
        let ids: Vec<String> = self.ids.iter().map(ErrorId::to_string).collect();
        ids.join(",")
    }

    /// What was sent.
    pub fn parse(error: &RemoteError) -> Failure {
        let message = error.message.as_ref().map(ToString::to_string).unwrap_or_default();
        let is_ours = error.src_type == RAISED || error.src_type == PANICKED;
        match is_ours && !message.is_empty() {
            true => Failure {
                ids: message.split(',').filter_map(|id| id.parse().ok()).collect(),
                panicked: error.src_type == PANICKED,
                ..Failure::default()
            },
            false => Failure::lost(),
        }
    }
}

/// What comes out of a step.
pub type Done = Result<(), Failure>;

/// Both results: all that failed.
pub fn both(a: Done, b: Done) -> Done {
    match (a, b) {
        (Err(a), Err(b)) => Err(a.and(b)),
        (a, b) => a.and(b),
    }
}

/// What may end a piece of a task from outside.
#[derive(Clone, Copy, Debug)]
enum Ends {
    /// The actor's own end.
    Actor,
    /// The cancel of the dialog whose task it is.
    Dialog(DialogId),
    /// The nursery that it is the body of.
    Nursery(NurseryId),
    /// A deadline.
    Limit(Instant),
    /// A sibling that failed.
    Group,
}

/// A piece of a task that can be cancelled by itself.
#[derive(Clone, Debug)]
pub struct Scope(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    ends: Ends,
    called: std::cell::Cell<bool>,
    outer: Option<Scope>,
}

impl Scope {
    fn new(ends: Ends, outer: Option<Scope>) -> Scope {
        Scope(Rc::new(Inner { ends, called: false.into(), outer }))
    }

    fn cancel(&self) {
        self.0.called.set(true);
    }

    /// Whether this very scope is over, be those around it or not.
    fn is_own(&self, kernel: &Kernel, host: HostId) -> bool {
        let mail = &kernel.hosts[host].mail;
        self.0.called.get()
            || match self.0.ends {
                Ends::Actor => mail.closing,
                Ends::Dialog(id) => mail.dialogs.get(&id).is_some_and(|dialog| dialog.cancelled),
                Ends::Nursery(id) => mail.nurseries.get(&id).is_some_and(|n| n.cancelled),
                Ends::Limit(at) => kernel.now >= at,
                Ends::Group => false,
            }
    }

    fn is_over(&self, kernel: &Kernel, host: HostId) -> bool {
        let outer = || self.0.outer.as_ref().is_some_and(|outer| outer.is_over(kernel, host));
        self.is_own(kernel, host) || outer()
    }
}

/// A task's surroundings.
#[derive(Clone, Debug)]
pub struct Cx {
    /// The world.
    pub world: World,
    /// All programs.
    pub plans: Rc<Plans>,
    /// Whose task it is.
    pub host: HostId,
    /// What an error passes by on its way up.
    pub way: Rc<Way>,
    /// What may end it.
    pub scope: Scope,
    /// Children that are there.
    pub children: Rc<Vec<ChildId>>,
}

impl Cx {
    /// The surroundings of a root's or child's own body.
    pub fn body(world: &World, plans: &Rc<Plans>, host: HostId) -> Cx {
        Cx {
            world: Rc::clone(world),
            plans: Rc::clone(plans),
            host,
            way: Rc::new(Way { hosts: vec![host], pieces: Vec::new() }),
            scope: Scope::new(Ends::Actor, None),
            children: Rc::default(),
        }
    }

    /// The surroundings of a task that somebody asked for.
    pub fn callee(&self, dialog: DialogId, way: Way) -> Cx {
        let scope = Scope::new(Ends::Dialog(dialog), None);
        Cx { scope, way: Rc::new(way), ..self.clone() }
    }

    fn within(&self, ends: Ends) -> Cx {
        Cx { scope: Scope::new(ends, Some(self.scope.clone())), ..self.clone() }
    }

    /// Within a nursery.
    pub fn in_nursery(&self, id: NurseryId, children: Vec<ChildId>) -> Cx {
        let all = self.children.iter().copied().chain(children).collect();
        Cx { children: Rc::new(all), ..self.within(Ends::Nursery(id)) }
    }

    /// A task of one nursery with others.
    pub fn in_group(&self) -> Cx {
        self.within(Ends::Group)
    }

    /// Within a piece that may be dropped, and its number.
    pub fn in_piece(&self) -> (Cx, u32) {
        let piece = self.look(|k| {
            k.pieces += 1;
            k.pieces
        });
        let mut way = Way::clone(&self.way);
        way.pieces.push(piece);
        (Cx { way: Rc::new(way), ..self.clone() }, piece)
    }

    /// Within a deadline.
    pub fn in_limit(&self, ms: u64) -> Cx {
        let at = self.world.borrow().now + Duration::from_millis(ms);
        self.alarm(ms);
        self.within(Ends::Limit(at))
    }

    /// Nothing from outside ends it.
    pub fn shielded(&self) -> Cx {
        Cx { scope: Scope::new(Ends::Group, None), ..self.clone() }
    }

    /// Whether this scope, and none around it, is what has ended: then it absorbs the cancellation.
    pub fn absorbs(&self, outer: &Cx) -> bool {
        let kernel = self.world.borrow();
        self.scope.is_own(&kernel, self.host) && !outer.scope.is_over(&kernel, self.host)
    }

    /// Cancels what runs in this scope.
    pub fn cancel(&self) {
        self.scope.cancel();
        self.world.borrow_mut().wake(self.host);
    }

    /// A look at the world.
    pub fn look<T>(&self, look: impl FnOnce(&mut Kernel) -> T) -> T {
        look(&mut self.world.borrow_mut())
    }

    /// A command to this task's actor, which lives as long as the task.
    pub fn command<T>(&self, run: impl FnOnce(&mut Actor, Instant) -> T) -> T {
        self.try_command(run).expect("the tasks of a process end with it")
    }

    /// The same of what is dropped, maybe because its process is gone.
    pub fn try_command<T>(&self, run: impl FnOnce(&mut Actor, Instant) -> T) -> Option<T> {
        self.world.borrow_mut().command(self.host, run)
    }

    fn alarm(&self, ms: u64) {
        self.look(|k| k.after(Duration::from_millis(ms), What::Alarm(self.host)));
    }

    /// Waits until there is something to be had.
    pub async fn wait<T>(
        &self,
        mut ready: impl FnMut(&mut Kernel) -> Option<T>,
    ) -> Result<T, Failure> {
        poll_fn(|_| {
            let mut kernel = self.world.borrow_mut();
            if self.scope.is_over(&kernel, self.host) {
                return Poll::Ready(Err(Failure::cancelled()));
            }
            ready(&mut kernel).map_or(Poll::Pending, |value| Poll::Ready(Ok(value)))
        })
        .await
    }

    /// Waits for so long.
    pub async fn sleep(&self, ms: u64) -> Done {
        let until = self.world.borrow().now + Duration::from_millis(ms);
        self.alarm(ms);
        self.wait(|k| (k.now >= until).then_some(())).await
    }

    /// Raises an error.
    pub fn fail(&self) -> Failure {
        let id = self.look(|k| {
            k.cover.hit("task: fails");
            k.checks.raise(&self.way)
        });
        self.note(|| format!("raises error {id}"));
        Failure { ids: vec![id], ..Failure::default() }
    }

    /// The same by a panic.
    pub fn panic(&self) -> Failure {
        self.look(|k| k.cover.hit("task: panics"));
        Failure { panicked: true, ..self.fail() }
    }

    /// Writes it down.
    pub fn note(&self, text: impl FnOnce() -> String) {
        self.look(|k| {
            let now = k.now;
            k.trace.task(now, self.host, text);
        });
    }

    /// The error that a task sends to who asked for it.
    pub fn report(&self, failure: &Failure) -> RemoteError {
        self.command(|actor, _| match failure.ids.is_empty() {
            true => actor.own_error(LOST, ""),
            false if failure.panicked => actor.own_error(PANICKED, &failure.message()),
            false => actor.own_error(RAISED, &failure.message()),
        })
    }

    /// What an outcome means for who asked for it. `asked`: it was cancelled from here.
    pub fn outcome(&self, outcome: &Outcome, asked: bool, far: Far) -> Done {
        self.look(|k| k.check_ending(self.host, far, outcome));
        match outcome {
            Outcome::Returned(_) => Ok(()),
            Outcome::Errored { error, violation: None } => {
                let gave_up = error.src_type == "ActorTooSlowError";
                let text = || format!("{}: {error:?}", self.host);
                self.look(|k| {
                    k.checks.must("budget", !gave_up || k.something_hangs(), text);
                    // What the task raises from now on is told to nobody.
                    if let (true, Some(to)) = (gave_up, far.to) {
                        k.hosts[to].hurt = true;
                    }
                });
                Err(Failure::parse(error))
            }
            Outcome::Errored { violation: Some(violation), .. } => {
                let text = format!("{} hears of {violation}", self.host);
                self.look(|k| {
                    let excused = k.hosts[self.host].hurt || k.options.base || k.stuck;
                    k.checks.must("no violation", excused, || text);
                });
                Err(Failure::lost())
            }
            Outcome::Cancelled { by_us: true, .. } => {
                let text = || format!("{}: absorbed, and nobody asked", self.host);
                self.look(|k| k.checks.must("who cancelled", asked, text));
                Ok(())
            }
            Outcome::Cancelled { error, .. } => {
                self.look(|k| k.check_canceller(self.host, error, asked));
                Err(Failure::lost())
            }
            Outcome::PeerLost { .. } => Err(Failure::lost()),
        }
    }
}

/// Polls all of them, in an order of the world's choosing, until all have ended. The first that
/// fails cancels the others' scope.
pub async fn join(
    cx: &Cx,
    scope: &Cx,
    tasks: Vec<Pin<Box<dyn Future<Output = Done> + '_>>>,
) -> Done {
    let mut left: Vec<_> = tasks.into_iter().map(Some).collect();
    let mut result = Ok(());
    poll_fn(|task_cx| {
        let start = cx.look(|k| k.source.below(left.len().max(1)));
        let count = left.len();
        for place in (0..count).map(|i| (start + i) % count) {
            let Some(task) = &mut left[place] else { continue };
            let Poll::Ready(done) = task.as_mut().poll(task_cx) else { continue };
            left[place] = None;
            if done.is_err() {
                scope.cancel();
            }
            result = both(std::mem::replace(&mut result, Ok(())), done);
        }
        if left.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    result
}
