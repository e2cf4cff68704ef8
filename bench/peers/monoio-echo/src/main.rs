//! A peer of the echo benchmark: what one writes by hand on monoio's io_uring driver.
//!
//! `monoio-echo [--discard]` listens on a free port of 127.0.0.1, prints it, and sends back what it
//! receives, or drops it.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};

use monoio::buf::IoBuf;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{ListenerOpts, TcpListener, TcpStream};

/// Bytes one read may take; the same in every hand-written server of the benchmark.
const READ_SIZE: usize = 64 * 1024;

const BACKLOG: i32 = 4096;

/// Submissions the ring holds, as many as Sockeye's.
const ENTRIES: u32 = 1024;

fn main() -> io::Result<()> {
    let discard = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--discard") => true,
        Some(_) => return Err(io::Error::other("usage: monoio-echo [--discard]")),
    };
    let builder = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new();
    builder.with_entries(ENTRIES).build()?.block_on(accept(discard))
}

async fn accept(discard: bool) -> io::Result<()> {
    let options = ListenerOpts::new().reuse_port(false).reuse_addr(true).backlog(BACKLOG);
    let listener = TcpListener::bind_with_config((Ipv4Addr::LOCALHOST, 0), &options)?;
    say_where(listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A connection that fails is the peer's affair: the load counts it.
        if discard {
            monoio::spawn(async move { drop(drain(stream).await) });
        } else {
            monoio::spawn(async move { drop(echo(stream).await) });
        }
    }
}

fn say_where(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "monoio-echo on tcp://{address}")?;
    out.flush()
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; READ_SIZE];
    loop {
        let (read, filled) = stream.read(buffer).await;
        let got = read?;
        if got == 0 {
            return Ok(());
        }
        let (written, slice) = stream.write_all(filled.slice(..got)).await;
        written?;
        buffer = slice.into_inner();
    }
}

async fn drain(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; READ_SIZE];
    loop {
        let (read, filled) = stream.read(buffer).await;
        if read? == 0 {
            return Ok(());
        }
        buffer = filled;
    }
}
