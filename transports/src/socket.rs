//! What all transports over sockets have in common: a connected stream, a listener, errors that
//! name their address.

use std::error::Error;
use std::fmt;
use std::io;

pub(crate) mod listener;
pub(crate) mod os;
pub(crate) mod stream;

/// What failed at which address. The system's error is its source.
#[derive(Debug)]
struct AddressError {
    doing: &'static str,
    addr: String,
    source: io::Error,
}

/// Names the address in an error of the system.
pub(crate) fn at(doing: &'static str, addr: &impl fmt::Display, source: io::Error) -> io::Error {
    io::Error::new(source.kind(), AddressError { doing, addr: addr.to_string(), source })
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't {} {}: {}", self.doing, self.addr, self.source)
    }
}

impl Error for AddressError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
