//! Services on the simulated network: many seeds, each with its own faults, each run twice.
//!
//! `SOCKEYE_SIM_SEEDS=2000` runs as many seeds of each service instead of a few. A failure says how
//! to run it again: `SOCKEYE_SIM_SEED=17`, and `SOCKEYE_SIM_PLAN='…'` for a plan other than the
//! seed's own.

mod chat;
mod datagrams;
mod echo;
mod http;
mod runner;

use std::net::SocketAddr;
use std::sync::Arc;

use sockeye_engine::sim::{CallFault, Fault, Plan, Side, Simulation};
use sockeye_services::http::{Site, SiteOptions};

use crate::support::Folder;
use runner::{Failure, Tell, check, draw, run};

#[test]
fn the_file_server_answers_right_or_a_fault_explains_it() {
    check(&http::Scenario::new());
}

#[test]
fn echo_returns_every_byte_or_a_fault_explains_it() {
    check(&echo::Scenario::whole());
}

#[test]
fn discard_takes_every_byte_and_answers_with_none_or_a_fault_explains_it() {
    check(&echo::Scenario::discards());
}

#[test]
fn people_hear_each_other_in_order_or_a_fault_explains_it() {
    check(&chat::Scenario { lines: 8 });
}

#[test]
fn datagrams_come_back_whole_or_a_fault_explains_it_and_none_is_invented() {
    check(&datagrams::Scenario::whole());
}

#[test]
fn an_echo_of_datagrams_that_mixes_up_who_asked_is_found() {
    let broken = datagrams::Scenario::mixing();
    let found = (0..50).any(|seed| run(&broken, seed, &draw(&broken, seed)).1.is_some());
    assert!(found, "no seed shows the mistake");
}

#[test]
fn a_client_that_is_refused_has_the_write_deadline_for_the_answers_before_it() {
    let plan = "conn 1 server write 1 stalled 9000000us".parse().expect("a plan");
    let simulation = Simulation::new(0, plan).expect("a descriptor for the inbox");
    let (net, folder) = (simulation.net(), Folder::usual());
    let site = Site::open(folder.path(), SiteOptions::default(), |_| ()).expect("it is there");
    let came = simulation.run(async {
        runner::serve(&net, 80, &Tell::default(), {
            let site = Arc::new(site);
            move |stream| Arc::clone(&site).serve(stream)
        });
        let server = SocketAddr::new(runner::SERVER, 80);
        let mut stream = net.connect(runner::host(0), server, None).await.expect("it listens");
        stream.write(b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\nGET  / HTTP/1.1\r\n\r\n");
        stream.flush().await.expect("there is room");
        let mut came = Vec::new();
        while let Some(bytes) = runner::next(&mut stream).await.expect("no reset") {
            came.extend(bytes);
        }
        String::from_utf8(came).expect("text")
    });
    let came = came.expect("it ends");
    assert!(came.starts_with("HTTP/1.1 200 OK\r\n"), "{came}");
    assert!(came.contains("\r\n\r\nhello\nHTTP/1.1 400 Bad Request\r\n"), "{came}");
    assert_eq!(net.now().as_secs(), 9);
}

#[test]
fn a_service_that_forgets_what_did_not_leave_at_once_is_found_and_the_fault_that_matters_named() {
    let broken = echo::Scenario::hasty();
    let (seed, plan, failure) = (0..200)
        .find_map(|seed| {
            let plan = draw(&broken, seed);
            let failure = run(&broken, seed, &plan).1?;
            Some((seed, plan, failure))
        })
        .expect("some seed shows the mistake");
    // Nothing is wrong with it as long as nothing goes wrong: that is why it needs finding.
    assert_eq!(run(&broken, seed, &Plan::default()).1, None);
    // The seed alone brings the failure back.
    assert_eq!(run(&broken, seed, &draw(&broken, seed)).1.as_ref(), Some(&failure));
    let shortest = plan.shorten(|plan| run(&broken, seed, plan).1.is_some());
    let [Fault::Call { conn, side: Side::Server, what, .. }] = shortest.faults() else {
        panic!("one call of the server's matters, not {shortest}");
    };
    assert!(matches!(what, CallFault::ShortWrite(_) | CallFault::StalledWrite(_)), "{shortest}");
    let again: Plan = shortest.to_string().parse().expect("what is shown can be read");
    // Its client is short of bytes, or waits for them for ever.
    match run(&broken, seed, &again).1 {
        Some(Failure::Clients(told)) => assert_eq!(told.len(), 1, "{told:?}"),
        Some(Failure::Stuck(stuck)) => {
            assert!(
                stuck.to_string().contains(&format!("waits for c{conn} client to read")),
                "{stuck}"
            );
        }
        other => panic!("{other:?}"),
    }
    // The service as it should be stands the same plan.
    assert_eq!(run(&echo::Scenario::whole(), seed, &again).1, None);
}
