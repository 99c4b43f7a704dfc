//! Messages that their dialog's phase forbids end that dialog, on both sides; the connection goes
//! on. Messages for nobody are counted.

use bytes::Bytes;
use tractor::{Result, RootConfig, find_actor, open_root_actor};
use tractor_core::msg::{FuncType, Msg, RemoteError, Request};
use tractor_core::{Cid, Text};

use crate::peer::{Peer, cid, kwargs};
use crate::siege::{Target, besieged, off_thread};
use crate::victim::add;

const ONE: Bytes = Bytes::from_static(&[1]);

/// What a caller may not say about a call that runs, or about a context.
fn forbidden(to: &Cid, in_context: bool) -> Vec<Vec<Msg>> {
    let item = Msg::Yield { cid: to.clone(), pld: ONE };
    let stop = |sent| Msg::Stop { cid: to.clone(), sent: Some(sent) };
    let mut all = vec![
        vec![Msg::StartAck { cid: to.clone(), functype: FuncType::Call }],
        vec![Msg::Started { cid: to.clone(), pld: ONE }],
        vec![Msg::Return { cid: to.clone(), pld: ONE }],
    ];
    if in_context {
        all.extend([
            vec![stop(0), stop(0)],
            vec![stop(0), item.clone()],
            // More, or less, than was sent.
            vec![stop(1)],
            vec![item, stop(0)],
        ]);
    } else {
        all.extend([vec![item], vec![stop(0)]]);
    }
    all
}

/// Ends one dialog after another by a forbidden message.
fn speak_out_of_turn(target: &Target) {
    let mut peer = Peer::meet(&target.path);
    for (func, in_context) in [("linger", false), ("hoarder", true)] {
        let name = |at| cid(&format!("{func} {at}"));
        for at in 0..forbidden(&name(0), in_context).len() {
            let name = name(at);
            let arguments = if in_context { kwargs([("keep", 0)]) } else { kwargs([]) };
            peer.start(&name, func, arguments);
            peer.accepted(&name);
            if in_context {
                peer.set_up(&name);
            }
            let msgs = forbidden(&name, in_context).swap_remove(at);
            eprintln!("{}: {func}: {msgs:?}", target.name);
            for msg in &msgs {
                assert!(peer.send(msg));
            }
            let answer = loop {
                match peer.answer(&name) {
                    Msg::Credit { .. } | Msg::Stop { .. } => {}
                    msg => break msg,
                }
            };
            let Msg::Error { error, .. } = answer else { panic!("{answer:?}") };
            assert_eq!(error.boxed_type.as_str(), "Violation", "{error:?}");
            peer.still_serves();
        }
    }
    // All of those tasks are being cancelled; and none is waited for on the connection.
    let began = std::time::Instant::now();
    loop {
        peer.start(&cid("left"), "lingering", kwargs([]));
        let Msg::Return { pld, .. } = peer.answer(&cid("left")) else { panic!("no answer") };
        if pld[..] == [0] {
            break;
        }
        assert!(began.elapsed() < crate::peer::PATIENCE, "tasks are left");
    }
}

#[tractor::test]
async fn message_out_of_turn_ends_that_dialog() -> Result<()> {
    besieged(|targets| targets.each(speak_out_of_turn)).await?;
    Ok(())
}

/// The other way round: we called, and the callee's answer is forbidden in its phase. That call
/// fails, here and there, and the next is answered.
#[tractor::test]
async fn answer_out_of_turn_ends_that_call() -> Result<()> {
    open_root_actor(RootConfig::default(), async |actor| {
        let path = actor.registry_addrs()[0].uds_path().unwrap();
        let (met, meeting) = std::sync::mpsc::channel();
        let bad = off_thread(Default::default(), move || {
            let mut peer = Peer::meet(path.as_ref());
            peer.still_refuses();
            met.send(()).unwrap();
            let answers: [fn(Cid) -> Msg; 3] = [
                |cid| Msg::Yield { cid, pld: ONE },
                |cid| Msg::StartAck { cid, functype: FuncType::Context },
                |cid| Msg::Return { cid, pld: ONE },
            ];
            for answer in answers {
                let Some(Msg::Start(start)) = peer.recv() else { panic!("no call") };
                assert!(peer.send(&answer(start.cid.clone())));
                let (kind, _) = peer.error(&start.cid);
                assert_eq!(kind, "Violation");
            }
            let Some(Msg::Start(start)) = peer.recv() else { panic!("no call") };
            let cid = start.cid;
            assert!(peer.send(&Msg::StartAck { cid: cid.clone(), functype: FuncType::Call }));
            assert!(peer.send(&Msg::Return { cid, pld: ONE }));
        });
        let calls = async {
            off_thread(Default::default(), move || meeting.recv().unwrap()).await;
            find_actor("stranger", async |portal| {
                let portal = portal.expect("it is connected");
                for _ in 0..3 {
                    let error = portal.run(add { a: 1, b: 0 }).await.unwrap_err();
                    assert!(
                        error.to_string().contains("not allowed")
                            || error.to_string().contains("another kind"),
                        "{error}"
                    );
                }
                assert_eq!(portal.run(add { a: 1, b: 0 }).await?, 1);
                Ok(())
            })
            .await
        };
        futures_lite::future::zip(bad, calls).await.1
    })
    .await
}

/// For dialogs that never were there is a budget; for those that have ended all is free.
fn speak_to_nobody(target: &Target) {
    let mut peer = Peer::meet(&target.path);
    peer.start(&cid("ended"), "add", kwargs([("a", 1), ("b", 1)]));
    assert!(matches!(peer.answer(&cid("ended")), Msg::Return { .. }));
    for _ in 0..5_000 {
        peer.send(&Msg::Yield { cid: cid("ended"), pld: ONE });
    }
    peer.still_serves();
    for number in 0..1024 {
        let to = cid(&format!("unknown {number}"));
        let error = || RemoteError {
            src: peer.uid.clone(),
            src_type: Text::from("E"),
            boxed_type: Text::from("E"),
            relay_path: vec![peer.uid.clone()],
            message: None,
            traceback: Text::default(),
            canceller: None,
            sender: None,
            bad_msg: None,
            bad_msg_as_dict: None,
            data: None,
        };
        let msg = match number % 5 {
            0 => Msg::Stop { cid: to, sent: None },
            1 => Msg::Return { cid: to, pld: ONE },
            2 => Msg::Started { cid: to, pld: ONE },
            3 => Msg::CancelAck { cid: to, outcome: tractor_core::msg::AckOutcome::Cancelling },
            _ => Msg::Error { cid: Some(to), error: error() },
        };
        assert!(peer.send(&msg));
    }
    peer.still_serves();
    peer.send(&Msg::Stop { cid: cid("one too many"), sent: None });
    peer.is_closed();
}

#[tractor::test]
async fn messages_to_nobody_are_counted() -> Result<()> {
    besieged(|targets| targets.each(speak_to_nobody)).await?;
    Ok(())
}

/// Numbers name dialogs by who began them: a peer can't take the names that are ours.
#[tractor::test]
async fn names_of_the_other_side_are_refused() -> Result<()> {
    let attack = |target: &Target| {
        for number in [0, 2, 4, u64::MAX - 1] {
            let mut peer = Peer::meet(&target.path);
            peer.start(&Cid::Num(number), "linger", kwargs([]));
            peer.is_closed();
        }
        let mut peer = Peer::meet(&target.path);
        peer.start(&Cid::Num(u64::MAX), "linger", kwargs([]));
        peer.request(&Cid::Num(1), Request::CancelTask { target: Cid::Num(u64::MAX) });
        assert_eq!(peer.error(&Cid::Num(u64::MAX)).0, "ContextCancelled");
        peer.still_serves();
    };
    besieged(move |targets| targets.each(attack)).await?;
    Ok(())
}
