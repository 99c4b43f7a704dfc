//! Messages as fast as they go, from a peer that reads what it is answered.

use bytes::Bytes;
use tractor_core::error::Violation;
use tractor_core::msg::{Features, Msg, Request};
use tractor_core::{Cid, CloseReason, ConnId, OverrunPolicy, Payload};
use tractor_harness::fuzz::stage;

use crate::bodies::{NO_KWARGS, cid, request, start};
use crate::siege::{DIALOG, Damage, Manners, RECEIVE, Siege, body};

const OBEYS: Manners = Manners { reads: true, obeys: true };
const LINGERS: Manners = Manners { reads: true, obeys: false };
/// Room for one answer to each message of one read.
const ANSWERS: usize = 256 << 10;
/// So many messages that nothing may be kept of each.
const MANY: usize = if cfg!(miri) { 50 } else { 50_000 };

#[track_caller]
fn within(damage: &Damage, max: usize) {
    assert!(damage.peak <= max, "{} bytes, and {max} are allowed", damage.peak);
}

/// Many small frames in one read, as a socket gives them.
fn batched(frames: impl Iterator<Item = Bytes>) -> impl Iterator<Item = Bytes> {
    let mut frames = frames.peekable();
    std::iter::from_fn(move || {
        frames.peek()?;
        Some(frames.by_ref().take(500).collect::<Vec<Bytes>>().concat().into())
    })
}

fn storm(manners: Manners, frames: impl Iterator<Item = Bytes>) -> Damage {
    let mut siege = Siege::new("");
    let conn = siege.meet(1, Features::ALL);
    siege.attack(conn, manners, batched(frames));
    siege.over(&[conn])
}

/// More tasks than may be: those over the limit are refused, and not kept.
#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn start_flood() {
    let _alone = crate::alone();
    let dialogs = Siege::new("").config().dialogs_max;
    let damage = storm(LINGERS, (0..50_000).map(|n| start(1, cid(n), NO_KWARGS)));
    assert_eq!(damage.tasks, dialogs, "as many as may be");
    assert_eq!(damage.closed, None);
    within(&damage, RECEIVE + ANSWERS + dialogs * DIALOG);
}

/// Before the actor is ready tasks wait: so many, with their arguments.
#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn start_flood_while_booting() {
    let _alone = crate::alone();
    let mut siege = Siege::new("");
    let len = 32 << 10;
    let kwargs: Bytes =
        [&b"\x81\xa1x\xc6"[..], &(len as u32).to_be_bytes(), &vec![0; len]].concat().into();
    let config = siege.config();
    let booting = tractor_core::Actor::new(config.clone(), [9; 32], siege.world.now);
    let served = std::mem::replace(siege.actor(), booting);
    siege.actor().enable("app");
    let conn = siege.meet(1, Features::ALL);
    siege.attack(conn, OBEYS, (0..2000).map(|n| start(1, cid(n), kwargs.clone())));
    assert_eq!(siege.actor().census().tasks, config.queued_starts_max);
    drop(std::mem::replace(siege.actor(), served));
    let damage = siege.over(&[]);
    // A frame that fills most of a receive buffer keeps that whole.
    let each = DIALOG + (64 << 10);
    within(&damage, RECEIVE + ANSWERS + config.queued_starts_max * each);
}

/// Opened and cancelled at once, again and again, by tasks that end: nothing adds up.
#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn rapid_reset() {
    let _alone = crate::alone();
    let mut siege = Siege::new("");
    let conn = siege.meet(1, Features::ALL);
    let wave = |from: usize| {
        (from..from + 20_000).flat_map(move |n| {
            let (task, asks) = (cid(2 * n), cid(2 * n + 1));
            let cancel = Request::CancelTask { target: task.clone() };
            [start(1, task, NO_KWARGS), request(1, asks, cancel)]
        })
    };
    siege.attack(conn, OBEYS, batched(wave(0)));
    let once = siege.live();
    siege.attack(conn, OBEYS, batched(wave(20_000)));
    assert!(siege.live() <= once, "{} after one wave, {} after two", once, siege.live());
    let dialogs = siege.config().dialogs_max;
    let damage = siege.over(&[conn]);
    assert_eq!((damage.tasks, damage.closed.as_ref()), (40_000, None));
    within(&damage, RECEIVE + ANSWERS + dialogs * DIALOG);
}

/// The same with tasks that take their time to end.
#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn open_and_cancel_storm() {
    let _alone = crate::alone();
    let dialogs = Siege::new("").config().dialogs_max;
    let frames = (0..20_000).flat_map(|n| {
        let cancel = Request::CancelTask { target: cid(2 * n) };
        [start(1, cid(2 * n), NO_KWARGS), request(1, cid(2 * n + 1), cancel)]
    });
    let damage = storm(LINGERS, frames);
    assert_eq!((damage.tasks, damage.closed.as_ref()), (dialogs, None));
    within(&damage, RECEIVE + ANSWERS + dialogs * DIALOG);
}

/// One task, cancelled over and over.
#[test]
fn cancel_storm() {
    let _alone = crate::alone();
    let one = std::iter::once(start(1, cid(0), NO_KWARGS));
    let cancels = (1..MANY).map(|n| request(1, cid(n), Request::CancelTask { target: cid(0) }));
    let damage = storm(LINGERS, one.chain(cancels));
    assert_eq!((damage.tasks, damage.closed.as_ref()), (1, None));
    within(&damage, RECEIVE + ANSWERS + DIALOG);
}

/// Messages for dialogs that never were end the connection; and cost nothing until then.
#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn unknown_cid_spam() {
    let _alone = crate::alone();
    let long = "x".repeat(3000);
    let text = |n: usize| Cid::Text(format!("{long}{n}").as_str().into());
    let spams: [&dyn Fn(usize) -> Msg; 4] = [
        &|n| Msg::Yield { cid: cid(n + 100_000), pld: NO_KWARGS },
        &|n| Msg::Stop { cid: text(n), sent: None },
        &|n| Msg::Credit { cid: text(n), items: 1, bytes: 65 },
        &|n| Msg::Return { cid: Cid::Num(2 * n as u64 + 1000), pld: NO_KWARGS },
    ];
    for spam in spams {
        let damage = storm(OBEYS, (0..20_000).map(|n| stage::frame(&spam(n))));
        let strays = CloseReason::Violation(Violation::TooManyStrays);
        assert_eq!(damage.closed, Some(strays));
        within(&damage, RECEIVE);
    }
}

/// What comes late for a dialog that ended is free, and leaves nothing.
#[test]
fn late_messages_leave_nothing() {
    let _alone = crate::alone();
    let mut siege = Siege::new("");
    let conn = siege.meet(1, Features::ALL);
    let cancel = Request::CancelTask { target: cid(0) };
    let open = [start(1, cid(0), NO_KWARGS), request(1, cid(1), cancel)];
    siege.attack(conn, OBEYS, open);
    let before = siege.live();
    let late = (0..2 * MANY).map(|_| stage::frame(&Msg::Yield { cid: cid(0), pld: NO_KWARGS }));
    siege.attack(conn, OBEYS, batched(late));
    assert!(siege.live() <= before + RECEIVE);
    assert_eq!(siege.over(&[conn]).closed, None);
}

/// A context with its stream open, called by the peer.
fn open_context(siege: &mut Siege) -> ConnId {
    let conn = siege.meet(1, Features::ALL);
    siege.world.trace.clear();
    let now = siege.world.now;
    let mut id = None;
    // Let the world see the task, as its application has to act on it.
    let frame = start(1, cid(0), NO_KWARGS);
    let actor = siege.actor();
    actor.recv_buf(conn).expect("it is open")[..frame.len()].copy_from_slice(&frame);
    actor.handle_input(now, tractor_core::Input::Received { conn, len: frame.len() });
    while let Some(output) = actor.poll_output() {
        if let tractor_core::Output::Effect(tractor_core::Effect::StartTask { dialog, .. }) = output
        {
            id = Some(dialog);
        }
    }
    let id = id.expect("a task");
    actor.accept(now, id, tractor_core::msg::FuncType::Context).expect("it is new");
    actor.started(now, id, Payload::Borrowed(&[1])).expect("it was accepted");
    actor.open_stream(now, id, OverrunPolicy::Backpressure).expect("it was started");
    siege.leave(id);
    conn
}

/// Items that are none: packs of no items, credit of nothing.
#[test]
fn zero_length_items() {
    let _alone = crate::alone();
    let nothing: [fn() -> Msg; 2] = [
        || Msg::Yields { cid: cid(0), count: 0, plds: Bytes::new() },
        || Msg::Credit { cid: cid(0), items: 0, bytes: 0 },
    ];
    for msg in nothing {
        let mut siege = Siege::new("");
        let conn = open_context(&mut siege);
        siege.attack(conn, OBEYS, batched((0..2 * MANY).map(|_| stage::frame(&msg()))));
        assert_eq!(siege.closed(), None);
        let damage = siege.over(&[conn]);
        within(&damage, RECEIVE + ANSWERS);
    }
}

/// Items of a byte cost more than a byte: without credit for more, that dialog ends.
#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn items_without_credit() {
    let _alone = crate::alone();
    let mut siege = Siege::new("");
    let conn = open_context(&mut siege);
    let window = siege.config().window_items as usize;
    let item = || stage::frame(&Msg::Yield { cid: cid(0), pld: Bytes::from_static(&[1]) });
    siege.attack(conn, OBEYS, batched((0..window).map(|_| item())));
    assert_eq!(siege.actor().census().tasks, 3, "within its credit it may");
    siege.attack(conn, OBEYS, [item()]);
    assert_eq!(siege.actor().census().dialogs, 2, "and one more ends it");
    siege.attack(conn, OBEYS, batched((0..50_000).map(|_| item())));
    let damage = siege.over(&[conn]);
    assert_eq!(damage.closed, None, "the connection goes on");
    within(&damage, RECEIVE + ANSWERS + DIALOG);
}

/// The second of two is out of turn, and ends the dialog; those behind it come late.
#[test]
fn duplicate_stops() {
    let _alone = crate::alone();
    let mut siege = Siege::new("");
    let conn = open_context(&mut siege);
    let stop = || stage::frame(&Msg::Stop { cid: cid(0), sent: Some(0) });
    siege.attack(conn, OBEYS, [stop()]);
    assert_eq!(siege.actor().census().dialogs, 3, "one is in order");
    siege.attack(conn, OBEYS, batched((0..MANY).map(|_| stop())));
    assert_eq!(siege.actor().census().dialogs, 2, "two are not");
    let damage = siege.over(&[conn]);
    assert_eq!(damage.closed, None, "the connection goes on");
    within(&damage, RECEIVE + ANSWERS + DIALOG);
}

/// Words that mean nothing on this connection, as long as may be.
#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn goodbyes_without_end() {
    let _alone = crate::alone();
    let reason = "x".repeat(60_000);
    let bye = stage::frame(&Msg::Goodbye { reason: reason.as_str().into() });
    let mut siege = Siege::new("");
    let conn = siege.meet(1, Features::ALL);
    siege.attack(conn, OBEYS, (0..5000).map(|_| bye.clone()));
    let damage = siege.over(&[conn]);
    assert_eq!(damage.closed, None);
    within(&damage, body(bye.len()));
}
