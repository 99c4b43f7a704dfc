//! The marker: the environment variable that tells a process that it is a child, and whose.
//!
//! It is a claim, not a proof: an environment is inherited by every program that a child starts.
//! What proves it is fd 0, see [`child`](super::child).
//!
//! Its text is six fields with a blank between: version, parent pid, nonce, what becomes of fd 0,
//! executor, link. The first two keep their place in every version, so that a binary that was
//! replaced can say which version it was asked to speak. The link is `given`, or the token and the
//! address for a child that connects back, or `exec` for a process that becomes another program; it
//! comes last, for an address may have blanks in it.

use std::fmt;

use super::spawn::Stdin;

/// The environment variable that holds the marker. Never removed from the environment (that is
/// unsafe when threads exist), always overwritten for a child.
pub(crate) const MARKER_ENV: &str = "TRACTOR_CHILD";

/// The version of the marker, and of what a child does with it, that this build speaks.
pub(crate) const MARKER_VERSION: u32 = 2;

/// What a child is told through its environment, before it can read its link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    /// The version of the marker. [`MARKER_VERSION`] for one made by this build.
    pub(crate) version: u32,
    /// The pid of the process that spawned the child.
    pub(crate) parent_pid: u32,
    /// Tells this child from every other one of its parent.
    pub(crate) nonce: u128,
    /// The name of the executor that the child must run on. Without blanks.
    pub(crate) executor: String,
    /// Where to connect for the link; none when fd 0 is the link.
    pub(crate) back: Option<Back>,
    /// It is no child of ours: it dies with us, and becomes the program that it is told on fd 0.
    pub(crate) exec: bool,
}

/// Where a child connects back to, and what it shows there.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Back {
    /// The proof that it is the child that was started.
    pub(crate) token: [u8; 16],
    /// An address of the parent.
    pub(crate) addr: String,
}

/// Without the secret.
impl fmt::Debug for Back {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Back").field("addr", &self.addr).finish_non_exhaustive()
    }
}

/// A marker as it was found in the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sighting {
    /// The version that the parent speaks.
    pub(super) version: u32,
    /// The pid of the process that set the marker.
    pub(super) parent_pid: u32,
    /// The rest; none when the version is not ours, or when it makes no sense.
    pub(super) body: Option<(Marker, Stdin)>,
}

impl Marker {
    /// A marker for a child of this process.
    pub(crate) fn new(nonce: u128, executor: impl Into<String>, back: Option<Back>) -> Self {
        let parent_pid = std::process::id();
        let executor = executor.into();
        Self { version: MARKER_VERSION, parent_pid, nonce, executor, back, exec: false }
    }

    /// The text of the environment variable.
    pub(super) fn encode(&self, stdin: Stdin) -> String {
        let Self { version, parent_pid, nonce, executor, back, exec } = self;
        let stdin = match stdin {
            Stdin::Null => "null",
            Stdin::Inherit => "inherit",
        };
        let link = match back {
            None if *exec => "exec".to_owned(),
            None => "given".to_owned(),
            Some(Back { token, addr }) => format!("{:032x} {addr}", u128::from_be_bytes(*token)),
        };
        format!("{version} {parent_pid} {nonce:032x} {stdin} {executor} {link}")
    }
}

impl Sighting {
    /// Reads the text of the environment variable. None when it is not a marker of any version.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.splitn(3, ' ');
        let version: u32 = fields.next()?.parse().ok()?;
        let parent_pid: u32 = fields.next()?.parse().ok()?;
        let rest = fields.next().unwrap_or_default();
        let body = if version == MARKER_VERSION { parse_body(parent_pid, rest) } else { None };
        Some(Self { version, parent_pid, body })
    }
}

/// Reads the fields after the first two, as version 2 has them.
fn parse_body(parent_pid: u32, rest: &str) -> Option<(Marker, Stdin)> {
    let mut fields = rest.splitn(4, ' ');
    let nonce = u128::from_str_radix(fields.next()?, 16).ok()?;
    let stdin = match fields.next()? {
        "null" => Stdin::Null,
        "inherit" => Stdin::Inherit,
        _ => return None,
    };
    let executor = fields.next()?.to_owned();
    let (back, exec) = match fields.next()? {
        "given" => (None, false),
        "exec" => (None, true),
        link => (Some(parse_back(link)?), false),
    };
    Some((Marker { version: MARKER_VERSION, parent_pid, nonce, executor, back, exec }, stdin))
}

fn parse_back(link: &str) -> Option<Back> {
    let (token, addr) = link.split_once(' ')?;
    let token = u128::from_str_radix(token, 16).ok()?.to_be_bytes();
    Some(Back { token, addr: addr.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_survives_the_environment() {
        let back = Back { token: [0xf7; 16], addr: "/unix/a b/c d".into() };
        for back in [None, Some(back)] {
            let mut marker = Marker::new(u128::MAX - 7, "smol", back);
            marker.exec = marker.back.is_none();
            for stdin in [Stdin::Null, Stdin::Inherit] {
                let seen = Sighting::parse(&marker.encode(stdin)).unwrap();
                assert_eq!(seen.parent_pid, std::process::id());
                assert_eq!(seen.body, Some((marker.clone(), stdin)));
                marker.exec = false;
            }
        }
    }

    #[test]
    fn another_version_is_seen_but_not_read() {
        for version in [1, 3] {
            let seen = Sighting::parse(&format!("{version} 77 whatever else")).unwrap();
            assert_eq!(seen, Sighting { version, parent_pid: 77, body: None });
        }
    }

    #[test]
    fn nonsense_is_no_marker() {
        for text in ["", "1", "x 1", "1 x", " 1 1", "-1 4 00 null smol"] {
            assert_eq!(Sighting::parse(text), None, "{text:?}");
        }
        let given = "2 5 0f null smol given";
        assert!(Sighting::parse(given).unwrap().body.is_some());
        for text in [
            "2 5",
            "2 5 zz null smol given",
            "2 5 0f maybe smol given",
            "2 5 0f null smol",
            "2 5 0f null smol 0f",
            "2 5 0f null smol zz /unix/a/b",
        ] {
            assert_eq!(Sighting::parse(text).unwrap().body, None, "{text:?}");
        }
    }
}
