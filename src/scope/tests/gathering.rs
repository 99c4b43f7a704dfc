//! Resources that are opened at once, used, and closed at once.

use super::*;

/// A resource that takes `opening` to open and `closing` to close.
fn resource(
    log: &Log,
    name: &'static str,
    opening: u64,
    closing: u64,
) -> impl FnOnce(Lease<&'static str>) -> Held + use<> {
    let log = log.clone();
    move |lease| {
        let body = async move {
            sleep(secs(opening)).await?;
            lease.hold(name).await
        };
        let closed = async move {
            sleep(secs(closing)).await?;
            log.add(format!("-{name}"));
            Ok(())
        };
        Box::pin(finally(body, closed))
    }
}

type Held = std::pin::Pin<Box<dyn Future<Output = Result<()>> + Send>>;

#[test]
fn all_are_opened_at_once_in_order_and_closed_at_once() {
    let w = World::new();
    let log = w.log.clone();
    let all = [("a", 3, 2), ("b", 1, 3), ("c", 2, 1)].map(|(n, o, c)| resource(&log, n, o, c));
    let out = w.run(gather(all, async |names| {
        log.add(format!("{} at {:?}", names.join(""), w.now()));
        sleep(secs(1)).await?;
        Ok(7)
    }));
    assert!(matches!(out, Some(Ok(7))), "{out:?}");
    assert_eq!((w.log.take().as_str(), w.now()), ("abc at 3s -c -a -b", secs(7)));
}

#[test]
fn there_must_be_something_to_gather() {
    let w = World::new();
    let none: [fn(Lease<()>) -> Held; 0] = [];
    let out = w.run(gather(none, async |_| Ok(())));
    assert!(matches!(out, Some(Err(Error::Misuse(_)))), "{out:?}");
}

#[test]
fn one_that_can_not_be_opened_cancels_the_others() {
    let w = World::new();
    let log = w.log.clone();
    let fails = |_lease: Lease<&'static str>| -> Held {
        Box::pin(async {
            sleep(secs(1)).await?;
            Err(Error::TooSlow)
        })
    };
    let opens = resource(&log, "opens", 0, 2);
    let opening = resource(&log, "opening", 9, 1);
    let all: Vec<Box<dyn FnOnce(Lease<&'static str>) -> Held + Send>> =
        vec![Box::new(opens), Box::new(fails), Box::new(opening)];
    let out = w.run(gather(all, async |_| {
        log.add("never");
        Ok(())
    }));
    assert!(matches!(out, Some(Err(Error::TooSlow))), "{out:?}");
    assert_eq!((w.log.take().as_str(), w.now()), ("-opening -opens", secs(3)));
}

#[test]
fn all_are_closed_although_one_fails_at_that() {
    let w = World::new();
    let log = w.log.clone();
    let fails = |lease: Lease<&'static str>| -> Held {
        Box::pin(async move {
            lease.hold("fails").await?;
            Err(Error::TooSlow)
        })
    };
    // It closes its own way, which a cancellation would cut.
    let theirs = log.clone();
    let closes = move |lease: Lease<&'static str>| -> Held {
        Box::pin(async move {
            lease.hold("closes").await?;
            sleep(secs(3)).await?;
            theirs.add("-closes");
            Ok(())
        })
    };
    let all: Vec<Box<dyn FnOnce(Lease<&'static str>) -> Held + Send>> =
        vec![Box::new(fails), Box::new(closes)];
    let out = w.run(gather(all, async |_| Ok(())));
    assert!(matches!(out, Some(Err(Error::TooSlow))), "{out:?}");
    assert_eq!((w.log.take().as_str(), w.now()), ("-closes", secs(3)));
}

#[test]
fn an_error_of_the_body_is_bare_and_closes_all() {
    let w = World::new();
    let log = w.log.clone();
    let all = [resource(&log, "a", 1, 1), resource(&log, "b", 1, 2)];
    let out = w.run(gather(all, async |_| Err::<(), _>(Error::TooSlow)));
    assert!(matches!(out, Some(Err(Error::TooSlow))), "{out:?}");
    assert_eq!((w.log.take().as_str(), w.now()), ("-a -b", secs(3)));
    let all = [resource(&log, "a", 1, 1)];
    let out = w.run(gather(all, async |_| -> Result<()> { quiet_panic("body") }));
    assert!(matches!(out, Some(Err(Error::Panic(_)))), "{out:?}");
    assert_eq!(w.log.take(), "-a");
}

#[test]
fn one_that_ends_by_itself_is_an_error() {
    let w = World::new();
    let gone = |lease: Lease<u8>| -> Held {
        Box::pin(async {
            drop(lease);
            Ok(())
        })
    };
    let out = w.run(gather([gone], async |_| Ok(())));
    assert!(matches!(out, Some(Err(Error::Misuse(_)))), "{out:?}");
}

#[test]
fn cancelled_while_opening_and_while_in_use() {
    for (opening, at) in [(1, 3), (9, 3)] {
        let w = World::new();
        let log = w.log.clone();
        let all = [resource(&log, "a", 1, 1), resource(&log, "b", opening, 2)];
        let out = w.run(move_on_after(secs(at), async {
            let cut = gather(all, async |_| sleep(secs(90)).await).await;
            log.add(format!("never: {cut:?}"));
        }));
        assert!(matches!(out, Some(None)), "{out:?}");
        assert_eq!((w.log.take().as_str(), w.now()), ("-a -b", secs(5)), "{opening}");
    }
}
