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

/// The IP literal of that family.
fn ip_of(family: &str, text: &str) -> Option<IpAddr> {
    let ip: IpAddr = text.parse().ok()?;
    (ip.is_ipv4() == (family == "ip4")).then_some(ip)
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
            if !dir.starts_with('/') || file.is_empty() {
                return Err(AddressError::BadPath);
            }
            return Ok(Address::Uds { dir: dir.to_string(), file: file.to_string() });
        }
        let mut parts = s.split('/');
        let (Some(""), Some(family @ ("ip4" | "ip6")), Some(ip), Some("tcp"), Some(port), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(AddressError::UnsupportedProtocol);
        };
        Ok(Address::Tcp {
            host: ip_of(family, ip).ok_or(AddressError::BadIp)?,
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

    #[test]
    fn multiaddr_text_is_read_as_it_is_written() {
        for text in [
            "/ip4/127.0.0.1/tcp/1616",
            "/ip4/0.0.0.0/tcp/0",
            "/ip6/::1/tcp/65535",
            "/ip6/fe80::1/tcp/80",
            "/unix/run/user/1000/tractor/registry@1616.sock",
            "/unix/tmp/with space/\u{e9}.sock",
        ] {
            let addr: Address = text.parse().unwrap();
            assert_eq!(addr.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_multiaddr_of_ours_is_refused_with_a_reason() {
        use AddressError::{BadIp, BadPath, BadPort, UnsupportedProtocol};
        for (text, reason) in [
            ("", UnsupportedProtocol),
            ("127.0.0.1:1616", UnsupportedProtocol),
            ("/ip4/127.0.0.1", UnsupportedProtocol),
            ("/ip4/127.0.0.1/udp/1616", UnsupportedProtocol),
            ("/ip4/127.0.0.1/tcp/1616/ws", UnsupportedProtocol),
            ("/dns4/localhost/tcp/1616", UnsupportedProtocol),
            ("ip4/127.0.0.1/tcp/1616", UnsupportedProtocol),
            ("/ip4/localhost/tcp/1616", BadIp),
            ("/ip4/::1/tcp/1616", BadIp),
            ("/ip6/127.0.0.1/tcp/1616", BadIp),
            ("/ip4/127.0.0.1/tcp/65536", BadPort),
            ("/ip4/127.0.0.1/tcp/", BadPort),
            ("/unix", BadPath),
            ("/unix/registry", BadPath),
            ("/unix/run/", BadPath),
            ("/unixrun/registry", BadPath),
        ] {
            assert_eq!(text.parse::<Address>(), Err(reason), "{text}");
        }
    }
}
