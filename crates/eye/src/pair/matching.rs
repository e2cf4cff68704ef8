//! Which histories of two recordings are of one connection.
//!
//! The addresses of one end are those of the other, mirrored, and both saw the same initial sequence
//! numbers. Where somebody between them changed the addresses (NAT), both numbers together tell: two
//! connections have them in common once in 2⁶⁴. What is not certain is not joined.

use std::collections::HashMap;
use std::net::SocketAddr;

use sockeye_engine::Address;
use sockeye_engine::probe::Role;

use crate::record::History;

/// How it is known that two histories are of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownBy {
    /// The addresses, and what is known of the initial sequence numbers at both ends agrees.
    AddressesAndIsn,
    /// The addresses alone, of which there was one such connection at each end.
    Addresses,
    /// Both initial sequence numbers; the addresses differ, somebody on the way changed them.
    Isn,
}

/// Why a history was not joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alone {
    /// The other recording has no connection that could be this one.
    NotThere,
    /// There are several that could be, and nothing tells them apart.
    Ambiguous,
    /// Neither end of it is the program that recorded it.
    Neutral,
}

/// Whether these two may be one connection, and how that would be known.
fn agree(client: &History, server: &History) -> Option<KnownBy> {
    let pairs = [(client.isn[1], server.isn[0]), (client.isn[0], server.isn[1])];
    let isn = pairs.map(|(here, there)| Some(here?.0 == there?.0));
    if isn.contains(&Some(false)) {
        return None;
    }
    let same = |one: &Address, other: &Address| canonical(one) == canonical(other);
    let mirrored = same(&client.local, &server.peer) && same(&client.peer, &server.local);
    match (mirrored, isn) {
        (true, [None, None]) => Some(KnownBy::Addresses),
        (true, _) => Some(KnownBy::AddressesAndIsn),
        (false, [Some(true), Some(true)]) => Some(KnownBy::Isn),
        (false, _) => None,
    }
}

/// Whom each history of two recordings belongs to, by their places there.
pub(super) struct Matches {
    pub(super) pairs: Vec<(usize, usize, KnownBy)>,
    /// The others of the first recording, and of the second.
    pub(super) alone: [Vec<(usize, Alone)>; 2],
}

/// Joins each client of one recording with its server in the other.
pub(super) fn matches(one: &[&History], other: &[&History]) -> Matches {
    let near = candidates(one, other);
    let mut far: Vec<Vec<(usize, KnownBy)>> = vec![Vec::new(); other.len()];
    for (here, all) in near.iter().enumerate() {
        for &(there, kind) in all {
            far[there].push((here, kind));
        }
    }
    let mut free = [vec![true; one.len()], vec![true; other.len()]];
    let mut pairs: Vec<(usize, usize, KnownBy)> = Vec::new();
    // The surest first: what they take is no candidate for the others.
    for kind in [KnownBy::AddressesAndIsn, KnownBy::Isn, KnownBy::Addresses] {
        let only = |all: &[(usize, KnownBy)], free: &[bool]| {
            let mut of_kind = all.iter().filter(|(place, of)| *of == kind && free[*place]);
            let (first, _) = of_kind.next()?;
            of_kind.next().is_none().then_some(*first)
        };
        let found: Vec<(usize, usize)> = (0..one.len())
            .filter(|here| free[0][*here])
            .filter_map(|here| {
                let there = only(&near[here], &free[1])?;
                (only(&far[there], &free[0]) == Some(here)).then_some((here, there))
            })
            .collect();
        for (here, there) in found {
            (free[0][here], free[1][there]) = (false, false);
            pairs.push((here, there, kind));
        }
    }
    pairs.sort_unstable_by_key(|(here, ..)| *here);
    let why = |history: &History, all: &[(usize, KnownBy)], others: &[bool]| {
        if history.neutral {
            return Alone::Neutral;
        }
        match all.iter().any(|(place, _)| others[*place]) {
            true => Alone::Ambiguous,
            false => Alone::NotThere,
        }
    };
    let [free_here, free_there] = &free;
    let left = |free: &[bool]| (0..free.len()).filter(|place| free[*place]).collect::<Vec<_>>();
    let here = left(free_here).into_iter();
    let there = left(free_there).into_iter();
    let alone = [
        here.map(|here| (here, why(one[here], &near[here], free_there))).collect(),
        there.map(|there| (there, why(other[there], &far[there], free_here))).collect(),
    ];
    Matches { pairs, alone }
}

/// For each of the one, which of the other it may be.
fn candidates(one: &[&History], other: &[&History]) -> Vec<Vec<(usize, KnownBy)>> {
    let mut index: HashMap<Key, Vec<usize>> = HashMap::new();
    for (place, history) in other.iter().enumerate() {
        for key in keys(history).into_iter().flatten() {
            index.entry(key).or_default().push(place);
        }
    }
    let of = |here: &History| {
        let found = keys(here).into_iter().flatten().filter_map(|key| index.get(&key)).flatten();
        let mut found: Vec<usize> = found.copied().collect();
        found.sort_unstable();
        found.dedup();
        let known = found.into_iter().filter_map(|there| {
            let known = match (here.role, other[there].role) {
                (Role::Client, Role::Server) => agree(here, other[there]),
                (Role::Server, Role::Client) => agree(other[there], here),
                _ => None,
            };
            Some((there, known?))
        });
        known.collect()
    };
    one.iter().map(|here| of(here)).collect()
}

/// What two ends of one connection have in common.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    /// The client's address and the server's.
    Addresses(Address, Address),
    /// The client's initial sequence number and the server's.
    Isn(u32, u32),
}

fn keys(history: &History) -> [Option<Key>; 2] {
    if history.neutral {
        return [None, None];
    }
    let (local, peer) = (canonical(&history.local), canonical(&history.peer));
    let [received, sent] = history.isn.map(|isn| isn.map(|(isn, _)| isn));
    let (addresses, isn) = match history.role {
        Role::Client => (Key::Addresses(local, peer), sent.zip(received)),
        Role::Server => (Key::Addresses(peer, local), received.zip(sent)),
    };
    [Some(addresses), isn.map(|(client, server)| Key::Isn(client, server))]
}

/// IPv4 addresses in IPv6 taken for what they are.
fn canonical(address: &Address) -> Address {
    match address.ip() {
        Some(ip) => SocketAddr::new(ip.ip().to_canonical(), ip.port()).into(),
        None => address.clone(),
    }
}
