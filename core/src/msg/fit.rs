//! Making an error's report fit into a frame: it is cut rather than lost (`docs/protocol.md` §3.4).

use bytes::Bytes;

use super::RemoteError;
use super::codec::LIST_MAX;
use crate::id::{Text, Uid};
use crate::wire::pack::{self, DEPTH_MAX};

/// The longest name of a type or an actor that is sent on. Ours are far shorter; what a peer made
/// up may be as long as a frame.
const NAME_LEN_MAX: usize = 4096;

/// Cuts what would make the frame of this error larger than `frame_len_max`, nest deeper than a
/// peer accepts, or have a longer list than that.
pub(crate) fn fit(error: &mut RemoteError, frame_len_max: usize) {
    // Of six parts none may take more than this; what is left is for the names.
    let max = frame_len_max / 8;
    for text in error.message.iter_mut().chain([&mut error.traceback]) {
        fit_text(text, max);
    }
    for raw in [&mut error.data, &mut error.bad_msg, &mut error.bad_msg_as_dict] {
        raw.take_if(|raw| !is_sendable(raw, max));
    }
    let name_max = NAME_LEN_MAX.min(max / 16);
    for name in [&mut error.src_type, &mut error.boxed_type] {
        fit_text(name, name_max);
    }
    let uids = error.canceller.iter_mut().chain(error.sender.iter_mut());
    for uid in uids.chain([&mut error.src]).chain(error.relay_path.iter_mut()) {
        fit_text(&mut uid.name, name_max);
        fit_text(&mut uid.uuid, name_max);
    }
    fit_path(error, max);
}

fn fit_text(text: &mut Text, max: usize) {
    if text.as_str().len() > max {
        *text = text.truncated(max);
    }
}

/// Whether a raw value may be a field of a message.
fn is_sendable(raw: &Bytes, max: usize) -> bool {
    raw.len() <= max && pack::scan_exact(raw, DEPTH_MAX - 1).is_ok()
}

/// A path that has become too long keeps its source and its last hops.
fn fit_path(error: &mut RemoteError, max: usize) {
    // Both texts, and their headers.
    let len = |uid: &Uid| uid.name.as_str().len() + uid.uuid.as_str().len() + 11;
    let path = &mut error.relay_path;
    let mut total: usize = path.iter().map(len).sum();
    let mut excess = 0;
    while path.len() > excess + 1 && (path.len() - excess > LIST_MAX || total > max) {
        excess += 1;
        total -= len(&path[excess]);
    }
    if excess > 0 {
        path.drain(1..=excess);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::cancel::plain_error;
    use crate::msg::{Features, Msg};

    const FRAME: usize = if cfg!(miri) { 16 << 10 } else { 64 << 10 };

    fn uid(n: usize) -> Uid {
        Uid { name: alloc::format!("actor{n}").into(), uuid: Text::from_static("u") }
    }

    fn body_len(error: &RemoteError) -> usize {
        let mut out = Vec::new();
        Msg::Error { cid: None, error: error.clone() }.encode(Features::ALL, &mut out);
        out.len()
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        let mut error = plain_error(&uid(0), "ValueError", "no");
        error.relay_path = (0..5).map(uid).collect();
        error.data = Some(Bytes::from_static(&[0x81, 0xa1, b'a', 1]));
        let before = error.clone();
        fit(&mut error, FRAME);
        assert_eq!(error, before);
    }

    #[test]
    fn everything_too_long_is_cut_below_a_frame() {
        let long = || Text::from(alloc::string::String::from_utf8(vec![b'x'; FRAME]).unwrap());
        let huge = || Uid { name: long(), uuid: long() };
        let mut error = plain_error(&huge(), "ValueError", long().as_str());
        error.traceback = long();
        error.src_type = long();
        error.boxed_type = long();
        error.canceller = Some(huge());
        error.sender = Some(huge());
        error.relay_path = (0..20).map(|_| huge()).collect();
        error.data = Some(Bytes::from(vec![0xc0; FRAME]));
        fit(&mut error, FRAME);
        let len = body_len(&error);
        assert!(len < FRAME - 1024, "{len}");
        assert!(error.message.unwrap().as_str().len() > 1000, "cut, not lost");
    }

    #[test]
    #[cfg_attr(miri, ignore = "it takes minutes there")]
    fn a_path_keeps_its_source_and_its_last_hops() {
        let mut error = plain_error(&uid(0), "ValueError", "");
        error.relay_path = (0..LIST_MAX + 3).map(uid).collect();
        fit(&mut error, FRAME << 8);
        assert_eq!(error.relay_path.len(), LIST_MAX);
        assert_eq!(error.relay_path[0], uid(0));
        assert_eq!(error.relay_path[1], uid(4));
        assert_eq!(error.relay_path.last(), Some(&uid(LIST_MAX + 2)));
        let mut empty = RemoteError { relay_path: Vec::new(), ..error };
        fit(&mut empty, FRAME);
        assert!(empty.relay_path.is_empty());
    }

    #[test]
    fn data_that_a_peer_would_refuse_is_left_out() {
        let nested = |depth: usize| {
            let mut raw = vec![0x91; depth - 1];
            raw.push(0xc0);
            Some(Bytes::from(raw))
        };
        let mut error = plain_error(&uid(0), "ValueError", "");
        error.data = nested(DEPTH_MAX);
        fit(&mut error, FRAME);
        assert!(error.data.is_some());
        error.data = nested(DEPTH_MAX + 1);
        fit(&mut error, FRAME);
        assert_eq!(error.data, None);
        error.data = Some(Bytes::from_static(&[1, 2]));
        fit(&mut error, FRAME);
        assert_eq!(error.data, None, "no single value");
    }
}
