//! Reads a ladder back: the segments it shows, as numbers.

use super::wire::{Segment, Way};

/// One connection as it was drawn.
#[derive(Debug)]
pub(crate) struct Picture {
    /// Everything from its title to its verdict.
    pub(crate) text: String,
    /// Each arrow of the ladder, from the top.
    pub(crate) segments: Vec<Segment>,
    /// The verdict in one line.
    pub(crate) verdict: String,
}

impl Picture {
    /// All connections that were drawn, with the ports of their clients.
    pub(crate) fn all(drawn: &str) -> Vec<(u16, Picture)> {
        let drawn: String = drawn.chars().map(ascii).collect();
        let titles = drawn.match_indices("== connection ").map(|(at, _)| at);
        let starts: Vec<usize> = titles.chain([drawn.len()]).collect();
        let texts = starts.windows(2).map(|pair| &drawn[pair[0]..pair[1]]);
        texts.map(|text| (client_port(text), Picture::read(text))).collect()
    }

    /// The connection of this client.
    pub(crate) fn of(drawn: &str, port: u16) -> Picture {
        let found = Picture::all(drawn).into_iter().find(|(client, _)| *client == port);
        found.unwrap_or_else(|| panic!("no connection of port {port} in:\n{drawn}")).1
    }

    fn read(text: &str) -> Picture {
        let mut parts = text.split("\n\n");
        let (_, ladder) = (parts.next(), parts.next().unwrap_or_default());
        // Behind the verdict is what was found.
        let found = ["  ! ", "  · ", "  - "];
        let words = parts.filter(|part| !found.iter().any(|mark| part.starts_with(mark)));
        let verdict: Vec<&str> = words.last().unwrap_or_default().split_whitespace().collect();
        let mut reader = Reader::default();
        let segments = ladder.lines().filter_map(|line| reader.segment(line)).collect();
        Picture { text: text.to_owned(), segments, verdict: verdict.join(" ") }
    }
}

/// The characters of an ASCII drawing for those of a better one.
fn ascii(c: char) -> char {
    match c {
        '│' => '|',
        '┊' => ':',
        '─' => '-',
        '═' => '=',
        '▶' => '>',
        '◀' => '<',
        '·' => '-',
        other => other,
    }
}

fn client_port(text: &str) -> u16 {
    let client = text.split(" -> ").next().unwrap().rsplit(' ').next().unwrap();
    client.rsplit(':').next().unwrap().parse().unwrap()
}

/// Goes through the rows of one ladder, since an ACK is only written where it says something new.
#[derive(Default)]
struct Reader {
    /// By way: what was acknowledged last, and where the FIN stands.
    acked: [u64; 2],
    fin: [Option<u64>; 2],
}

impl Reader {
    fn segment(&mut self, line: &str) -> Option<Segment> {
        // Arrows between dotted lifelines stand for many.
        assert!(!line.contains(":<-") && !line.contains("->:"), "rows are folded: {line}");
        let between = line.split('|').nth(1)?;
        let (way, words) = if let Some(rest) = between.strip_suffix('>') {
            (Way::ToServer, rest)
        } else {
            (Way::ToClient, between.strip_prefix('<')?)
        };
        let words = words.trim_matches('-').trim();
        let words = words.strip_prefix("again: ").unwrap_or(words);
        Some(self.read(way, words))
    }

    fn read(&mut self, way: Way, text: &str) -> Segment {
        let mut segment = Segment { way, flags: String::new(), range: None, at: None, ack: None };
        let mut words = text.split(' ').peekable();
        while let Some(word) = words.next() {
            if let Some(range) = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(')')) {
                let (start, end) = range.split_once("..").unwrap();
                segment.range = Some((start.parse().unwrap(), end.parse().unwrap()));
            } else if let Some(at) = word.strip_prefix('@') {
                segment.at = Some(at.parse().unwrap());
            } else if word.split('+').all(|flag| ["SYN", "FIN", "RST", "ACK"].contains(&flag)) {
                segment.flags = word.to_owned();
            } else if word == "ack" {
                segment.ack = Some(match words.next().unwrap() {
                    "FIN" => self.fin[way.other() as usize].unwrap() + 1,
                    number => number.parse().unwrap(),
                });
            }
        }
        if segment.flags.is_empty() {
            segment.flags = String::from("ACK");
        }
        if segment.flags.contains("FIN") {
            let end = segment.range.map_or(segment.at, |(_, end)| Some(end));
            self.fin[way as usize] = Some(end.unwrap());
        }
        // The FIN of a segment with data stands behind it.
        if segment.range.is_some() {
            segment.at = None;
        }
        if segment.flags.contains("ACK") && !segment.flags.contains("SYN") {
            let ack = segment.ack.unwrap_or(self.acked[way as usize]);
            self.acked[way as usize] = ack;
            segment.ack = Some(ack);
        }
        segment
    }
}
