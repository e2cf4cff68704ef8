//! What waiting costs: bytes of the futures that a task holds while it does.

use std::time::Duration;

use sockeye_engine::{DriverKind, sleep};

use crate::{adopt, connection, engine, peer};

/// Measured, in bytes: a future that grows is held by every idle connection.
const STREAM: usize = 96;
const RECV: usize = 16;
const RECV_IDLE: usize = 16;
const FLUSH: usize = 16;
const SEND_FILE: usize = 168;
const CLOSE_LINGERING: usize = 240;
const SLEEP: usize = 32;

#[test]
fn the_futures_of_a_stream_stay_small() {
    let engine = engine(DriverKind::EpollEdge);
    let (ours, _theirs) = connection();
    let file = peer::file(1);
    engine.block_on(async {
        let mut stream = adopt(ours);
        let mut sizes = vec![("Stream", size_of_val(&stream), STREAM)];
        let mut note = |name, size, bound| sizes.push((name, size, bound));
        note("recv", size_of_val(&stream.recv()), RECV);
        note("recv_idle", size_of_val(&stream.recv_idle()), RECV_IDLE);
        note("flush", size_of_val(&stream.flush()), FLUSH);
        note("send_file", size_of_val(&stream.send_file(&file, 0..1, None)), SEND_FILE);
        note("sleep", size_of_val(&sleep(Duration::ZERO)), SLEEP);
        note("close_lingering", size_of_val(&stream.close_lingering(1)), CLOSE_LINGERING);
        sizes.retain(|(_, size, bound)| size > bound);
        assert!(sizes.is_empty(), "grown (name, bytes, bound): {sizes:?}");
    });
}
