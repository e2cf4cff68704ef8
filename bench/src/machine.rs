//! The machine measured on: its cores, its limits, and the line that tells a reader about both.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity};

use crate::{Settings, nginx, wrk};

/// Writes what a reader must know to judge the figures: machine, kernel, versions, method.
pub(crate) fn describe(out: &mut dyn Write, settings: &Settings) -> anyhow::Result<()> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown CPU", |(_, model)| model.trim());
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let system = rustix::system::uname();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown");
    writeln!(
        out,
        "- Machine: {model}, {cores} cores; Linux {}",
        system.release().to_string_lossy()
    )?;
    writeln!(
        out,
        "- Method: server on core {}, load on core {}; {} rounds in random order (seed {}), a \
         fresh process for each turn of {} s after {} s of warm-up; median [quartiles]",
        settings.server_core,
        settings.load_core,
        settings.rounds,
        settings.seed,
        settings.seconds,
        settings.warm_up.as_secs_f64(),
    )?;
    writeln!(
        out,
        "- Versions: {}; {}; {}",
        version(&settings.sockeye(), "--version", "sockeye"),
        nginx::find().map_or_else(|| "no nginx".into(), |path| version(&path, "-v", "nginx")),
        wrk::find().map_or_else(|| "no wrk".into(), |path| version(&path, "-v", "wrk")),
    )?;
    writeln!(out, "- Load average of the last minute at the start: {load}\n")?;
    Ok(())
}

/// Lifts the soft limit on descriptors to the hard one; children inherit it.
pub(crate) fn raise_descriptor_limit() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).context("raising the limit on open files")
}

/// Refuses a pair of cores that would not keep the load off the server.
pub(crate) fn check_cores(server: usize, load: usize) -> anyhow::Result<()> {
    if server == load {
        bail!("server and load share core {server}: give --server-core and --load-core two cores");
    }
    let allowed = sched_getaffinity(None).context("sched_getaffinity")?;
    for core in [server, load] {
        if core >= CpuSet::MAX_CPU || !allowed.is_set(core) {
            bail!("core {core} is not among those this process may use");
        }
    }
    Ok(())
}

/// The file called `name` in PATH, or in the system directories a user's PATH may leave out.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}

/// The first line with a digit in it that the program prints when asked for its version.
fn version(program: &Path, flag: &str, name: &str) -> String {
    let output = Command::new(program).arg(flag).stdin(Stdio::null()).output();
    let Ok(output) = output else {
        return format!("no {name}");
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| line.contains(|c: char| c.is_ascii_digit()));
    line.map_or_else(
        || format!("{name} of unknown version"),
        |line| {
            // wrk's line goes on with its copyright.
            line.split(" [").next().unwrap_or(line).trim().to_owned()
        },
    )
}

#[cfg(test)]
pub(crate) fn first_core() -> usize {
    let allowed = sched_getaffinity(None).expect("affinity");
    (0..CpuSet::MAX_CPU).find(|&core| allowed.is_set(core)).expect("a core")
}
