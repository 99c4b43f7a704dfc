//! Frames: a stream of bytes, cut into bodies (`docs/protocol.md` §1).
//!
//! ```text
//!           recv_buf()                      next()
//!               ↓                              ↓
//!  chunk: [ given out ······ | len | body | len | bo···· free ···· ]
//!                                                └ filled ┘
//!  body:  [ ············ filled ·········|·· free ··|   claimed, not yet allocated   ]
//! ```
//!
//! A [`Deframer`] owns the bytes from the moment they leave the socket. Small frames are slices of
//! one chunk, which is used again once nobody holds a slice of it. A frame that is large for the
//! chunk gets a buffer of its own, and the socket reads straight into that.
//!
//! Invariants:
//! * F1 — memory follows what was received, whatever a length prefix claims: one chunk, and for a
//!   large frame under way its received bytes once more or 64 KiB, whichever is more.
//! * F2 — each received byte is copied at most once on average, and cleared at most once.
//! * F3 — bodies come out in the order in which they came in, whole, and never over the limit.

use alloc::vec::Vec;

use bytes::{Buf, Bytes, BytesMut};

use crate::error::FrameError;

/// The length prefix: four bytes, little-endian (§1.1).
const PREFIX: usize = 4;

/// A chunk's size at first: a half-open connection holds no more.
const CHUNK_MIN: usize = 8 << 10;
/// A chunk's size at most: a good size for one read, and what a forgotten slice can pin.
const CHUNK_MAX: usize = 64 << 10;
/// A large body's buffer is at least so much ahead of what was received.
const STEP: usize = 64 << 10;

/// Cuts a stream of bytes into frames.
///
/// Loop: read into [`recv_buf`](Self::recv_buf), tell [`received`](Self::received), take
/// [`next`](Self::next) until there is none.
#[derive(Debug)]
pub struct Deframer {
    /// The longest body to accept.
    max: usize,
    /// Where bytes arrive. All of it is initialised; the front `filled` bytes were received.
    chunk: BytesMut,
    /// How many bytes of `chunk` were received and not yet given out.
    filled: usize,
    /// The size of the next chunk: doubles when a read fills what it was offered.
    chunk_size: usize,
    /// The frame under way, when it is too large for `chunk`.
    body: Option<Body>,
}

/// A large frame's body, on its way.
#[derive(Debug)]
struct Body {
    /// All of it is initialised; the front `filled` bytes were received.
    bytes: Vec<u8>,
    filled: usize,
    /// What the prefix claims.
    len: usize,
}

impl Deframer {
    /// A deframer that accepts bodies of at most `max_frame` bytes. Allocates nothing yet.
    pub fn new(max_frame: usize) -> Deframer {
        Deframer {
            max: max_frame,
            chunk: BytesMut::new(),
            filled: 0,
            chunk_size: CHUNK_MIN,
            body: None,
        }
    }

    /// Sets the limit on bodies, from the next one on: it is higher after the handshake (§1.2).
    pub fn set_max(&mut self, max_frame: usize) {
        self.max = max_frame;
    }

    /// Where to read into: never empty. What is in it means nothing.
    #[inline]
    pub fn recv_buf(&mut self) -> &mut [u8] {
        let room = self.chunk.len() - self.filled;
        let is_large = self.body.as_ref().is_some_and(|body| !body.is_whole());
        if !is_large && room < self.missing().max(self.chunk_size / 8) {
            self.renew();
        }
        match &mut self.body {
            Some(body) if !body.is_whole() => body.recv_buf(),
            _ => &mut self.chunk[self.filled..],
        }
    }

    /// The first `len` bytes of [`recv_buf`](Self::recv_buf) were read into.
    #[inline]
    pub fn received(&mut self, len: usize) {
        if let Some(body) = self.body.as_mut().filter(|body| !body.is_whole()) {
            body.filled = body.bytes.len().min(body.filled + len);
            return;
        }
        self.filled += len;
        debug_assert!(self.filled <= self.chunk.len(), "more received than was offered");
        if self.filled >= self.chunk.len() {
            self.filled = self.chunk.len();
            self.grow();
        }
    }

    /// The body of the next frame that is there as a whole. Holds on to the receive buffer, not to
    /// a copy; keep it for long and the buffer stays with it.
    ///
    /// # Errors
    /// The stream is broken for good: every further call returns the same error.
    #[expect(clippy::should_implement_trait, reason = "an iterator can't fail")]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        if self.body.is_some() {
            return Ok(self.next_large());
        }
        let Some(len) = self.claimed() else { return Ok(None) };
        if len == 0 {
            return Err(FrameError::Empty);
        }
        // A u32 fits a usize wherever this crate makes sense; `max` is such a one, so `len` is.
        if len as usize > self.max {
            return Err(FrameError::TooLong { len: u64::from(len), max: self.max });
        }
        let len = len as usize;
        if self.filled - PREFIX < len {
            if len > self.chunk_size / 2 {
                self.start_large(len);
            }
            return Ok(None);
        }
        self.filled -= PREFIX + len;
        self.chunk.advance(PREFIX);
        Ok(Some(self.chunk.split_to(len).freeze()))
    }

    /// Whether a part of a frame is there: the stream may not end now. For use once
    /// [`next`](Self::next) has returned `None`.
    pub fn mid_frame(&self) -> bool {
        self.filled > 0 || self.body.is_some()
    }

    /// What the next frame's prefix says, once it is there.
    #[inline]
    fn claimed(&self) -> Option<u32> {
        let received = self.chunk.get(..self.filled)?;
        received.first_chunk().copied().map(u32::from_le_bytes)
    }

    /// How many bytes of the frame under way are missing in the chunk, as far as is known.
    /// Meaningless (but harmless) while whole frames are waiting in it.
    #[inline]
    fn missing(&self) -> usize {
        // See `next` on the range. A frame that is large for a chunk is not going to be in it.
        let len = self.claimed().map_or(0, |len| len as usize).min(self.chunk_size / 2);
        (PREFIX + len).saturating_sub(self.filled)
    }

    /// Moves what is left to the front of a chunk with room: of this one if nobody else uses it.
    #[cold]
    fn renew(&mut self) {
        // Too much is left only if the caller does not take its frames.
        let size = self.chunk_size.max(2 * self.filled);
        self.chunk.truncate(self.filled);
        if self.chunk.try_reclaim(size - self.filled) {
            self.chunk.resize(size, 0);
        } else {
            let mut chunk = BytesMut::zeroed(size);
            chunk[..self.filled].copy_from_slice(&self.chunk);
            self.chunk = chunk;
        }
    }

    /// Makes the next chunk larger, within what the limit on frames is worth.
    #[cold]
    fn grow(&mut self) {
        let worth = self.max.saturating_mul(2).clamp(CHUNK_MIN, CHUNK_MAX);
        self.chunk_size = (self.chunk_size * 2).min(worth);
    }

    /// Gives the frame under way a buffer of its own, with what is there of it.
    #[cold]
    fn start_large(&mut self, len: usize) {
        let received = &self.chunk[PREFIX..self.filled];
        // Room for the first read too, so that the vector does not move at once (F1).
        let mut bytes = Vec::with_capacity(len.min(received.len() + STEP));
        bytes.extend_from_slice(received);
        self.body = Some(Body { filled: bytes.len(), bytes, len });
        self.chunk.advance(self.filled);
        self.filled = 0;
        self.grow();
    }

    /// The large body, once it is whole.
    #[cold]
    fn next_large(&mut self) -> Option<Bytes> {
        self.body.take_if(|body| body.is_whole()).map(|body| Bytes::from(body.bytes))
    }
}

impl Body {
    fn is_whole(&self) -> bool {
        self.filled == self.len
    }

    /// The room up to the body's end, or as much of it as has been earned (F1).
    fn recv_buf(&mut self) -> &mut [u8] {
        if self.filled == self.bytes.len() {
            let size = self.len.min(self.filled + self.filled.max(STEP));
            self.bytes.reserve_exact(size - self.filled);
            self.bytes.resize(size, 0);
        }
        &mut self.bytes[self.filled..]
    }
}

/// Appends one frame to `out`: the length of what `write_body` appends, then that.
///
/// The caller keeps the body within the limit.
#[inline]
pub fn put_frame(out: &mut Vec<u8>, write_body: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; PREFIX]);
    write_body(out);
    let len = out.len().saturating_sub(at + PREFIX);
    debug_assert!(u32::try_from(len).is_ok(), "a frame of {len} bytes");
    if let Some(prefix) = out.get_mut(at..at + PREFIX) {
        prefix.copy_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
    }
}
