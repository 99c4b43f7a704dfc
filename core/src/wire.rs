//! The wire in one page (`docs/protocol.md` §1, §2).
//!
//! A connection carries frames, one message each: a length, then that many bytes of MessagePack.
//!
//! ```text
//! 42 00 00 00                        66 bytes follow: u32, little-endian (§1.1)
//! 83                                 a map of three entries
//!    a8 6d73675f74797065             "msg_type": the tag, written first, and read anywhere
//!       a5 5969656c64                "Yield"
//!    a3 636964                       "cid": the dialog this belongs to
//!       d924 64653338..              its name, 36 characters: str8
//!    a3 706c64                       "pld": last, so that a payload can be spliced in
//!       93 01 02 03                  the payload itself, unwrapped: [1, 2, 3]
//! ```
//!
//! A message walks through three rooms, and each knows only its own thing:
//!
//! | room | turns | knows |
//! |---|---|---|
//! | [`frame`] | a stream of bytes into bodies | lengths and limits, not what is in a body |
//! | [`pack`] | bytes into values | MessagePack, bounded in depth and count; no message |
//! | [`msg::codec`](crate::msg::codec) | a body into a [`Msg`](crate::msg::Msg) | keys and tags |
//!
//! Nothing is copied on the way in: a body is a slice of the receive buffer, and a message's texts
//! and payloads are slices of its body. Nothing is allocated because of a length that a peer
//! merely claims. A payload's own structure is checked (§2.5) but not looked at.

pub mod frame;
pub mod pack;
