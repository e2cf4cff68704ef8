//! What aria2c, rclone and h2load get is what is in the folder, byte for byte.

use std::fs;
use std::process::Command;

use crate::kit::folder::{noise, sparse};
use crate::kit::need;
use crate::kit::server::{Server, output, run};

on_every_driver!(
    aria2c_puts_a_file_together_from_ranges_it_gets_at_once,
    rclone_mirrors_the_folder_as_it_is,
    h2load_gets_every_answer_whole,
);

fn aria2c_puts_a_file_together_from_ranges_it_gets_at_once(driver: &str) {
    if !need("aria2c_puts_a_file_together_from_ranges_it_gets_at_once", &["aria2c"]) {
        return;
    }
    let [folder, copy] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    sparse(&folder.path().join("big"), 50_000_000);
    let log = folder.path().join("log");
    let log = log.to_str().unwrap();
    let server =
        Server::start(folder.path(), &["--driver", driver, "--log", "common", "--log-file", log]);
    let to = format!("--dir={}", copy.path().display());
    let split = ["--split=8", "--max-connection-per-server=8", "--min-split-size=1M"];
    let quiet = ["--quiet", "--no-conf", "--file-allocation=none", &to, &server.url("/big")];
    output("aria2c", &[&split[..], &quiet].concat());
    let [ours, theirs] = [&folder, &copy].map(|at| fs::read(at.path().join("big")).unwrap());
    assert!(ours == theirs, "{} of {} bytes, or others", theirs.len(), ours.len());
    server.stop();
    let parts = fs::read_to_string(log).unwrap().matches("\" 206 ").count();
    assert!(parts >= 4, "{parts} ranges");
}

fn rclone_mirrors_the_folder_as_it_is(driver: &str) {
    if !need("rclone_mirrors_the_folder_as_it_is", &["rclone"]) {
        return;
    }
    let [folder, copy] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    fs::create_dir_all(folder.path().join("a b/c")).unwrap();
    let files = ["one", "ü & <two>.txt", "a b/three #3", "a b/c/four %20", "a b/c/empty"];
    for (each, name) in files.iter().enumerate() {
        let content = noise(each as u64, (each + 1) % files.len() * 100_000);
        fs::write(folder.path().join(name), content).unwrap();
    }
    let server = Server::start(folder.path(), &["--driver", driver]);
    let to = copy.path().to_str().unwrap();
    output("rclone", &["copy", "--config=", "--http-url", &server.url("/"), ":http:", to]);
    for name in files {
        let [ours, theirs] = [&folder, &copy].map(|at| fs::read(at.path().join(name)));
        assert!(ours.unwrap() == theirs.unwrap(), "{name}");
    }
    server.stop();
}

fn h2load_gets_every_answer_whole(driver: &str) {
    if !need("h2load_gets_every_answer_whole", &["h2load"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), noise(1, 100_000)).unwrap();
    let server = Server::start(folder.path(), &["--driver", driver]);
    let mut h2load = Command::new("h2load");
    h2load.args(["--h1", "--requests=1000", "--clients=20", "--threads=1", &server.url("/file")]);
    let (code, said, _) = run(&mut h2load);
    assert_eq!(code, Some(0), "{said}");
    let all = "1000 total, 1000 started, 1000 done, 1000 succeeded, 0 failed, 0 errored, 0 timeout";
    assert!(said.contains(all), "{said}");
    assert!(said.contains("(100000000) data"), "{said}");
    server.stop();
}
