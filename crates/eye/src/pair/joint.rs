//! Both ends' histories as one, by the client's clock.

use sockeye_engine::probe::{Call, Direction, Role, Stamp};

use super::clock::Clocks;
use super::crossing::Crossing;
use crate::record::{Aftermath, Course, Event, History, Kept, LeftOut, Loss, Message, StateChange};
use crate::timeline::{index, opposite};

/// What is known of both ends but for the server's calls and the segments: the client's calls, the
/// states of each end as that end's own segments show them, and every message as it was meant by the
/// one who wrote it.
pub(super) fn joint(
    client: &History,
    server: &History,
    clocks: &Clocks,
    crossings: &[Crossing],
) -> History {
    let to_client = |at: Stamp| clocks.at_client(at);
    let mut events = Kept::new(usize::MAX);
    for event in client.events.iter().filter(|event| matches!(event, Event::Call(_))) {
        let _ = events.push(event.clone());
    }
    let steps = states(client, server, clocks);
    for change in steps {
        let _ = events.push(Event::State(change));
    }
    let mut messages = Kept::new(usize::MAX);
    for message in written(client, server, clocks) {
        let _ = messages.push(message);
    }
    let moved = |aftermath: Option<Aftermath>| {
        aftermath.map(|aftermath| Aftermath { at: to_client(aftermath.at), ..aftermath })
    };
    let spans = [client.course.span, server.course.span.map(|(a, b)| (to_client(a), to_client(b)))];
    let span =
        spans.into_iter().flatten().reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
    let first_syn = crossings.iter().find(|crossing| crossing.segment.flags.syn());
    let both = |sum: fn(&Loss) -> u64| sum(&client.lost) + sum(&server.lost);
    let mut totals = client.totals;
    for way in [0, 1] {
        totals.in_vain[way] += server.totals.in_vain[way];
    }
    History {
        neutral: true,
        events,
        messages,
        // What is left out of each is told beside it.
        left_out: LeftOut::default(),
        inferred: Vec::new(),
        course: Course {
            span,
            syn: first_syn.map(|crossing| crossing.segment.at),
            ..client.course
        },
        aftermath: client.aftermath.or_else(|| moved(server.peer_aftermath)),
        peer_aftermath: moved(server.aftermath).or(client.peer_aftermath),
        captured: client.captured || server.captured,
        lost: Loss {
            calls: both(|lost| lost.calls),
            packets: both(|lost| lost.packets),
            ..client.lost
        },
        totals,
        ..client.clone()
    }
}

/// The server's calls by the client's clock.
pub(super) fn calls(server: &History, clocks: &Clocks) -> Vec<Call> {
    let calls = server.events.iter().filter_map(|event| match event {
        Event::Call(call) => Some(*call),
        _ => None,
    });
    calls
        .map(|call| Call {
            start: clocks.at_client(call.start),
            end: clocks.at_client(call.end),
            ..call
        })
        .collect()
}

/// The states of each end: from its own side if packets were seen there, else from the other's if
/// they were seen there, else from its calls.
fn states(client: &History, server: &History, clocks: &Clocks) -> Vec<StateChange> {
    let mut steps = Vec::new();
    for end in [Role::Client, Role::Server] {
        let (own, other) = match end {
            Role::Client => (client, server),
            Role::Server => (server, client),
        };
        let from = if own.captured || !other.captured { own } else { other };
        let told = from.events.iter().filter_map(|event| match event {
            Event::State(change) => Some(*change),
            _ => None,
        });
        let inferred = from.inferred.iter().filter(|_| !from.captured).copied();
        let mut changes: Vec<StateChange> =
            told.chain(inferred).filter(|change| change.end == end).collect();
        if from.role == Role::Server {
            changes.iter_mut().for_each(|change| change.at = clocks.at_client(change.at));
        }
        steps.extend(changes);
    }
    steps
}

/// The messages of each direction as their sender named them, or else as the other end did.
fn written(client: &History, server: &History, clocks: &Clocks) -> Vec<Message> {
    let mut all = Vec::new();
    for way in [Direction::Sent, Direction::Received] {
        let of = |history: &History, way: Direction| {
            let kept = history.messages.iter().filter(move |message| message.direction == way);
            kept.cloned().collect::<Vec<_>>()
        };
        let here = of(client, way);
        let there: Vec<Message> = of(server, opposite(way))
            .into_iter()
            .map(|message| Message { at: clocks.at_client(message.at), direction: way, ..message })
            .collect();
        let (first, second) = if way == Direction::Sent { (here, there) } else { (there, here) };
        all.extend(if first.is_empty() { second } else { first });
    }
    all.sort_by_key(|message| (message.at, index(message.direction)));
    all
}
