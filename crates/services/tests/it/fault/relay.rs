//! A service that is a client too: it connects to an echo behind it, and carries both directions at
//! once between the halves of two streams.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use sockeye_engine::{Reader, Stream, Writer};

/// To connect; nothing on loopback takes this long.
const PATIENCE: Duration = Duration::from_secs(40);

/// Relays until both directions have ended, or one has failed.
pub(super) async fn relay(stream: Stream, behind: SocketAddr) -> io::Result<()> {
    let other = Stream::connect_to(&behind.into(), Some(PATIENCE)).await?;
    let ((from, back), (answers, to)) = (stream.split(), other.split());
    let (mut there, mut here) = (pin!(carry(from, to)), pin!(carry(answers, back)));
    let (mut one, mut other) = (false, false);
    std::future::poll_fn(|cx| {
        for (ended, way) in [(&mut one, there.as_mut()), (&mut other, here.as_mut())] {
            if !*ended && let Poll::Ready(result) = way.poll(cx) {
                result?;
                *ended = true;
            }
        }
        if one && other { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

/// One direction, and its end.
async fn carry(mut from: Reader, mut to: Writer) -> io::Result<()> {
    loop {
        let chunk = from.recv().await?;
        if chunk.is_empty() {
            // Who has everything may have closed already.
            let _ = to.shutdown_write();
            return Ok(());
        }
        to.write(&chunk);
        drop(chunk);
        to.flush().await?;
    }
}

/// An echo of plain sockets, for as long as the process lives.
pub(super) fn echo_behind() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        while let Ok((mut peer, _)) = listener.accept() {
            std::thread::spawn(move || {
                let mut bytes = vec![0; 64 * 1024];
                while let Ok(count @ 1..) = peer.read(&mut bytes) {
                    if peer.write_all(&bytes[..count]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}
