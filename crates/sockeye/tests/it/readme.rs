//! The pictures of the README are real: the commands above each are run, and draw it again.
//!
//! A picture stands in a block marked `console`, as sessions of the manual do: what the first terminal
//! draws when the others are done is shown below its name at the end. What differs each time is left out
//! on both sides: times, ports of clients, the order of neighbours, and ACKs that the kernel may send or
//! join as it likes. `SOCKEYE_BLESS=1` writes what was drawn into the README.

use std::fs;

use crate::kit::{need, need_root};
use crate::manual::{Place, Session, Terminal, sessions};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");

#[test]
fn each_picture_of_the_readme_is_drawn_by_the_commands_above_it() {
    let name = "each_picture_of_the_readme_is_drawn_by_the_commands_above_it";
    if !need_root(name) || !need(name, &["bash", "curl", "ip", "nsenter", "unshare"]) {
        return;
    }
    let mut readme = fs::read_to_string(README).unwrap();
    let pictures = sessions("README.md", &readme);
    assert!(pictures.len() >= 2);
    for picture in pictures {
        let shown = picture.steps.last().expect("a picture at the end").shown.join("\n");
        let drawn = drawn(&picture);
        if std::env::var_os("SOCKEYE_BLESS").is_some() {
            readme = readme.replacen(&shown, drawn.trim_end(), 1);
            continue;
        }
        let [shown, drawn] = [&shown, &drawn].map(|text| certain(text));
        let only = |these: &[String], those: &[String]| -> Vec<String> {
            these.iter().filter(|line| !those.contains(line)).cloned().collect()
        };
        let differences = [only(&shown, &drawn), only(&drawn, &shown)];
        assert_eq!(differences[0], differences[1], "README.md:{}", picture.line);
        assert_eq!(drawn, shown, "README.md:{}", picture.line);
    }
    if std::env::var_os("SOCKEYE_BLESS").is_some() {
        fs::write(README, readme).unwrap();
    }
}

/// What the first terminal draws.
fn drawn(session: &Session) -> String {
    let place = Place::new();
    let (steps, _) = session.steps.split_at(session.steps.len() - 1);
    let mut first = None;
    for step in steps {
        let command = step.command.as_deref().expect("a command");
        let mut terminal = Terminal::running(&place, command);
        terminal.shows(&step.shown).unwrap();
        match first {
            None if command.contains("--eye") => first = Some((terminal, command)),
            _ => terminal.ended().unwrap(),
        }
    }
    let (mut terminal, command) = first.expect("somebody looks on");
    if !command.contains("--once") {
        terminal.interrupt();
    }
    let said = terminal.rest();
    // It may say first that it stops.
    let picture = said.find("══ ").unwrap_or_else(|| panic!("no picture: {said}"));
    said[picture..].to_owned()
}

/// What is the same each time: of the ladder what happened, in no order, then all other lines.
fn certain(picture: &str) -> Vec<String> {
    let (mut happened, mut others, mut verdict) = (Vec::new(), Vec::new(), String::new());
    for line in picture.lines() {
        // How often a program looks in vain, and what a sample meets in a queue, is a matter of luck.
        if ["not drawn: ", "queue "].iter().any(|luck| line.trim_start().starts_with(luck)) {
            continue;
        }
        if line.contains(['│', '┊']) {
            happened.extend(line.split(['│', '┊']).enumerate().filter_map(part_of_a_row));
        } else if !verdict.is_empty() || is_a_verdict(line) {
            // However it is wrapped.
            verdict.push_str(line.trim());
            verdict.push(' ');
        } else {
            others.push(masked(line.trim_end_matches('═')));
        }
    }
    happened.sort();
    happened.extend(others);
    happened.extend(verdict.split(" · ").filter(|part| !is_about_time(part)).map(masked));
    happened
}

/// One of the parts of a row of the ladder: left of the lifelines, between them, right of them.
fn part_of_a_row((place, part): (usize, &str)) -> Option<String> {
    let part = part.trim_matches([' ', '─']);
    // The time stands leftmost.
    let part = match place {
        0 => part.split_once(' ').map_or("", |(_, rest)| rest).trim(),
        _ => part,
    };
    let is_silence = place == 1 && part.ends_with(" ms") && !part.contains('▶');
    // The kernel may acknowledge a FIN before the program closes, or with its FIN.
    let late = ["ack FIN", "FIN-WAIT-2", ""]
        .iter()
        .any(|late| part.trim_matches(['◀', '▶', '─', ' ']) == *late);
    let text = masked(part).split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.replace('─', "");
    (!late && !is_silence).then_some(text)
}

fn is_a_verdict(line: &str) -> bool {
    let code = line.trim_start().split(' ').next().unwrap_or_default();
    code.len() == 3 && code.ends_with(['F', 'R', 'T', '-']) && line.contains("127.0.0.1")
}

fn is_about_time(part: &str) -> bool {
    part.contains(" to close") || part.starts_with("handshake")
}

/// Times and the ports of clients as a dot.
fn masked(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let is_time = |place: usize| {
        let number = words[place].trim_start_matches('(');
        let unit = words.get(place + 1).map(|unit| unit.trim_end_matches([',', ')']));
        number.starts_with(|first: char| first.is_ascii_digit())
            && matches!(unit, Some("s" | "ms" | "µs" | "ns"))
    };
    let mask = |(place, word): (usize, &&str)| match word.split_once("127.0.0.1:") {
        _ if is_time(place) => String::from("·"),
        Some((_, port)) if port.len() == 5 => String::from("127.0.0.1:·"),
        _ => (*word).to_owned(),
    };
    words.iter().enumerate().map(mask).collect::<Vec<_>>().join(" ")
}
