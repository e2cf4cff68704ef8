//! Who has an address that somebody else wants: what proc(5) tells of sockets and of who has them
//! open. Others' descriptors are told to root alone; of their sockets everybody may know the user.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;

use crate::address::{Address, UnixAddress};
use crate::endpoint::EndpointKind;

/// Who has a socket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// We ourselves.
    Ours,
    /// Another program.
    Program { name: String, pid: u32 },
    /// One of this user's.
    User(u32),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Ours => f.write_str("this program itself has it"),
            Holder::Program { name, pid } => write!(f, "{name}, pid {pid}, has it"),
            Holder::User(id) => write!(f, "a program of user {id} has it"),
        }
    }
}

/// Who is bound to the address, if it can be told.
pub(crate) fn of(kind: EndpointKind, address: &Address) -> Option<Holder> {
    let (inode, user) = match address {
        Address::Ip(address) => {
            let protocol = if kind == EndpointKind::Udp { "udp" } else { "tcp" };
            // An IPv6 socket may hold a port of IPv4 too.
            let tables = [protocol.to_owned(), format!("{protocol}6")];
            let (inode, user) = tables.iter().find_map(|table| bound_in(table, *address))?;
            (inode, Some(user))
        }
        Address::Unix(name) => (named(name)?, None),
    };
    who(inode).or(user.map(Holder::User))
}

/// A table of the thread's own network.
fn table(name: &str) -> Option<Vec<u8>> {
    fs::read(format!("/proc/thread-self/net/{name}")).ok()
}

/// Inode and user of the socket that stands in the way; listeners before others.
fn bound_in(name: &str, wanted: SocketAddr) -> Option<(u64, u32)> {
    let table = String::from_utf8(table(name)?).ok()?;
    let sockets = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let local = address(fields.get(1)?)?;
        let inode: u64 = fields.get(9)?.parse().ok()?;
        let listens = *fields.get(3)? == "0A";
        let user = fields.get(7)?.parse().ok()?;
        // In TIME-WAIT nobody has it any more.
        (inode != 0 && meets(local, wanted)).then_some((listens, inode, user))
    });
    sockets.max_by_key(|(listens, ..)| *listens).map(|(_, inode, user)| (inode, user))
}

fn meets(local: SocketAddr, wanted: SocketAddr) -> bool {
    let plain = |address: SocketAddr| address.ip().to_canonical();
    let any = local.ip().is_unspecified() || wanted.ip().is_unspecified();
    local.port() == wanted.port() && (any || plain(local) == plain(wanted))
}

/// `0100007F:1F90`: words as they lie in memory, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let word = u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let ip: IpAddr = match address.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// The inode of the Unix socket of that name which is no connection.
fn named(name: &UnixAddress) -> Option<u64> {
    let wanted = match name {
        UnixAddress::Path(path) => path.as_os_str().as_bytes().to_vec(),
        UnixAddress::Abstract(name) => [b"@", &name[..]].concat(),
        UnixAddress::Unnamed => return None,
    };
    // A zero in a name is shown so (af_unix.c).
    let wanted: Vec<u8> = wanted.iter().map(|byte| if *byte == 0 { b'@' } else { *byte }).collect();
    let table = table("unix")?;
    let sockets = table.split(|byte| *byte == b'\n').filter_map(|line| {
        // Num RefCount Protocol Flags Type St Inode Path
        let path = line.len().checked_sub(wanted.len())?;
        if line.get(path..)? != wanted || line.get(path.checked_sub(1)?) != Some(&b' ') {
            return None;
        }
        let head = std::str::from_utf8(line.get(..path)?).ok()?;
        let fields: Vec<&str> = head.split_whitespace().collect();
        let [_, _, _, flags, _, _, inode] = fields[..] else { return None };
        Some((flags != "00000000", inode.parse().ok()?))
    });
    sockets.max_by_key(|(listens, _)| *listens).map(|(_, inode)| inode)
}

/// The process that has the socket open.
fn who(inode: u64) -> Option<Holder> {
    let target = format!("socket:[{inode}]");
    let has_it = |pid: &str| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.any(|found| found.as_os_str() == target.as_str())
    };
    // A listener that a parent handed down is ours as well as its.
    if has_it("self") {
        return Some(Holder::Ours);
    }
    let pids = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pid = pids.find(|pid| has_it(&pid.to_string()))?;
    // A program may call itself anything.
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(Holder::Program { name: name.trim_end().escape_debug().to_string(), pid })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "needs sockets")]
    fn the_holder_of_an_address_of_any_kind_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let (stream, datagram) = (folder.path().join("a b"), folder.path().join("d"));
        let _unix = UnixListener::bind(&stream).expect("free");
        let _dgram = UnixDatagram::bind(&datagram).expect("free");
        for name in [stream, datagram] {
            assert_eq!(of(EndpointKind::Unix, &Address::path(name)), Some(Holder::Ours));
        }
        assert_eq!(of(EndpointKind::Unix, &Address::path(folder.path().join("b"))), None);
        for any in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            let tcp = TcpListener::bind(any).expect("a free port");
            let address = tcp.local_addr().expect("bound").into();
            assert_eq!(of(EndpointKind::Tcp, &address), Some(Holder::Ours), "{any}");
            let udp = UdpSocket::bind(any).expect("a free port");
            let address = udp.local_addr().expect("bound").into();
            assert_eq!(of(EndpointKind::Udp, &address), Some(Holder::Ours), "{any}");
        }
        let all = TcpListener::bind("[::]:0").expect("a free port");
        let port = all.local_addr().expect("bound").port();
        let v4 = Address::from(([127, 0, 0, 1], port));
        assert_eq!(of(EndpointKind::Tcp, &v4), Some(Holder::Ours), "IPv4 through IPv6");
    }

    #[test]
    fn addresses_are_read_as_the_kernel_writes_them() {
        let loopback =
            if cfg!(target_endian = "little") { "0100007F:1F90" } else { "7F000001:1F90" };
        assert_eq!(address(loopback), Some(([127, 0, 0, 1], 8080).into()));
        for wrong in ["", ":", "0100007F", "0100007:1F90", "0100007F:1F901", "é:1"] {
            assert_eq!(address(wrong), None, "{wrong}");
        }
    }
}
