//! The eye's own thread: waits for packets and records, joins them, has them drawn.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use sockeye_engine::probe::Stamp;
use sockeye_wire::packet::{Link, PacketError, parse};

use super::afterwards;
use super::draw::Drawer;
use super::gate::{Admission, Gate};
use super::handover::{BATCHES, Inbox, Sleep};
use super::item::{Item, Records};
use super::letters::Letters;
use super::sampler::Sampler;
use super::sources::Sources;
use super::tap::{Seen, Tap, Taps};
use super::tracks::{MAX_CONNECTIONS, MAX_SOCKETS, Tracks, is_here};
use super::viewer::{LOOK_EVERY, Viewer};
use crate::capture::{Capture, Targets};
use crate::datagram::DatagramHistory;
use crate::finding::{Finding, Overview};
use crate::kernel::{Ends, SockDiag, SocketList};
use crate::record::{Certainty, History};
use crate::timeline::other;
use crate::words::lack::Lack;
use crate::words::note::Note;
use crate::words::{Lang, Told, lack};

/// So long the last packets of a socket of datagrams may take.
const LAST_PACKETS: Duration = Duration::from_millis(200);

/// However busy the eye is, taps have time to write after so long.
const PAUSE_EVERY: Duration = Duration::from_secs(1);

/// After records the eye looks for more by itself for so long, then it has itself woken for any.
const SETTLE: Duration = Duration::from_millis(100);

/// So often the kernel is asked which sockets of others there are, beside their packets; and
/// without those.
const LIST_EVERY: Duration = Duration::from_secs(1);
const ASK_EVERY: Duration = Duration::from_millis(100);

/// What the thread of the eye owns.
#[derive(Debug)]
pub(super) struct Watch {
    inbox: Inbox,
    capture: Option<Capture>,
    diag: Option<SockDiag>,
    listeners: Vec<SocketAddr>,
    peers: Vec<SocketAddr>,
    others: Vec<SocketAddr>,
    /// Of UDP, our own and those of peers.
    datagrams: [Vec<SocketAddr>; 2],
    letters: Letters,
    /// Sockets of datagrams that were closed, and until when their last packets may come.
    closed: VecDeque<(Instant, DatagramHistory)>,
    interface: Option<u32>,
    tracks: Tracks,
    gate: Gate,
    overview: Overview,
    drawer: Drawer,
    taps: Taps,
    sampler: Option<Sampler>,
    ends: Option<Ends>,
    /// When taps last had time to write.
    paused: Instant,
    /// Until when records are looked for without being woken for few of them.
    settles: Instant,
    /// Messages are those of two who talk.
    talk: bool,
    /// Lists the sockets of others, and when it is asked next.
    sockets: Option<(SocketList, Instant)>,
    viewer: Option<Viewer>,
}

impl Watch {
    /// An eye for these, with what the system lets it see with.
    pub(super) fn new(
        targets: Targets<'_>,
        inbox: Inbox,
        sources: Sources,
        drawer: Drawer,
        taps: Vec<Box<dyn Tap>>,
        talk: bool,
        viewer: Option<Viewer>,
    ) -> Watch {
        let Sources { capture, diag, queues, ends, .. } = sources;
        let mut tracks = Tracks::new(capture.is_some());
        for &listener in targets.listeners {
            tracks.listen(listener);
        }
        for &peer in targets.peers {
            tracks.connect_to(peer);
        }
        for &other in targets.others {
            tracks.look_on(other);
        }
        if ends.is_some() {
            tracks.expect_ends();
        }
        // Without it, connections that were open before are shown from their next segment on.
        let sockets = (!targets.others.is_empty()).then(|| SocketList::open().ok()).flatten();
        let sockets = sockets.map(|sockets| (sockets, Instant::now()));
        let gate = Gate::new(Instant::now());
        let (listeners, peers) = (targets.listeners.to_vec(), targets.peers.to_vec());
        let (others, interface) = (targets.others.to_vec(), targets.interface);
        let datagrams = [targets.datagrams.to_vec(), targets.datagram_peers.to_vec()];
        let taps = Taps::new(taps);
        if !taps.is_empty() {
            tracks.keep_journal();
        }
        let paused = Instant::now();
        Watch {
            inbox,
            capture,
            diag,
            listeners,
            peers,
            others,
            datagrams,
            letters: Letters::default(),
            closed: VecDeque::new(),
            interface,
            tracks,
            gate,
            overview: Overview::default(),
            drawer,
            taps,
            sampler: queues.map(|queues| Sampler::new(queues, paused)),
            ends,
            paused,
            settles: paused,
            talk,
            sockets,
            viewer,
        }
    }

    /// Looks on until told to close, then draws what has ended and says what has not.
    pub(super) fn run(mut self) {
        loop {
            // Asked first: what was handed over before the eye was told is still taken in.
            let closing = self.inbox.closing();
            // Up to when packets were waited for: this thread may be kept from running at any moment,
            // and what came meanwhile is still in the ring.
            let looked = Instant::now();
            self.take_packets();
            let took = self.take_records();
            let now = Instant::now();
            if took {
                self.settles = now + SETTLE;
            }
            self.list_sockets(now);
            self.sample(now, took);
            self.take_ends();
            self.tracks.expire(looked);
            if !self.taps.is_empty() {
                self.taps.facts(self.tracks.take_facts(), None);
            }
            self.draw_ended(now, looked);
            if !self.taps.is_empty() && (!took || now > self.paused + PAUSE_EVERY) {
                self.let_taps_pause(now);
            }
            if let Some(viewer) = &self.viewer {
                viewer.answer(|selected| self.tracks.look(selected));
            }
            if closing && !took && !self.tracks.is_waiting() && self.closed.is_empty() {
                return self.finish();
            }
            if !took {
                self.wait(now);
            }
        }
    }

    fn take_packets(&mut self) {
        let Some(capture) = &mut self.capture else { return };
        let (tracks, taps) = (&mut self.tracks, &mut self.taps);
        let letters = &mut self.letters;
        let of_udp = self.datagrams.iter().any(|addresses| !addresses.is_empty());
        capture.drain(|packet| {
            let length = usize::try_from(packet.length).unwrap_or(usize::MAX);
            let parsed = parse(Link::Ip, packet.bytes, length);
            if let (true, Err(PacketError::NotTcp | PacketError::Fragment)) = (of_udp, &parsed) {
                // The filter can't tell whose a later fragment is.
                if let Some(letter) = letters.read(&packet) {
                    taps.see(&Seen::Unit(&packet, &letter));
                }
                return;
            }
            // The filter lets nothing else in; what is malformed all the same is nobody's.
            let segment = parsed.ok();
            if !taps.is_empty() {
                taps.see(&Seen::Packet(&packet, segment.as_ref()));
            }
            if let Some(segment) = segment {
                tracks.segment(packet.at, packet.interface, &segment);
                if !taps.is_empty() {
                    taps.facts(tracks.take_facts(), Some((packet.at, &segment)));
                }
            }
        });
        let dropped = capture.take_dropped();
        tracks.dropped(dropped);
        if dropped > 0 {
            taps.see(&Seen::PacketsLost(dropped));
        }
    }

    /// Whether there was any.
    fn take_records(&mut self) -> bool {
        let now = Instant::now();
        let mut took = false;
        // Bounded, so that a flood of calls leaves time for the packets.
        for _ in 0..BATCHES {
            let Some(batch) = self.inbox.next() else { break };
            took = true;
            for item in &batch.items {
                if let Item::Listening(local) = item {
                    self.listen(**local);
                }
            }
            match self.taps.is_empty() {
                true => self.tracks.records(&batch, now),
                false => self.show_and_take_in(&batch, now),
            }
            self.inbox.recycle(batch);
        }
        took
    }

    /// Takes records in one by one, so that taps learn what each of them told in between.
    fn show_and_take_in(&mut self, batch: &Records, now: Instant) {
        for item in &batch.items {
            // Which connection this is turns out when it is taken in; of all others, taps hear
            // before anything may follow from it.
            let begins = matches!(item, Item::Opened(_));
            if !begins {
                self.taps.item(item, batch);
            }
            self.tracks.item(item, batch, now);
            self.taps.facts(self.tracks.take_facts(), None);
            if begins {
                self.taps.item(item, batch);
            }
        }
    }

    /// Lets taps write what they held back; what went wrong is said.
    fn let_taps_pause(&mut self, now: Instant) {
        self.paused = now;
        for line in self.taps.pause() {
            self.drawer.say(line);
        }
    }

    /// Asks the kernel which sockets of others there are, if it is time to.
    fn list_sockets(&mut self, now: Instant) {
        let Some((list, next)) = &mut self.sockets else { return };
        if now < *next {
            return;
        }
        // Packets tell sooner, where there are any.
        *next = now + if self.capture.is_some() { LIST_EVERY } else { ASK_EVERY };
        let at = Stamp::now();
        let mut ports: Vec<u16> = self.others.iter().map(SocketAddr::port).collect();
        ports.sort_unstable();
        ports.dedup();
        let found: Result<Vec<_>, _> = ports.iter().map(|port| list.at_port(*port)).collect();
        match found {
            Ok(found) => self.tracks.listed(at, &found.concat()),
            Err(error) => {
                self.say(Lack::ListEnded(error));
                self.sockets = None;
            }
        }
    }

    /// Asks the kernel how full queues are, if it is time to.
    fn sample(&mut self, now: Instant, busy: bool) {
        let Some(sampler) = &mut self.sampler else { return };
        if busy {
            sampler.busy();
        }
        if let Err(error) = sampler.sample(now, &mut self.tracks, &mut self.taps) {
            self.say(Lack::QueuesEnded(error));
            self.sampler = None;
        }
    }

    /// Hears which sockets the kernel has let go of.
    fn take_ends(&mut self) {
        let Some(ends) = &mut self.ends else { return };
        let (tracks, taps) = (&mut self.tracks, &mut self.taps);
        let at = Stamp::now();
        ends.drain(|gone| {
            for (track, end) in tracks.let_go(at, &gone) {
                taps.see(&Seen::End { track, end: &end });
            }
        });
        let lost = ends.take_lost();
        tracks.ends_lost(lost);
        if lost > 0 {
            taps.see(&Seen::EndsLost(lost));
        }
    }

    /// Looks at one more listener's port.
    fn listen(&mut self, local: SocketAddr) {
        if self.listeners.contains(&local) {
            return;
        }
        self.listeners.push(local);
        let targets = Targets {
            listeners: &self.listeners,
            peers: &self.peers,
            others: &self.others,
            datagrams: &self.datagrams[0],
            datagram_peers: &self.datagrams[1],
            interface: self.interface,
        };
        if let Some(capture) = &mut self.capture
            && let Err(error) = capture.watch(targets)
        {
            self.say(Lack::Listener(local, error));
        }
        if let Some(ends) = &self.ends
            && let Err(error) = ends.watch(targets)
        {
            self.drawer.say(format!("eye: {local}: {error}"));
        }
    }

    /// Draws what has ended; of datagrams, what waited for packets until `looked`.
    fn draw_ended(&mut self, now: Instant, looked: Instant) {
        let ended = self.tracks.take_ended();
        let used_again = self.tracks.used_again(&ended);
        for ((track, mut history), used_again) in ended.into_iter().zip(used_again) {
            history.talk = self.talk;
            let draw: fn(&Drawer, Box<History>) -> bool = match self.gate.admit(now) {
                Admission::Picture => Drawer::ended,
                Admission::Line => Drawer::ended_in_short,
                // Not worth a question to the kernel either.
                Admission::Count => {
                    self.overlook(&history);
                    self.taps.see(&Seen::Ended { track, history: &history });
                    continue;
                }
            };
            let history = self.ask_what_became_of(history, used_again);
            self.overlook(&history);
            self.taps.see(&Seen::Ended { track, history: &history });
            if !draw(&self.drawer, history) {
                self.gate.count();
            }
        }
        let captured = self.capture.is_some() && self.datagrams.iter().any(|all| !all.is_empty());
        let until = if captured { now + LAST_PACKETS } else { looked };
        for socket in self.tracks.sockets.take_closed() {
            self.closed.push_back((until, socket));
        }
        while self.closed.front().is_some_and(|(until, _)| *until <= looked) {
            let Some((_, socket)) = self.closed.pop_front() else { break };
            self.taps.see(&Seen::SocketEnded(&socket));
            let drawn = match self.gate.admit(now) {
                Admission::Count => continue,
                Admission::Picture | Admission::Line => self.drawer.datagrams(Box::new(socket)),
            };
            if !drawn {
                self.gate.count();
            }
        }
        if let Some(count) = self.gate.tell(now)
            && self.drawer.draws()
            && !self.drawer.say(more_ended(count, self.drawer.lang()))
        {
            self.gate.count_again(count);
        }
    }

    /// Looks at it together with those that ended before.
    fn overlook(&mut self, history: &History) {
        if let Some((place, finding)) = self.overview.ended(history) {
            let line = found(&place.to_string(), &finding, self.drawer.lang());
            // If too many lines wait already, there is enough to read.
            let _ = self.drawer.say(line);
        }
    }

    fn ask_what_became_of(&mut self, mut history: History, used_again: bool) -> Box<History> {
        if let Some(diag) = &mut self.diag {
            let (Some(local), Some(peer)) = (history.local.ip(), history.peer.ip()) else {
                return Box::new(history);
            };
            let (ours, theirs) = (history.role, other(history.role));
            let mut ask = |end, local, peer| {
                let told = diag.aftermath(local, peer).ok()?;
                afterwards::about(&history, end, used_again, told)
            };
            let told = ask(ours, local, peer);
            // Elsewhere the peer's end is another kernel's, of which this one knows nothing.
            let peer_told = is_here(local, peer).then(|| ask(theirs, peer, local)).flatten();
            (history.aftermath, history.peer_aftermath) = (told, peer_told);
        }
        Box::new(history)
    }

    fn wait(&mut self, now: Instant) {
        let list = self.sockets.as_ref().map(|(_, next)| *next);
        let looking = self.viewer.as_ref().is_some_and(Viewer::is_looking);
        let look = looking.then(|| now + LOOK_EVERY);
        let sample = self.sampler.as_mut().and_then(Sampler::settled);
        let taps = self.taps.waits().map(|wait| now + wait);
        let closed = self.closed.front().map(|(until, _)| *until);
        // Only who is shown things early is handed few records at a time.
        let early = !self.taps.is_empty() || self.viewer.is_some();
        let settles = (early && self.settles > now).then_some(self.settles);
        let expires = self.tracks.expires_at();
        let until = [expires, self.gate.tell_at(), list, look, sample, taps, closed, settles];
        let until = until.into_iter().flatten().min();
        let timeout = until.map(|until| timespec(until.saturating_duration_since(now)));
        self.inbox.fall_asleep(if settles.is_some() { Sleep::Sound } else { Sleep::Light });
        if self.inbox.is_empty() {
            let mut fds = vec![PollFd::new(&self.inbox, PollFlags::IN)];
            fds.extend(self.capture.iter().map(|capture| PollFd::new(capture, PollFlags::IN)));
            let of_capture = fds.len();
            fds.extend(self.ends.iter().map(|ends| PollFd::new(ends, PollFlags::IN)));
            // However it ends, EINTR too, the loop looks at everything again.
            let woken = poll(&mut fds, timeout.as_ref());
            let failed = fds[..of_capture].iter().any(|fd| fd.revents().contains(PollFlags::ERR));
            drop(fds);
            if woken == Ok(0)
                && until == sample
                && let Some(sampler) = &mut self.sampler
            {
                sampler.woken();
            }
            if failed && let Some(capture) = &self.capture {
                self.say(Lack::CaptureFailed(capture.take_error()));
            }
        }
        self.inbox.wake_up();
    }

    /// Something can't be seen any more.
    fn say(&self, lack: Lack) {
        if let Some(line) = lack::line(&[lack], self.drawer.lang()) {
            self.drawer.say(line);
        }
    }

    fn finish(mut self) {
        let now = Instant::now();
        // What others do goes on, and this is how far it was seen.
        self.tracks.end_of_looking_on(Stamp::now());
        self.draw_ended(now, now);
        for socket in self.tracks.sockets.take_open() {
            match self.gate.admit(now) {
                Admission::Count => {}
                _ if self.drawer.datagrams(socket) => {}
                _ => self.gate.count(),
            }
        }
        let mut last = Vec::new();
        let untold = self.gate.tell_all().filter(|_| self.drawer.draws());
        let lang = self.drawer.lang();
        last.extend(untold.map(|count| more_ended(count, lang)));
        last.extend(still_open(&self.tracks, lang));
        last.extend(never_accepted(&self.tracks, lang));
        if self.tracks.saw_none() {
            last.push(said(lang, Note::NoneSeen(self.capture.is_some())));
        }
        let unwatched = self.tracks.unwatched();
        if unwatched > 0 {
            last.push(said(lang, Note::Unwatched(unwatched, MAX_CONNECTIONS)));
        }
        let unwatched = self.tracks.sockets.unwatched();
        if unwatched > 0 {
            last.push(said(lang, Note::SocketsUnwatched(unwatched, MAX_SOCKETS)));
        }
        let lost = self.inbox.lost();
        if lost > 0 {
            self.taps.see(&Seen::RecordsLost(lost));
            last.push(said(lang, Note::RecordsLost(lost)));
        }
        last.extend(self.taps.finish());
        self.drawer.finish(last);
    }
}

/// What the eye itself says, on a line.
fn said(lang: Lang, note: Note<'_>) -> String {
    format!("eye: {}", lang.words().note(note))
}

fn more_ended(count: u64, lang: Lang) -> String {
    said(lang, Note::MoreEnded(count))
}

/// What was found over many connections, on a line.
fn found(place: &str, finding: &Finding, lang: Lang) -> String {
    let Told { what, cause, cure } = lang.finding(finding);
    // Lines of the eye are ASCII where their language is.
    let reference = finding.reference.replace('§', "section ");
    let sure = if finding.certainty == Certainty::Inferred { "~" } else { "" };
    format!("eye: {}: {place}: {sure}{what} ({reference}). {cause} {cure}", finding.kind.id())
}

/// Connections that a full backlog kept from being accepted.
fn never_accepted(tracks: &Tracks, lang: Lang) -> Option<String> {
    let finding = Overview::never_accepted(tracks.unaccepted())?;
    let count = lang.words().note(Note::NeverAccepted(finding.count));
    Some(found(&count, &finding, lang))
}

/// One line that names the first few.
fn still_open(tracks: &Tracks, lang: Lang) -> Option<String> {
    const NAMED: usize = 4;
    let count = tracks.open_peers().count();
    if count == 0 {
        return None;
    }
    let named: Vec<String> = tracks.open_peers().take(NAMED).map(ToString::to_string).collect();
    let more = count.saturating_sub(NAMED) as u64;
    Some(said(lang, Note::StillOpen(count as u64, &named.join(", "), more)))
}

fn timespec(duration: Duration) -> Timespec {
    // Rounded up to the next millisecond, so that the wait does not end just before its time.
    let millis = duration.as_millis() + 1;
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    Timespec { tv_sec: millis / 1000, tv_nsec: millis % 1000 * 1_000_000 }
}
