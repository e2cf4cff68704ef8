//! Where a server listens: at endpoints it was told, on sockets it was given, or in all its networks.

use std::net::IpAddr;

use anyhow::Context as _;
use sockeye_engine::{Bound, Endpoint, Inherited, ServeOptions, inherited, interfaces};

use crate::args;

/// The port where none is given.
const DEFAULT_PORT: u16 = 8000;

/// What whoever passes us sockets calls the one of the admin endpoint. All others are the site's.
pub(super) const ADMIN: &str = "admin";

/// What the sockets of the site are called when they are passed on.
pub(super) const SITE: &str = "site";

/// Sockets that were opened before this process began.
pub(super) struct Given {
    site: Vec<Inherited>,
    admin: Vec<Inherited>,
}

impl Given {
    /// Takes what there is.
    pub(super) fn take() -> anyhow::Result<Given> {
        let (admin, site) =
            inherited().context("sockets that were passed")?.into_iter().partition(is_admin);
        Ok(Given { site, admin })
    }

    /// Listens for the site: on what was given, or where the arguments say.
    pub(super) fn site(
        &mut self,
        args: &args::Serve,
        options: ServeOptions,
    ) -> anyhow::Result<Bound> {
        let given = std::mem::take(&mut self.site);
        if !given.is_empty() {
            return Bound::adopt(given, options).context("sockets that were passed");
        }
        Ok(Bound::listen(&endpoints(args)?, options)?)
    }

    /// The same for whoever looks after the server; None where nobody is to.
    pub(super) fn admin(
        &mut self,
        args: &args::Serve,
        options: ServeOptions,
    ) -> anyhow::Result<Option<Bound>> {
        let given = std::mem::take(&mut self.admin);
        if !given.is_empty() {
            return Ok(Some(Bound::adopt(given, options).context("sockets that were passed")?));
        }
        let Some(endpoint) = &args.operate.admin else {
            return Ok(None);
        };
        Ok(Some(Bound::listen(std::slice::from_ref(endpoint), options).context("--admin")?))
    }

    /// Whether there is one for whoever looks after the server.
    pub(super) fn has_admin(&self) -> bool {
        !self.admin.is_empty()
    }
}

fn is_admin(socket: &Inherited) -> bool {
    socket.name() == ADMIN
}

fn endpoints(args: &args::Serve) -> anyhow::Result<Vec<Endpoint>> {
    let port = args.port.unwrap_or(DEFAULT_PORT);
    if args.lan {
        let own = [IpAddr::from([127, 0, 0, 1])];
        let all = own.into_iter().chain(of_networks()?);
        return Ok(all.map(|address| Endpoint::tcp(address, port)).collect());
    }
    Ok(match &args.listen[..] {
        [] => vec![Endpoint::tcp([127, 0, 0, 1].into(), port)],
        given => given.to_vec(),
    })
}

/// The addresses that others in its networks know this machine by. Those of one link alone (fe80::) are
/// left out: no browser takes them.
fn of_networks() -> anyhow::Result<Vec<IpAddr>> {
    let all = interfaces().context("--lan: the interfaces of this machine")?;
    let up = all.iter().filter(|interface| interface.is_up() && !interface.is_loopback());
    let mut addresses: Vec<IpAddr> = up
        .flat_map(|interface| &interface.addresses)
        .map(|address| address.address)
        .filter(|address| match address {
            IpAddr::V4(address) => !address.is_link_local(),
            IpAddr::V6(address) => !address.is_unicast_link_local(),
        })
        .collect();
    // Those that people can type come first.
    addresses.sort_by_key(|address| (address.is_ipv6(), !is_private(*address)));
    addresses.dedup();
    if addresses.is_empty() {
        anyhow::bail!(
            "--lan: this machine is in no network; connect it to one, or leave --lan out"
        );
    }
    Ok(addresses)
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    }
}
