//! `sockeye drivers`.

use std::fs::File;

use crate::kit::DRIVERS;
use crate::kit::server::{run, sockeye};

#[test]
fn the_list_says_how_each_driver_waits_and_whether_it_is_here() {
    let (code, stdout, stderr) = run(sockeye().args(["drivers", "--idle", "0"]));
    assert_eq!((code, &*stderr), (Some(0), ""));
    let (table, kernel) = stdout.split_once("\n\n").unwrap();
    assert_eq!(table.to_owned() + "\n", include_str!("golden/drivers.txt"));
    assert!(kernel.starts_with("Linux "), "{kernel}");
}

#[test]
fn the_document_has_a_cost_for_each_driver_that_is_here() {
    let (code, stdout, stderr) = run(sockeye().args(["drivers", "--json", "--idle", "100"]));
    assert_eq!((code, &*stderr), (Some(0), ""));
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let drivers = document["drivers"].as_array().unwrap();
    let names: Vec<&str> = drivers.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names[..DRIVERS.len()], DRIVERS);
    for driver in &drivers[..DRIVERS.len()] {
        let measured = driver["measured"].as_array().unwrap();
        let idle: Vec<_> = measured.iter().map(|cost| cost["idle"].as_u64().unwrap()).collect();
        assert_eq!(idle, [10, 100], "{driver}");
        assert!(
            measured.iter().all(|cost| cost["microseconds"].as_f64().unwrap() > 0.0),
            "{driver}"
        );
    }
}

#[test]
fn fewer_descriptors_than_the_measurement_wants_are_said() {
    let mut limited = std::process::Command::new("sh");
    let program = sockeye().get_program().to_owned();
    limited.args(["-c", "ulimit -n 200 && exec \"$0\" drivers --idle 1000"]).arg(program);
    let (code, stdout, stderr) = run(&mut limited);
    assert_eq!((code, &*stderr), (Some(0), ""));
    let said = "Measured with 68 idle connections, not 1000: the process may have no more \
                descriptors (ulimit -n).";
    assert!(stdout.contains(said), "{stdout}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_reason_to_complain() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = sockeye().args(["drivers", "--idle", "0"]).stdout(writer).output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert!(output.status.success());
}

#[test]
fn a_full_disk_is_told() {
    for arguments in [&["drivers", "--idle", "0"][..], &["help", "drivers"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = sockeye().args(arguments).stdout(full).output().unwrap();
        let said = "sockeye: write standard output: No space left on device (os error 28)\n";
        assert_eq!(String::from_utf8(output.stderr).unwrap(), said, "{arguments:?}");
        assert_eq!(output.status.code(), Some(1));
    }
}
