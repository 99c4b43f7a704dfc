//! A message as bytes and back. Here the wire's strings begin and end: a `Start` in the namespace
//! `self` is a [`Request`](super::Request) from here on, and nothing is ever looked up by name.
//!
//! A body is one MessagePack map with text keys (`docs/protocol.md` §2, §3). We write the tag
//! `msg_type` first, then every field of the table in its order, an unset one as nil, so that equal
//! messages are equal bytes and the reference's recordings come out again byte for byte.
//!
//! | tag | keys, in order (a field in brackets may be absent when reading) |
//! |---|---|
//! | `Aid` | `name`, `uuid`, \[`pid`, `is_registrar`, `is_probe`\], *`ext`* |
//! | `SpawnSpec` | `_parent_main_data`, `_runtime_vars`, `enable_modules`, `reg_addrs`, `bind_addrs` |
//! | `Start` | `cid`, `ns`, `func`, `kwargs`, `uid`, \[`pld_spec`\] |
//! | `StartAck` | `cid`, `functype` |
//! | `Started`, `Yield`, `Return` | `cid`, `pld` |
//! | `Stop` | `cid`, *`sent`* |
//! | `CancelAck` | `cid`, `pld`, *`outcome`* |
//! | `Error` | `src_uid`, `src_type_str`, `boxed_type_str`, `relay_path`, \[`message`, `tb_str`, `canceller`, `sender`, `cid`, `_bad_msg`, `_bad_msg_as_dict`\], *`data`* |
//!
//! Extensions (§5). Keys in italics above, and everything below, are ours. A base peer ignores keys
//! that it does not know, but dies of a tag that it does not know: the new tags, and numbers as
//! cids, go only to a peer that has the feature.
//!
//! | what | on the wire | written when | absent means |
//! |---|---|---|---|
//! | `Aid.ext` | map: `v_min`, `v_max`, `features`, `build`, all uint | set | a base peer |
//! | any `cid` | uint instead of str | it is [`Cid::Num`] | |
//! | `Stop.sent` | uint | set, and `STOP_SEQ` | not told |
//! | `CancelAck.outcome` | `"cancelling"`, `"already_done"`, `"refused"` | `TYPED_ACK` | `cancelling` if `pld`, else `refused` |
//! | `Start(self, cancel).kwargs.budget_ms` | uint, milliseconds | set, and `BUDGET` | not told |
//! | `Error.data` | any value | set, and `ERROR_DATA` | none |
//! | `_runtime_vars.loglevel` | str | set | inherit |
//! | `_runtime_vars.budget_ms` | uint, milliseconds | set | the default |
//! | tag `Ready` | `addrs`: array of addresses | sent | |
//! | tag `Yields` | `cid`, `plds`: array of items; written with a 32-bit count | sent | |
//! | tag `Credit` | `cid`, `items`: uint, `bytes`: uint | sent | |
//! | tag `Goodbye` | `reason`: str | sent | |
//!
//! `CancelAck.pld` is true for `cancelling` and `already_done`, and false for `refused`.
//!
//! Reading is as lenient as the reference and as strict: keys in any order, the tag too; unknown
//! keys ignored; of equal keys the last counts, but a second tag is an error; nothing after the
//! map; a field of another type is an error. Where the reference relies on its runtime, we have
//! limits: [`DEPTH_MAX`] levels, [`LIST_MAX`] entries in a message's own lists, no byte 0xc1, texts
//! in UTF-8.
//! Payloads, arguments and texts are slices of the body; nothing is copied but addresses.

use alloc::vec::Vec;

use bytes::Bytes;

use super::{Features, Msg};
use crate::error::DecodeError;
use crate::id::Cid;
use crate::wire::pack::{self, DEPTH_MAX};

mod decode;
mod encode;
mod error_data;
mod input;
mod request;
mod values;

pub use self::encode::{encode_head, encode_yield_head, encode_yields_head};
pub use self::input::LIST_MAX;
pub use self::values::{RECORDS_MAX, decode_records, encode_records};
pub use self::values::{
    RuntimeVars, decode_addrs, decode_registry, encode_addr, encode_addrs, encode_registry,
    encode_uid,
};

impl Msg {
    /// The message in a frame's body. Its payloads and texts are slices of `body`.
    ///
    /// # Errors
    /// What is wrong with the body; the frame's limits have been checked by then.
    pub fn decode(body: Bytes) -> Result<Msg, DecodeError> {
        decode::message(body)
    }

    /// Appends the body of this message, for a peer with these features: without a feature, the
    /// fields that belong to it are left out.
    ///
    /// Messages that are extensions as a whole (`Ready`, `Yields`, `Credit`, `Goodbye`), and
    /// numbers as cids, are written in any case: not to send them to a base peer is the channel's
    /// business.
    pub fn encode(&self, features: Features, out: &mut Vec<u8>) {
        encode::message(self, features, out);
    }

    /// The dialog that the message belongs to.
    pub fn cid(&self) -> Option<&Cid> {
        match self {
            Msg::Aid(_) | Msg::SpawnSpec(_) | Msg::Ready { .. } | Msg::Goodbye { .. } => None,
            Msg::Start(start) => Some(&start.cid),
            Msg::Error { cid, .. } => cid.as_ref(),
            Msg::Request { cid, .. }
            | Msg::StartAck { cid, .. }
            | Msg::Started { cid, .. }
            | Msg::Yield { cid, .. }
            | Msg::Yields { cid, .. }
            | Msg::Stop { cid, .. }
            | Msg::Credit { cid, .. }
            | Msg::Return { cid, .. }
            | Msg::CancelAck { cid, .. } => Some(cid),
        }
    }
}

/// The items of a [`Msg::Yields`], one by one, each a slice of `plds`.
pub fn items(plds: &Bytes) -> Items {
    Items { rest: plds.clone() }
}

/// See [`items`].
#[derive(Clone, Debug)]
pub struct Items {
    rest: Bytes,
}

impl Iterator for Items {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.rest.is_empty() {
            return None;
        }
        // Decoding has checked every item; if somebody made `plds` up, it ends at the first fault.
        let len = pack::scan(&self.rest, DEPTH_MAX).unwrap_or(self.rest.len());
        Some(self.rest.split_to(len))
    }
}
