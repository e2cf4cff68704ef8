//! Connections: opened in batches, each proved by one message that comes back, the idle ones
//! checked once more at the end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, recv, send,
    socket_with,
};

use crate::connection::Connection;
use crate::pattern::Pattern;

/// Connections opened before the first of them is waited for: a server that looks at all of its
/// connections each time it waits would otherwise do so for every newcomer. Far below the backlog.
const BATCH: u32 = 64;

/// Connections that share a source address, which has about 28,000 ports to give away.
const PER_SOURCE: u32 = 10_000;

/// Longer than any server takes, shorter than a run that hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of the message that proves a connection.
const PROOF: usize = 16;

/// Opens the connections with these numbers, and lets each exchange a message if `echoes`.
pub(crate) fn open(
    address: SocketAddr,
    numbers: Range<u32>,
    echoes: bool,
) -> anyhow::Result<Vec<Connection>> {
    let mut all = Vec::with_capacity(numbers.len());
    let (mut next, end) = (numbers.start, numbers.end);
    while next < end {
        let batch = next..end.min(next.saturating_add(BATCH));
        next = batch.end;
        let already = all.len();
        for number in batch {
            let opened = open_one(address, number);
            all.push(opened.with_context(|| format!("connection {}", number + 1))?);
        }
        if echoes {
            for connection in &mut all[already..] {
                let number = connection.number + 1;
                prove(connection).with_context(|| format!("connection {number}"))?;
            }
        }
    }
    Ok(all)
}

/// Fails unless every connection is open and silent.
pub(crate) fn check_idle(connections: &[Connection]) -> anyhow::Result<()> {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    let alive = |connection: &&Connection| {
        matches!(recv(&connection.socket, &mut [0_u8][..], flags), Err(Errno::AGAIN))
    };
    let open = connections.iter().filter(alive).count();
    ensure!(open == connections.len(), "{open} of {} idle connections are left", connections.len());
    Ok(())
}

/// A connection whose first message is on its way.
fn open_one(address: SocketAddr, number: u32) -> anyhow::Result<Connection> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    // Closed by RST: thousands of connections in TIME-WAIT would burden the next server's turn.
    sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
    for direction in [Timeout::Recv, Timeout::Send] {
        sockopt::set_socket_timeout(&socket, direction, Some(PATIENCE))?;
    }
    bind_source(&socket, address, number)?;
    retry_on_intr(|| connect(&socket, &address)).context("connect")?;
    Ok(Connection::new(socket, number))
}

/// On loopback, every so many connections come from another address of 127.0.0.0/8.
fn bind_source(socket: &OwnedFd, address: SocketAddr, number: u32) -> anyhow::Result<()> {
    let source = number / PER_SOURCE;
    if source == 0 || !matches!(address.ip(), IpAddr::V4(ip) if ip.is_loopback()) {
        return Ok(());
    }
    let source = Ipv4Addr::LOCALHOST.to_bits().saturating_add(source);
    let source = SocketAddr::from((Ipv4Addr::from_bits(source), 0));
    bind(socket, &source).with_context(|| format!("bind to {source}"))
}

/// Sends a message and waits for it; not on the clock.
fn prove(connection: &mut Connection) -> anyhow::Result<()> {
    let proof = Pattern::of(connection.number).at(0, PROOF);
    let sent = retry_on_intr(|| send(&connection.socket, proof, SendFlags::NOSIGNAL))?;
    ensure!(sent == PROOF, "sent {sent} of {PROOF} bytes");
    let mut back = [0; PROOF];
    let mut have = 0;
    while have < PROOF {
        match recv(&connection.socket, &mut back[have..], RecvFlags::empty()) {
            Ok((_, 0)) => bail!("closed by the server"),
            Ok((_, got)) => have += got,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => bail!("no answer within {} s", PATIENCE.as_secs()),
            Err(error) => return Err(error).context("recv"),
        }
    }
    ensure!(back == *proof, "what came back is not what was sent");
    connection.skip(PROOF as u64);
    Ok(())
}
