//! What waits to be written on one connection: two lanes, control before data, and a switch only
//! between frames, so that a cancel never waits behind a queue of data.
//!
//! The driver takes the outbox out under its lock, writes without it, and puts back what is left.
//!
//! # Invariants
//! O1  `head` is empty or starts inside a frame and ends at that frame's end. (protocol §1.4)
//! O2  Each lane starts and ends on a frame's boundary.
//! O3  While an `Outbound` is out, nothing else of this connection is given out.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::id::Cid;
use crate::msg::{Features, Msg, codec};
use crate::wire::frame::put_frame;

/// A payload on its way out: small ones are copied into the lane, large ones are kept as they are.
#[derive(Clone, Debug)]
pub enum Payload<'a> {
    /// Somebody else's bytes, to be copied.
    Borrowed(&'a [u8]),
    /// Our own, written from where they are.
    Owned(Bytes),
}

impl Payload<'_> {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Payload::Borrowed(b) => b,
            Payload::Owned(b) => b,
        }
    }
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(b: &'a [u8]) -> Self {
        Payload::Borrowed(b)
    }
}
impl From<Bytes> for Payload<'_> {
    fn from(b: Bytes) -> Self {
        Payload::Owned(b)
    }
}

/// A payload this long is written from its own memory instead of being copied: about where a copy
/// costs as much as one more slice in the write.
pub const SPLICE_LEN_MIN: usize = 16 << 10;

/// A pack is closed at this length, so that one frame never holds up the lane.
const PACK_LEN_MAX: usize = 32 << 10;

/// A piece of the byte stream. A frame may lie over several.
#[derive(Clone, Debug)]
enum Piece {
    Buf(Vec<u8>),
    Bytes(Bytes),
}

impl Piece {
    fn as_slice(&self) -> &[u8] {
        match self {
            Piece::Buf(v) => v,
            Piece::Bytes(b) => b,
        }
    }

    /// Splits off what comes after `at`.
    fn split_off(&mut self, at: usize) -> Piece {
        match self {
            Piece::Buf(v) => Piece::Buf(v.split_off(at)),
            Piece::Bytes(b) => Piece::Bytes(b.split_off(at)),
        }
    }
}

/// The frame of stream items that still takes more: always the last of its lane.
#[derive(Debug)]
struct OpenPack {
    cid: Cid,
    frame_at: usize,
    count_at: usize,
    count: u32,
}

#[derive(Debug, Default)]
struct Lane {
    pieces: VecDeque<Piece>,
    len: usize,
    pack: Option<OpenPack>,
}

impl Lane {
    /// The buffer that takes the next frame.
    fn tail(&mut self) -> &mut Vec<u8> {
        if !matches!(self.pieces.back(), Some(Piece::Buf(_))) {
            self.pieces.push_back(Piece::Buf(Vec::new()));
        }
        match self.pieces.back_mut() {
            Some(Piece::Buf(v)) => v,
            _ => unreachable!("O2: a buffer was pushed just above"),
        }
    }

    fn push_frame(&mut self, write_body: impl FnOnce(&mut Vec<u8>)) {
        self.pack = None;
        let tail = self.tail();
        let before = tail.len();
        put_frame(tail, write_body);
        let added = tail.len() - before;
        self.len += added;
    }

    /// A frame whose last field is `payload`, which is not copied when it is long.
    fn push_payload(&mut self, payload: Payload<'_>, write_head: impl FnOnce(&mut Vec<u8>)) {
        match payload {
            Payload::Owned(body) if body.len() >= SPLICE_LEN_MIN => {
                self.pack = None;
                let tail = self.tail();
                let at = tail.len();
                tail.extend_from_slice(&[0; 4]);
                write_head(tail);
                let head = tail.len() - at - 4;
                // Bounded by frame_len_max, which is far below 4 GiB: checked by the command.
                let len = (head + body.len()) as u32;
                tail[at..at + 4].copy_from_slice(&len.to_le_bytes());
                self.len += 4 + head + body.len();
                self.pieces.push_back(Piece::Bytes(body));
            }
            payload => self.push_frame(|out| {
                write_head(out);
                out.extend_from_slice(payload.as_slice());
            }),
        }
    }

    /// Adds an item to the open pack of this dialog, or opens one.
    fn push_packed(&mut self, cid: &Cid, item: &[u8]) {
        if let Some(mut pack) = self.pack.take()
            && pack.cid == *cid
        {
            let tail = self.tail();
            let len = tail.len() - pack.frame_at - 4 + item.len();
            if len <= PACK_LEN_MAX {
                tail.extend_from_slice(item);
                pack.count += 1;
                // Bounded by PACK_LEN_MAX.
                let len = len as u32;
                tail[pack.frame_at..pack.frame_at + 4].copy_from_slice(&len.to_le_bytes());
                tail[pack.count_at..pack.count_at + 4].copy_from_slice(&pack.count.to_be_bytes());
                self.len += item.len();
                self.pack = Some(pack);
                return;
            }
        }
        self.open_pack(cid, item);
    }

    fn open_pack(&mut self, cid: &Cid, item: &[u8]) {
        let frame_at = self.tail().len();
        let mut count_at = 0;
        self.push_frame(|out| {
            count_at = codec::encode_yields_head(cid, out);
            out[count_at..count_at + 4].copy_from_slice(&1u32.to_be_bytes());
            out.extend_from_slice(item);
        });
        self.pack = Some(OpenPack { cid: cid.clone(), frame_at, count_at, count: 1 });
    }

    fn put_front(&mut self, mut pieces: VecDeque<Piece>, len: usize) {
        pieces.append(&mut self.pieces);
        self.pieces = pieces;
        self.len += len;
    }

    fn take_into(&mut self, out: &mut VecDeque<Piece>) -> usize {
        self.pack = None;
        out.append(&mut self.pieces);
        core::mem::take(&mut self.len)
    }
}

/// All that waits to be written on one connection.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    head: VecDeque<Piece>,
    head_len: usize,
    control: Lane,
    data: Lane,
    /// Bytes ever put into the data lane, and how many of them nothing can pass any more.
    data_pushed: u64,
    data_written: u64,
    taken: Option<Taken>,
    spare: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Taken {
    head: usize,
    control: usize,
    data: usize,
}

/// Bytes that were taken out to be written.
#[derive(Debug, Default)]
pub struct Outbound {
    pieces: VecDeque<Piece>,
    written: usize,
    left: usize,
}

impl Outbound {
    /// What is still to be written, in order.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut skip = self.written;
        self.pieces.iter().filter_map(move |piece| {
            let slice = piece.as_slice();
            let skipped = skip.min(slice.len());
            skip -= skipped;
            Some(&slice[skipped..]).filter(|rest| !rest.is_empty())
        })
    }

    /// Whether all is written.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Tells that `n` more bytes were written.
    ///
    /// # Panics
    /// When that is more than there was.
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.left, "more was written than there was");
        self.left -= n;
        self.written += n;
    }

    /// The end of the frame in which `self.written` lies, given that a frame starts at `at`.
    fn frame_end(&self, mut at: usize) -> usize {
        let mut piece_at = 0;
        for piece in &self.pieces {
            let slice = piece.as_slice();
            while at < self.written && at < piece_at + slice.len() {
                let header = &slice[at - piece_at..at - piece_at + 4];
                let len = u32::from_le_bytes(header.try_into().expect("O2: four bytes of header"));
                at += 4 + len as usize;
            }
            piece_at += slice.len();
        }
        at
    }
}

/// Takes the first `len` bytes off the front of `pieces`.
fn split_front(pieces: &mut VecDeque<Piece>, mut len: usize) -> VecDeque<Piece> {
    let mut front = VecDeque::new();
    while len > 0 {
        let Some(mut piece) = pieces.pop_front() else { break };
        if piece.as_slice().len() > len {
            pieces.push_front(piece.split_off(len));
        }
        len -= piece.as_slice().len();
        front.push_back(piece);
    }
    front
}

impl Outbox {
    /// A message for the control lane.
    pub(crate) fn control(&mut self, msg: &Msg, features: Features) {
        self.refill();
        self.control.push_frame(|out| msg.encode(features, out));
    }

    /// A message for the data lane.
    pub(crate) fn data(&mut self, msg: &Msg, features: Features) {
        self.refill();
        let before = self.data.len;
        self.data.push_frame(|out| msg.encode(features, out));
        self.data_pushed += (self.data.len - before) as u64;
    }

    /// `Started` or `Return`: the payload may be long.
    pub(crate) fn payload(&mut self, msg: &Msg, payload: Payload<'_>) {
        self.refill();
        let before = self.data.len;
        self.data.push_payload(payload, |out| codec::encode_head(msg, out));
        self.data_pushed += (self.data.len - before) as u64;
    }

    /// A stream item.
    pub(crate) fn item(&mut self, cid: &Cid, item: Payload<'_>, features: Features) {
        self.refill();
        let before = self.data.len;
        if features.has(Features::PACKED) && item.as_slice().len() < PACK_LEN_MAX / 4 {
            self.data.push_packed(cid, item.as_slice());
        } else {
            self.data.push_payload(item, |out| codec::encode_yield_head(cid, out));
        }
        self.data_pushed += (self.data.len - before) as u64;
    }

    /// Gives the first frame of an empty data lane the buffer of an earlier write.
    fn refill(&mut self) {
        if self.data.pieces.is_empty() && self.spare.capacity() > 0 {
            self.data.pieces.push_back(Piece::Buf(core::mem::take(&mut self.spare)));
        }
    }

    pub(crate) fn data_len(&self) -> usize {
        self.data.len + self.taken.map_or(0, |t| t.data)
    }

    /// Bytes that wait, in all.
    pub(crate) fn len(&self) -> usize {
        let taken = self.taken.map_or(0, |t| t.head + t.control + t.data);
        self.head_len + self.control.len + self.data.len + taken
    }

    /// A mark behind all data given so far.
    pub(crate) fn data_mark(&self) -> u64 {
        self.data_pushed
    }

    /// Whether everything before `mark` has been written.
    pub(crate) fn is_past(&self, mark: u64) -> bool {
        self.data_written >= mark
    }

    /// Takes out all there is; `None` when there is nothing or it is out already.
    pub(crate) fn take(&mut self) -> Option<Outbound> {
        if self.taken.is_some() || self.head_len + self.control.len + self.data.len == 0 {
            return None;
        }
        let mut pieces = core::mem::take(&mut self.head);
        let head = core::mem::take(&mut self.head_len);
        let control = self.control.take_into(&mut pieces);
        let data = self.data.take_into(&mut pieces);
        self.taken = Some(Taken { head, control, data });
        Some(Outbound { pieces, written: 0, left: head + control + data })
    }

    /// Takes back what is left of it.
    pub(crate) fn put_back(&mut self, mut out: Outbound) {
        let Some(taken) = self.taken.take() else { return };
        let before_data = taken.head + taken.control;
        if out.left > 0 {
            let cut = self.restore(taken, out);
            // A frame that has begun to go out counts as gone: nothing can pass it any more.
            self.data_written += cut.saturating_sub(before_data) as u64;
            return;
        }
        self.data_written += taken.data as u64;
        if let Some(Piece::Buf(mut spare)) = out.pieces.pop_back()
            && spare.capacity() <= 2 * PACK_LEN_MAX
        {
            spare.clear();
            self.spare = spare;
        }
    }

    /// Cuts the rest at the end of the frame under way: that part stays first (O1), the rest goes
    /// back into its lanes, in front of what came meanwhile. Returns where that cut is.
    fn restore(&mut self, taken: Taken, mut out: Outbound) -> usize {
        let cut = out.frame_end(taken.head).max(taken.head);
        let mut rest = core::mem::take(&mut out.pieces);
        split_front(&mut rest, out.written);
        self.head_len = cut - out.written;
        self.head = split_front(&mut rest, self.head_len);
        let control_end = taken.head + taken.control;
        let control = control_end.saturating_sub(cut);
        self.control.put_front(split_front(&mut rest, control), control);
        self.data.put_front(rest, taken.head + taken.control + taken.data - cut - control);
        cut
    }
}
