//! What the checks of interleavings share.

pub(crate) mod clock;
#[path = "../../tests/support/explore.rs"]
pub(crate) mod explore;
