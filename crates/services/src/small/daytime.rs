//! The time of day (RFC 867).

use std::io;
use std::time::Duration;

use sockeye_engine::{Stream, unix_now};
use sockeye_http::ImfFixdate;

/// The present date and time on one line, in GMT: `Sun, 06 Nov 1994 08:49:37 GMT` and CR LF. RFC
/// 867 leaves the form open; this one is that of mail and HTTP.
#[must_use]
pub fn daytime_line() -> String {
    format!("{}\r\n", ImfFixdate::from_unix(unix_now()).as_str())
}

/// Sends the time and closes; what the client sends is not waited for. The number of bytes sent.
///
/// # Errors
///
/// What [`Stream::flush`] says.
///
/// # Cancel safety
///
/// Dropping the future closes the connection.
pub async fn daytime(mut stream: Stream, patience: Duration) -> io::Result<u64> {
    stream.set_deadline(Some(patience));
    stream.write(daytime_line().as_bytes());
    stream.flush().await?;
    let written = stream.written();
    stream.close_lingering(1 << 20).await;
    Ok(written)
}
