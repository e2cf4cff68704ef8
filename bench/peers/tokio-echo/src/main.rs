//! A peer of the echo benchmark: what one writes by hand on tokio's current-thread runtime.
//!
//! `tokio-echo [--discard]` listens on a free port of 127.0.0.1, prints it, and sends back what it
//! receives, or drops it.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Bytes one read may take; the same in every hand-written server of the benchmark.
const READ_SIZE: usize = 64 * 1024;

const BACKLOG: u32 = 4096;

fn main() -> io::Result<()> {
    let discard = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--discard") => true,
        Some(_) => return Err(io::Error::other("usage: tokio-echo [--discard]")),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    // Plain tasks, which this runtime polls with less ado than those of a LocalSet.
    runtime.block_on(accept(discard))
}

async fn accept(discard: bool) -> io::Result<()> {
    let listener = listen()?;
    say_where(listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A connection that fails is the peer's affair: the load counts it.
        if discard {
            tokio::spawn(async move { drop(drain(stream).await) });
        } else {
            tokio::spawn(async move { drop(echo(stream).await) });
        }
    }
}

fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    socket.listen(BACKLOG)
}

fn say_where(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "tokio-echo on tcp://{address}")?;
    out.flush()
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; READ_SIZE];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            got => stream.write_all(&buffer[..got]).await?,
        }
    }
}

async fn drain(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; READ_SIZE];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}
