//! What the clients of a sweep do, and what of it came back.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::pattern;

use super::sweep::Service;

/// One connection: what was answered, until it was all or the connection ended.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) name: &'static str,
    pub(super) got: Vec<u8>,
}

/// Bytes of the file that leaves by `sendfile(2)`, and of the long echo.
pub(super) const LONG: usize = 150_000;

/// In the place of an answer, where none is due: the end came, and no reset.
pub(super) const TAKEN: &[u8] = b"taken";

/// Nobody takes this long unless the server has forgotten him.
const PATIENCE: Duration = Duration::from_secs(40);

impl Service {
    /// A bystander who is there all the time, a short exchange, two at once with a long answer to a
    /// slow reader, and one who leaves without a word.
    pub(super) fn script(self, address: SocketAddr) -> Vec<Talk> {
        let mut bystander = Talk { name: "bystander", got: Vec::new() };
        let mut standing = connect(address);
        self.exchange(&mut standing, &mut bystander.got);
        let short = self.short(address);
        let long = self.long(address);
        self.leave(address);
        self.exchange(&mut standing, &mut bystander.got);
        vec![bystander, short, long]
    }

    /// One exchange on a connection of its own.
    pub(super) fn short(self, address: SocketAddr) -> Talk {
        let mut talk = Talk { name: "short", got: Vec::new() };
        let mut client = connect(address);
        match self {
            Service::Http => put(&mut client, b"GET /hello.txt HTTP/1.0\r\n\r\n"),
            Service::Echo | Service::Discard | Service::Relay => put(&mut client, b"short"),
        }
        if self != Service::Http {
            let _ = client.shutdown(Shutdown::Write);
        }
        if self == Service::Discard {
            until_taken(&mut client, &mut talk.got);
        }
        until_end(&mut client, &mut talk.got);
        talk
    }

    /// A short exchange on a connection that goes on.
    fn exchange(self, client: &mut TcpStream, got: &mut Vec<u8>) {
        match self {
            Service::Http => {
                put(client, b"GET /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n");
                let before = got.len();
                // Both answers there may be end with a line of their own behind the head.
                let whole = |got: &[u8]| got[before..].ends_with(b"\n") && has_body(&got[before..]);
                while !whole(got) && more(client, got) {}
            }
            Service::Discard => put(client, b"exchange"),
            Service::Echo | Service::Relay => {
                put(client, b"exchange");
                let whole = got.len() + b"exchange".len();
                while got.len() < whole && more(client, got) {}
            }
        }
    }

    /// Two requests at once and a long answer, to somebody who takes it in small parts.
    fn long(self, address: SocketAddr) -> Talk {
        use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
        let narrow = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        sockopt::set_socket_recv_buffer_size(&narrow, 16 * 1024).expect("an option");
        connect(&narrow, &address).expect("it listens");
        let mut client = patient(narrow.into());
        let mut talk = Talk { name: "long", got: Vec::new() };
        match self {
            Service::Http => {
                let two = b"GET /hello.txt HTTP/1.1\r\nHost: h\r\n\r\n\
                    GET /big.bin HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
                put(&mut client, two);
                until_end(&mut client, &mut talk.got);
            }
            Service::Discard => {
                put(&mut client, &pattern(LONG));
                let _ = client.shutdown(Shutdown::Write);
                until_taken(&mut client, &mut talk.got);
            }
            Service::Echo | Service::Relay => {
                // By another thread: the echo stops to receive while nobody reads.
                let mut writer = client.try_clone().expect("a descriptor");
                let writing = std::thread::spawn(move || {
                    put(&mut writer, &pattern(LONG));
                    let _ = writer.shutdown(Shutdown::Write);
                });
                until_end(&mut client, &mut talk.got);
                // It may still be writing to somebody who has closed.
                let _ = client.shutdown(Shutdown::Both);
                writing.join().expect("no panic");
            }
        }
        talk
    }

    /// Asks for something long and resets the connection.
    fn leave(self, address: SocketAddr) {
        let mut client = connect(address);
        match self {
            Service::Http => put(&mut client, b"GET /big.bin HTTP/1.1\r\nHost: h\r\n\r\n"),
            Service::Echo | Service::Discard | Service::Relay => put(&mut client, &[7; 3000]),
        }
        // A linger of zero sends RST (socket(7)).
        rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).expect("an option");
    }
}

/// Whether the end of a head and something behind it has come.
fn has_body(got: &[u8]) -> bool {
    let end = got.windows(4).position(|part| part == b"\r\n\r\n");
    end.is_some_and(|end| end + 4 < got.len())
}

fn connect(address: SocketAddr) -> TcpStream {
    patient(TcpStream::connect(address).expect("it listens"))
}

fn patient(client: TcpStream) -> TcpStream {
    client.set_read_timeout(Some(PATIENCE)).expect("an option");
    client.set_write_timeout(Some(PATIENCE)).expect("an option");
    client
}

/// The server may have closed already.
fn put(client: &mut TcpStream, bytes: &[u8]) {
    if let Err(error) = client.write_all(bytes) {
        assert!(is_closed(error.kind()), "writing: {error}");
    }
}

fn until_end(client: &mut TcpStream, got: &mut Vec<u8>) {
    while more(client, got) {}
}

/// Whether the server has taken all and ended, rather than reset.
fn until_taken(client: &mut TcpStream, got: &mut Vec<u8>) {
    match client.read(&mut [0]) {
        Ok(count) => {
            assert_eq!(count, 0, "discard does not answer");
            got.extend_from_slice(TAKEN);
        }
        Err(error) => assert!(is_closed(error.kind()), "the server is silent: {error}"),
    }
}

fn more(client: &mut TcpStream, got: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 16 * 1024];
    match client.read(&mut buffer) {
        Ok(count) => {
            got.extend_from_slice(&buffer[..count]);
            count > 0
        }
        Err(error) => {
            assert!(is_closed(error.kind()), "the server is silent: {error}");
            false
        }
    }
}

fn is_closed(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}
