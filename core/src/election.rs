//! Who keeps the registry: decided by a root that boots, from what it found at the addresses that
//! it was given (`docs/protocol.md` §6.10). Asking there is [`Actor::probe`](crate::Actor::probe).

use alloc::vec::Vec;
use core::time::Duration;

use crate::addr::Address;
use crate::output::Found;

/// How often an address is asked at which somebody listens who doesn't answer.
pub const PROBES_MAX: u32 = 3;

/// Between two such questions; the second wait is twice as long, and so on.
const PROBE_DELAY: Duration = Duration::from_millis(50);

/// When to ask again, after so many questions of which the last found this. `None`: that is it.
pub fn ask_again_in(found: Found, asked: u32) -> Option<Duration> {
    (found == Found::Silent && asked < PROBES_MAX).then(|| PROBE_DELAY * asked)
}

/// What becomes of a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody is there: it binds the addresses and keeps the registry.
    Keep,
    /// Registrars are there: it is a client of those.
    Join(Vec<Address>),
    /// It was to keep the registry, and somebody else does, here.
    Kept(Vec<Address>),
    /// Something that is no registrar is in the way, here.
    Occupied(Vec<Address>),
}

/// Decides. A root that joins goes by the registrars that are there, and does not mind what is at
/// the other addresses; with `keeps` it does not join.
pub fn decide(found: &[(Address, Found)], keeps: bool) -> Verdict {
    let at = |wanted: fn(Found) -> bool| {
        let places = found.iter().filter(|(_, found)| wanted(*found));
        places.map(|(addr, _)| addr.clone()).collect::<Vec<_>>()
    };
    let registrars = at(|found| found == Found::Registrar);
    let occupied = at(|found| matches!(found, Found::Other | Found::Silent));
    match (registrars.is_empty(), occupied.is_empty()) {
        (false, _) if keeps => Verdict::Kept(registrars),
        (false, _) => Verdict::Join(registrars),
        (true, false) => Verdict::Occupied(occupied),
        (true, true) => Verdict::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Found::{Absent, Other, Registrar, Silent};

    fn at(n: usize) -> Address {
        Address::Uds { dir: "/run".into(), file: alloc::format!("{n}") }
    }

    fn verdict<const N: usize>(found: [Found; N], keeps: bool) -> Verdict {
        let found: Vec<_> = found.into_iter().enumerate().map(|(n, f)| (at(n), f)).collect();
        decide(&found, keeps)
    }

    #[test]
    fn registrar_is_joined_wherever_it_is() {
        assert_eq!(verdict([Absent, Registrar], false), Verdict::Join([at(1)].into()));
        assert_eq!(verdict([Registrar, Other, Silent], false), Verdict::Join([at(0)].into()));
        assert_eq!(verdict([Registrar; 2], false), Verdict::Join([at(0), at(1)].into()));
    }

    #[test]
    fn nobody_is_followed_by_us() {
        assert_eq!(verdict([Absent; 2], false), Verdict::Keep);
        assert_eq!(verdict([Absent; 2], true), Verdict::Keep);
    }

    #[test]
    fn what_is_in_the_way_is_named() {
        assert_eq!(verdict([Absent, Other], false), Verdict::Occupied([at(1)].into()));
        assert_eq!(verdict([Silent, Absent], true), Verdict::Occupied([at(0)].into()));
    }

    #[test]
    fn who_is_to_keep_it_does_not_join() {
        assert_eq!(verdict([Other, Registrar], true), Verdict::Kept([at(1)].into()));
    }

    #[test]
    fn silence_alone_is_asked_again_and_not_for_ever() {
        for found in [Absent, Other, Registrar] {
            assert_eq!(ask_again_in(found, 1), None);
        }
        let waits: Vec<_> = (1..5).map_while(|asked| ask_again_in(Silent, asked)).collect();
        assert_eq!(waits, [PROBE_DELAY, 2 * PROBE_DELAY]);
    }
}
