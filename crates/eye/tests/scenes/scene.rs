//! What a scene is, and how one is played and compared.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use rustix::fs::{FlockOperation, flock};
use sockeye_eye::record::History;
use sockeye_eye::view::{self, Style};

use crate::account::Account;
use crate::place::{self, Link};
use crate::retimed::{Pauses, never, retimed};
use crate::stage::Stage;

/// What two ends do to each other, and what is to be seen of it.
#[derive(Clone, Copy)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) link: Link,
    /// Whether messages are those of two who talk as they please.
    pub(crate) talk: bool,
    /// Whether the kernel is asked how full queues are. When it was asked is a matter of luck.
    pub(crate) queues: bool,
    /// What both ends do, in this order.
    pub(crate) play: fn(&mut Stage),
    /// What is true of it whatever else the kernel does; of the client and of the server.
    pub(crate) facts: fn(&Account, &Account),
    /// What is found at the client's end and at the server's, by its name; and nothing besides.
    pub(crate) found: [&'static [&'static str]; 2],
    /// Where the kernel waits for a timer of its own.
    pub(crate) pauses: Pauses,
    /// Whether nothing in it is up to the kernel, so that all of it is compared.
    pub(crate) golden: bool,
}

impl Scene {
    /// A scene on loopback in which nothing is up to the kernel.
    pub(crate) fn new(
        name: &'static str,
        play: fn(&mut Stage),
        facts: fn(&Account, &Account),
    ) -> Scene {
        let link = Link::Loopback;
        Scene {
            name,
            link,
            talk: true,
            queues: false,
            play,
            facts,
            found: [&[], &[]],
            pauses: never,
            golden: true,
        }
    }

    /// Plays it here, as whoever this thread is; nothing if the machine was too busy for it.
    fn play_here(&self) -> Option<[Option<History>; 2]> {
        let _alone = place::no_process_starts();
        let mut stage = Stage::new(self.link, self.talk, self.queues);
        (self.play)(&mut stage);
        if stage.disturbed { None } else { Some(stage.end()) }
    }

    /// Has it played in a new network, in another one as often as the machine was too busy.
    fn in_a_network<T>(&self, play: fn(&Scene) -> Option<T>) -> T
    where
        T: Send,
    {
        const TRIES: usize = 50;
        let played = (0..TRIES).find_map(|_| {
            let in_its_network = || {
                let _link = place::enter(self.link);
                play(self)
            };
            on_a_thread(in_its_network)
        });
        played.expect("a machine that is not too busy all the time")
    }

    /// Plays it in a network of its own with all privileges, and compares.
    pub(crate) fn as_root(&self) {
        if !crate::support::may_make_networks(self.name) {
            return;
        }
        let histories = self.in_a_network(Scene::play_here);
        if self.golden {
            compare(self.name, &self.drawn(&histories));
        }
        let [client, server] = histories.map(Account::new);
        assert!(client.captured() && (server.is_absent() || server.captured()));
        let found = [&client, &server].map(Account::found);
        assert_eq!(found, self.found, "what is found at the client's end and at the server's");
        (self.facts)(&client, &server);
    }

    /// Plays it in a network of its own in a process of `nobody`, and compares that with what is seen
    /// with all privileges. In that process, plays it.
    pub(crate) fn as_nobody(&self) {
        if is_player() {
            return self.print();
        }
        if !crate::support::may_make_networks(self.name) {
            return;
        }
        let said = self.in_a_network(|scene| played_by_nobody(scene.name));
        let (drawing, told) = said.split_once(BORDER).expect("a drawing and an account");
        if self.golden {
            compare(&format!("{}.nobody", self.name), drawing);
        }
        let told: Vec<&str> = told.lines().collect();
        let seen = self.in_a_network(Scene::play_here).map(Account::new);
        let seen = seen.map(|account| account.lines()).concat();
        compare_section(self.name, &differences(&seen, &told));
    }

    /// Plays it and says what was seen.
    fn print(&self) {
        let Some(histories) = self.play_here() else { return print_as_player("") };
        let drawing = self.drawn(&histories);
        let lines = histories.map(Account::new).map(|account| account.lines()).concat();
        print_as_player(&format!("{drawing}{BORDER}{}", lines.join("\n")));
    }

    /// Both ends.
    fn drawn(&self, histories: &[Option<History>; 2]) -> String {
        let ends = histories.iter().flatten();
        let drawn =
            ends.map(|history| view::picture(&retimed(history, self.pauses), &Style::default()));
        drawn.collect::<Vec<_>>().join("\n")
    }
}

/// Set in a process that plays a scene.
const PLAYER: &str = "SOCKEYE_SCENE_PLAYER";
/// Around what it prints.
const EDGE: &str = "\n<<<>>>\n";
const BORDER: &str = "\n<<>>\n";

/// What a process of `nobody` in this network prints of the scene of this name; nothing if the machine was too busy.
pub(crate) fn played_by_nobody(name: &str) -> Option<String> {
    const NOBODY: u32 = 65534;
    let test = format!("{}::as_nobody", name);
    // By what it is and not by its name, which may lie where nobody is let in.
    let mut player = Command::new("/proc/self/exe");
    let player = player
        .args(["--exact", &test, "--nocapture", "--test-threads", "1"])
        .env(PLAYER, "1")
        .uid(NOBODY)
        .gid(NOBODY)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let player = place::spawn(player).wait_with_output().expect("the player ends");
    let said = String::from_utf8_lossy(&player.stdout).into_owned();
    let wrong = || format!("{said}{}", String::from_utf8_lossy(&player.stderr));
    assert!(player.status.success(), "{}", wrong());
    let mut parts = said.split(EDGE);
    let (_, told) = (parts.next(), parts.next());
    let told = told.unwrap_or_else(|| panic!("nothing was played: {}", wrong()));
    (!told.is_empty()).then(|| told.to_owned())
}

/// Whether this process is that one.
pub(crate) fn is_player() -> bool {
    std::env::var_os(PLAYER).is_some()
}

/// Prints what was drawn.
pub(crate) fn print_as_player(drawing: &str) {
    assert!(!rustix::process::geteuid().is_root());
    put(&format!("{EDGE}{drawing}{EDGE}"));
}

/// Prints past the harness, which would keep it.
fn put(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).expect("somebody listens");
}

/// So that a network that was entered is left again.
pub(crate) fn on_a_thread<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    let ended = thread::scope(|scope| scope.spawn(run).join());
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Lines of which there are two versions, and those of only one.
fn differences(seen: &[String], told: &[&str]) -> String {
    let key = |line: &str| line.split_once(": ").map_or(String::new(), |(key, _)| key.to_owned());
    let mut out = String::new();
    for line in seen {
        let same = told.iter().find(|other| key(other) == key(line));
        match same {
            Some(other) if other == line => {}
            Some(other) => {
                let value = other.split_once(": ").map_or("", |(_, value)| value);
                out.push_str(&format!(
                    "  {line}\n  {:>width$}  {value}\n",
                    "nobody",
                    width = key(line).len() - 1
                ));
            }
            None => out.push_str(&format!(
                "  {line}\n  {:>width$}  (not told)\n",
                "nobody",
                width = key(line).len() - 1
            )),
        }
    }
    for line in told.iter().filter(|line| !seen.iter().any(|other| key(other) == key(line))) {
        out.push_str(&format!("  only nobody {line}\n"));
    }
    out
}

fn golden(name: &str) -> PathBuf {
    let path: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "tests", "scenes", "golden", name].iter().collect();
    // A name may hold a dot.
    path.with_file_name(format!("{name}.txt"))
}

fn is_blessing() -> bool {
    std::env::var_os("SOCKEYE_BLESS").is_some()
}

/// Compares with the golden file of this name, or writes that if asked to.
pub(crate) fn compare(name: &str, drawn: &str) {
    let path = golden(name);
    if is_blessing() {
        fs::write(&path, drawn).expect("the golden file can be written");
        return;
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        drawn == golden,
        "{name} is not drawn as in {}\n{}\
         if what is drawn is better: SOCKEYE_BLESS=1 cargo test -p sockeye-eye --test scenes",
        path.display(),
        changed_lines(&golden, drawn),
    );
}

/// Lines that only one of them has.
fn changed_lines(golden: &str, drawn: &str) -> String {
    let lines = |of: &str, other: &str, sign: char| -> String {
        let missing = of.lines().filter(|line| !other.lines().any(|there| there == *line));
        missing.map(|line| format!("{sign} {line}\n")).collect()
    };
    format!("{}{}", lines(golden, drawn, '-'), lines(drawn, golden, '+'))
}

/// What the file of differences begins with.
const PREFACE: &str = "\
What `nobody` does not see: of each scene, what is drawn for root and, below it, what is drawn without
any privilege. What is not listed is the same. `~` is a state that was concluded from calls.
";

/// Compares with the section of this name in the file of differences.
fn compare_section(name: &str, text: &str) {
    let path = golden("differences");
    // Scenes are played at the same time.
    let file = OpenOptions::new().read(true).append(true).create(is_blessing()).open(&path);
    let file = file.expect("the file of differences");
    flock(&file, FlockOperation::LockExclusive).expect("a lock");
    let golden = fs::read_to_string(&path).unwrap_or_default();
    let mut sections: BTreeMap<&str, &str> =
        golden.split("\n== ").skip(1).filter_map(|section| section.split_once('\n')).collect();
    if is_blessing() {
        sections.insert(name, text);
        let sections = sections.iter().map(|(name, text)| format!("\n== {name}\n{text}"));
        fs::write(&path, format!("{PREFACE}{}", sections.collect::<String>())).expect("written");
        return;
    }
    let golden = sections.get(name).copied().unwrap_or_default();
    assert!(
        golden == text,
        "{name}: not as in {}\n--- now\n{text}--- golden\n{golden}",
        path.display()
    );
}
