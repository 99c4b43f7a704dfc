use alloc::format;
use alloc::string::ToString;

use super::*;

const NAMES: [&str; 3] = ["ann", "bob", "cat"];

fn uid(n: u64) -> Uid {
    Uid { name: Text::from(NAMES[n as usize % 3]), uuid: Text::from(n.to_string()) }
}

fn addr(n: u64) -> Address {
    Address::Uds { dir: "/run".into(), file: n.to_string() }
}

fn time(n: u64) -> Instant {
    Instant::from_epoch(core::time::Duration::from_secs(n))
}

fn conn(n: u64) -> ConnId {
    ConnId::from_u64(n)
}

/// Numbers that repeat with the seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % n
    }
}

/// One thing that happens to a registry.
fn step(registry: &mut Registry, draw: &mut Draw) {
    let n = draw.below(9);
    match draw.below(7) {
        0..=2 => {
            let owner = if n.is_multiple_of(2) { Owner::Uid } else { Owner::Lease(conn(n)) };
            let now = time(draw.below(100));
            let _ = registry.register(&uid(n), addr(draw.below(12)), owner, now, 8);
        }
        3 => registry.conn_gone(conn(n)),
        4 => drop(registry.unregister(&uid(n), &uid(n), conn(n))),
        5 => registry.prove(&uid(n), &addr(draw.below(12)), time(draw.below(100))),
        _ => {
            let addr = addr(draw.below(12));
            if let Some(uid) = registry.base_holder(&addr).cloned() {
                registry.drop_dead(&uid, &addr);
            }
        }
    }
}

/// What can be looked up is what there is, by each of the ways.
fn check(registry: &Registry) {
    let all: Vec<(&Uid, &Record)> = registry.records.iter().collect();
    for name in NAMES {
        let mut of_name: Vec<_> = all.iter().filter(|(uid, _)| uid.name == *name).collect();
        of_name.sort_by_key(|(_, record)| record.epoch);
        let records: Vec<_> = registry.records(name).map(|(uid, _)| uid.clone()).collect();
        assert_eq!(records, of_name.iter().map(|(uid, _)| (*uid).clone()).collect::<Vec<_>>());
        assert_eq!(registry.find(name), of_name.last().map_or(&[][..], |(_, r)| &r.addrs[..]));
    }
    let held: usize = all.iter().map(|(_, record)| record.addrs.len()).sum();
    assert_eq!(registry.by_addr.len(), held, "R4");
    for (addr, uid) in &registry.by_addr {
        assert!(registry.records[uid].addrs.contains(addr));
        assert_eq!(registry.find(uid.uuid.as_str()), registry.records[uid].addrs);
    }
    let leased = all.iter().filter(|(_, record)| matches!(record.owner, Owner::Lease(_))).count();
    assert_eq!(registry.by_lease.values().map(BTreeSet::len).sum::<usize>(), leased);
    assert!(registry.by_lease.values().all(|leased| !leased.is_empty()));
    let of_base = all.iter().filter(|(_, record)| record.owner == Owner::Uid);
    let by_asked = of_base.map(|(uid, record)| (record.asked, (*uid).clone()));
    assert_eq!(registry.by_asked, by_asked.collect());
    assert!(registry.by_text.values().all(|same| !same.is_empty()));
}

/// Whoever shows a tag is told of every difference since; and what has changed is told at once.
#[test]
fn tags_tell_contents_apart_and_indices_agree() {
    for seed in 0..if cfg!(miri) { 1 } else { 200 } {
        let (mut registry, mut draw) = (Registry::default(), Draw(seed));
        let mut seen: BTreeMap<(usize, u64, u64), alloc::string::String> = BTreeMap::new();
        for _ in 0..if cfg!(miri) { 30 } else { 100 } {
            step(&mut registry, &mut draw);
            check(&registry);
            for (n, name) in NAMES.into_iter().enumerate() {
                let content = format!("{:?}", registry.records(name).collect::<Vec<_>>());
                let tag = registry.tag(name);
                let before = seen.entry((n, tag.stamp, tag.count)).or_insert(content.clone());
                assert_eq!(*before, content, "seed {seed}: {tag:?} of {name}");
            }
        }
    }
}

#[test]
fn waiters_are_served_by_their_name_alone_and_once() {
    let mut registry = Registry::default();
    let wait = |registry: &mut Registry, n: u64, name: &str, until| {
        let waiter = Waiter { conn: conn(n), cid: Cid::Num(1), name: Text::from(name), until };
        registry.wait(waiter, 8).unwrap();
    };
    let none = RegistryTag::default();
    wait(&mut registry, 1, "ann", Until::Any);
    wait(&mut registry, 2, "ann", Until::Changed(none));
    wait(&mut registry, 3, "bob", Until::Any);
    assert_eq!(registry.take_changes(), None);
    registry.register(&uid(0), addr(0), Owner::Lease(conn(9)), time(0), 8).unwrap();
    let served = |registry: &mut Registry| {
        let served = registry.take_changes().unwrap();
        served.into_iter().map(|waiter| waiter.conn).collect::<Vec<_>>()
    };
    assert_eq!(served(&mut registry), [conn(1), conn(2)]);
    let seen = registry.tag("ann");
    wait(&mut registry, 2, "ann", Until::Changed(seen));
    // The same again is no change.
    registry.register(&uid(0), addr(0), Owner::Lease(conn(9)), time(0), 8).unwrap();
    assert_eq!(registry.take_changes(), None);
    registry.conn_gone(conn(9));
    assert_eq!(served(&mut registry), [conn(2)], "that somebody went is a change");
}

#[test]
fn base_peers_alone_are_unproven_and_only_for_a_while() {
    let mut registry = Registry::default();
    registry.register(&uid(0), addr(0), Owner::Uid, time(10), 8).unwrap();
    registry.register(&uid(3), addr(3), Owner::Lease(conn(1)), time(10), 8).unwrap();
    let unproven = |registry: &Registry, since| registry.unproven("ann", time(since)).count();
    assert_eq!((unproven(&registry, 10), unproven(&registry, 11)), (0, 1));
    registry.prove(&uid(0), &addr(0), time(20));
    assert_eq!((unproven(&registry, 20), unproven(&registry, 21)), (0, 1));
    registry.drop_dead(&uid(3), &addr(3));
    assert_eq!(registry.records("ann").count(), 2, "a lease proves its owner");
    registry.drop_dead(&uid(0), &addr(0));
    assert_eq!(registry.records("ann").count(), 1);
}
