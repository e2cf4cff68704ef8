//! What the eye captures as a pcapng file, each packet commented with what the eye knows of it.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sockeye_engine::probe::{ConnId, Stamp};
use sockeye_wire::escape::{Escaped, fit};
use sockeye_wire::packet::Link;

use super::blocks::{self, Enhanced};
use super::comments::{Carried, LABEL, Notes, most_notes, since};
use crate::capture::Packet;
use crate::recorder::{Begun, Letter, Named, Part, Post, Seen, Slip, Tap};
use crate::view::scale::counted;
use crate::whole::WholeFile;

/// A packet is held back so long for what may yet become known of it.
const HOLD: Duration = Duration::from_secs(1);

/// The most bytes that are held back.
const HOLD_BYTES: usize = 8 << 20;

/// So much is written at once, more or less.
const WRITE: usize = 1 << 18;

/// Writes all packets that the eye captures to a file, in the order in which they were captured.
///
/// Messages are told after the packets that carried them, so each packet is held back: until its
/// connection has ended, for a second, or until 8 MiB wait. Only whole blocks are written, so the
/// file is a valid one whenever the program is killed. Once writing has failed, on a full disk most of
/// all, that is said on one line, the file is cut behind its last whole block, and nothing more is
/// written.
///
/// ```no_run
/// use sockeye_eye::capture::Snap;
/// use sockeye_eye::pcap::Writer;
/// use sockeye_eye::recorder::Options;
/// use sockeye_eye::view::Style;
///
/// let mut options = Options::drawing(Style::default(), std::io::stderr());
/// options.snap = Snap::Whole;
/// options.taps.push(Box::new(Writer::create("out.pcapng".as_ref())?));
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Writer {
    file: WholeFile,
    path: PathBuf,
    /// Whole blocks, to be written.
    ready: Vec<u8>,
    filter: String,
    interfaces: Vec<Interface>,
    held: VecDeque<Held>,
    held_bytes: usize,
    notes: HashMap<u64, Notes>,
    by_conn: HashMap<ConnId, u64>,
    post: Post,
    lost: u64,
    /// Writing failed: from then on nothing is written.
    failed: bool,
    /// What of that was not said yet.
    complaint: Option<String>,
}

#[derive(Debug)]
struct Interface {
    index: u32,
    link: Link,
    received: u64,
}

/// A packet that is held back.
#[derive(Debug)]
struct Held {
    interface: u32,
    at: Stamp,
    length: u32,
    outgoing: bool,
    frame: Vec<u8>,
    /// Of each account of it: where both ends are ours there are two.
    carried: Vec<Carried>,
    /// Of a datagram, likewise.
    slips: Vec<Slip>,
}

impl Writer {
    /// Begins the file. What was in it is gone.
    ///
    /// # Errors
    /// If it can't be created or written to.
    pub fn create(path: &Path) -> io::Result<Writer> {
        let mut file = WholeFile::create(path, blocks::end_of_last)?;
        let mut begin = Vec::new();
        blocks::section(&mut begin, concat!("sockeye ", env!("CARGO_PKG_VERSION")));
        file.write(&begin)?;
        Ok(Writer {
            file,
            path: path.to_owned(),
            ready: Vec::new(),
            filter: String::new(),
            interfaces: Vec::new(),
            held: VecDeque::new(),
            held_bytes: 0,
            notes: HashMap::new(),
            by_conn: HashMap::new(),
            post: Post::default(),
            lost: 0,
            failed: false,
            complaint: None,
        })
    }

    fn begun(&mut self, begun: &Begun<'_>) {
        let addresses = begun.listeners.iter().chain(begun.peers);
        let mut ports: Vec<u16> = addresses.map(|address| address.port()).collect();
        ports.sort_unstable();
        ports.dedup();
        let ports = ports.iter().map(|port| format!("tcp port {port}"));
        let datagrams = begun.datagrams.iter().chain(begun.datagram_peers);
        let datagrams = datagrams.map(|address| format!("udp port {}", address.port()));
        self.filter = ports.chain(datagrams).collect::<Vec<_>>().join(" or ");
    }

    fn packet(&mut self, packet: &Packet<'_>) {
        let interface = self.interface(packet);
        let link_header = packet.frame.len().saturating_sub(packet.bytes.len());
        let length = u32::try_from(link_header).unwrap_or(0).saturating_add(packet.length);
        self.held_bytes += packet.frame.len();
        self.held.push_back(Held {
            interface,
            at: packet.at,
            length,
            outgoing: packet.outgoing,
            frame: packet.frame.to_vec(),
            carried: Vec::new(),
            slips: Vec::new(),
        });
    }

    fn unit(&mut self, packet: &Packet<'_>, letter: &Letter) {
        self.packet(packet);
        let slips = self.post.packet(packet.at, letter);
        if let Some(held) = self.held.back_mut() {
            held.slips = slips;
        }
        if self.held_bytes > HOLD_BYTES {
            self.release(packet.at);
        }
    }

    /// The number of the interface in the file, which is described before its first packet.
    fn interface(&mut self, packet: &Packet<'_>) -> u32 {
        let (index, link) = (packet.interface, packet.link);
        let known = self.interfaces.iter().position(|one| (one.index, one.link) == (index, link));
        let place = known.unwrap_or_else(|| {
            blocks::interface(&mut self.ready, link, &name_of(index), &self.filter);
            self.interfaces.push(Interface { index, link, received: 0 });
            self.interfaces.len() - 1
        });
        self.interfaces[place].received += 1;
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    /// Makes blocks of all packets that needn't wait any longer.
    fn release(&mut self, now: Stamp) {
        let hold = u64::try_from(HOLD.as_nanos()).unwrap_or(u64::MAX);
        while let Some(first) = self.held.front() {
            let known = first
                .carried
                .iter()
                .all(|carried| self.notes.get(&carried.track).is_none_or(|notes| notes.over))
                && first.slips.is_empty();
            let late = since(first.at, now) >= hold || self.held_bytes > HOLD_BYTES;
            if !known && !late {
                return;
            }
            self.release_first();
            if self.ready.len() >= WRITE {
                self.write();
            }
        }
    }

    fn release_first(&mut self) {
        let Some(held) = self.held.pop_front() else { return };
        let Held { interface, at, length, outgoing, frame, carried, slips } = held;
        self.held_bytes -= frame.len();
        let mut comments = Vec::new();
        for carried in &carried {
            if let Some(notes) = self.notes.get_mut(&carried.track) {
                notes.comment(carried, &mut comments);
                notes.written(carried);
                if notes.over && notes.held == 0 {
                    self.notes.remove(&carried.track);
                }
            }
        }
        for named in slips.iter().filter_map(|slip| self.post.name(slip)) {
            let comment = of_datagram(&named);
            if !comments.contains(&comment) {
                comments.push(comment);
            }
        }
        let packet = Enhanced { interface, at, length, outgoing, frame: &frame };
        if !self.failed {
            blocks::packet(&mut self.ready, &packet, &comments);
        }
    }

    /// Writes what is ready.
    fn write(&mut self) {
        let ready = std::mem::take(&mut self.ready);
        if self.failed || ready.is_empty() {
            return;
        }
        if let Err(error) = self.file.write(&ready) {
            self.failed = true;
            let path = self.name();
            let line = format!("eye: {path}: {error}: the packets from here on are not in it");
            self.complaint = Some(line);
        }
    }
}

impl Tap for Writer {
    fn sees(&mut self, seen: &Seen<'_>) {
        self.post.sees(seen);
        match *seen {
            Seen::Unit(packet, letter) => self.unit(packet, letter),
            Seen::Begun(begun) => self.begun(begun),
            Seen::Packet(packet, _) => {
                self.packet(packet);
                if self.held_bytes > HOLD_BYTES {
                    self.release(packet.at);
                }
            }
            Seen::Found { track, role, .. } => {
                self.notes.insert(track, Notes::new(role));
            }
            Seen::Joined { track, conn } => {
                self.by_conn.insert(conn, track);
            }
            Seen::Segment { track, direction, segment, .. } => {
                if let Some(notes) = self.notes.get_mut(&track)
                    && let Some(held) = self.held.back_mut()
                {
                    held.carried.extend(notes.segment(track, direction, segment));
                }
            }
            Seen::Message { conn, direction, range, label, .. } => {
                let most = most_notes(self.notes.len());
                if let Some(notes) = self.of(conn) {
                    notes.message(direction, range, label, most);
                }
            }
            Seen::Call(conn, call) => {
                let most = most_notes(self.notes.len());
                if let Some(notes) = self.of(conn) {
                    notes.call(call, most);
                }
            }
            Seen::Ended { track, history } => {
                if let Some(conn) = history.conn {
                    self.by_conn.remove(&conn);
                }
                if let Some(notes) = self.notes.get_mut(&track) {
                    notes.ended(history.totals.messages);
                    if notes.held == 0 {
                        self.notes.remove(&track);
                    }
                }
            }
            Seen::Over { track, forgotten: true } => {
                if let Some(notes) = self.notes.get_mut(&track) {
                    notes.over = true;
                    if notes.held == 0 {
                        self.notes.remove(&track);
                    }
                }
            }
            Seen::PacketsLost(count) => self.lost += count,
            _ => {}
        }
    }

    fn pause(&mut self) -> Option<String> {
        self.release(Stamp::now());
        self.write();
        self.complaint.take()
    }

    fn waits(&self) -> Option<Duration> {
        let first = self.held.front()?;
        let held = Duration::from_nanos(since(first.at, Stamp::now()));
        Some(HOLD.saturating_sub(held))
    }

    fn finish(&mut self) -> Option<String> {
        while !self.held.is_empty() {
            self.release_first();
        }
        let now = Stamp::now();
        for (number, interface) in self.interfaces.iter().enumerate() {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            // What was lost is known of all interfaces together.
            let lost = if number == 0 { self.lost } else { 0 };
            blocks::statistics(&mut self.ready, number, now, interface.received, lost);
        }
        self.write();
        if self.lost > 0 && !self.failed {
            let (lost, path) = (counted(self.lost, "packet"), self.name());
            self.complaint = Some(format!("eye: {path}: {lost} missing: the eye was too slow"));
        }
        self.complaint.take()
    }
}

impl Writer {
    fn name(&self) -> String {
        Escaped(self.path.as_os_str().as_encoded_bytes()).to_string()
    }

    fn of(&mut self, conn: ConnId) -> Option<&mut Notes> {
        self.notes.get_mut(self.by_conn.get(&conn)?)
    }
}

/// What is known of the datagram that a packet is of.
fn of_datagram(named: &Named) -> String {
    let Named { number, length, label, part } = named;
    let bytes = counted(*length, "byte");
    let label = fit(label, LABEL, "…");
    let part = match part {
        Part::Rest(start) => format!(" (here from byte {start} on)"),
        Part::First => String::from(" (here from byte 0 on)"),
        Part::Whole | Part::Error => String::new(),
    };
    match label.is_empty() {
        true => format!("datagram {number}, {bytes}{part}"),
        false => format!("datagram {number}, {bytes}{part}: {label}"),
    }
}

/// The interface's name, or its index where it has gone.
fn name_of(index: u32) -> String {
    // Any socket may be asked.
    let socket = UdpSocket::bind("127.0.0.1:0").ok();
    let name = socket.and_then(|socket| rustix::net::netdevice::index_to_name(socket, index).ok());
    name.unwrap_or_else(|| format!("if{index}"))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Seek as _, SeekFrom};
    use std::net::SocketAddr;

    use sockeye_engine::Address;
    use sockeye_engine::probe::{Direction, Role};
    use sockeye_wire::packet::Segment;
    use sockeye_wire::tcp::{Flags, Seq};
    use tempfile::TempDir;

    use super::super::reader::Reader;
    use super::*;

    const CLIENT: &str = "127.0.0.1:4000";
    const SERVER: &str = "127.0.0.1:80";

    /// A server's connection 1, called so by the program too, whose packets are captured.
    struct Scene {
        _folder: TempDir,
        path: PathBuf,
        writer: Writer,
    }

    impl Scene {
        fn new() -> Scene {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("out.pcapng");
            let mut writer = Writer::create(&path).unwrap();
            let address = |text: &str| Address::from(text.parse::<SocketAddr>().unwrap());
            let (local, peer) = (&address(SERVER), &address(CLIENT));
            let role = Role::Server;
            writer.sees(&Seen::Found { track: 1, role, neutral: false, local, peer });
            writer.sees(&Seen::Joined { track: 1, conn: ConnId(7) });
            Scene { _folder: folder, path, writer }
        }

        /// So many bytes come from the client, behind a SYN with number 0.
        fn comes(&mut self, at: Stamp, seq: u32, payload: usize) {
            let bytes = vec![0; 40 + payload];
            let segment = Segment {
                source: CLIENT.parse().unwrap(),
                destination: SERVER.parse().unwrap(),
                seq: Seq(seq),
                ack: Seq(1),
                flags: if seq == 0 { Flags::SYN } else { Flags::ACK },
                window: 1000,
                payload: u32::try_from(payload).unwrap(),
                window_scale: None,
                mss: None,
                sack: None,
            };
            let length = u32::try_from(bytes.len()).unwrap();
            let (link, interface, outgoing) = (Link::Ip, 1, false);
            let packet =
                Packet { at, interface, outgoing, length, bytes: &bytes, frame: &bytes, link };
            self.writer.sees(&Seen::Packet(&packet, Some(&segment)));
            let direction = Direction::Received;
            self.writer.sees(&Seen::Segment { track: 1, at, direction, segment: &segment });
        }

        fn message(&mut self, start: u64, end: u64, label: &str) {
            let (conn, at, direction) = (ConnId(7), Stamp::now(), Direction::Received);
            let range = (start, end);
            self.writer.sees(&Seen::Message { conn, at, direction, range, label });
        }

        fn file(&self) -> Vec<u8> {
            std::fs::read(&self.path).unwrap()
        }

        fn says(&self, comment: &str) -> bool {
            let file = self.file();
            file.windows(comment.len()).any(|window| window == comment.as_bytes())
        }

        fn frames(&self) -> u64 {
            let file = self.file();
            let mut reader = Reader::new(&file[..]).unwrap();
            while reader.next_frame().unwrap().is_some() {}
            reader.frames()
        }
    }

    #[test]
    fn a_message_told_after_its_packets_stands_on_each_of_them() {
        let mut scene = Scene::new();
        scene.comes(Stamp::now(), 0, 0);
        scene.comes(Stamp::now(), 1, 10);
        scene.comes(Stamp::now(), 11, 10);
        scene.comes(Stamp::now(), 11, 10);
        assert_eq!(scene.writer.pause(), None);
        assert_eq!(scene.frames(), 0, "held back");
        scene.message(0, 15, "torn\x1b[2J");
        scene.message(15, 20, "whole");
        assert_eq!(scene.writer.finish(), None);
        assert_eq!(scene.frames(), 4);
        assert!(scene.says(r"message 1, bytes 0..15 (here 0..10): torn\x1b[2J"));
        assert!(scene.says(r"message 1, bytes 0..15 (here 10..15): torn\x1b[2J"));
        assert!(scene.says("message 2, bytes 15..20: whole"));
        assert!(scene.says("retransmission"));
        assert!(!scene.says("zero window"));
    }

    #[test]
    fn a_packet_is_written_after_a_time_whatever_is_known_of_it() {
        let mut scene = Scene::new();
        assert_eq!(scene.writer.waits(), None);
        let now = Stamp::now();
        let long_ago = Stamp(now.0 - 3_000_000_000);
        scene.comes(long_ago, 0, 0);
        assert_eq!(scene.writer.waits(), Some(Duration::ZERO));
        scene.comes(now, 1, 10);
        assert_eq!(scene.writer.pause(), None);
        assert_eq!(scene.frames(), 1);
        assert!(scene.writer.waits().is_some_and(|wait| wait <= HOLD && wait > Duration::ZERO));
    }

    #[test]
    fn no_more_is_held_back_than_is_allowed() {
        let mut scene = Scene::new();
        scene.comes(Stamp::now(), 0, 0);
        let mut seq = 1;
        for _ in 0..400 {
            scene.comes(Stamp::now(), seq, 60_000);
            seq += 60_000;
            scene.message(u64::from(seq), u64::from(seq) + 5, "not here yet");
            assert!(scene.writer.held_bytes <= HOLD_BYTES + 60_040);
            assert!(scene.writer.ready.len() <= WRITE + 61_000);
        }
        assert!(scene.frames() > 200, "the rest is written already");
    }

    #[test]
    fn of_messages_without_packets_the_latest_are_kept() {
        let mut scene = Scene::new();
        for start in 0..10_000 {
            scene.message(start, start + 1, "?");
        }
        scene.comes(Stamp::now(), 0, 0);
        scene.comes(Stamp::now(), 1, 10_000);
        assert_eq!(scene.writer.finish(), None);
        assert!(!scene.says("message 8976, bytes 8975..8976: ?"));
        assert!(scene.says("message 8977, bytes 8976..8977: ?"));
        assert!(scene.says("and 1000 more messages"));
        assert_eq!((most_notes(0), most_notes(100), most_notes(16_384)), (1024, 648, 16));
    }

    #[test]
    fn a_connection_that_is_forgotten_takes_no_memory() {
        let mut scene = Scene::new();
        scene.comes(Stamp::now(), 0, 0);
        scene.writer.sees(&Seen::Over { track: 1, forgotten: true });
        assert_eq!(scene.writer.pause(), None);
        assert_eq!((scene.frames(), scene.writer.notes.len()), (1, 0));
    }

    #[test]
    fn packets_that_are_missing_are_counted_at_the_end() {
        let mut scene = Scene::new();
        scene.comes(Stamp(0), 0, 0);
        scene.writer.sees(&Seen::PacketsLost(3));
        scene.writer.sees(&Seen::PacketsLost(4));
        let said = scene.writer.finish().unwrap();
        assert!(said.ends_with("out.pcapng: 7 packets missing: the eye was too slow"), "{said}");
    }

    #[test]
    fn a_full_disk_is_told_of_once() {
        let mut scene = Scene::new();
        let full = File::options().write(true).open("/dev/full").unwrap();
        scene.writer.file = WholeFile::of(full, blocks::end_of_last);
        scene.comes(Stamp(0), 0, 0);
        assert!(scene.writer.pause().is_some_and(|said| said.contains("No space left")));
        scene.comes(Stamp(0), 1, 10);
        assert_eq!(scene.writer.pause(), None);
        assert!(scene.writer.held.is_empty() && scene.writer.ready.is_empty());
    }

    #[test]
    fn on_a_full_disk_the_file_ends_behind_a_whole_block() {
        for room in (1000..3000).step_by(67).chain([4096, 20_000, 65_536]) {
            let full = crate::whole::tests::with_room(room);
            let mut read = full.try_clone().unwrap();
            let mut scene = Scene::new();
            scene.writer.file = WholeFile::of(full, blocks::end_of_last);
            blocks::section(&mut scene.writer.ready, "test");
            scene.writer.write();
            let mut said = None;
            for seq in [0, 1, 401, 801, 1201, 1601].into_iter().chain((2001..90_000).step_by(400)) {
                scene.comes(Stamp(0), seq, if seq == 0 { 0 } else { 400 });
                // Many blocks at once, or few.
                if seq % 801 == 0 {
                    said = said.or(scene.writer.pause());
                }
            }
            said = said.or(scene.writer.finish());
            let said = said.unwrap();
            assert!(said.contains("the packets from here on are not in it"), "{room}: {said}");
            let mut file = Vec::new();
            read.seek(SeekFrom::Start(0)).unwrap();
            read.read_to_end(&mut file).unwrap();
            assert!(file.len() <= room, "{room}");
            assert_eq!(blocks::end_of_last(&file), file.len(), "{room}");
            let mut reader = Reader::new(&file[..]).unwrap();
            while reader.next_frame().unwrap().is_some() {}
            assert!(room < 4096 || reader.frames() > 2, "{room}");
        }
    }
}
