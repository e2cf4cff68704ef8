//! Between a proxy and the server behind it: passes everything on, and notes what is answered.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::kit::eventually;

pub(super) struct Tap {
    pub(super) address: SocketAddr,
    connections: Arc<Mutex<Vec<Passed>>>,
}

/// A connection: what came back on it, and who passes it on.
struct Passed {
    answered: Arc<Mutex<Vec<u8>>>,
    back: JoinHandle<()>,
}

impl Tap {
    /// Listens for as long as the process lives.
    pub(super) fn before(server: SocketAddr) -> Tap {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&connections);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let near = near.unwrap();
                let far = TcpStream::connect(server).unwrap();
                let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                std::thread::spawn(move || pass(near_too, far_too, |_| ()));
                let answered = Arc::new(Mutex::new(Vec::new()));
                let note = Arc::clone(&answered);
                let back = std::thread::spawn(move || {
                    pass(far, near, |bytes| note.lock().unwrap().extend_from_slice(bytes));
                });
                all.lock().unwrap().push(Passed { answered, back });
            }
        });
        Tap { address, connections }
    }

    /// The statuses of all final answers, once the server has closed every connection.
    ///
    /// Nothing that is served holds what begins a status-line.
    pub(super) fn statuses(&self) -> Vec<u16> {
        let connections = self.connections.lock().unwrap();
        eventually("the end of all connections behind the proxy", || {
            connections.iter().all(|passed| passed.back.is_finished()).then_some(())
        });
        let mut statuses = Vec::new();
        for passed in connections.iter() {
            let answered = passed.answered.lock().unwrap();
            let text = String::from_utf8_lossy(&answered);
            let lines = text.split("HTTP/1.1 ").skip(1);
            statuses.extend(lines.filter_map(|rest| rest.get(..3)?.parse::<u16>().ok()));
        }
        statuses.retain(|status| *status >= 200);
        statuses
    }
}

/// Passes on until the end, or until nobody takes it any more; what comes then is noted all the same.
fn pass(mut from: TcpStream, mut to: TcpStream, mut note: impl FnMut(&[u8])) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        note(&buffer[..count]);
        let _ = to.write_all(&buffer[..count]);
    }
    let _ = to.shutdown(Shutdown::Write);
}
