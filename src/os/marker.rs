//! The marker: the environment variable that tells a process that it is a child, and whose.
//!
//! It is a claim, not a proof: an environment is inherited by every program that a child starts.
//! What proves it is fd 0, see [`child`](super::child).
//!
//! Its text is five fields with a blank between: version, parent pid, nonce, what becomes of fd 0,
//! executor. The first two keep their place in every version, so that a binary that was replaced
//! can say which version it was asked to speak.

use super::spawn::Stdin;

/// The environment variable that holds the marker. Never removed from the environment (that is
/// unsafe when threads exist), always overwritten for a child.
pub(crate) const MARKER_ENV: &str = "TRACTOR_CHILD";

/// The version of the marker, and of what a child does with it, that this build speaks.
pub(crate) const MARKER_VERSION: u32 = 1;

/// What a child is told through its environment, before it can read its link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    /// The version of the marker. [`MARKER_VERSION`] for one made by this build.
    pub(crate) version: u32,
    /// The pid of the process that spawned the child.
    pub(crate) parent_pid: u32,
    /// Tells this child from every other one of its parent.
    pub(crate) nonce: u128,
    /// The name of the executor that the child must run on.
    pub(crate) executor: String,
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
    pub(crate) fn new(nonce: u128, executor: impl Into<String>) -> Self {
        let parent_pid = std::process::id();
        Self { version: MARKER_VERSION, parent_pid, nonce, executor: executor.into() }
    }

    /// The text of the environment variable.
    pub(super) fn encode(&self, stdin: Stdin) -> String {
        let Self { version, parent_pid, nonce, executor } = self;
        let stdin = match stdin {
            Stdin::Null => "null",
            Stdin::Inherit => "inherit",
        };
        format!("{version} {parent_pid} {nonce:032x} {stdin} {executor}")
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

/// Reads the fields after the first two, as version 1 has them.
fn parse_body(parent_pid: u32, rest: &str) -> Option<(Marker, Stdin)> {
    let mut fields = rest.splitn(3, ' ');
    let nonce = u128::from_str_radix(fields.next()?, 16).ok()?;
    let stdin = match fields.next()? {
        "null" => Stdin::Null,
        "inherit" => Stdin::Inherit,
        _ => return None,
    };
    let executor = fields.next()?.to_owned();
    Some((Marker { version: MARKER_VERSION, parent_pid, nonce, executor }, stdin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_survives_the_environment() {
        let marker = Marker::new(u128::MAX - 7, "smol");
        for stdin in [Stdin::Null, Stdin::Inherit] {
            let seen = Sighting::parse(&marker.encode(stdin)).unwrap();
            assert_eq!(seen.parent_pid, std::process::id());
            assert_eq!(seen.body, Some((marker.clone(), stdin)));
        }
    }

    #[test]
    fn another_version_is_seen_but_not_read() {
        let seen = Sighting::parse("2 77 whatever else").unwrap();
        assert_eq!(seen, Sighting { version: 2, parent_pid: 77, body: None });
    }

    #[test]
    fn nonsense_is_no_marker() {
        for text in ["", "1", "x 1", "1 x", " 1 1", "-1 4 00 null smol"] {
            assert_eq!(Sighting::parse(text), None, "{text:?}");
        }
        for text in ["1 5", "1 5 zz null smol", "1 5 0f maybe smol", "1 5 0f null"] {
            assert_eq!(Sighting::parse(text).unwrap().body, None, "{text:?}");
        }
    }
}
