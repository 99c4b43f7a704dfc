//! Addresses: what a name resolves to and a listener is bound to.

use alloc::string::{String, ToString};
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

/// Where an actor can be reached. On the wire a pair (`docs/protocol.md` §2.4); for people a
/// multiaddr: `/ip4/127.0.0.1/tcp/1616`, `/unix/run/tractor/registry.sock`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A TCP endpoint. The host is always an IP literal, never a name.
    Tcp {
        /// The interface's address.
        host: IpAddr,
        /// The port; 0 lets the system choose and is never published.
        port: u16,
    },
    /// A unix domain socket, as directory and file name.
    Uds {
        /// The directory, absolute.
        dir: String,
        /// The socket's name in it.
        file: String,
    },
}

impl Address {
    /// The socket's path, for a unix domain socket.
    pub fn uds_path(&self) -> Option<String> {
        match self {
            Address::Uds { dir, file } => Some(alloc::format!("{dir}/{file}")),
            Address::Tcp { .. } => None,
        }
    }
}

/// How near an address is, the nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Distance {
    /// A unix domain socket.
    Socket,
    /// This host's own network.
    Loopback,
    /// Any other host.
    Far,
}

impl Address {
    fn distance(&self) -> Distance {
        match self {
            Address::Uds { .. } => Distance::Socket,
            Address::Tcp { host, .. } if host.is_loopback() => Distance::Loopback,
            Address::Tcp { .. } => Distance::Far,
        }
    }

    /// Puts addresses, of which the oldest is the first, into the order in which to try them: unix
    /// sockets, this host's network, others; and of each kind the youngest first.
    pub fn nearest_first(addrs: &mut [Address]) {
        addrs.reverse();
        addrs.sort_by_key(Address::distance);
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host: IpAddr::V4(ip), port } => write!(f, "/ip4/{ip}/tcp/{port}"),
            Address::Tcp { host: IpAddr::V6(ip), port } => write!(f, "/ip6/{ip}/tcp/{port}"),
            Address::Uds { dir, file } => write!(f, "/unix{dir}/{file}"),
        }
    }
}

/// Why a text is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// Not `/ip4/../tcp/..`, `/ip6/../tcp/..` or `/unix/..`.
    UnsupportedProtocol,
    /// The part after `/ip4` or `/ip6` is no IP literal (names are not resolved).
    BadIp,
    /// The part after `/tcp` is no port number.
    BadPort,
    /// A unix path without a file name.
    BadPath,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AddressError::UnsupportedProtocol => {
                "unsupported multiaddr: expected /ip4/../tcp/.., /ip6/../tcp/.. or /unix/.."
            }
            AddressError::BadIp => "the host must be an IP literal",
            AddressError::BadPort => "the port must be a number below 65536",
            AddressError::BadPath => "a unix address needs an absolute path with a file name",
        })
    }
}

impl core::error::Error for AddressError {}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        if let Some(path) = s.strip_prefix("/unix") {
            let (dir, file) = path.rsplit_once('/').ok_or(AddressError::BadPath)?;
            if dir.is_empty() || file.is_empty() {
                return Err(AddressError::BadPath);
            }
            return Ok(Address::Uds { dir: dir.to_string(), file: file.to_string() });
        }
        let mut parts = s.split('/');
        let (Some(""), Some("ip4" | "ip6"), Some(ip), Some("tcp"), Some(port), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(AddressError::UnsupportedProtocol);
        };
        Ok(Address::Tcp {
            host: ip.parse().map_err(|_| AddressError::BadIp)?,
            port: port.parse().map_err(|_| AddressError::BadPort)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_tried_first_and_the_youngest_of_those() {
        let text =
            "/ip4/10.0.0.1/tcp/1 /unix/run/1 /ip4/127.0.0.1/tcp/1 /ip6/::1/tcp/2 /unix/run/2";
        let mut addrs: alloc::vec::Vec<Address> =
            text.split(' ').map(|addr| addr.parse().unwrap()).collect();
        Address::nearest_first(&mut addrs);
        let order: alloc::vec::Vec<String> = addrs.iter().map(Address::to_string).collect();
        let expected = "/unix/run/2 /unix/run/1 /ip6/::1/tcp/2 /ip4/127.0.0.1/tcp/1 \
                        /ip4/10.0.0.1/tcp/1";
        assert_eq!(order.join(" "), expected);
    }
}
