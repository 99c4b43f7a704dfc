//! The steps of a plan, done.

use std::pin::Pin;

use tractor_core::dialog::table::Side;
use tractor_core::error::Misuse;
use tractor_core::msg::{Features, FuncType, Token};
use tractor_core::supervise::{ChildConfig, Link};
use tractor_core::{Call, ChildId, ConnId, DialogId, NurseryId, Outcome};

use super::drops::{self, OwnDialog, OwnNursery};
use super::kernel::{self, HostId, Unborn};
use super::plan::{ChildPlan, Plan, PlanId, Step, Who};
use super::registry::{self, named};
use super::streams::{flow, open_stream};
use super::task::{Cx, Done, Failure, Far, both, join};

/// How long a look into the registry, or a connect, may take a program.
pub const PATIENCE_MS: u64 = 3000;

/// A piece of a task.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Does steps, one after another.
pub fn steps<'a>(cx: &'a Cx, all: &'a [Step]) -> Boxed<'a, Done> {
    Box::pin(async move {
        for step in all {
            one(cx, step).await?;
        }
        Ok(())
    })
}

async fn one(cx: &Cx, step: &Step) -> Done {
    match step {
        Step::Sleep(ms) => cx.sleep(*ms).await,
        Step::Nursery { children, body, cancel } => nursery(cx, children, body, *cancel).await,
        Step::Call { to, plan, limit } => call_limited(cx, *to, *plan, *limit).await,
        Step::Both(branches) => {
            let group = cx.in_group();
            let tasks = branches.iter().map(|branch| steps(&group, branch)).collect();
            let result = join(cx, &group, tasks).await;
            settled(cx, &group, result)
        }
        Step::Catch(inner) => match steps(cx, inner).await {
            Err(failure) if failure.cancelled => Err(failure),
            Err(failure) => {
                cx.look(|k| k.checks.report(&failure.ids));
                Ok(())
            }
            Ok(()) => Ok(()),
        },
        Step::Dropped { steps, ms } => drops::dropped(cx, steps, *ms).await,
        Step::CancelActor(who) => cancel_actor(cx, *who).await,
        Step::Ask(what) => registry::ask(cx, *what).await,
        Step::Fail => Err(cx.fail()),
    }
}

/// A scope that was ended by itself keeps its own cancellation.
pub fn settled(outer: &Cx, inner: &Cx, result: Done) -> Done {
    match result {
        Err(mut failure) if failure.cancelled && inner.absorbs(outer) => {
            failure.cancelled = false;
            match failure == Failure::default() {
                true => Ok(()),
                false => Err(failure),
            }
        }
        result => result,
    }
}

// Nurseries.

async fn nursery(cx: &Cx, children: &[ChildPlan], body: &[Step], cancel: bool) -> Done {
    let opened = cx.command(|actor, now| actor.open_nursery(now, None));
    let Ok(id) = opened else { return Err(Failure::cancelled()) };
    let own = OwnNursery::new(cx, id);
    let inside = cx.in_nursery(id, Vec::new());
    let mut result = Ok(());
    let mut born = Vec::new();
    for plan in children {
        match spawn(&inside, id, plan).await {
            Ok(child) => born.push((child, plan)),
            Err(failure) => {
                result = Err(failure);
                break;
            }
        }
    }
    let inside = cx.in_nursery(id, born.iter().map(|(child, _)| *child).collect());
    if result.is_ok() {
        let group = inside.in_group();
        let mut tasks: Vec<Boxed<'_, Done>> = Vec::new();
        for (child, plan) in &born {
            if let Some(main) = plan.main {
                tasks.push(Box::pin(run_main(&group, *child, main)));
            }
        }
        tasks.push(steps(&group, body));
        result = settled(&inside, &group, join(&inside, &group, tasks).await);
    }
    let result = close_nursery(cx, id, cancel, result).await;
    own.closed();
    result
}

/// Makes a child, and waits until it can be used.
async fn spawn(cx: &Cx, nursery: NurseryId, plan: &ChildPlan) -> Result<ChildId, Failure> {
    let speaks_more = cx.command(|actor, _| actor.config().features != Features::BASE);
    let back = plan.back && !plan.base && speaks_more;
    let token = cx.look(|k| back.then(|| Token([k.source.below(256) as u8; 16])));
    let config = ChildConfig {
        name: format!("a{}", plan.name),
        isolated: plan.isolated,
        budget: None,
        spec: kernel::spec(0),
        link: token.map_or(Link::Handed, Link::ConnectBack),
    };
    let spawned = cx.look(|k| {
        let now = k.now;
        let over = k.hosts[cx.host].mail.nurseries.get(&nursery).is_some_and(|n| n.cancelled);
        let actor = k.hosts[cx.host].actor.as_mut()?;
        let (child, _) = actor.spawn(now, nursery, config).ok()?;
        let text = || format!("host {}: a child in a nursery that was cancelled", cx.host);
        k.checks.must("nothing new at the end", !over, text);
        let unborn = Unborn { name: plan.name, base: plan.base, token };
        k.unborn.insert((cx.host, child), unborn);
        Some(child)
    });
    // The effects of it are seen to only now that it is known what is to be born.
    cx.command(|_, _| ());
    let Some(child) = spawned else { return Err(Failure::cancelled()) };
    let ready = cx.wait(|k| {
        let mail = k.hosts[cx.host].mail.nurseries.get(&nursery)?;
        let ended = mail.ended.contains_key(&child);
        (ended || mail.ready.contains(&child)).then_some(!ended)
    });
    match ready.await? {
        true => Ok(child),
        false => Err(Failure::lost()),
    }
}

/// The one task that a child is for.
async fn run_main(cx: &Cx, child: ChildId, plan: PlanId) -> Done {
    let Some(conn) = cx.command(|actor, _| actor.child_conn(child)) else {
        return Err(Failure::lost());
    };
    call(cx, conn, plan, Some(child)).await
}

/// Ends a nursery, and waits until nothing is left of it.
async fn close_nursery(cx: &Cx, id: NurseryId, cancel: bool, mut result: Done) -> Done {
    if cancel || result.is_err() {
        cx.look(|k| k.checks.asks(&k.hosts[cx.host]));
        cx.command(|actor, now| actor.cancel_nursery(now, id).ok());
    }
    cx.command(|actor, now| actor.join_nursery(now, id).ok());
    let closed = cx.wait(|k| nursery_failures(k, cx.host, id));
    let ends = match closed.await {
        Ok(ends) => ends,
        Err(cancelled) => {
            result = both(result, Err(cancelled));
            cx.look(|k| k.checks.asks(&k.hosts[cx.host]));
            cx.command(|actor, now| actor.cancel_nursery(now, id).ok());
            let shielded = cx.shielded();
            shielded.wait(|k| nursery_failures(k, cx.host, id)).await.unwrap_or_default()
        }
    };
    let failures =
        if ends > 0 { Err(Failure { lost: ends, ..Failure::default() }) } else { Ok(()) };
    // The body was cancelled by its own nursery: that is told by what failed in it.
    let own = cx.look(|k| k.hosts[cx.host].mail.nurseries.remove(&id)).is_some_and(|n| n.cancelled);
    match both(result, failures) {
        Err(mut failure) if own && failure.lost + failure.ids.len() as u32 > 0 => {
            failure.cancelled = false;
            Err(failure)
        }
        result => result,
    }
}

/// Once it has closed: how many of its children failed.
fn nursery_failures(k: &mut kernel::Kernel, host: HostId, id: NurseryId) -> Option<u32> {
    let mail = k.hosts[host].mail.nurseries.get(&id)?;
    mail.closed.then(|| mail.ended.values().filter(|end| end.failed).count() as u32)
}

// Calls.

async fn call_limited(cx: &Cx, to: Who, plan: PlanId, limit: Option<u64>) -> Done {
    let Some(conn) = resolve(cx, to).await? else { return Ok(()) };
    match limit {
        None => call(cx, conn, plan, None).await,
        Some(ms) => {
            let limited = cx.in_limit(ms);
            let result = call(&limited, conn, plan, None).await;
            settled(cx, &limited, result)
        }
    }
}

/// The connection to somebody; `None`: there is nobody.
async fn resolve(cx: &Cx, who: Who) -> Result<Option<ConnId>, Failure> {
    match who {
        Who::Parent => Ok(cx.command(|actor, _| actor.parent())),
        Who::Child(n) if !cx.children.is_empty() => {
            let child = cx.children[n % cx.children.len()];
            Ok(cx.command(|actor, _| actor.child_conn(child)))
        }
        Who::Child(_) => Ok(None),
        Who::Named(n) => match named(&cx.in_limit(PATIENCE_MS), n).await {
            Err(_) if !cx.look(|k| k.hosts[cx.host].mail.closing) => Ok(None),
            result => result,
        },
    }
}

async fn cancel_actor(cx: &Cx, who: Who) -> Done {
    if let Some(conn) = resolve(cx, who).await? {
        cx.look(|k| k.cancels(cx.host, conn));
        cx.command(|actor, now| actor.cancel_peer(now, conn).ok());
    }
    Ok(())
}

/// The outcome of a dialog, once it is there.
pub fn take_outcome(k: &mut kernel::Kernel, host: HostId, dialog: DialogId) -> Option<Outcome> {
    k.hosts[host].mail.dialogs.get_mut(&dialog)?.done.take()
}

/// Runs a task over there. Whatever happens here, it is over when this returns.
async fn call(cx: &Cx, conn: ConnId, plan: PlanId, main: Option<ChildId>) -> Done {
    let what = cx.plans.all[plan].clone();
    let way = cx.look(|k| {
        k.ways.push(kernel::Way::clone(&cx.way));
        k.ways.len() - 1
    });
    let to = cx.look(|k| k.host_at(cx.host, conn));
    let far = Far { way, func: what.func, to };
    let func = format!("{plan}.{way}");
    let call = Call { func_type: what.func, ns: "app", func: &func, kwargs: &[0x80] };
    let dialog = match cx.command(|actor, now| actor.start(now, conn, &call)) {
        Ok(dialog) => dialog,
        Err(Misuse::Closing) => return Err(Failure::cancelled()),
        Err(_) => return Err(Failure::lost()),
    };
    let own = OwnDialog::new(cx, dialog);
    if let Some(child) = main {
        // With it the child ends.
        cx.look(|k| k.checks.asks(&k.hosts[cx.host]));
        cx.command(|actor, _| actor.set_main(child, dialog).ok());
    }
    let mut block = block(cx, dialog, &what).await;
    if let Err(failure) = &mut block {
        let asked = cancel(cx, dialog);
        cx.look(|k| k.cover.hit("dialog: cancelled"));
        let since = cx.look(|k| k.now);
        let outcome = cx.shielded().wait(|k| take_outcome(k, cx.host, dialog)).await?;
        own.ended();
        cx.look(|k| k.check_cancelled(cx.host, since));
        let told = cx.outcome(&outcome, asked, far);
        cover_outcome(cx, &outcome, asked);
        return both(Err(std::mem::take(failure)), told);
    }
    let (outcome, asked) = block?;
    own.ended();
    cover_outcome(cx, &outcome, asked);
    cx.outcome(&outcome, asked, far)
}

/// Asks a far task to end; whether it still could be asked.
fn cancel(cx: &Cx, dialog: DialogId) -> bool {
    cx.look(|k| k.checks.asks(&k.hosts[cx.host]));
    cx.command(|actor, now| actor.cancel(now, dialog)).is_ok()
}

fn cover_outcome(cx: &Cx, outcome: &Outcome, asked: bool) {
    cx.look(|k| {
        if let (Outcome::Returned(_), true) = (outcome, asked) {
            k.cover.hit("race: it returned, and was to be cancelled");
        }
        k.cover.hit(match outcome {
            Outcome::Returned(_) => "outcome: returned",
            Outcome::Errored { violation: None, .. } => "outcome: failed",
            Outcome::Errored { .. } => "outcome: violation",
            Outcome::Cancelled { by_us: true, .. } => "outcome: cancelled by us",
            Outcome::Cancelled { .. } => "outcome: cancelled by another",
            Outcome::PeerLost { child: Some(_), .. } => "outcome: child lost",
            Outcome::PeerLost { .. } => "outcome: peer lost",
        });
    });
}

/// The block around a task: its stream, then its outcome, and whether it was cancelled from here.
async fn block(cx: &Cx, dialog: DialogId, plan: &Plan) -> Result<(Outcome, bool), Failure> {
    if plan.func != FuncType::Call {
        let begun = cx.wait(|k| {
            let mail = k.hosts[cx.host].mail.dialogs.get(&dialog)?;
            let begun = mail.started || (mail.accepted && plan.func == FuncType::Stream);
            (begun || mail.done.is_some()).then_some(begun)
        });
        if !begun.await? {
            let outcome = cx.wait(|k| take_outcome(k, cx.host, dialog)).await?;
            return Ok((outcome, false));
        }
    }
    if let Some(stream) = plan.stream
        && open_stream(cx, dialog, stream, Side::Caller)
    {
        let enough = flow(cx, dialog, stream, Side::Caller, plan.func).await?;
        if enough {
            cx.look(|k| k.cover.hit("stream: enough"));
            let asked = cancel(cx, dialog);
            let outcome = cx.shielded().wait(|k| take_outcome(k, cx.host, dialog)).await?;
            return Ok((outcome, asked));
        }
    }
    let outcome = cx.wait(|k| take_outcome(k, cx.host, dialog)).await?;
    Ok((outcome, false))
}
