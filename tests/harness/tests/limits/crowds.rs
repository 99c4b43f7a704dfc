//! Many connections, and what they may keep together.

use bytes::Bytes;
use tractor_core::error::Violation;
use tractor_core::msg::{Features, Request};
use tractor_core::{Address, CloseReason, ConnId, Event, Input, Output};
use tractor_harness::fuzz::stage;

use crate::bodies::{cid, request};
use crate::siege::{HALF_OPEN, Manners, RECEIVE, Siege, uid};

const POLITE: Manners = Manners { reads: true, obeys: true };

/// A connection comes and says this much; `None` when there is no room for it.
fn visitor(siege: &mut Siege, says: &[u8]) -> Option<ConnId> {
    let now = siege.world.now;
    let conn = siege.counted(|actor| actor.accepted(now)).ok()?;
    siege.say(conn, says, Manners::default());
    Some(conn)
}

/// Connections that say nothing, or half of something: those that make room are closed, and while
/// nobody has seen to that, there are no more than may be.
#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn handshake_flood() {
    let _alone = crate::alone();
    let aid = stage::frame(&stage::aid(&uid(1), 1, Features::ALL));
    for says in [&[][..], &[200], &aid[..aid.len() - 1]] {
        let mut siege = Siege::new("conns=200");
        let config = siege.config();
        let mut conns = Vec::with_capacity(config.conns_max);
        let mut refused = 0;
        for _ in 0..5000 {
            match visitor(&mut siege, says) {
                Some(conn) => conns.push(conn),
                None => refused += 1,
            }
        }
        assert_eq!(conns.len(), config.conns_max - 1, "with `r` there are as many as may be");
        assert_eq!(refused, 5000 - conns.len());
        let damage = siege.over(&conns);
        let max = config.conns_max * HALF_OPEN;
        assert!(damage.peak <= max, "{} bytes, and {max} are allowed", damage.peak);
    }
}

/// The same, where those that are closed are gone at once: a hundred thousand pass through.
#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn handshake_flood_that_is_cleared_away() {
    let _alone = crate::alone();
    let mut siege = Siege::new("");
    let config = siege.config();
    for _ in 0..20_000 {
        let now = siege.world.now;
        siege.counted(|actor| actor.accepted(now)).expect("there is always room");
        siege.counted(|actor| {
            while let Some(output) = actor.poll_output() {
                if let Output::Event(Event::Closed { conn, why }) = output {
                    assert_eq!(why, CloseReason::Violation(Violation::HandshakeCrowded));
                    actor.handle_input(now, Input::Disconnected { conn, why: None });
                }
            }
            while actor.next_dirty().is_some() {}
        });
    }
    assert_eq!(siege.actor().census().connections, config.half_open_max + 1);
    let max = (config.half_open_max + 2) * HALF_OPEN;
    assert!(siege.live() <= max, "{} bytes, and {max} are allowed", siege.live());
}

/// Every connection claims the longest frame there is, and sends little of it.
#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn length_claims_from_everywhere() {
    let _alone = crate::alone();
    let mut siege = Siege::new("conns=60 halfopen=60");
    let config = siege.config();
    let claim = (config.frame_len_max as u32).to_le_bytes();
    let mut conns = Vec::with_capacity(config.conns_max);
    for n in 0..config.conns_max - 1 {
        let conn = siege.meet(n, Features::ALL);
        siege.say(conn, &[&claim[..], &[0; 100]].concat(), POLITE);
        conns.push(conn);
    }
    let damage = siege.over(&conns);
    let max = config.conns_max * (HALF_OPEN + RECEIVE);
    assert!(damage.peak <= max, "{} bytes, and {max} are allowed", damage.peak);
}

/// Waiters with the longest names, as many as one peer can think of.
#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn waiters_are_bounded() {
    let _alone = crate::alone();
    let mut siege = Siege::new("registrar waiters=200");
    let config = siege.config();
    let conn = siege.meet(1, Features::ALL);
    let name = |n: usize| format!("{n:04096}").as_str().into();
    let waits = (0..5000).map(|n| request(1, cid(n), Request::Wait { name: name(n) }));
    siege.attack(conn, POLITE, waits);
    let damage = siege.over(&[conn]);
    let share = config.waiters_max.div_ceil(4);
    let max = RECEIVE + share * (4096 + 512) + (64 << 10);
    assert!(damage.peak <= max, "{} bytes, and {max} are allowed", damage.peak);
    assert!(damage.peak >= share * 4096, "they did wait: {}", damage.peak);
}

/// Records with the longest addresses there may be, by peers that come and go.
#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn records_are_bounded() {
    let _alone = crate::alone();
    let mut siege = Siege::new("registrar records=20");
    let config = siege.config();
    let mut last = None;
    for n in 0..100 {
        // The base's records stay when their connection goes.
        let conn = siege.meet(n, Features::BASE);
        let address =
            |i: usize| Address::Uds { dir: format!("/{n:0120}"), file: format!("{i:0120}") };
        let asks = (0..30).map(|i| {
            let cid = tractor_core::Cid::Text(format!("{n}-{i}").as_str().into());
            request(n, cid, Request::Register { uid: uid(n), addr: address(i) })
        });
        siege.attack(conn, POLITE, asks.collect::<Vec<Bytes>>());
        let now = siege.world.now;
        if let Some(gone) = last.replace(conn) {
            let input = Input::Disconnected { conn: gone, why: None };
            siege.counted(|actor| actor.handle_input(now, input));
        }
    }
    assert_eq!(siege.actor().registry().count(), config.registry_max);
    let damage = siege.over(&[last.expect("there were some")]);
    // 16 addresses a record, of 256 bytes at most, each found both ways, and what they are kept in.
    let max = 2 * RECEIVE + config.registry_max * 16 * 2 * (256 + 256);
    assert!(damage.peak <= max, "{} bytes, and {max} are allowed", damage.peak);
}
