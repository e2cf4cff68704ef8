//! The hand-written loop answers as it claims to: it is no yardstick otherwise.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::NamedTempFile;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn each_request_is_answered_with_the_file_as_it_is() {
    let server = Server::start(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let mut stream = server.connect();
    for _ in 0..3 {
        stream.write_all(REQUEST).expect("send");
        server.expect_responses(&mut stream, 1);
    }
}

#[test]
fn pipelined_requests_are_all_answered_wherever_the_stream_is_cut() {
    let server = Server::start(b"0123456789");
    let mut stream = server.connect();
    let requests = REQUEST.repeat(5);
    for cut in [1, REQUEST.len() - 1, REQUEST.len() + 1, requests.len() - 2] {
        stream.write_all(&requests[..cut]).expect("send");
        // What is complete so far is answered; the rest waits for its second half.
        server.expect_responses(&mut stream, cut / REQUEST.len());
        stream.write_all(&requests[cut..]).expect("send");
        server.expect_responses(&mut stream, 5 - cut / REQUEST.len());
    }
}

#[test]
fn a_reader_slower_than_its_answers_gets_every_byte() {
    let server = Server::start(&b"abcdefghij".repeat(10_000));
    let mut stream = server.connect();
    // 20 MB of answers: far more than the socket buffers hold, so the loop must wait for OUT.
    stream.write_all(&REQUEST.repeat(200)).expect("send");
    server.expect_responses(&mut stream, 200);
    stream.write_all(REQUEST).expect("send");
    server.expect_responses(&mut stream, 1);
}

#[test]
fn a_half_closed_client_still_gets_its_answers_and_then_the_end() {
    let server = Server::start(b"0123456789");
    let mut stream = server.connect();
    stream.write_all(&REQUEST.repeat(3)).expect("send");
    stream.shutdown(Shutdown::Write).expect("shutdown");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("read");
    assert_eq!(all, b"0123456789".repeat(3));
}

struct Server {
    child: Child,
    address: String,
    response: Vec<u8>,
    _file: NamedTempFile,
}

impl Server {
    fn start(response: &[u8]) -> Self {
        let mut file = NamedTempFile::new().expect("file");
        file.write_all(response).expect("write");
        let mut child = Command::new(env!("CARGO_BIN_EXE_raw-epoll"))
            .arg(file.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("raw-epoll");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("pipe")).read_line(&mut line).expect("line");
        let (_, address) = line.trim_end().split_once(" on http://").expect("an address");
        let address = address.trim_end_matches('/').to_owned();
        Self { child, address, response: response.to_vec(), _file: file }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
        stream
    }

    fn expect_responses(&self, stream: &mut TcpStream, count: usize) {
        let mut got = vec![0; self.response.len() * count];
        stream.read_exact(&mut got).expect("responses");
        assert!(got == self.response.repeat(count), "{count} responses differ");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }
}
