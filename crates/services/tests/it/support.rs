//! A server over a folder of its own, and a client that keeps every byte.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sockeye_engine::probe::ProbeSource;
use sockeye_engine::{Bound, DriverKind, Endpoint, ServeOptions, Serving};
use sockeye_http::ImfFixdate;
use sockeye_services::http::{Site, SiteNotice, SiteOptions};
use tempfile::TempDir;

/// Nothing takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// When files of the tests were last changed: Sun, 06 Nov 1994 08:49:37 GMT.
pub(crate) const MODIFIED: u64 = 784_111_777;

/// Runs the script on each driver; the last one printed is the one it failed on.
#[expect(clippy::print_stdout, reason = "shown when the test fails")]
pub(crate) fn on_every_driver(script: impl Fn(DriverKind)) {
    for kind in DriverKind::ALL {
        println!("on {kind}");
        script(kind);
    }
}

/// Asks until it is so.
pub(crate) fn patiently(mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "it does not come to that");
        std::thread::yield_now();
    }
}

/// A folder that is gone with the test.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a temporary folder"))
    }

    /// With `hello.txt` ("hello\n") and `big.bin` ([`pattern`] of 300,000 bytes) in it.
    pub(crate) fn usual() -> Folder {
        let folder = Folder::new();
        folder.file("hello.txt", b"hello\n");
        folder.file("big.bin", &pattern(300_000));
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file that says it was last changed at [`MODIFIED`].
    pub(crate) fn file(&self, name: impl AsRef<Path>, content: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder");
        std::fs::write(&path, content).expect("it can be written");
        let file = std::fs::File::options().write(true).open(&path).expect("it is there");
        file.set_modified(UNIX_EPOCH + Duration::from_secs(MODIFIED)).expect("it is ours");
        path
    }

    /// Until what was written last lies so far back that the server takes it for settled.
    pub(crate) fn settle(&self) {
        let age = || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
            let files = std::fs::read_dir(self.path()).expect("it is there");
            let of = |file: io::Result<std::fs::DirEntry>| file.and_then(|file| file.metadata());
            let changed = files.map(|file| of(file).expect("it is there").ctime().cast_unsigned());
            now.saturating_sub(changed.max().unwrap_or(0))
        };
        patiently(|| age() > 2);
    }

    /// The entity tag of a file that was last changed at [`MODIFIED`].
    pub(crate) fn tag(&self, name: &str) -> String {
        let meta = std::fs::metadata(self.path().join(name)).expect("it is there");
        format!(
            "\"{:08x}-{:x}-{MODIFIED:x}-00000000-{:x}-{:08x}\"",
            meta.ino(),
            meta.size(),
            meta.ctime(),
            meta.ctime_nsec()
        )
    }

    /// The head of a 200 that hands out such a file, with `lines` at its end.
    pub(crate) fn head(&self, name: &str, kind: &str, lines: &str) -> String {
        let size = std::fs::metadata(self.path().join(name)).expect("it is there").len();
        format!(
            "HTTP/1.1 200 OK\r\nDate: *\r\nContent-Type: {kind}\r\nAccept-Ranges: bytes\r\n\
             Content-Length: {size}\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             ETag: {}\r\n{}{lines}\r\n",
            self.tag(name),
            vary(kind)
        )
    }
}

/// The line of what may be had in several codings.
pub(crate) fn vary(kind: &str) -> &'static str {
    if kind.starts_with("text/") || kind == "image/svg+xml" {
        "Vary: Accept-Encoding\r\n"
    } else {
        ""
    }
}

/// Bytes of which no two stretches are alike for long.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0u32..).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).take(len).collect()
}

/// A site that is served.
pub(crate) struct Server {
    serving: Option<Serving>,
    pub(crate) address: SocketAddr,
}

/// What differs from test to test.
pub(crate) struct Setup {
    pub(crate) site: SiteOptions,
    pub(crate) threads: Option<usize>,
    pub(crate) probe: Option<Arc<dyn ProbeSource>>,
}

impl Default for Setup {
    fn default() -> Setup {
        let long = PATIENCE * 2;
        // Nothing ends by itself, unless the test is about that.
        let site = SiteOptions {
            idle: long,
            head: long,
            write: long,
            body: long,
            linger: long,
            ..SiteOptions::default()
        };
        Setup { site, threads: None, probe: None }
    }
}

impl Server {
    pub(crate) fn start(driver: DriverKind, folder: &Folder) -> Server {
        Server::with(driver, folder, Setup::default())
    }

    pub(crate) fn with(driver: DriverKind, folder: &Folder, setup: Setup) -> Server {
        let site = Site::open(folder.path(), setup.site.clone(), |_| ()).expect("it is there");
        Server::over(driver, site, setup)
    }

    /// With somebody who is told what the site says.
    pub(crate) fn of(
        driver: DriverKind,
        folder: &Path,
        notice: impl Fn(SiteNotice) + Send + Sync + 'static,
    ) -> Server {
        let setup = Setup::default();
        let site = Site::open(folder, setup.site.clone(), notice).expect("it is there");
        Server::over(driver, site, setup)
    }

    /// Serves a site that was opened before.
    pub(crate) fn over(driver: DriverKind, site: Site, setup: Setup) -> Server {
        let site = Arc::new(site);
        let options = ServeOptions {
            driver,
            threads: setup.threads,
            max_connections: 1000,
            grace: PATIENCE,
            probe: setup.probe,
            notice: Arc::new(|_| ()),
        };
        let endpoint: Endpoint = "tcp://127.0.0.1:0".parse().expect("an endpoint");
        let bound = Bound::listen(&[endpoint], options).expect("a free port");
        let address = bound.addresses()[0];
        let serving = bound.start(move |stream| Arc::clone(&site).serve(stream));
        Server { serving: Some(serving.expect("threads start")), address }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// All that is answered, until the server closes, to bytes that end the connection.
    pub(crate) fn ask(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut client = self.connect();
        client.send(bytes);
        dateless(&client.rest())
    }

    /// The response to a GET of this path, alone on its connection.
    pub(crate) fn get(&self, path: &str) -> Response {
        let mut client = self.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
        let response = client.response();
        assert_eq!(client.rest(), b"", "nothing behind the response");
        response
    }

    /// Until the server has received all that the client has sent so far.
    pub(crate) fn wait_until_read(&self, client: &Client) {
        let local = client.socket.local_addr().expect("connected");
        patiently(|| {
            let theirs = kernel_view(local, self.address).expect("our end exists");
            let ours = kernel_view(self.address, local).expect("the server's end exists");
            theirs.to_send == 0 && ours.to_receive == 0
        });
    }

    /// Until the server has closed its descriptor, which a client that still holds its own end may
    /// not be able to see.
    pub(crate) fn wait_until_closed(&self, client: &Client) {
        let local = client.socket.local_addr().expect("connected");
        patiently(|| kernel_view(self.address, local).is_none_or(|socket| socket.inode == 0));
    }

    pub(crate) fn ask_to_stop(&self) {
        self.serving.as_ref().expect("it runs").stop();
    }

    /// Stops and waits; every connection must have ended by itself.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.stop();
            let cut_off = serving.join();
            assert!(cut_off == 0 || std::thread::panicking(), "{cut_off} connections cut off");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// One response as it came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    /// Status line and header lines with the empty line, the date masked.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn status(&self) -> &str {
        self.head.split(' ').nth(1).expect("a status line")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.split("\r\n");
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    /// Received but not asked for.
    ahead: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        Client::over(TcpStream::connect(address).expect("it listens"))
    }

    /// With a receive buffer so small that what is not read waits at the server.
    pub(crate) fn connect_narrow(address: SocketAddr) -> Client {
        use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
        let narrow = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        sockopt::set_socket_recv_buffer_size(&narrow, 16 * 1024).expect("an option");
        connect(&narrow, &address).expect("it listens");
        Client::over(narrow.into())
    }

    fn over(socket: TcpStream) -> Client {
        socket.set_read_timeout(Some(PATIENCE)).expect("an option");
        socket.set_write_timeout(Some(PATIENCE)).expect("an option");
        socket.set_nodelay(true).expect("an option");
        Client { socket, ahead: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).expect("the server reads");
    }

    /// A GET that keeps the connection.
    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        self.response()
    }

    /// No more is sent.
    pub(crate) fn end(&mut self) {
        self.socket.shutdown(Shutdown::Write).expect("connected");
    }

    /// The next response, with the body that its head announces.
    pub(crate) fn response(&mut self) -> Response {
        let head = self.head();
        let response = Response { head, body: Vec::new() };
        if response.header("Transfer-Encoding") == Some("chunked") {
            return Response { body: self.chunks(), ..response };
        }
        let len = match response.header("Content-Length") {
            Some(len) if response.status() != "304" => len.parse().expect("a number"),
            _ => 0,
        };
        Response { body: self.exactly(len), ..response }
    }

    /// Content in chunks, to its end.
    fn chunks(&mut self) -> Vec<u8> {
        let mut content = Vec::new();
        loop {
            while find(&self.ahead, b"\r\n").is_none() {
                assert!(self.more() > 0, "closed before a chunk");
            }
            let end = find(&self.ahead, b"\r\n").expect("it was seen");
            let line = self.exactly(end + 2);
            let len = usize::from_str_radix(text(&line).trim_end(), 16).expect("a length");
            content.extend(self.exactly(len));
            assert_eq!(self.exactly(2), b"\r\n");
            if len == 0 {
                return content;
            }
        }
    }

    /// The next head, as of a response to HEAD.
    pub(crate) fn head(&mut self) -> String {
        dateless(&self.raw_head())
    }

    /// Asks until the last change of a file lies so far back that its tag is strong, and those of
    /// all that were changed before it.
    pub(crate) fn settle(&mut self, path: &str) {
        patiently(|| {
            self.send(format!("HEAD {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
            find(&self.raw_head(), b"\r\nETag: \"").is_some()
        });
    }

    fn raw_head(&mut self) -> Vec<u8> {
        let mut searched = 0;
        loop {
            if let Some(at) = find(&self.ahead[searched..], b"\r\n\r\n") {
                return self.ahead.drain(..searched + at + 4).collect();
            }
            searched = self.ahead.len().saturating_sub(3);
            assert!(self.more() > 0, "closed in a head: {:?}", text(&self.ahead));
        }
    }

    pub(crate) fn exactly(&mut self, len: usize) -> Vec<u8> {
        while self.ahead.len() < len {
            let have = self.ahead.len();
            assert!(self.more() > 0, "closed after {have} of {len} bytes");
        }
        self.ahead.drain(..len).collect()
    }

    /// Everything until the server closes. A reset is a failure.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.more() > 0 {}
        std::mem::take(&mut self.ahead)
    }

    fn more(&mut self) -> usize {
        let mut buffer = [0; 64 * 1024];
        let count = self.socket.read(&mut buffer).expect("neither reset nor silent");
        self.ahead.extend_from_slice(&buffer[..count]);
        count
    }

    /// Whether the server has sent or closed something that was not read; does not wait.
    pub(crate) fn is_answered(&mut self) -> bool {
        self.socket.set_nonblocking(true).expect("an option");
        let peeked = self.socket.peek(&mut [0]);
        self.socket.set_nonblocking(false).expect("an option");
        !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// What proc_net_tcp(5) shows of one end of a connection.
struct KernelView {
    to_send: u64,
    to_receive: u64,
    /// 0 when no descriptor is left.
    inode: u64,
}

fn kernel_view(local: SocketAddr, remote: SocketAddr) -> Option<KernelView> {
    let shown = |address: SocketAddr| match address {
        SocketAddr::V4(address) => {
            let ip = u32::from_ne_bytes(address.ip().octets());
            format!("{ip:08X}:{:04X}", address.port())
        }
        SocketAddr::V6(_) => unreachable!("the tests use IPv4"),
    };
    let (local, remote) = (shown(local), shown(remote));
    let table = std::fs::read_to_string("/proc/net/tcp").expect("procfs");
    let ours = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        words.next() == Some(&*local) && words.next() == Some(&*remote)
    };
    let words: Vec<_> = table.lines().find(ours)?.split_whitespace().collect();
    let (to_send, to_receive) = words[4].split_once(':').expect("two queues");
    let hex = |text| u64::from_str_radix(text, 16).expect("a number");
    let (to_send, to_receive) = (hex(to_send), hex(to_receive));
    Some(KernelView { to_send, to_receive, inode: words[9].parse().expect("a number") })
}

pub(crate) fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The bytes as text, with `*` for each date that is one, and entity tags as they are once the files
/// are two seconds old.
pub(crate) fn dateless(bytes: &[u8]) -> String {
    const LINE: &str = "\r\nDate: ";
    let text = text(bytes).replace("\r\nETag: W/\"", "\r\nETag: \"");
    let mut parts = text.split(LINE);
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (date, rest) = part.split_at_checked(29).expect("a date has 29 characters");
        let seconds = sockeye_http::date::parse(date.as_bytes()).expect(date);
        assert_eq!(ImfFixdate::from_unix(seconds).as_str(), date);
        masked.push_str(LINE);
        masked.push('*');
        masked.push_str(rest);
    }
    masked
}

/// The whole of a short response: a status and perhaps a reason.
pub(crate) fn short(status: &str, lines: &str, detail: &str) -> String {
    let body = match detail {
        "" => format!("{status}\n"),
        detail => format!("{status}\n{detail}\n"),
    };
    format!(
        "HTTP/1.1 {status}\r\nDate: *\r\nContent-Type: text/plain; charset=utf-8\r\n\
         X-Content-Type-Options: nosniff\r\nContent-Length: {}\r\n{lines}\r\n{body}",
        body.len()
    )
}
