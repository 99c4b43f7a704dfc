//! Peers that never read: what waits for them is bounded, and then they are let go.

use std::time::Duration;

use bytes::Bytes;
use tractor_core::error::Violation;
use tractor_core::msg::{Features, Request};
use tractor_core::{Address, Cid, CloseReason, ConnId, Input};

use crate::bodies::{NO_KWARGS, cid, request, start};
use crate::siege::{DIALOG, Manners, RECEIVE, Siege, uid};

const DEAF: Manners = Manners { reads: false, obeys: true };
const SETTINGS: &str = "unread=100000 answers=400000 backlog=300000";

/// What waits is in vectors that double, and move when they do.
fn outbox(bytes: usize) -> usize {
    3 * bytes
}

/// Asks, and never reads, until it is let go; what waits for it then is no more than may be.
fn ask_and_never_read(siege: &mut Siege, conn: ConnId, asks: impl Iterator<Item = Bytes>) {
    let config = siege.config();
    // Tasks are let in up to the backlog, and each that is ends with a report.
    let answers = config.unread_bytes_max.max(config.backlog_bytes_max) + config.answers_bytes_max;
    let (mut waits, mut longest) = (0, 0);
    for ask in asks {
        let stands = siege.say(conn, &ask, DEAF);
        let now = siege.actor().outbox_len(conn);
        longest = longest.max(now.saturating_sub(waits));
        waits = now.max(waits);
        assert!(waits <= answers + 2 * longest, "{waits} bytes wait");
        if !stands {
            break;
        }
    }
    let deaf = CloseReason::Violation(Violation::NotReading);
    assert_eq!(siege.closed(), Some(&deaf), "{waits} bytes wait");
    assert!(waits > config.unread_bytes_max, "not before it is too much: {waits}");
}

/// Short questions with long answers.
#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn answers_that_nobody_reads() {
    let _alone = crate::alone();
    let mut siege = Siege::new(&format!("registrar {SETTINGS}"));
    let config = siege.config();
    let named = siege.meet(0, Features::ALL);
    let long = |n: usize| Address::Uds { dir: format!("/{n:02000}"), file: "x".into() };
    let registers =
        (0..16).map(|n| request(0, cid(n), Request::Register { uid: uid(0), addr: long(n) }));
    siege.attack(named, Manners { reads: true, obeys: true }, registers);
    let conn = siege.meet(1, Features::ALL);
    ask_and_never_read(&mut siege, conn, (0..100_000).map(|n| request(1, cid(n), Request::List)));
    let damage = siege.over(&[conn, named]);
    let answer = 16 * 4096;
    let bytes = config.unread_bytes_max + config.answers_bytes_max + answer;
    let max = 2 * RECEIVE + outbox(bytes) + 2 * answer;
    assert!(damage.peak <= max, "{} bytes, and {max} are allowed", damage.peak);
}

/// Requests that are all refused, tasks that are, and acknowledgements.
#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn refusals_that_nobody_reads() {
    let _alone = crate::alone();
    let asks: [&dyn Fn(usize) -> Vec<Bytes>; 4] = [
        &|n| vec![request(1, cid(n), Request::Unknown { func: "x".repeat(500).as_str().into() })],
        &|n| vec![start(1, cid(n), NO_KWARGS)],
        &|n| vec![request(1, cid(n), Request::CancelTask { target: Cid::Num(1) })],
        &|n| {
            let cancel = Request::CancelTask { target: cid(2 * n) };
            vec![start(1, cid(2 * n), NO_KWARGS), request(1, cid(2 * n + 1), cancel)]
        },
    ];
    for ask in asks {
        let mut siege = Siege::new(SETTINGS);
        let config = siege.config();
        let conn = siege.meet(1, Features::ALL);
        ask_and_never_read(&mut siege, conn, (0..100_000).flat_map(ask));
        let damage = siege.over(&[conn]);
        let bytes = config.unread_bytes_max + config.answers_bytes_max + config.backlog_bytes_max;
        let max = RECEIVE + outbox(bytes) + config.dialogs_max * DIALOG;
        assert!(damage.peak <= max, "{} bytes, and {max} are allowed", damage.peak);
    }
}

/// Too much unread for too long, with nothing more being asked.
#[test]
fn unread_has_a_deadline() {
    let _alone = crate::alone();
    let mut siege = Siege::new(&format!("registrar {SETTINGS}"));
    let config = siege.config();
    let conn = siege.meet(1, Features::ALL);
    let mut n = 0;
    while siege.actor().outbox_len(conn) <= config.unread_bytes_max {
        let func = "x".repeat(500).as_str().into();
        assert!(siege.say(conn, &request(1, cid(n), Request::Unknown { func }), DEAF));
        n += 1;
    }
    siege.world.now = siege.world.now + (config.unread_timeout - Duration::from_millis(1));
    let now = siege.world.now;
    siege.counted(|actor| actor.handle_input(now, Input::Timeout));
    assert!(siege.actor().is_known(conn), "not before its time");
    siege.world.now = now + Duration::from_millis(1);
    let now = siege.world.now;
    siege.counted(|actor| actor.handle_input(now, Input::Timeout));
    assert!(!siege.actor().is_known(conn), "and then at once");
    assert_eq!(siege.actor().outbox_len(conn), 0, "nothing waits any more");
    siege.over(&[conn]);
}
