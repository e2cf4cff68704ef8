//! docs/attacks.md, which is written from measurements.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use super::Measured;

pub(super) fn write(all: &[Measured]) {
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let mut out = format!(
        "# Attacks\n\n\
         What it costs `sockeye serve` to be attacked, and whether others notice. Each attack runs\n\
         beside a client that asks for a small file again and again, each time on a new connection, and\n\
         then once more alone, when bytes and processor time are counted. Both are per byte the attacker\n\
         sends, as multiples of plain GETs of the same file, each on a connection of its own: below 1,\n\
         asking politely costs the server more. More than 10 fails the tests, which run all of this on\n\
         every driver, and so does more memory than 24 MiB and 80 KiB for each connection. Time-outs are\n\
         set to ten minutes, so that none of them ends an attack; what is slow sends a piece every 10 ms.\n\
         Measured on the driver epoll-edge with\n\
         all on one machine, with attackers and others on the same two cores, in a {profile} build, by\n\n\
         ```\nSOCKEYE_WRITE_TABLE=1 cargo test -p sockeye --test it the_table_of_attacks\n```\n\n\
         | attack | connections | bytes in | bytes out | bytes out per byte, × plain GET | processor time per byte, × plain GET | memory | honest answers | the slowest |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|\n"
    );
    for row in all {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {:.3} | {:.2} | {:.1} MiB | {} | {} ms |",
            row.name,
            row.connections,
            row.traffic.sent,
            row.traffic.received,
            row.bytes,
            row.time,
            row.memory as f64 / f64::from(1 << 20),
            row.answers,
            row.slowest.as_millis(),
        );
    }
    out.push_str(
        "\nMemory is what the process takes at most beyond what it had before. Slow readers hold what the\n\
         kernel buffers for them besides; `--write-timeout`, `--max-connections` and\n\
         `--address-connections` bound how many and how long.\n",
    );
    fs::write(path(), out).unwrap();
}

pub(super) fn read() -> String {
    fs::read_to_string(path()).unwrap()
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/attacks.md")
}
