//! Cases of the suite, read from `tests/conformance/cases/*.txt`.
//!
//! ```text
//! # name | RFC 9112 §3.2 | MUST      a case, its section, its level
//! : what is held                     in short
//! < GET / HTTP/1.1\r\n\r\n           sent; \xHH, {abc*100} for repetition, %etag% of /hello.txt
//! ~                                  what follows is sent on its own
//! $                                  no more will be sent
//! > 400,505 Name=value -Name         the next response: its status, and conditions
//! | 200 body="a"                     or this one; `last`: and then the connection closes
//! >? 100                             a response that may be missing
//! ! open                             afterwards: open, closed, or any
//! ```

use std::fs;
use std::path::Path;

/// One thing that a server must or should do.
pub(super) struct Case {
    pub(super) name: String,
    /// Such as `RFC 9112 §3.2`.
    pub(super) section: String,
    pub(super) must: bool,
    pub(super) sentence: String,
    pub(super) steps: Vec<Step>,
    pub(super) end: End,
}

pub(super) enum Step {
    Send(String),
    /// What was sent so far is to arrive on its own.
    Pause,
    Finish,
    Expect(Expect),
}

pub(super) struct Expect {
    pub(super) may_be_missing: bool,
    pub(super) alternatives: Vec<Alternative>,
}

impl Expect {
    /// Whether it answers a HEAD.
    pub(super) fn is_head(&self) -> bool {
        self.alternatives.iter().any(|one| one.conditions.iter().any(|word| word == "head"))
    }
}

/// Status codes (`200,206`, `4xx`, `none` for no answer at all) and what else must hold.
pub(super) struct Alternative {
    pub(super) statuses: String,
    pub(super) conditions: Vec<String>,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Open,
    Closed,
    Any,
}

/// A file of cases: what it is about, and they.
pub(super) fn read(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/cases").join(file);
    let text = fs::read_to_string(&path).unwrap();
    let mut cases: Vec<Case> = Vec::new();
    let mut follows_send = false;
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(title) = line.strip_prefix("# ") {
            cases.push(titled(title));
            continue;
        }
        let case = cases.last_mut().unwrap();
        let sends = line.starts_with("< ");
        match line.split_once(' ').unwrap_or((line, "")) {
            (":", sentence) => case.sentence = sentence.to_owned(),
            ("<", bytes) => match case.steps.last_mut() {
                Some(Step::Send(before)) if follows_send => before.push_str(bytes),
                _ => case.steps.push(Step::Send(bytes.to_owned())),
            },
            ("~", "") => case.steps.push(Step::Pause),
            ("$", "") => case.steps.push(Step::Finish),
            (sign @ (">" | ">?"), expected) => case.steps.push(Step::Expect(Expect {
                may_be_missing: sign == ">?",
                alternatives: vec![alternative(expected)],
            })),
            ("|", expected) => match case.steps.last_mut() {
                Some(Step::Expect(expect)) => expect.alternatives.push(alternative(expected)),
                _ => panic!("{}: an alternative to nothing", case.name),
            },
            ("!", end) => {
                case.end = match end {
                    "open" => End::Open,
                    "closed" => End::Closed,
                    "any" => End::Any,
                    _ => panic!("{}: {end}", case.name),
                };
            }
            _ => panic!("{}: no part of a case: {line}", case.name),
        }
        follows_send = sends;
    }
    cases
}

fn titled(title: &str) -> Case {
    let parts: Vec<&str> = title.split(" | ").collect();
    let [name, section, level] = parts[..] else { panic!("{title}") };
    assert!(section.starts_with("RFC ") && section.contains(" §"), "{title}");
    assert!(matches!(level, "MUST" | "SHOULD"), "{title}");
    Case {
        name: name.to_owned(),
        section: section.to_owned(),
        must: level == "MUST",
        sentence: String::new(),
        steps: Vec::new(),
        end: End::Any,
    }
}

fn alternative(text: &str) -> Alternative {
    let mut words = words(text).into_iter();
    Alternative { statuses: words.next().unwrap(), conditions: words.collect() }
}

/// Words, with blanks in them between quotes.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.push(c);
            }
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            _ => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// `\r \n \t \0 \\ \xHH`, and `{abc*100}` for repetition.
pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '{' => {
                let (repeated, after) = rest.split_once('}').unwrap();
                let (what, times) = repeated.rsplit_once('*').unwrap();
                out.extend(unescape(what).repeat(times.parse().unwrap()));
                rest = after;
            }
            '\\' => {
                let escape = rest.chars().next().unwrap();
                rest = &rest[1..];
                out.push(match escape {
                    'r' => b'\r',
                    'n' => b'\n',
                    't' => b'\t',
                    '0' => 0,
                    'x' => {
                        let (digits, after) = rest.split_at(2);
                        rest = after;
                        u8::from_str_radix(digits, 16).unwrap()
                    }
                    other => u8::try_from(other).unwrap(),
                });
            }
            _ => out.extend(c.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    out
}

impl Case {
    /// Whether anything is checked at all.
    pub(super) fn expects(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Expect(_)))
    }
}

/// What is sent and what is expected, to be compared.
pub(super) fn script(case: &Case) -> Vec<String> {
    let line = |step: &Step| match step {
        Step::Send(text) => format!("< {text}"),
        Step::Pause => "~".to_owned(),
        Step::Finish => "$".to_owned(),
        Step::Expect(expect) => {
            let one = |one: &Alternative| format!("{} {}", one.statuses, one.conditions.join(" "));
            expect.alternatives.iter().map(one).collect::<Vec<_>>().join(" | ")
        }
    };
    case.steps.iter().map(line).collect()
}
