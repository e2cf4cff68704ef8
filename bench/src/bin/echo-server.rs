//! Sockeye's engine with the smallest service there is: what one more driver costs or saves shows
//! here undiluted.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use rustix::process::{Resource, getrlimit};
use sockeye_engine::{Bound, DriverKind, Endpoint, Notice, ServeOptions, Stream};

/// Send back what is received, on one thread, or one a connection where the driver needs that.
#[derive(Parser)]
struct Args {
    /// How the thread waits.
    #[arg(long, default_value_t = DriverKind::default())]
    driver: DriverKind,
    /// Drop what is received instead.
    #[arg(long)]
    discard: bool,
    /// Connections to be held at once; refused where the limit on descriptors does not allow them.
    #[arg(long, default_value_t = 1024)]
    connections: usize,
    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is gone as well.
            let _ = writeln!(io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    check_descriptors(args.driver, args.connections)?;
    let options = ServeOptions {
        driver: args.driver,
        threads: args.driver.multiplexes().then_some(1),
        max_connections: args.connections,
        grace: Duration::ZERO,
        probe: None,
        notice: Arc::new(say),
    };
    let endpoint = Endpoint::tcp([127, 0, 0, 1].into(), args.port);
    let bound = Bound::listen(&[endpoint], options)?;
    let address = *bound.addresses().first().context("no address")?;
    // Nobody asks it to stop: a signal ends the process.
    let (_stop, is_told) = UnixStream::pair()?;
    let ready = || {
        let mut out = io::stdout().lock();
        // Whoever started us may have closed the pipe; the server is there all the same.
        let _ = writeln!(out, "echo-server {} on tcp://{address}", args.driver)
            .and_then(|()| out.flush());
    };
    let started = match args.discard {
        true => bound.run(drain, is_told, ready, |_| ()),
        false => bound.run(echo, is_told, ready, |_| ()),
    };
    started.with_context(|| format!("--driver {}", args.driver))?;
    Ok(())
}

async fn echo(mut stream: Stream) {
    while let Ok(Some(chunk)) = stream.recv_idle().await {
        if chunk.is_empty() {
            break;
        }
        stream.write(&chunk);
        drop(chunk);
        if stream.flush().await.is_err() {
            break;
        }
    }
}

async fn drain(mut stream: Stream) {
    while let Ok(Some(chunk)) = stream.recv_idle().await {
        if chunk.is_empty() {
            break;
        }
    }
}

/// A server that would hold fewer connections than it is measured with is no server to measure.
fn check_descriptors(driver: DriverKind, connections: usize) -> anyhow::Result<()> {
    // A thread that serves one connection alone has a descriptor to be woken by.
    let each = if driver.multiplexes() { 1 } else { 2 };
    let needed = connections.saturating_mul(each).saturating_add(OWN_DESCRIPTORS);
    let limit = getrlimit(Resource::Nofile).current;
    ensure!(
        limit.is_none_or(|limit| needed as u64 <= limit),
        "{connections} connections need {needed} descriptors, and this process may have {}",
        limit.unwrap_or(u64::MAX)
    );
    Ok(())
}

/// Standard streams, listener, the driver's own.
const OWN_DESCRIPTORS: usize = 32;

fn say(notice: Notice) {
    // Nobody is left to tell when standard error is gone.
    let _ = writeln!(io::stderr(), "echo-server: {notice:?}");
}
