//! A property that holds for any bytes; the fuzz target and the replay of its corpus share it.

use sockeye_eye::pcap::{Conversations, Follow, Histories, Reader, Shown};
use sockeye_eye::verdict;
use sockeye_eye::view::{self, Style};
use sockeye_wire::packet::parse_with_payload;

/// Everything that is done with a file, whatever it holds.
pub(crate) fn capture(file: &[u8]) {
    let Ok(mut reader) = Reader::new(file) else { return };
    let mut conversations = Conversations::default();
    let mut histories = Histories::new(None, verdict::line);
    let mut follow = Follow::new(0);
    while let Ok(Some(frame)) = reader.next_frame() {
        let Some(link) = frame.link else { continue };
        let Ok((segment, payload)) = parse_with_payload(link, frame.bytes, frame.length) else {
            continue;
        };
        assert!(payload.len() <= segment.payload as usize);
        let Some(place) = conversations.place(&segment) else { continue };
        histories.segment(frame.at, &place, &segment);
        follow.segment(&place, &segment, payload, &mut |_, _| {});
    }
    assert!(reader.frames() <= file.len() as u64 / 16);
    follow.finish(&mut |_, _| {});
    match histories.finish() {
        Shown::Drawn(drawn) => {
            for listed in drawn {
                let _ = view::picture(&listed.connection, &Style::default());
            }
        }
        Shown::Listed { lines, .. } => assert!(!lines.is_empty()),
    }
}
