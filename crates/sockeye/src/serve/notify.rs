//! Telling the service manager how we are (sd_notify(3)).

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Ready to serve, this process being the service's main one: its predecessor may have been that.
pub(super) fn ready() {
    tell(&format!("READY=1\nMAINPID={}", std::process::id()));
}

/// About to end.
pub(super) fn stopping() {
    tell("STOPPING=1");
}

/// That nobody wants to know is no reason to fail.
fn tell(state: &str) {
    if let Some(to) = std::env::var_os("NOTIFY_SOCKET").and_then(address)
        && let Ok(socket) = UnixDatagram::unbound()
    {
        let _ = socket.send_to_addr(state.as_bytes(), &to);
    }
}

/// A path, or an abstract name behind `@`.
fn address(name: OsString) -> Option<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok(),
        [b'/', ..] => SocketAddr::from_pathname(name).ok(),
        _ => None,
    }
}
