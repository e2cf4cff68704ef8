//! Which histories of two recordings are of one connection.
//!
//! The addresses of one end are those of the other, mirrored, and both saw the same initial sequence
//! numbers. Where somebody between them changed the addresses (NAT), both numbers together tell: two
//! connections have them in common once in 2⁶⁴. What is not certain is not joined.

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
    let mirrored = same(&client.local, &server.peer) && same(&client.peer, &server.local);
    match (mirrored, isn) {
        (true, [None, None]) => Some(KnownBy::Addresses),
        (true, _) => Some(KnownBy::AddressesAndIsn),
        (false, [Some(true), Some(true)]) => Some(KnownBy::Isn),
        (false, _) => None,
    }
}

/// Whether two addresses are one, IPv4 addresses in IPv6 taken for what they are.
pub(super) fn same(one: &Address, other: &Address) -> bool {
    match (one.ip(), other.ip()) {
        (Some(one), Some(other)) => plain(one) == plain(other),
        _ => one == other,
    }
}

fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Whom each history of two recordings belongs to, by their places there.
pub(super) struct Matches {
    pub(super) pairs: Vec<(usize, usize, KnownBy)>,
    /// The others of the first recording, and of the second.
    pub(super) alone: [Vec<(usize, Alone)>; 2],
}

/// Joins each client of one recording with its server in the other.
pub(super) fn matches(one: &[&History], other: &[&History]) -> Matches {
    let fits = |here: usize, there: usize| {
        let (here, there) = (one.get(here)?, other.get(there)?);
        if here.neutral || there.neutral {
            return None;
        }
        match (here.role, there.role) {
            (Role::Client, Role::Server) => agree(here, there),
            (Role::Server, Role::Client) => agree(there, here),
            _ => None,
        }
    };
    let mut pairs: Vec<(usize, usize, KnownBy)> = Vec::new();
    let (mut free, mut others): (Vec<usize>, Vec<usize>) =
        ((0..one.len()).collect(), (0..other.len()).collect());
    // The surest first: what they take is no candidate for the others.
    for kind in [KnownBy::AddressesAndIsn, KnownBy::Isn, KnownBy::Addresses] {
        let of_kind = |here: usize, there: usize| fits(here, there) == Some(kind);
        let found: Vec<(usize, usize)> = free
            .iter()
            .filter_map(|&here| {
                let there = only(others.iter().copied().filter(|&there| of_kind(here, there)))?;
                let back = only(free.iter().copied().filter(|&here| of_kind(here, there)))?;
                (back == here).then_some((here, there))
            })
            .collect();
        for (here, there) in found {
            free.retain(|&place| place != here);
            others.retain(|&place| place != there);
            pairs.push((here, there, kind));
        }
    }
    pairs.sort_unstable_by_key(|(here, ..)| *here);
    let why = |history: &History, candidate: bool| match (history.neutral, candidate) {
        (true, _) => Alone::Neutral,
        (false, true) => Alone::Ambiguous,
        (false, false) => Alone::NotThere,
    };
    let alone = free.iter().map(|&here| {
        (here, why(one[here], others.iter().any(|&there| fits(here, there).is_some())))
    });
    let others_alone = others.iter().map(|&there| {
        (there, why(other[there], free.iter().any(|&here| fits(here, there).is_some())))
    });
    let alone = [alone.collect(), others_alone.collect()];
    Matches { pairs, alone }
}

/// The only one there is.
fn only(mut all: impl Iterator<Item = usize>) -> Option<usize> {
    let first = all.next()?;
    all.next().is_none().then_some(first)
}
