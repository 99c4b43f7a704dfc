//! Several readers of one stream, in many interleavings: see docs/testing.md.

#![allow(clippy::unwrap_used, reason = "these helpers are test code, which clippy can't see")]

mod interleavings;
