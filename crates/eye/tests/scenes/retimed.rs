//! The same history at times of our own: what the kernel leaves open can't be compared.
//!
//! The order of what happened stays as it was seen. Only how long a step took is replaced, by ten
//! microseconds, or by a round figure where the kernel waited for a timer.

use std::time::Duration;

use sockeye_engine::probe::{Call, Operation, Stamp};
use sockeye_eye::record::{Aftermath, Event, History, Segment, Spent};

/// How long the kernel waited before it sent a segment, if it did, in round figures; and before how many
/// it had waited already.
pub(crate) type Pauses = fn(&Segment, usize) -> Option<Duration>;

/// When it began.
const START: Stamp = Stamp(1_000_000_000_000);

/// Between two things that happened.
const STEP: u64 = 10_000;

/// How long connect(2) takes where no segment is seen meanwhile, and what is done next.
const CONNECTING: Duration = Duration::from_micros(50);

/// The history at such times.
pub(crate) fn retimed(history: &History, pauses: Pauses) -> History {
    let mut history = history.clone();
    let clock = Clock::new(&history, pauses);
    for event in history.events.iter_mut() {
        match event {
            Event::Call(call) if is_drawn_at_its_end(call.operation) => {
                call.end = clock.at(call.end);
                call.start = Stamp(call.end.0 - STEP / 2);
            }
            Event::Call(call) => {
                call.end = clock.at(call.end);
                call.start = clock.at(call.start);
            }
            Event::Segment(segment) => segment.at = clock.at(segment.at),
            Event::State(change) => change.at = clock.at(change.at),
        }
    }
    for message in history.messages.iter_mut() {
        message.at = clock.at(message.at);
    }
    for change in &mut history.inferred {
        change.at = clock.at(change.at);
    }
    let course = &mut history.course;
    let fins = course.fin.iter_mut().flatten().map(|(_, at)| at);
    let stamps = [&mut course.syn, &mut course.established, &mut course.end_of_stream]
        .into_iter()
        .chain([&mut course.ended_by_us, &mut history.opened, &mut history.closed])
        .chain(&mut course.last_moved)
        .filter_map(Option::as_mut)
        .chain(fins)
        .chain(course.reset.iter_mut().map(|(_, at)| at))
        .chain(course.gave_up.iter_mut().map(|(_, at)| at));
    for stamp in stamps {
        *stamp = clock.at(*stamp);
    }
    let close = history.events.iter().find_map(|event| match event {
        Event::Call(call) if call.operation == Operation::Close => Some(call.end),
        _ => None,
    });
    history.closed = close.or(history.closed);
    course.span = Some((START, clock.last()));
    // Who the time was spent on is a matter of luck where all of it is luck.
    history.spent = Spent::default();
    for aftermath in [&mut history.aftermath, &mut history.peer_aftermath].into_iter().flatten() {
        let remaining_ms = aftermath.remaining_ms.map(whole_seconds);
        *aftermath = Aftermath { at: Stamp(clock.last().0 + STEP), remaining_ms, ..*aftermath };
    }
    history
}

/// TIME-WAIT lasts for a minute, and was looked at when it had just begun.
fn whole_seconds(remaining_ms: u32) -> u32 {
    if remaining_ms > 30_000 { 60_000 } else { remaining_ms }
}

/// Where a ladder shows it.
fn is_drawn_at_its_end(operation: Operation) -> bool {
    matches!(operation, Operation::Recv | Operation::Accept)
}

/// What time it is at which moment.
struct Clock {
    /// Moments in order, each with its new time.
    moments: Vec<(Stamp, Stamp)>,
    /// The same of the ends of calls, which are part of no picture.
    ends: Vec<(Stamp, Stamp)>,
}

impl Clock {
    fn new(history: &History, pauses: Pauses) -> Clock {
        let mut moments: Vec<(Stamp, Duration)> = Vec::new();
        let mut waited = 0;
        for event in history.events.iter() {
            if let Event::Call(Call { operation: Operation::Connect, end, .. }) = event
                && !history.captured
            {
                // All that tells how it ended, so it has a line of its own.
                moments.push((*end, CONNECTING));
            }
            if let Event::Call(Call { operation: Operation::Connect, end, result: Err(_), .. }) =
                event
                && history.captured
            {
                // Its failure is drawn where it came.
                moments.push((*end, Duration::ZERO));
            }
            moments.push(match event {
                Event::Call(call) if is_drawn_at_its_end(call.operation) => {
                    (call.end, Duration::ZERO)
                }
                Event::Call(call) => (call.start, Duration::ZERO),
                Event::Segment(segment) => {
                    let pause = pauses(segment, waited);
                    waited += usize::from(pause.is_some());
                    (segment.at, pause.unwrap_or(Duration::ZERO))
                }
                Event::State(change) => (change.at, Duration::ZERO),
            });
        }
        moments.sort_by_key(|(at, pause)| (*at, std::cmp::Reverse(*pause)));
        moments.dedup_by_key(|(at, _)| *at);
        let mut now = START.0;
        let moments = moments.into_iter().map(|(at, pause)| {
            now += u64::try_from(pause.as_nanos()).unwrap();
            let new = Stamp(now);
            now += STEP + if pause == CONNECTING { STEP * 5 } else { 0 };
            (at, new)
        });
        let moments = moments.collect();
        let mut clock = Clock { moments, ends: Vec::new() };
        for event in history.events.iter() {
            if let Event::Call(call) = event
                && !is_drawn_at_its_end(call.operation)
                && !clock.moments.iter().any(|(at, _)| *at == call.end)
            {
                clock.ends.push((call.end, Stamp(clock.at(call.start).0 + STEP / 2)));
            }
        }
        clock
    }

    /// The new time of this moment, or of the last one before it that is known.
    fn at(&self, at: Stamp) -> Stamp {
        if let Some((_, new)) = self.ends.iter().find(|(end, _)| *end == at) {
            return *new;
        }
        let behind = self.moments.partition_point(|(moment, _)| *moment <= at);
        behind.checked_sub(1).map_or(START, |place| self.moments[place].1)
    }

    fn last(&self) -> Stamp {
        self.moments.last().map_or(START, |(_, new)| *new)
    }
}

/// No pause anywhere.
pub(crate) fn never(_: &Segment, _: usize) -> Option<Duration> {
    None
}
