//! Properties that hold for any bytes; the fuzz targets and the replay of their corpora share them.

use sockeye_wire::escape::Escaped;
use sockeye_wire::frame::{Decoder, Frame, FrameError, FrameErrorKind, Framing};
use sockeye_wire::hex::{Dump, parse};
use sockeye_wire::telnet::{Event, MAX_SUBNEGOTIATION, Opt, Telnet};
use sockeye_wire::text::{Encoding, TextDecoder};

/// Framings whose frames don't depend on the cuts.
pub(crate) const FRAMINGS: [&str; 15] = [
    "line",
    r"delimiter=\0",
    "delimiter=;;",
    "delimiter=aab",
    "fixed=1",
    "fixed=7",
    "gap=1s",
    "length=u8",
    "length=u16",
    "length=u16le",
    "length=u32",
    "length=u32le",
    "length=u64",
    "length=varint",
    "netstring",
];

/// Small enough that a fuzzer reaches it.
const MAX_FRAME: usize = 64;

/// A header or border is never longer, in bytes.
const OVERHEAD: usize = 22;

/// A stream has one reading however it is cut; frames lie end to end and are found again when they
/// are written. The first byte chooses the framing, the second one the cuts.
pub(crate) fn frame(data: &[u8]) {
    let [first, second, stream @ ..] = data else { return };
    let framing = FRAMINGS[usize::from(*first) % FRAMINGS.len()].parse().expect("a framing");
    let whole = decode(&framing, MAX_FRAME, stream, usize::MAX);
    assert_eq!(decode(&framing, MAX_FRAME, stream, 1), whole);
    assert_eq!(decode(&framing, MAX_FRAME, stream, usize::from(*second) + 1), whole);
    lies_on(stream, &whole, &framing);

    let mut wire = b"before".to_vec();
    match framing.encode(stream, &mut wire) {
        Ok(()) if stream.is_empty() && matches!(framing, Framing::Gap(_)) => {}
        Ok(()) => {
            let (frames, end) = decode(&framing, usize::MAX, &wire[6..], usize::from(*second) + 1);
            assert_eq!(end, Ok(()));
            let [only] = &frames[..] else { panic!("{} frames", frames.len()) };
            assert_eq!(only.payload, stream);
        }
        Err(_) => assert_eq!(wire, b"before"),
    }
}

/// All frames of a stream pushed in pieces of one size, and how it ended.
pub(crate) fn decode(
    framing: &Framing,
    max: usize,
    stream: &[u8],
    piece: usize,
) -> (Vec<Frame>, Result<(), FrameError>) {
    let mut decoder = Decoder::with_max_frame(framing.clone(), max);
    let mut frames = Vec::new();
    for bytes in stream.chunks(piece.min(stream.len()).max(1)) {
        decoder.push_slice(bytes);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.finish(), Err(error));
                    assert_eq!(decoder.pending(), 0);
                    return (frames, Err(error));
                }
            }
        }
        assert!(decoder.pending() <= max.saturating_add(OVERHEAD));
    }
    loop {
        match decoder.finish() {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, Ok(())),
            Err(error) => return (frames, Err(error)),
        }
    }
}

fn lies_on(stream: &[u8], (frames, end): &(Vec<Frame>, Result<(), FrameError>), framing: &Framing) {
    let position = |offset: u64| usize::try_from(offset).expect("a short stream");
    let mut at = 0;
    for (index, frame) in frames.iter().enumerate() {
        let range = position(frame.range.start)..position(frame.range.end);
        let payload = position(frame.payload_range.start)..position(frame.payload_range.end);
        assert_eq!(range.start, at);
        assert!(range.start <= payload.start && payload.end <= range.end);
        assert_eq!(frame.payload, stream[payload]);
        assert!(frame.payload.len() <= MAX_FRAME);
        assert!(!frame.unterminated || (index + 1 == frames.len() && end.is_ok()));
        at = range.end;
        let mut again = Vec::new();
        match framing.encode(&frame.payload, &mut again) {
            Ok(()) if frame.unterminated => assert!(again.starts_with(&stream[range])),
            Ok(()) if again != stream[range.clone()] => assert!(stream[range].ends_with(b"\r\n")),
            Ok(()) => {}
            // A line CR CR LF is read, but CR is not written at the end of a line; and the last
            // bytes of a stream may be the beginning of a border.
            Err(error) => {
                assert!(frame.payload.ends_with(b"\r") || frame.unterminated, "{error}");
            }
        }
    }
    match end {
        Ok(()) => assert_eq!(at, stream.len()),
        Err(error) => {
            assert!(position(error.offset) <= stream.len());
            assert!(position(error.offset) >= at);
            if let FrameErrorKind::Truncated { start, missing } = error.kind {
                assert_eq!((position(start), position(error.offset)), (at, stream.len()));
                assert!(missing > 0);
            }
        }
    }
}

/// A framing is written as it is read; an error is one line that a terminal does not obey.
pub(crate) fn framing(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match text.parse::<Framing>() {
        Ok(framing) => {
            let shown = framing.to_string();
            assert_eq!(shown.parse(), Ok(framing), "{shown}");
            assert_eq!(Escaped(shown.as_bytes()).to_string(), shown);
        }
        Err(error) => {
            let shown = error.to_string();
            assert_eq!(Escaped(shown.as_bytes()).to_string(), shown);
        }
    }
}

/// Bytes are one text however they are cut, and UTF-8 loses none. The first byte chooses the
/// encoding, the second one the cuts.
pub(crate) fn text(data: &[u8]) {
    let [first, second, bytes @ ..] = data else { return };
    let encoding = Encoding::ALL[usize::from(*first) % Encoding::ALL.len()];
    let whole = decode_text(encoding, bytes, usize::MAX);
    assert_eq!(decode_text(encoding, bytes, 1), whole);
    assert_eq!(decode_text(encoding, bytes, usize::from(*second) + 1), whole);
    let (text, malformed) = whole;
    assert!(malformed <= bytes.len() as u64);

    let mut shown = String::new();
    let mut unreadable = 0;
    for chunk in bytes.utf8_chunks() {
        shown.push_str(chunk.valid());
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
            unreadable += 1;
        }
    }
    assert_eq!(decode_text(Encoding::UTF_8, bytes, usize::from(*second) + 1), (shown, unreadable));

    let mut wire = b"before".to_vec();
    match encoding.encode(&text, &mut wire) {
        Ok(()) if encoding.name().starts_with("UTF") => {
            assert_eq!(decode_text(encoding, &wire[6..], usize::from(*second) + 1), (text, 0));
        }
        Ok(()) => {}
        Err(error) => {
            assert_eq!(wire, b"before");
            assert!(text[error.offset..].starts_with(error.character));
        }
    }
    let label = String::from_utf8_lossy(bytes);
    if let Err(error) = label.parse::<Encoding>() {
        let shown = error.to_string();
        assert_eq!(Escaped(shown.as_bytes()).to_string(), shown);
    }
}

/// The text of bytes that arrive in pieces of one size, and how many of them were none.
pub(crate) fn decode_text(encoding: Encoding, bytes: &[u8], piece: usize) -> (String, u64) {
    let mut decoder = TextDecoder::new(encoding);
    let mut text = String::new();
    for bytes in bytes.chunks(piece.min(bytes.len()).max(1)) {
        decoder.decode(bytes, &mut text);
    }
    decoder.finish(&mut text);
    (text, decoder.malformed())
}

/// Events and answers don't depend on the cuts, data comes through as it was, and two ends agree and
/// fall silent. The first byte chooses the cuts, the others are a stream and a script.
pub(crate) fn telnet(data: &[u8]) {
    let [first, stream @ ..] = data else { return };
    let whole = listen(stream, usize::MAX);
    assert_eq!(listen(stream, 1), whole);
    assert_eq!(listen(stream, usize::from(*first) + 1), whole);

    for end in [Telnet::client(), Telnet::server()] {
        let mut wire = Vec::new();
        end.encode(stream, &mut wire);
        let (said, reply) = listen(&wire, usize::from(*first) + 1);
        let expected = if stream.is_empty() { vec![] } else { vec![Heard::Data(stream.to_vec())] };
        assert_eq!((said, reply), (expected, vec![]));
    }
    converse(stream);
}

/// Two ends that change their minds as the script says, while what they said is on its way.
fn converse(script: &[u8]) {
    const OPTIONS: [Opt; 4] = [Opt::BINARY, Opt::ECHO, Opt::SUPPRESS_GO_AHEAD, Opt(24)];
    let mut ends = [Telnet::client(), Telnet::server()];
    // What each end has said and the other one has not heard.
    let mut on_the_way = [Vec::new(), Vec::new()];
    let hear = |ends: &mut [Telnet; 2], on_the_way: &mut [Vec<u8>; 2], speaker: usize, most| {
        let spoken = ends[speaker].take_reply();
        on_the_way[speaker].extend(spoken);
        let some: Vec<u8> = {
            let most = on_the_way[speaker].len().min(most);
            on_the_way[speaker].drain(..most).collect()
        };
        let mut input = &some[..];
        while ends[1 - speaker].next(&mut input).is_some() {}
        some.len()
    };
    for &step in script {
        let speaker = usize::from(step & 1);
        let option = OPTIONS[usize::from(step >> 1 & 3)];
        match step >> 3 & 7 {
            0 => ends[speaker].ask(option, true),
            1 => ends[speaker].ask(option, false),
            2 => ends[speaker].offer(option, true),
            3 => ends[speaker].offer(option, false),
            most => _ = hear(&mut ends, &mut on_the_way, speaker, usize::from(most)),
        }
    }
    for turn in 0.. {
        let heard = hear(&mut ends, &mut on_the_way, 0, usize::MAX)
            + hear(&mut ends, &mut on_the_way, 1, usize::MAX);
        if heard == 0 {
            break;
        }
        assert!(turn < 8, "still talking");
    }
    for option in OPTIONS {
        assert_eq!(ends[0].performs(option), ends[1].peer_performs(option), "{option}");
        assert_eq!(ends[1].performs(option), ends[0].peer_performs(option), "{option}");
    }
}

/// An event without the cuts of its data.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Data(Vec<u8>),
    Other(Event<'static>),
}

/// What a client hears in a stream that arrives in pieces of one size, and what it answers.
pub(crate) fn listen(stream: &[u8], piece: usize) -> (Vec<Heard>, Vec<u8>) {
    let mut telnet = Telnet::client();
    let mut heard: Vec<Heard> = Vec::new();
    let mut replies = Vec::new();
    for mut input in stream.chunks(piece.min(stream.len()).max(1)) {
        let before = input.len();
        while let Some(event) = telnet.next(&mut input) {
            let other = match event {
                Event::Data(data) => {
                    assert!(!data.is_empty());
                    match heard.last_mut() {
                        Some(Heard::Data(so_far)) => so_far.extend_from_slice(data),
                        _ => heard.push(Heard::Data(data.to_vec())),
                    }
                    continue;
                }
                Event::Command(command) => Event::Command(command),
                Event::Negotiation { verb, option } => Event::Negotiation { verb, option },
                Event::Subnegotiation { option, data, incomplete } => {
                    assert!(data.len() <= MAX_SUBNEGOTIATION);
                    Event::Subnegotiation { option, data, incomplete }
                }
            };
            heard.push(Heard::Other(other));
        }
        assert!(input.is_empty());
        let reply = telnet.take_reply();
        assert!(reply.len() <= before + 2);
        replies.extend(reply);
    }
    (heard, replies)
}

/// A dump does not depend on the cuts and can be read back; no text makes the reader panic.
pub(crate) fn hex(data: &[u8]) {
    let dump = |piece: usize| {
        let mut dump = Dump::new(0);
        let mut out = String::new();
        for bytes in data.chunks(piece.min(data.len()).max(1)) {
            dump.push(bytes, &mut out);
        }
        dump.finish(&mut out);
        out
    };
    let whole = dump(usize::MAX);
    for piece in [1, 7, 17] {
        assert_eq!(dump(piece), whole);
    }
    let digits: String = whole.lines().map(|row| &row[9..60]).collect();
    assert_eq!(parse(&digits).as_deref(), Ok(data));
    assert!(whole.bytes().all(|byte| byte == b'\n' || matches!(byte, b' '..=b'~')));

    let text = String::from_utf8_lossy(data);
    if let Err(error) = parse(&text) {
        assert!((1..=text.chars().count()).contains(&error.character));
        let shown = error.to_string();
        assert_eq!(Escaped(shown.as_bytes()).to_string(), shown);
    }
}
