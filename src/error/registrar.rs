//! What stands between an actor and a registrar.

use std::fmt;

use tractor_core::Address;

/// Why there is no registrar to be or to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistrarError {
    /// Something listens at these registry addresses that does not answer as a registrar: another
    /// program, or one that is stuck.
    Occupied(Vec<Address>),
    /// There is a registrar at these, and the root was to keep the registry itself
    /// ([`ensure_registry`](crate::RootConfig::ensure_registry)).
    Kept(Vec<Address>),
    /// No registrar answers at any of these.
    Unreachable(Vec<Address>),
}

impl RegistrarError {
    /// The addresses that it is about.
    pub fn addrs(&self) -> &[Address] {
        match self {
            RegistrarError::Occupied(addrs)
            | RegistrarError::Kept(addrs)
            | RegistrarError::Unreachable(addrs) => addrs,
        }
    }
}

impl fmt::Display for RegistrarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addrs: Vec<String> = self.addrs().iter().map(Address::to_string).collect();
        let at = addrs.join(", ");
        match self {
            RegistrarError::Occupied(_) => write!(
                f,
                "the registry address {at} is occupied, but what listens there did not answer as a \
                 registrar: end that program, or choose another address"
            ),
            RegistrarError::Kept(_) => write!(
                f,
                "there is a registrar at {at} already, and this root was to keep the registry \
                 itself: end that one, choose another address, or join it by leaving \
                 `ensure_registry` out"
            ),
            RegistrarError::Unreachable(_) => write!(
                f,
                "no registrar answers at {at}: start the program that keeps the registry there"
            ),
        }
    }
}

impl std::error::Error for RegistrarError {}
