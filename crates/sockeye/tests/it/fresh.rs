//! A file that has changed is never answered with what it was, however it changed.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::kit::client::{Client, get};
use crate::kit::eventually;
use crate::kit::server::Server;

on_every_driver!(
    two_hundred_changes_are_seen_at_once,
    changes_to_files_long_known_are_seen_at_once,
    a_tag_from_before_a_change_is_no_longer_good,
);

/// All of the same length, so that nothing but the content tells.
fn content(number: usize) -> String {
    format!("this is the content of version {number:04}\n")
}

fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, file).unwrap();
}

fn rewrite(file: &Path, text: &str) {
    let mut file = File::options().write(true).open(file).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn two_hundred_changes_are_seen_at_once(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, content(0)).unwrap();
    let server = Server::start(folder.path(), &["--driver", driver]);
    let mut client = Client::connect(server.address);
    for number in 0..200 {
        if number % 2 == 0 {
            replace(&file, &content(number));
        } else {
            rewrite(&file, &content(number));
        }
        assert_eq!(client.get("/file").text(), content(number));
        assert_eq!(get(server.address, "/file").text(), content(number));
    }
    drop(client);
    server.stop();
}

/// These are old enough to be kept in memory, and the changes hide as well as they can: the length
/// and the time of modification stay.
fn changes_to_files_long_known_are_seen_at_once(driver: &str) {
    const FILES: usize = 200;
    let folder = tempfile::tempdir().unwrap();
    let file = |number: usize| folder.path().join(format!("file{number}"));
    for number in 0..FILES {
        fs::write(file(number), content(number)).unwrap();
    }
    let server = Server::start(folder.path(), &["--driver", driver]);
    eventually("the files are old", || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let changed = fs::metadata(file(FILES - 1)).unwrap().ctime();
        let old = Duration::from_secs(u64::try_from(changed).unwrap() + 4);
        (now > old).then_some(())
    });
    let mut client = Client::connect(server.address);
    for number in 0..FILES {
        let target = format!("/file{number}");
        let path = file(number);
        for _ in 0..2 {
            assert_eq!(client.get(&target).text(), content(number));
        }
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let new = content(9999 - number);
        if number % 2 == 0 {
            replace(&path, &new);
        } else {
            rewrite(&path, &new);
        }
        File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        assert_eq!(client.get(&target).text(), new);
        assert_eq!(get(server.address, &target).text(), new);
        fs::remove_file(&path).unwrap();
        assert_eq!(client.get(&target).status, 404);
    }
    drop(client);
    server.stop();
}

fn a_tag_from_before_a_change_is_no_longer_good(driver: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, content(0)).unwrap();
    let server = Server::start(folder.path(), &["--driver", driver]);
    let mut client = Client::connect(server.address);
    for number in 1..100 {
        let before = client.get("/file");
        let tag = before.header("etag").unwrap();
        let condition = format!("If-None-Match: {tag}\r\n");
        let unchanged = client.get_with("/file", &condition);
        assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
        if number % 2 == 0 {
            replace(&file, &content(number));
        } else {
            rewrite(&file, &content(number));
        }
        let changed = client.get_with("/file", &condition);
        assert_eq!((changed.status, changed.text()), (200, &*content(number)));
    }
    drop(client);
    server.stop();
}
