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
