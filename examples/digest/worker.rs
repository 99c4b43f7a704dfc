//! The worker process: file names in, digests out.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde_bytes::{ByteArray, ByteBuf};
use sha2::{Digest as _, Sha256};
use tractor::{Context, scope};

/// A SHA-256, or why there is none.
pub(crate) type Digest = Result<ByteArray<32>, String>;

/// Answers each batch of file names with their digests, in the same order.
///
/// Reading blocks this process's only thread, as it has nothing else to do. But a cancel must not
/// wait for a large file's end, hence the checkpoint between the pieces of a file.
#[tractor::context]
pub(crate) async fn digests(ctx: Context<(), Vec<Digest>, Vec<ByteBuf>>) -> tractor::Result<()> {
    ctx.started(()).await?;
    let mut stream = ctx.open_stream().await?;
    let mut piece = vec![0; PIECE_LEN];
    while let Some(names) = stream.next().await? {
        let mut digests = Vec::with_capacity(names.len());
        for name in &names {
            digests.push(digest(Path::new(OsStr::from_bytes(name)), &mut piece).await?);
        }
        stream.send(digests).await?;
    }
    Ok(())
}

/// How much is hashed between two checkpoints: less than a millisecond's worth.
const PIECE_LEN: usize = 256 << 10;

/// The outer error is the end of this worker, the inner one that of this file only.
async fn digest(path: &Path, piece: &mut [u8]) -> tractor::Result<Digest> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let mut sha = Sha256::new();
    let mut pieces = 0;
    loop {
        match file.read(piece) {
            Ok(0) => return Ok(Ok(ByteArray::new(sha.finalize().into()))),
            Ok(len) => sha.update(&piece[..len]),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Ok(Err(error.to_string())),
        }
        pieces += 1;
        if pieces > 1 {
            // Not after the first: a small file should not pay for it.
            scope::checkpoint().await?;
        }
    }
}
