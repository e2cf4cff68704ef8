//! A client and a server in one thread, so that the order of what they do is that of the script, and
//! an eye that looks at both.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::{AddressFamily, SocketFlags, SocketType, acceptfrom_with, socket_with};
use sockeye_engine::probe::{Probe, Role, Stamp};
use sockeye_eye::capture::Targets;
use sockeye_eye::record::{History, QueueSample};
use sockeye_eye::recorder::{Eye, Options, Seen, Sink, Tap};
use sockeye_eye::recording::{Ended, Playback, Reader, Writer};
use sockeye_eye::view::{self, Style};

use crate::end::End;
use crate::place::{CLIENT, Link, SERVER, end_at, settle, until};

/// So many bytes are in a segment on a link that is faulty.
pub(crate) const SEGMENT: usize = 1000;

/// Where a scene is played.
pub(crate) struct Stage {
    link: Link,
    talk: bool,
    queues: bool,
    eye: Option<Eye>,
    told: Option<Receiver<History>>,
    probe: Option<Rc<dyn Probe>>,
    listening: SocketAddr,
    /// Where the client finds the server.
    pub(crate) address: SocketAddr,
    listener: Option<OwnedFd>,
    client: Option<End>,
    server: Option<End>,
    recording: Recording,
    samples: Arc<Mutex<Vec<(u64, QueueSample)>>>,
    /// The machine was too busy for what the scene is about.
    pub(crate) disturbed: bool,
}

/// Hands the histories out.
struct Collect(Sender<History>);

impl Sink for Collect {
    fn ended(&mut self, history: &History) {
        let _ = self.0.send(history.clone());
    }

    fn ended_in_short(&mut self, history: &History) {
        let _ = self.0.send(history.clone());
    }

    fn say(&mut self, _line: &str) {}
}

impl Stage {
    /// Where nobody listens yet, and the eye is shut.
    pub(crate) fn new(link: Link, talk: bool, queues: bool) -> Stage {
        let [listening, connecting] =
            link.addresses().map(|ip| SocketAddr::new(ip.parse().unwrap(), SERVER));
        Stage {
            link,
            talk,
            queues,
            eye: None,
            told: None,
            probe: None,
            listening,
            address: connecting,
            listener: None,
            client: None,
            server: None,
            recording: Recording::default(),
            samples: Arc::default(),
            disturbed: false,
        }
    }

    /// Opens the eye, for both ends.
    pub(crate) fn open_eye(&mut self) {
        let (sender, told) = channel();
        let listeners = self.listener.iter().map(|_| self.listening).collect::<Vec<_>>();
        let targets =
            Targets { listeners: &listeners, peers: &[self.address], ..Targets::default() };
        let taps: Vec<Box<dyn Tap>> = vec![
            Box::new(Writer::to(self.recording.clone(), "a recording")),
            Box::new(Samples(Arc::clone(&self.samples))),
        ];
        let (talk, queues) = (self.talk, self.queues);
        let options = Options { taps, talk, queues, ..Options::to(Collect(sender)) };
        let eye = Eye::open(targets, options).unwrap();
        self.probe = Some(Rc::from(eye.source().probe()));
        (self.eye, self.told) = (Some(eye), Some(told));
    }

    /// Listens, with room for so many connections that were not accepted besides the first, and opens
    /// the eye. What a connection holds of bytes that were not read may be bounded.
    pub(crate) fn listen(&mut self, backlog: i32, receive_buffer: Option<usize>) {
        let listener = socket();
        rustix::net::bind(&listener, &self.listening).unwrap();
        if let Some(bytes) = receive_buffer {
            sockopt::set_socket_recv_buffer_size(&listener, bytes).unwrap();
        }
        rustix::net::listen(&listener, backlog).unwrap();
        let listener = self.listener.insert(listener).as_fd().try_clone_to_owned().unwrap();
        self.open_eye();
        self.probe().listening(Some(listener.as_fd()), self.listening);
    }

    /// A connection: connect(2) and then accept(2).
    pub(crate) fn connection(&mut self) {
        self.listen(16, None);
        self.connect();
        self.accept();
    }

    pub(crate) fn connect(&mut self) {
        self.begin_to_connect();
        self.finish_connecting().unwrap();
        settle();
    }

    /// Sends the SYN and waits for nothing.
    pub(crate) fn begin_to_connect(&mut self) {
        let socket = socket();
        if let Link::Faulty(_) = self.link {
            // As many bytes as a segment has besides its time stamps (RFC 7323 §3.2).
            set_segment_size(&socket, SEGMENT + 12);
        }
        let port = SocketAddr::new([0, 0, 0, 0].into(), CLIENT);
        rustix::net::bind(&socket, &port).unwrap();
        rustix::io::ioctl_fionbio(&socket, true).unwrap();
        let start = Stamp::now();
        let begun = rustix::net::connect(&socket, &self.address);
        let end = End::new(self.probe(), 1, socket, Role::Client, self.address, start);
        let client = self.client.insert(end);
        client.connecting = Some((start, begun));
    }

    /// Waits until the connection is there, or is not.
    pub(crate) fn finish_connecting(&mut self) -> Result<(), Errno> {
        self.client().finish_connecting()
    }

    pub(crate) fn accept(&mut self) {
        let listener = self.listener.as_ref().expect("a listener");
        let (socket, peer) = acceptfrom_with(listener, SocketFlags::CLOEXEC).unwrap();
        let peer = SocketAddr::try_from(peer.expect("it has a name")).unwrap();
        let at = Stamp::now();
        let mut end = End::new(self.probe(), 2, socket, Role::Server, peer, at);
        end.accepted(at);
        self.server = Some(end);
    }

    /// Accepts a connection that is not looked at, and closes it.
    pub(crate) fn accept_other(&self) {
        let listener = self.listener.as_ref().expect("it listens");
        drop(rustix::net::accept(listener).unwrap());
    }

    pub(crate) fn client(&mut self) -> &mut End {
        self.client.as_mut().expect("it connected")
    }

    pub(crate) fn server(&mut self) -> &mut End {
        self.server.as_mut().expect("it was accepted")
    }

    /// Makes a connection that is not looked at, and does not wait for it to be accepted.
    pub(crate) fn connect_other(&self) -> OwnedFd {
        let other = socket();
        rustix::net::connect(&other, &self.address).unwrap();
        other
    }

    /// Does what must be done at once; else the kernel's timers come first and the scene is another.
    pub(crate) fn in_time(&mut self, limit: Duration, what: impl FnOnce(&mut Stage)) {
        let start = Instant::now();
        what(self);
        self.disturbed |= start.elapsed() > limit;
    }

    /// Waits until so many bytes wait to be read by the end at this port.
    pub(crate) fn arrived(&self, port: u16, bytes: u64) {
        until("bytes that arrive", || end_at(port).is_some_and(|end| end.unread == bytes));
    }

    /// Waits until both accounts have a sample of this end with so many bytes to be read.
    pub(crate) fn sampled(&self, end: Role, bytes: u64) {
        self.probe().flush();
        let full = |sample: &QueueSample| sample.end == end && u64::from(sample.receive) >= bytes;
        until("samples of a full queue", || {
            let samples = self.samples.lock().unwrap();
            let tracks = samples.iter().filter(|(_, sample)| full(sample)).map(|(track, _)| track);
            tracks.collect::<BTreeSet<_>>().len() == 2
        });
    }

    fn probe(&self) -> &Rc<dyn Probe> {
        self.probe.as_ref().expect("the eye is open")
    }

    /// Shuts the eye; what it saw of the client and of the server.
    pub(crate) fn end(mut self) -> [Option<History>; 2] {
        for end in [&self.client, &self.server].into_iter().flatten() {
            end.over();
        }
        self.probe().flush();
        (self.client, self.server, self.probe, self.listener) = (None, None, None, None);
        self.eye.take().expect("the eye is open").close();
        let played = self.recording.played();
        let mut both = [None, None];
        let told = self.told.take().expect("the eye was open");
        for history in told.iter().filter(|history| history.conn.is_some()) {
            let style = Style::default();
            let again = played.iter().find(|played| played.role == history.role);
            let again = again.map(|played| view::picture(played, &style));
            assert_eq!(again, Some(view::picture(&history, &style)), "as it was recorded");
            let place = usize::from(history.role == Role::Server);
            both[place] = Some(history);
        }
        both
    }
}

/// Keeps samples of queues with the number of the account they are of.
struct Samples(Arc<Mutex<Vec<(u64, QueueSample)>>>);

impl Tap for Samples {
    fn sees(&mut self, seen: &Seen<'_>) {
        if let Seen::Queue { track, sample } = seen {
            self.0.lock().unwrap().push((*track, **sample));
        }
    }
}

/// A recording in memory.
#[derive(Clone, Debug, Default)]
struct Recording(Arc<Mutex<Vec<u8>>>);

impl Write for Recording {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Recording {
    /// The connections it holds.
    fn played(&self) -> Vec<History> {
        let recorded = self.0.lock().unwrap();
        let ended = Playback::new(Reader::new(&recorded[..]).unwrap());
        let histories = ended.filter_map(|ended| match ended.unwrap() {
            Ended::Connection { history, .. } if history.conn.is_some() => Some(*history),
            _ => None,
        });
        histories.collect()
    }
}

fn socket() -> OwnedFd {
    let socket =
        socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    sockopt::set_socket_reuseaddr(&socket, true).unwrap();
    socket
}

/// tcp(7), `TCP_MAXSEG`.
fn set_segment_size(socket: &OwnedFd, bytes: usize) {
    let size = libc::c_int::try_from(bytes).unwrap();
    let length = libc::socklen_t::try_from(size_of_val(&size)).unwrap();
    // SAFETY: the value is as long as is said, and outlives the call.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_MAXSEG,
            (&raw const size).cast(),
            length,
        )
    };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}
