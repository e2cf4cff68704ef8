//! The character generator (RFC 864).

use std::io;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use sockeye_engine::{Either, Reader, Stream, Writer, first, stopping};

/// Printable characters of ASCII: space to tilde.
const CHARACTERS: u8 = 95;

/// Characters of a line, without its CR LF.
const LINE: u8 = 72;

/// The lines before they come again, written one after the other.
static PATTERN: LazyLock<Bytes> = LazyLock::new(|| {
    let line = |first: u8| {
        let characters = (0..LINE).map(move |place| b' ' + (first + place) % CHARACTERS);
        characters.chain(*b"\r\n")
    };
    (0..CHARACTERS).flat_map(line).collect::<Vec<u8>>().into()
});

/// The beginning of what is generated, at most 512 bytes: what a datagram may have (RFC 864).
pub(super) fn beginning(len: usize) -> &'static [u8] {
    &PATTERN[..len.min(512)]
}

/// Sends lines of 72 characters, each one character further along ASCII than the line before it,
/// until the client goes or the thread is asked to stop, and does nothing with what it sends: the
/// number of bytes sent. A client that half-closes still gets them.
///
/// # Errors
///
/// What [`Stream::flush`] says, but for a client that has gone; `TimedOut` for one that has taken
/// nothing for `patience`.
///
/// # Cancel safety
///
/// Dropping the future closes the connection.
pub async fn chargen(stream: Stream, patience: Duration) -> io::Result<u64> {
    let (mut reader, mut writer) = stream.split();
    let result = match first(generate(&mut writer, patience), ignore(&mut reader)).await {
        Either::One(result) | Either::Other(result) => result,
    };
    match result.map_err(|error| (error.kind(), error)) {
        Err((io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset, _)) | Ok(()) => {
            Ok(writer.written())
        }
        Err((_, error)) => Err(error),
    }
}

async fn generate(writer: &mut Writer, patience: Duration) -> io::Result<()> {
    while !stopping() {
        for _ in 0..8 {
            writer.write_shared(PATTERN.clone());
        }
        writer.set_deadline(Some(patience));
        writer.flush().await?;
    }
    Ok(())
}

/// Ends when the thread is asked to stop or the client is gone, and not with what the client sends.
async fn ignore(reader: &mut Reader) -> io::Result<()> {
    while let Some(chunk) = reader.recv_idle().await? {
        if chunk.is_empty() {
            std::future::pending::<()>().await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 864.
    #[test]
    fn lines_turn_by_one_character_and_then_come_again() {
        let lines: Vec<&[u8]> = PATTERN.split_inclusive(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 95);
        let first = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg";
        assert_eq!(lines[0], format!("{first}\r\n").as_bytes());
        assert_eq!(lines[1], format!("{}h\r\n", &first[1..]).as_bytes());
        assert!(lines[94].starts_with(b"~ !\"#"));
        assert_eq!(beginning(10_000).len(), 512);
    }
}
