//! Settings from a file: `--config` and `--check-config`, as an operator meets them.

use std::fs;

use crate::kit::client::get;
use crate::kit::server::{Server, run, sockeye};

#[test]
fn a_server_is_as_its_file_says_and_what_is_typed_wins() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("site")).unwrap();
    fs::write(folder.path().join("site/hello"), "hello\n").unwrap();
    fs::write(
        folder.path().join("serve.toml"),
        "dir = \"site\"\nport = 1\nlog = \"json\"\ndriver = \"poll\"\n",
    )
    .unwrap();
    let mut command = sockeye();
    command.current_dir(&folder).args(["serve", "--config", "serve.toml", "--port", "0"]);
    let server = Server::of(&mut command);
    assert!(server.ready.starts_with("serving site on http://127.0.0.1:"), "{}", server.ready);
    assert_eq!(get(server.address, "/hello").text(), "hello\n");
    server.stop();
}

#[test]
fn a_file_is_checked_and_all_that_holds_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("serve.toml");
    fs::write(&file, "idle-timeout = \"7s\"\n").unwrap();
    let check = |words: &[&str]| {
        let mut command = sockeye();
        command.current_dir(&folder).args(["serve", "--check-config", "--config", "serve.toml"]);
        run(command.args(words))
    };
    let (code, printed, said) = check(&["--head-timeout", "8s"]);
    assert_eq!((code, &*said), (Some(0), ""));
    for line in [
        "idle-timeout = \"7s\"  # from the file",
        "head-timeout = \"8s\"  # from the command line",
        "dir = \".\"  # default",
        "# admin is not set",
    ] {
        assert!(printed.lines().any(|it| it == line), "{line}\n{printed}");
    }
    let (code, printed, said) = check(&["nowhere"]);
    assert_eq!((code, &*printed), (Some(1), ""));
    assert!(said.starts_with("sockeye: nowhere: no such folder"), "{said}");
    fs::write(&file, "\nidle-timout = \"7s\"\n").unwrap();
    let (code, printed, said) = check(&[]);
    assert_eq!((code, &*printed), (Some(2), ""));
    assert_eq!(
        said,
        "sockeye: serve.toml:2:1: idle-timout: no such setting; did you mean idle-timeout?\n"
    );
}
