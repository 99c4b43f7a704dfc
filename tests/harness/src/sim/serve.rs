//! What is asked for: tasks that serve a dialog, and the bodies of roots and children.

use std::time::Duration;

use tractor_core::dialog::table::Side;
use tractor_core::msg::FuncType;
use tractor_core::{DialogId, Payload};

use super::check::{self, Ending};
use super::kernel;
use super::plan::{Begin, End, Plan, Step};
use super::program::{PATIENCE_MS, steps};
use super::registry::register;
use super::streams::{flow, open_stream};
use super::task::{Cx, Done, Failure, LOST};

/// Whoever cleans up for longer than that is slow.
const SLOW_MS: u64 = 100;

/// A task that somebody asked for.
pub async fn serve(cx: Cx, dialog: DialogId, plan: Plan, way: usize) {
    let result = match set_up(&cx, dialog, &plan).await {
        Ok(()) => work(&cx, dialog, &plan).await,
        result => result,
    };
    match result {
        Ok(()) => {
            let value = check::value(way);
            let finished =
                cx.command(|actor, now| actor.finish(now, dialog, Payload::Borrowed(&value)));
            match finished {
                Ok(()) => cx.look(|k| k.returns(cx.host, dialog, way)),
                Err(_) => cancelled(&cx, dialog, way),
            }
        }
        Err(failure) if failure.ids.is_empty() && failure.cancelled => {
            cancelled(&cx, dialog, way);
        }
        Err(failure) => {
            cx.look(|k| k.checks.endings.insert(way, Ending::Failed(failure.ids.clone())));
            let error = cx.report(&failure);
            cx.look(|k| {
                let over = k.hosts[cx.host].mail.dialogs.get(&dialog);
                if over.is_some_and(|dialog| dialog.done.is_some()) {
                    k.checks.unheard.extend(&failure.ids);
                }
            });
            cx.command(|actor, now| actor.fail(now, dialog, error));
        }
    }
}

fn cancelled(cx: &Cx, dialog: DialogId, way: usize) {
    cx.look(|k| k.checks.endings.insert(way, Ending::Cancelled));
    cx.command(|actor, now| actor.cancelled(now, dialog));
}

/// What comes before the work: who asked learns that the task exists, and that a context stands.
async fn set_up(cx: &Cx, dialog: DialogId, plan: &Plan) -> Done {
    let (accept_ms, start_ms) = match plan.begin {
        Begin::Late { accept_ms, start_ms } => (accept_ms, start_ms),
        _ => (0, 0),
    };
    wait_ms(cx, accept_ms).await?;
    if plan.begin == Begin::Refused {
        return Err(cx.fail());
    }
    if cx.command(|actor, now| actor.accept(now, dialog, plan.func)).is_err() {
        return Err(Failure::cancelled());
    }
    if plan.func != FuncType::Context {
        return Ok(());
    }
    wait_ms(cx, start_ms).await?;
    if plan.begin == Begin::FailsSetup {
        return Err(cx.fail());
    }
    match cx.command(|actor, now| actor.started(now, dialog, Payload::Borrowed(&[7]))) {
        Ok(()) => Ok(()),
        Err(_) => Err(Failure::cancelled()),
    }
}

async fn wait_ms(cx: &Cx, ms: u64) -> Done {
    if ms == 0 { Ok(()) } else { cx.sleep(ms).await }
}

async fn work(cx: &Cx, dialog: DialogId, plan: &Plan) -> Done {
    let mut result = Ok(());
    if let Some(stream) = plan.stream
        && (plan.func == FuncType::Stream || open_stream(cx, dialog, stream, Side::Callee))
    {
        result = flow(cx, dialog, stream, Side::Callee, plan.func).await.map(drop);
    }
    if result.is_ok() {
        result = steps(cx, &plan.steps).await;
    }
    if result.is_ok() {
        result = end(cx, plan.end).await;
    }
    if let (End::Slow(ms), Err(failure)) = (plan.end, &result)
        && failure.cancelled
    {
        cx.look(|k| {
            k.cover.hit("task: slow to end");
            if ms > SLOW_MS {
                k.slow(Duration::from_millis(ms));
            }
        });
        cx.shielded().sleep(ms).await?;
    }
    match (plan.end, result) {
        (End::FailsCleanup, Err(failure)) if failure.cancelled => {
            cx.look(|k| k.cover.hit("task: cleanup fails"));
            Err(failure.and(cx.fail()))
        }
        (End::Stuck, _) => {
            cx.look(|k| {
                k.cover.hit("task: stuck");
                k.stuck = true;
            });
            cx.shielded().wait(|_| None).await
        }
        (_, result) => result,
    }
}

async fn end(cx: &Cx, end: End) -> Done {
    match end {
        End::Return => Ok(()),
        End::Fail => Err(cx.fail()),
        End::Panic => Err(cx.panic()),
        End::Cancelled => {
            cx.look(|k| {
                let uid = k.hosts[cx.host].actor.as_ref().map(|actor| actor.uid().clone());
                k.checks.ended_itself.extend(uid);
            });
            Err(Failure::cancelled())
        }
        End::Forever | End::Slow(_) | End::FailsCleanup | End::Stuck => {
            cx.wait(|_| None::<()>).await
        }
    }
}

// Bodies.

/// What a root does.
pub async fn root(cx: Cx, body: Vec<Step>) {
    cx.look(|k| k.hosts[cx.host].mail.booted = true);
    // It may be found if it can, and works if not.
    let _ = register(&cx.in_limit(PATIENCE_MS)).await;
    let result = steps(&cx, &body).await;
    if let Err(failure) = &result {
        cx.look(|k| k.checks.report(&failure.ids));
    }
    cx.note(|| format!("the root's body ends: {result:?}"));
    cx.command(|actor, now| actor.body_ended(now));
}

/// What a child does once it is there: it waits for its instructions, registers, and is ready.
pub async fn boot(cx: Cx) {
    let told = cx.wait(|k| k.hosts[cx.host].mail.has_spec.then_some(())).await;
    if told.is_err() {
        return;
    }
    let registered = register(&cx.in_limit(PATIENCE_MS)).await;
    if registered.is_err() {
        cx.look(|k| {
            k.cover.hit("child: can't register");
            k.hosts[cx.host].quits = true;
        });
        cx.command(|actor, now| {
            let error = actor.own_error(LOST, "no registrar");
            actor.report_to_parent(now, error);
            let _ = actor.cancel_self(now, tractor_core::EndReason::Done);
        });
        return;
    }
    let addrs = vec![kernel::address(cx.host)];
    cx.command(|actor, now| {
        actor.enable("app");
        let _ = actor.booted(now, addrs);
    });
    cx.look(|k| k.hosts[cx.host].mail.booted = true);
}
