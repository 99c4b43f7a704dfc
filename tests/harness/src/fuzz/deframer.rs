//! Frames: whatever the pieces in which bytes come, the same bodies come out, and they are those
//! that a reader who has everything at once would find.

use bytes::Bytes;
use tractor_core::error::FrameError;
use tractor_core::wire::frame::Deframer;

/// How a stream is read.
struct Way {
    /// The longest body.
    max: usize,
    /// Bytes in a piece at most.
    piece: usize,
    /// Whether bodies are kept, and the buffer with them.
    keeps: bool,
}

/// Two bytes that say how, then the stream.
pub fn run(data: &[u8]) {
    let Some((&[piece, how], stream)) = data.split_first_chunk() else { return };
    let max = [16, 64, 1000, 4096, 5000, 20_000, 1 << 20, 16 << 20][usize::from(how & 7)];
    let expected = model(stream, max);
    let keeps = how & 8 != 0;
    // Byte by byte only what is short.
    let piece = usize::from(piece) + 1 + stream.len() / 64;
    for piece in [usize::MAX, piece] {
        let found = cut(stream, &Way { max, piece, keeps });
        assert_eq!(found, expected, "in pieces of {piece}");
    }
}

/// The bodies and how it ended: with a part of a frame, or broken.
type Found = (Vec<Bytes>, Result<bool, FrameError>);

/// What a reader finds who has everything at once.
fn model(mut stream: &[u8], max: usize) -> Found {
    let mut bodies = Vec::new();
    while let Some((prefix, rest)) = stream.split_first_chunk() {
        let len = u32::from_le_bytes(*prefix);
        if len == 0 {
            return (bodies, Err(FrameError::Empty));
        }
        if len as usize > max {
            return (bodies, Err(FrameError::TooLong { len: u64::from(len), max }));
        }
        let Some((body, rest)) = rest.split_at_checked(len as usize) else { break };
        bodies.push(Bytes::copy_from_slice(body));
        stream = rest;
    }
    (bodies, Ok(!stream.is_empty()))
}

/// What the deframer finds.
fn cut(mut stream: &[u8], way: &Way) -> Found {
    let mut deframer = Deframer::new(way.max);
    let mut bodies = Vec::new();
    while !stream.is_empty() {
        let buf = deframer.recv_buf();
        assert!(!buf.is_empty(), "there is always room");
        let len = buf.len().min(stream.len()).min(way.piece);
        buf[..len].copy_from_slice(&stream[..len]);
        deframer.received(len);
        stream = &stream[len..];
        loop {
            match deframer.next() {
                Ok(Some(body)) if way.keeps => bodies.push(body),
                Ok(Some(body)) => bodies.push(Bytes::copy_from_slice(&body)),
                Ok(None) => break,
                Err(e) => {
                    assert_eq!(deframer.next(), Err(e), "broken for good");
                    return (bodies, Err(e));
                }
            }
        }
    }
    (bodies, Ok(deframer.mid_frame()))
}
