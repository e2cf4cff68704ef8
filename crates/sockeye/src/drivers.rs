//! `sockeye drivers`: the ways to wait, whether they can be had here, and what they cost.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use sockeye_engine::probe::Role;
use sockeye_engine::{DriverKind, Engine, Growth, Stream, Told, spawn};

use crate::{args, output};

/// Messages whose cost is averaged, and how often that is done: the least of them counts.
const MESSAGES: u32 = 400;
const TRIES: u32 = 3;

/// Idle connections in the first measurement.
const FEW: u32 = 10;

/// What is known of one driver.
#[derive(Serialize)]
struct Known {
    name: &'static str,
    about: &'static str,
    /// Why it can't be had, if so.
    unavailable: Option<String>,
    one_thread_many_connections: bool,
    sleeps: bool,
    kernel_tells: &'static str,
    cost_grows_with: &'static str,
    /// Microseconds of processor time for a message, with so many connections idle.
    measured: Vec<Cost>,
}

#[derive(Serialize)]
struct Cost {
    idle: u32,
    microseconds: f64,
}

pub(crate) fn run(args: &args::Drivers) -> anyhow::Result<ExitCode> {
    let idle = room_for(args.idle);
    let counts = if args.idle == 0 { vec![] } else { vec![FEW.min(idle), idle] };
    let mut known = Vec::new();
    for kind in DriverKind::ALL.into_iter().chain([DriverKind::Sim]) {
        known.push(learn(kind, &counts)?);
    }
    let release = rustix::system::uname();
    let kernel =
        format!("{} {}", release.sysname().to_string_lossy(), release.release().to_string_lossy());
    let mut text = if args.json {
        serde_json::to_string_pretty(&serde_json::json!({ "kernel": kernel, "drivers": known }))?
    } else {
        page(&kernel, &known, &counts)
    };
    if idle < args.idle && !args.json {
        text.push_str(&format!(
            "\nMeasured with {idle} idle connections, not {}: the process may have no more \
             descriptors (ulimit -n).",
            args.idle
        ));
    }
    text.push('\n');
    output::page(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// As many idle connections as there are descriptors for.
fn room_for(idle: u32) -> u32 {
    let limit = getrlimit(Resource::Nofile);
    let highest = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let limit = match setrlimit(Resource::Nofile, highest) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    // Two a connection, and some for everything else.
    let most = limit.map_or(u64::MAX, |limit| limit.saturating_sub(64) / 2);
    idle.min(u32::try_from(most).unwrap_or(u32::MAX))
}

fn learn(kind: DriverKind, counts: &[u32]) -> anyhow::Result<Known> {
    let can = kind.capabilities();
    let mut known = Known {
        name: kind.name(),
        about: about(kind),
        unavailable: None,
        one_thread_many_connections: can.multiplexes,
        sleeps: can.sleeps,
        kernel_tells: match can.told {
            Told::Nothing => "nothing",
            Told::States => "what is ready",
            Told::Changes => "what became ready",
            Told::Results => "results",
        },
        cost_grows_with: match can.growth {
            Growth::Flat => "-",
            Growth::Connections => "connections",
            Growth::HighestDescriptor => "highest descriptor",
        },
        measured: Vec::new(),
    };
    if !can.network {
        return Ok(known);
    }
    match kind.available() {
        Err(error) => known.unavailable = Some(error.to_string()),
        Ok(()) => {
            for idle in counts {
                // A thread that blocks has one connection, whatever others there are.
                let others = if can.multiplexes { *idle } else { 0 };
                let microseconds = measure(kind, others)
                    .with_context(|| format!("{kind}: it can't be measured"))?;
                known.measured.push(Cost { idle: *idle, microseconds });
            }
        }
    }
    Ok(known)
}

/// What it is, in a few words.
pub(crate) fn about(kind: DriverKind) -> &'static str {
    match kind {
        DriverKind::Blocking => "a thread for each connection, asleep in its call",
        DriverKind::Busy => "asks every socket again and again, never sleeps",
        DriverKind::Select => "select(2): bit maps up to the highest descriptor, beyond 1024 too",
        DriverKind::Poll => "poll(2): the whole list is handed over for each wait",
        DriverKind::Epoll => "epoll(7), level-triggered: the kernel keeps the list",
        DriverKind::EpollEdge => "epoll(7), edge-triggered: the kernel reports changes (default)",
        DriverKind::Uring => "io_uring(7): the kernel makes the calls",
        DriverKind::Sim => "a network inside the process, on a virtual clock: for tests",
    }
}

/// Microseconds of this thread's processor time to wait for a byte, receive it and answer it.
fn measure(kind: DriverKind, idle: u32) -> anyhow::Result<f64> {
    let engine = Engine::new(kind)?;
    let mut silent = Vec::new();
    let mut least = Duration::MAX;
    engine.block_on(async {
        for _ in 0..idle {
            let (ours, theirs) = UnixStream::pair()?;
            silent.push(theirs);
            let mut stream = Stream::adopt(ours, Role::Server)?;
            spawn(async move { drop(stream.recv().await) });
        }
        let (ours, mut theirs) = UnixStream::pair()?;
        let peer = std::thread::spawn(move || -> io::Result<()> {
            let mut byte = [0];
            for _ in 0..=MESSAGES * TRIES {
                theirs.write_all(&byte)?;
                theirs.read_exact(&mut byte)?;
            }
            Ok(())
        });
        let mut stream = Stream::adopt(ours, Role::Server)?;
        // The first one finds the others still on their way to their first wait.
        answer(&mut stream).await?;
        for _ in 0..TRIES {
            let before = processor_time();
            for _ in 0..MESSAGES {
                answer(&mut stream).await?;
            }
            least = least.min(processor_time().saturating_sub(before));
        }
        drop(stream);
        peer.join().map_err(|_| io::Error::other("the peer's thread panicked"))?
    })?;
    let each = least.as_secs_f64() * 1e6 / f64::from(MESSAGES);
    // Hundredths: what is finer is noise.
    Ok((each * 100.0).round() / 100.0)
}

async fn answer(stream: &mut Stream) -> io::Result<()> {
    let chunk = stream.recv().await?;
    stream.write(&chunk);
    drop(chunk);
    stream.flush().await
}

fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(now).unwrap_or_default()
}

fn page(kernel: &str, known: &[Known], counts: &[u32]) -> String {
    let micro = if output::locale_is_ascii() { "us" } else { "µs" };
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(output::stdout_width().unwrap_or(100).max(60));
    let mut header = vec!["DRIVER".to_owned(), "HERE".to_owned(), "HOW IT WAITS".to_owned()];
    header.extend(counts.iter().map(|idle| format!("{idle} IDLE")));
    table.set_header(header);
    for one in known {
        let here = match (&one.unavailable, one.measured.is_empty(), one.name) {
            (Some(_), ..) => "no",
            (None, true, "sim") => "tests",
            _ => "yes",
        };
        let about = match &one.unavailable {
            Some(why) => format!("{}; here: {why}", one.about),
            None => one.about.to_owned(),
        };
        let mut row = vec![one.name.to_owned(), here.to_owned(), about];
        for place in 0..counts.len() {
            row.push(match one.measured.get(place) {
                Some(cost) => format!("{:.1} {micro}", cost.microseconds),
                None => "-".to_owned(),
            });
        }
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
        if column.index >= 3 {
            column.set_cell_alignment(CellAlignment::Right);
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(10)));
        } else if column.index == 0 {
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(12)));
        }
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    let mut text = lines.join("\n");
    text.push_str(&format!("\n\n{kernel}\n"));
    if !counts.is_empty() {
        text.push_str(
            "The figures: processor time in which a thread waits for one byte, receives it and\n\
             answers, with so many other connections idle; measured just now, over Unix sockets.\n",
        );
    }
    text.pop();
    text
}
