//! Items that wait to be read keep what they were counted for, and not the buffers they came in.

use bytes::Bytes;
use tractor_core::msg::{Features, FuncType, Msg};
use tractor_core::{Call, Config, DialogEvent, Event, Output, OverrunPolicy};
use tractor_harness::fuzz::stage::{self, Stage};

use crate::MEMORY;
use crate::siege::uid;

/// Each item comes in a buffer full of something else, which is read and forgotten.
#[test]
#[cfg_attr(miri, ignore = "it takes minutes there")]
fn small_items_among_large_messages() {
    let _alone = crate::alone();
    let config = Config::new("p");
    let (window, items) = (config.window_bytes as usize, config.window_items as usize - 24);
    let mut stage = Stage::new(config);
    stage.actor.enable("app");
    stage.actor.booted(stage.now, Vec::new()).expect("it is new");
    let conn = stage.actor.accepted(stage.now).expect("there is room");
    assert!(stage.say(conn, &stage::aid(&uid(0), 1, Features::ALL)));
    let call = Call { func_type: FuncType::Context, ns: "app", func: "f", kwargs: &[0x80] };
    let dialog = stage.actor.start(stage.now, conn, &call).expect("it is open");
    let heard = stage.hear(conn);
    let cid = heard.iter().find_map(Msg::cid).expect("a Start").clone();
    let (functype, pld) = (FuncType::Context, Bytes::from_static(&[7]));
    assert!(stage.say(conn, &Msg::StartAck { cid: cid.clone(), functype }));
    assert!(stage.say(conn, &Msg::Started { cid: cid.clone(), pld: pld.clone() }));
    let policy = OverrunPolicy::Backpressure;
    stage.actor.open_stream(stage.now, dialog, policy).expect("it has started");
    let item = stage::frame(&Msg::Yield { cid, pld });
    let filler = stage::frame(&Msg::Goodbye { reason: "x".repeat(60_000).into() });
    let before = MEMORY.current_usage();
    for _ in 0..items {
        assert!(stage.receive(conn, &item) && stage.receive(conn, &filler));
    }
    let kept = MEMORY.current_usage() - before;
    let is_items =
        |output: &&Output| matches!(output, Output::Event(Event::Dialog(_, DialogEvent::Items(_))));
    assert!(stage.outputs.iter().filter(is_items).count() > items / 2, "they wait to be read");
    assert!(kept <= 2 * window + (2 << 20), "{kept} bytes for a window of {window}");
}
