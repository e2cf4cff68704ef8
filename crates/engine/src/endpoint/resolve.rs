//! From a host and a port to addresses.

use std::ffi::{CStr, CString};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::{EndpointKind, Port};

/// Every address, in the system's order, each once. What is an address already is not asked for.
pub(super) fn resolve(kind: EndpointKind, host: &str, port: &Port) -> io::Result<Vec<SocketAddr>> {
    if let (Ok(address), Port::Number(port)) = (host.parse::<IpAddr>(), port) {
        return Ok(vec![SocketAddr::new(address, *port)]);
    }
    let service = match port {
        Port::Number(port) => port.to_string(),
        Port::Service(name) => name.clone(),
    };
    // This name is the loopback of both families, whoever else knows it (RFC 6761 §6.3).
    let hosts =
        if host.eq_ignore_ascii_case("localhost") { &["::1", "127.0.0.1"][..] } else { &[host] };
    let mut addresses = Vec::new();
    for host in hosts {
        for address in look_up(kind, host, &service)? {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    Ok(addresses)
}

/// getaddrinfo(3).
fn look_up(kind: EndpointKind, host: &str, service: &str) -> io::Result<Vec<SocketAddr>> {
    let text = |text: &str| CString::new(text).map_err(|_| io::ErrorKind::InvalidInput);
    let (node, service_text) = (text(host)?, text(service)?);
    // SAFETY: a struct of integers and pointers, for which zeros are valid and mean "any".
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_socktype = match kind {
        EndpointKind::Udp => libc::SOCK_DGRAM,
        _ => libc::SOCK_STREAM,
    };
    let mut list = std::ptr::null_mut();
    // SAFETY: both texts end with a zero and live for the call, as do the hints and the list.
    let code = unsafe {
        libc::getaddrinfo(node.as_ptr(), service_text.as_ptr(), &raw const hints, &raw mut list)
    };
    if code != 0 {
        return Err(failed(code, host, service));
    }
    let list = List(list);
    let mut addresses = Vec::new();
    let mut next = list.0;
    while !next.is_null() {
        // SAFETY: an entry of the list, which `list` frees when all is copied.
        let entry = unsafe { &*next };
        addresses.extend(address(entry));
        next = entry.ai_next;
    }
    Ok(addresses)
}

/// What getaddrinfo allocated.
struct List(*mut libc::addrinfo);

impl Drop for List {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: it came from getaddrinfo, and nobody else frees it.
            unsafe { libc::freeaddrinfo(self.0) }
        }
    }
}

fn address(entry: &libc::addrinfo) -> Option<SocketAddr> {
    let len = usize::try_from(entry.ai_addrlen).unwrap_or(0);
    if entry.ai_addr.is_null() {
        return None;
    }
    match entry.ai_family {
        libc::AF_INET if len >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: an address of this family and length, which may lie anywhere.
            let v4 = unsafe { entry.ai_addr.cast::<libc::sockaddr_in>().read_unaligned() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some((ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 if len >= size_of::<libc::sockaddr_in6>() => {
            // SAFETY: as above.
            let v6 = unsafe { entry.ai_addr.cast::<libc::sockaddr_in6>().read_unaligned() };
            let (ip, port) = (Ipv6Addr::from(v6.sin6_addr.s6_addr), u16::from_be(v6.sin6_port));
            Some(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// What a user is told: which of both is not known.
fn failed(code: i32, host: &str, service: &str) -> io::Error {
    let check = format!("{host} (write an address, or check: getent hosts {host})");
    let (kind, why) = match code {
        libc::EAI_SYSTEM => return io::Error::last_os_error(),
        libc::EAI_NONAME if host.contains('%') => {
            (io::ErrorKind::NotFound, format!("{host}: no interface has this name (see: ip link)"))
        }
        libc::EAI_NONAME | libc::EAI_NODATA => (
            io::ErrorKind::NotFound,
            format!(
                "nobody knows the name {host} (write an address, or check: getent hosts {host})"
            ),
        ),
        libc::EAI_SERVICE => {
            let why =
                format!("no service is called {service} (see /etc/services, or write its port)");
            (io::ErrorKind::NotFound, why)
        }
        libc::EAI_AGAIN => {
            let why = format!("no name server answers {check}");
            (io::ErrorKind::TimedOut, why)
        }
        code => {
            // SAFETY: any number has a text.
            let text = unsafe { libc::gai_strerror(code) };
            // SAFETY: it is the C library's own, ends with a zero and is never freed.
            let why = unsafe { CStr::from_ptr(text) };
            (io::ErrorKind::Other, format!("{host}: {}", why.to_string_lossy()))
        }
    };
    io::Error::new(kind, why)
}
