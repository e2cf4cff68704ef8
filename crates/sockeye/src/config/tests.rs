use std::fs;
use std::path::PathBuf;

use super::*;

/// What values of any kind look like; of each setting the first one is taken that its flag takes.
const SAMPLES: [&str; 17] = [
    "7",
    "7s",
    "70",
    "64k",
    "127.0.0.1:7",
    "404=a.html",
    "a=b",
    "a: b",
    "*.html: A: b",
    "/a/: *: read",
    "/a/ = read",
    "off",
    "follow",
    "utf-16",
    "https://a.example",
    "a.file",
    "en",
];

fn typed(words: &[&str]) -> Vec<OsString> {
    ["sockeye", "serve"].iter().chain(words).map(OsString::from).collect()
}

/// The settings that hold, without where they come from.
fn effective(words: &[&str]) -> Result<String, Wrong> {
    let words: Vec<&str> = words.iter().copied().chain(["--check-config"]).collect();
    let args = read(&typed(&words))?;
    let args::Command::Serve(serve) = args.command else { panic!("it is serve") };
    let text = serve.operate.effective.expect("it was asked for");
    Ok(text
        .lines()
        .map(|line| line.split("  # ").next().unwrap_or(line).to_owned() + "\n")
        .collect())
}

struct File {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl File {
    fn of(text: &str) -> File {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("serve.toml");
        fs::write(&path, text).expect("it can be written");
        File { _folder: folder, path }
    }

    fn name(&self) -> &str {
        self.path.to_str().expect("UTF-8")
    }

    fn problem(&self) -> String {
        match effective(&["--config", self.name()]) {
            Err(Wrong::File(problem)) => problem.to_string().replace(self.name(), "serve.toml"),
            Err(Wrong::Typed(error)) => panic!("what was typed is right: {error}"),
            Ok(text) => panic!("it was understood: {text}"),
        }
    }
}

#[test]
fn every_flag_has_its_key_and_both_say_the_same() {
    let mut root = Args::command();
    root.build();
    let command = root.find_subcommand(COMMAND).expect("it is there");
    let nothing = effective(&[]).expect("nothing need be said");
    let writing = effective(&["--write=new"]).expect("it may be said");
    let mut count = 0;
    for (key, arg) in keys(command) {
        let possible: Vec<String> = arg
            .get_possible_values()
            .iter()
            .map(|value| value.get_name().to_owned())
            .rev()
            .collect();
        let samples = possible.iter().map(String::as_str).chain(SAMPLES);
        let pairs: Vec<(String, String)> = match is_switch(arg) {
            true => vec![(format!("--{key}"), format!("{key} = true\n"))],
            false => samples
                .map(|sample| {
                    let flag = match arg.is_positional() {
                        true => sample.to_owned(),
                        false => format!("--{key}={sample}"),
                    };
                    (flag, format!("{key} = \"{sample}\"\n"))
                })
                .collect(),
        };
        let both = pairs.iter().find_map(|(flag, line)| {
            let alone = effective(&[flag]).ok().filter(|by_flag| *by_flag != nothing);
            if let Some(by_flag) = alone {
                return Some((by_flag, line.clone()));
            }
            // Some say more of what another one allows.
            let by_flag = effective(&["--write=new", flag]).ok().filter(|both| *both != writing)?;
            Some((by_flag, format!("write = \"new\"\n{line}")))
        });
        let (by_flag, line) =
            both.unwrap_or_else(|| panic!("--{key} takes none of the samples: add one for it"));
        let file = File::of(&line);
        let by_file = effective(&["--config", file.name()]);
        assert_eq!(by_file.unwrap_or_else(|wrong| panic!("{wrong:?}")), by_flag, "{line}");
        // What is printed can be read again, and says the same.
        let again = File::of(&by_flag);
        let again = effective(&["--config", again.name()]);
        assert_eq!(again.unwrap_or_else(|wrong| panic!("{by_flag}{wrong:?}")), by_flag, "{line}");
        count += 1;
    }
    assert!(count > 20, "{count} settings");
}

#[test]
fn what_is_typed_wins_and_also_over_what_it_excludes() {
    let file = File::of("port = 7\nidle-timeout = \"7s\"\nlog = \"json\"\n");
    let text = effective(&["--config", file.name(), "--idle-timeout", "8s", "--listen", "[::1]:9"]);
    let text = text.expect("they go together");
    for line in
        ["idle-timeout = \"8s\"", "listen = [\"[::1]:9\"]", "# port is not set", "log = \"json\""]
    {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (text, problem) in [
        (
            "idle-timeout = \"7s\"\n\n  idle-tmeout = \"7s\"\n",
            "serve.toml:3:3: idle-tmeout: no such setting; did you mean idle-timeout?",
        ),
        (
            "idle_timeout = \"7s\"",
            "serve.toml:1:1: idle_timeout: no such setting; did you mean idle-timeout?",
        ),
        ("zzz = 1", "serve.toml:1:1: zzz: no such setting; sockeye serve --help lists them"),
        (
            "config = \"a\"",
            "serve.toml:1:1: config: no such setting; sockeye serve --help lists them",
        ),
        ("lan = \"yes\"", "serve.toml:1:7: lan: it is true or false"),
        ("port = true", "serve.toml:1:8: port: it is not on or off; write port = \"…\""),
        ("port = [1, 2]", "serve.toml:1:8: port: it has one value, and no list of them"),
        ("listen = [1.5, {}]", "serve.toml:1:16: listen: each is a text or a number"),
        ("dir = 1979-05-27", "serve.toml:1:7: dir: a datetime is no value for it; write a text"),
        (
            "port = 70000",
            "serve.toml:1:8: port: invalid value '70000' for '--port <N>': 70000 is not in 0..=65535",
        ),
    ] {
        assert_eq!(File::of(text).problem(), problem);
    }
    let twice = File::of("lan = true\nlan = false\n").problem();
    assert!(twice.starts_with("serve.toml:2:1: ") && twice.contains("duplicate key"), "{twice}");
    let both = File::of("port = 7\nlisten = \"[::1]:7\"\n").problem();
    assert!(both.starts_with("serve.toml: ") && both.contains("cannot be used with"), "{both}");
    let gone = File::of("");
    fs::remove_file(&gone.path).expect("it is there");
    assert!(gone.problem().starts_with("serve.toml: can't be read: No such file"));
}
