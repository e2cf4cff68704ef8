//! Services on the simulated network: many seeds, each with its own faults, each run twice.
//!
//! `SOCKEYE_SIM_SEEDS=2000` runs as many seeds of each service instead of a few. A failure says how
//! to run it again: `SOCKEYE_SIM_SEED=17`, and `SOCKEYE_SIM_PLAN='…'` for a plan other than the
//! seed's own.

mod echo;
mod http;
mod runner;

use sockeye_engine::sim::{CallFault, Fault, Plan, Side};

use runner::{Failure, check, draw, run};

#[test]
fn the_file_server_answers_right_or_a_fault_explains_it() {
    check(&http::Scenario::new());
}

#[test]
fn echo_returns_every_byte_or_a_fault_explains_it() {
    check(&echo::Scenario::whole());
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
