//! Bytes from one program's standard input over TCP to another's standard output: `connect` and
//! `listen` against the tools people take for it.
//!
//! Two processes of each tool, one a core; this program feeds the one and drains the other through
//! pipes. What counts is what came out, over the CPU time of both processes.

use std::cell::RefCell;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Signal, kill_process};
use sockeye_engine::DriverKind;

use crate::child::Process;
use crate::entry::{Entry, Server, wait_until_it_listens};
use crate::report::{self, Column, Work};
use crate::rounds::{self, Count, Sample};
use crate::{Settings, cpu};

/// What socat is given as `-b`; the best of them is its row to beat.
const SOCAT_BUFFERS: [u32; 4] = [8 << 10, 64 << 10, 256 << 10, 1 << 20];

/// How long a listener may take to listen, and the first byte to come through.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes fed and drained at once: what a pipe holds.
const PIECE: usize = 64 << 10;

/// A tool: how its two ends are run.
struct Tool {
    name: String,
    listen: Box<dyn Fn(SocketAddr) -> Command>,
    connect: Box<dyn Fn(SocketAddr) -> Command>,
}

pub(crate) fn run(settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    let tools = tools(settings);
    // The reader of the listener that was started last.
    let drain = RefCell::new(None);
    let mut entries: Vec<Entry<'_>> = tools
        .iter()
        .map(|tool| Entry::new(tool.name.clone(), || listen(tool, settings, &drain)))
        .collect();
    let title = "Bytes through connect and listen, TCP on loopback, pipe to pipe";
    writeln!(out, "## {title}\n")?;
    let samples = rounds::run(&mut entries, title, settings, |server| {
        let tool = tools.iter().find(|tool| tool.name == server.target);
        let tool = tool.context("it is one of the tools")?;
        let drain = drain.borrow_mut().take().context("a listener was started")?;
        turn(tool, server, drain, settings)
    })?;
    let mut columns = vec![Column::PerCpu];
    columns.extend((DriverKind::ALL.len()..tools.len()).map(Column::PerCpuAgainst));
    columns.push(Column::PerSecond);
    report::write(out, &entries, &samples, Work::Bytes, &columns, settings)
}

/// Sockeye on every driver, then the others, each told to move bytes one way where it can be told.
fn tools(settings: &Settings) -> Vec<Tool> {
    let mut tools = Vec::new();
    for driver in DriverKind::ALL {
        let run = |verb: &'static str, settings: &Settings| {
            let program = settings.sockeye();
            Box::new(move |address: SocketAddr| {
                let endpoint = format!("tcp://{address}");
                let mut command = command(&program, &[verb, &endpoint, "--driver", driver.name()]);
                // As the others do without being told.
                if verb == "listen" {
                    command.arg("--once");
                }
                command
            })
        };
        tools.push(Tool {
            name: format!("sockeye {driver}"),
            listen: run("listen", settings),
            connect: run("connect", settings),
        });
    }
    for buffer in SOCAT_BUFFERS {
        tools.push(Tool {
            name: format!("socat -b {buffer}"),
            listen: Box::new(move |address| {
                let from = format!("TCP-LISTEN:{},bind={}", address.port(), address.ip());
                command("socat", &["-u", "-b", &buffer.to_string(), &from, "STDOUT"])
            }),
            connect: Box::new(move |address| {
                let to = format!("TCP:{address}");
                command("socat", &["-u", "-b", &buffer.to_string(), "STDIN", &to])
            }),
        });
    }
    let netcat = |program: &'static str, listen: &'static [&str], connect: &'static [&str]| {
        let run = move |options: &'static [&str]| {
            Box::new(move |address: SocketAddr| {
                let (ip, port) = (address.ip().to_string(), address.port().to_string());
                let words: Vec<&str> = options.iter().copied().chain([&*ip, &*port]).collect();
                command(program, &words)
            })
        };
        Tool { name: program.to_owned(), listen: run(listen), connect: run(connect) }
    };
    tools.push(netcat("ncat", &["--recv-only", "-l"], &["--send-only"]));
    tools.push(netcat("nc", &["-d", "-l"], &[]));
    tools
}

fn command(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

fn listen(
    tool: &Tool,
    settings: &Settings,
    drain: &RefCell<Option<PipeReader>>,
) -> anyhow::Result<Server> {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let (reader, writer) = io::pipe()?;
    let mut command = (tool.listen)(address);
    command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::null());
    let mut process = Process::spawn(command, settings.server_core)?;
    wait_until_it_listens(&mut process, address)?;
    *drain.borrow_mut() = Some(reader);
    Ok(Server::new(process, address, tool.name.clone()))
}

fn turn(
    tool: &Tool,
    server: &Server,
    drain: PipeReader,
    settings: &Settings,
) -> anyhow::Result<Sample> {
    let (reader, feed) = io::pipe()?;
    let mut command = (tool.connect)(server.address);
    command.stdin(reader).stdout(Stdio::null()).stderr(Stdio::null());
    let mut client = Process::spawn(command, settings.load_core)?;
    let drained = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| pour(feed));
        scope.spawn(|| count(drain, &drained));
        let sample = watch(server, &mut client, &drained, settings);
        // Without its two ends the feed breaks, and nothing is left to be drained.
        drop(client);
        let _ = kill_process(server.process.pid(), Signal::TERM);
        sample
    })
}

/// Feeds until nobody reads.
fn pour(mut feed: PipeWriter) {
    let piece = vec![b'x'; PIECE];
    while feed.write_all(&piece).is_ok() {}
}

fn count(mut drain: PipeReader, drained: &AtomicU64) {
    let mut piece = vec![0; PIECE];
    while let Ok(count @ 1..) = drain.read(&mut piece) {
        drained.fetch_add(count as u64, Ordering::Relaxed);
    }
}

fn watch(
    server: &Server,
    client: &mut Process,
    drained: &AtomicU64,
    settings: &Settings,
) -> anyhow::Result<Sample> {
    let deadline = Instant::now() + PATIENCE;
    while drained.load(Ordering::Relaxed) == 0 {
        pass(client, Duration::from_millis(1))?;
        ensure!(Instant::now() < deadline, "nothing came through within {PATIENCE:?}");
    }
    pass(client, settings.warm_up)?;
    let ends = [server.process.pid(), client.pid()];
    let spent = || ends.into_iter().map(cpu::time_of_tree).sum::<anyhow::Result<Duration>>();
    let (start, bytes, before) = (Instant::now(), drained.load(Ordering::Relaxed), spent()?);
    pass(client, Duration::from_secs(u64::from(settings.seconds)))?;
    let (wall, all, after) = (start.elapsed(), drained.load(Ordering::Relaxed), spent()?);
    let count = Count {
        requests: 0.0,
        // Far below 2^53, where f64 stops being exact.
        bytes: all.saturating_sub(bytes) as f64,
        wall,
        errors: 0,
        p50: Duration::ZERO,
        p99: Duration::ZERO,
    };
    Sample::new(count, before, after)
}

/// Lets time pass, in which the client goes on.
fn pass(client: &mut Process, time: Duration) -> anyhow::Result<()> {
    match client.wait(time)? {
        None => Ok(()),
        Some(status) => bail!("the client ended: {status}"),
    }
}
