//! What the guard lets go, over any asking.

use proptest::prelude::*;

use super::*;

fn peer(port: u16) -> Address {
    Address::from(([192, 0, 2, 1], port))
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Limits small enough for a test to meet them all.
fn small() -> StormLimits {
    StormLimits {
        datagrams: Rate { per_second: 40, burst: 20 },
        bytes: Rate { per_second: 3000, burst: 2000 },
        sender_datagrams: Rate { per_second: 10, burst: 5 },
        sender_bytes: Rate { per_second: 800, burst: 500 },
        window: millis(300),
        copies: 1,
        senders: 8,
    }
}

#[test]
fn the_same_goes_once_within_the_window_from_each_sender() {
    let mut guard = StormGuard::new(StormLimits::default());
    assert!(guard.allows(millis(0), Some(&peer(1)), b"same", (1, 4)));
    assert!(!guard.allows(millis(999), Some(&peer(1)), b"same", (1, 4)));
    assert!(guard.allows(millis(999), Some(&peer(2)), b"same", (1, 4)), "another sender");
    assert!(guard.allows(millis(999), Some(&peer(1)), b"other", (1, 5)), "other bytes");
    assert!(guard.allows(millis(1000), Some(&peer(1)), b"same", (1, 4)), "another window");
    assert_eq!(guard.totals(), Storm { repeated: 1, ..Storm::default() });
}

#[test]
fn a_service_that_answers_hears_the_same_a_few_times() {
    let mut guard = StormGuard::new(StormLimits::answers());
    let heard = |guard: &mut StormGuard, at| guard.allows(at, Some(&peer(1)), b"ping", (1, 4));
    assert_eq!((0..100).filter(|at| heard(&mut guard, millis(*at))).count(), 20);
    assert!(heard(&mut guard, millis(10_000)));
}

#[test]
fn our_own_words_are_held_to_the_rate_alone() {
    let mut guard = StormGuard::new(small());
    let gone = (0..30).filter(|_| guard.allows(millis(0), None, b"again", (1, 5))).count();
    assert_eq!(gone, 20);
}

#[test]
fn what_is_longer_than_the_burst_never_goes_and_what_is_as_long_does() {
    let mut guard = StormGuard::new(StormLimits { bytes: Rate::of(1 << 20), ..small() });
    assert!(!guard.allows(millis(0), Some(&peer(1)), b"x", (21, 1)));
    assert!(guard.allows(millis(0), Some(&peer(1)), b"x", (20, 1)));
    // A sender that is not quiet waits for a full one, too.
    assert!(!guard.allows(millis(400), Some(&peer(1)), b"x", (20, 1)), "not full yet");
    assert!(guard.allows(millis(900), Some(&peer(1)), b"x", (20, 1)));
}

#[test]
fn by_default_the_longest_datagram_can_be_passed_on_to_255_others() {
    let mut guard = StormGuard::new(StormLimits::default());
    let longest = vec![0; 65_507];
    assert!(guard.allows(millis(0), Some(&peer(1)), &longest, (255, longest.len())));
}

#[test]
fn it_tells_once_a_second_after_the_first_and_then_all_of_it() {
    let mut guard = StormGuard::new(small());
    for at in 0..10 {
        guard.allows(millis(500 + at), Some(&peer(1)), b"same", (1, 4));
    }
    for number in 0..10u8 {
        guard.allows(millis(520), Some(&peer(1)), &[number], (1, 1));
    }
    assert!(guard.storms());
    assert_eq!(guard.over(millis(1500)), None, "a second since the first, not since the start");
    let storm = guard.over(millis(1501)).expect("it is due");
    assert_eq!(storm, Storm { repeated: 9, hasty: 6, beyond: 0 });
    assert_eq!(
        storm.to_string(),
        "storm guard: 15 datagrams dropped (9 the same as before, 6 of senders too fast)"
    );
    assert!(!guard.storms());
    assert_eq!(guard.over(millis(9000)), None, "told once");
    guard.allows(millis(9000), Some(&peer(1)), b"new", (1, 3));
    guard.allows(millis(9000), Some(&peer(1)), b"new", (1, 3));
    assert_eq!(guard.over(millis(9001)), None);
    let rest = Storm { repeated: 1, hasty: 0, beyond: 0 };
    assert_eq!(guard.rest(), Some(rest), "at the end nothing is waited for");
    assert_eq!(guard.rest(), None, "told once");
}

#[test]
fn one_who_speaks_seldom_is_heard_beside_a_thousand_who_shout() {
    let mut guard = StormGuard::new(StormLimits::default());
    let mut heard = 0;
    for tick in 0..5_000u32 {
        let now = millis(u64::from(tick) * 2);
        // Each tick, 20 of 1000 senders say something new: 10,000 datagrams a second.
        for port in 0..20 {
            let port = 1000 + u16::try_from((tick * 20 + port) % 1000).unwrap();
            guard.allows(now, Some(&peer(port)), &tick.to_be_bytes(), (1, 4));
        }
        if tick % 600 == 599 {
            heard += u32::from(guard.allows(now, Some(&peer(1)), &tick.to_be_bytes(), (1, 4)));
        }
    }
    assert_eq!(heard, 8, "it asked 8 times");
    assert!(guard.totals().beyond > 50_000, "{:?}", guard.totals());
}

#[test]
fn a_datagram_that_comes_back_round_a_loop_is_stopped() {
    // Each passes on what it hears to the two others, as brokers that are each other's clients do.
    let mut guards: Vec<StormGuard> =
        (0..3).map(|_| StormGuard::new(StormLimits::default())).collect();
    let mut flying = std::collections::VecDeque::from([(0u16, 99u16)]);
    let (mut sent, mut now) = (0, millis(0));
    while let Some((to, from)) = flying.pop_front() {
        now += millis(1);
        let guard = &mut guards[usize::from(to)];
        if guard.allows(now, Some(&peer(from)), b"round and round", (2, 15)) {
            let others = (0..3).filter(|other| *other != to && *other != from);
            flying.extend(others.map(|other| (other, to)));
            sent += 1;
        }
        assert!(sent < 100, "it goes round for ever");
    }
    assert!(sent > 3, "everybody heard of it");
}

#[test]
fn services_that_answer_each_other_fall_silent() {
    let mut guards =
        [StormGuard::new(StormLimits::answers()), StormGuard::new(StormLimits::answers())];
    let rounds = (0..1000usize)
        .take_while(|round| {
            let now = millis(10 * u64::try_from(*round).unwrap());
            let (me, you) = (round % 2, u16::try_from((round + 1) % 2).unwrap());
            guards[me].allows(now, Some(&peer(you)), b"hello", (1, 5))
        })
        .count();
    assert_eq!(rounds, 40);
}

#[test]
fn a_sender_who_is_told_apart_from_the_others_has_no_burst_again() {
    let mut guard = StormGuard::new(small());
    for port in 1..=8 {
        assert!(guard.allows(millis(0), Some(&peer(port)), b"first", (1, 5)));
    }
    // The ninth is one of the others, until the eight have been silent for a second.
    let heard = |guard: &mut StormGuard, at| {
        let said = |word: &u8| guard.allows(millis(at), Some(&peer(9)), &[*word], (1, 1));
        (0..20u8).filter(said).count()
    };
    assert_eq!(heard(&mut guard, 990), 5, "the burst");
    assert_eq!(guard.senders.len(), 8);
    assert_eq!(heard(&mut guard, 1300), 3, "the rate");
    assert_eq!(guard.senders.len(), 1);
}

#[test]
fn a_sender_who_is_told_apart_from_the_others_is_not_quiet_if_they_were_not() {
    let limits = StormLimits { sender_datagrams: Rate::of(100), ..small() };
    let mut guard = StormGuard::new(limits);
    for port in 1..=8 {
        assert!(guard.allows(millis(0), Some(&peer(port)), b"first", (1, 5)));
    }
    assert!(guard.allows(millis(990), Some(&peer(9)), b"quiet", (1, 5)));
    // All that others may send but the last quarter.
    let gone = (0..20u8).filter(|word| guard.allows(millis(1000), None, &[*word], (1, 1))).count();
    assert_eq!(gone, 19);
    assert!(!guard.allows(millis(1100), Some(&peer(9)), b"not quiet", (1, 9)), "4 are left");
    assert_eq!(guard.senders.len(), 1);
}

/// Milliseconds since the one before, its sender, its payload, how many are to hear it.
type Asked = (u64, u16, u8, usize);

fn asked() -> impl Strategy<Value = Vec<Asked>> {
    prop::collection::vec((0u64..60, 0u16..20, 0u8..6, 1usize..6), 1..400)
}

fn payload(kind: u8) -> Vec<u8> {
    vec![kind; usize::from(kind) * 60]
}

proptest! {
    #[test]
    fn from_any_moment_on_no_more_goes_than_burst_and_rate(asked in asked()) {
        let limits = small();
        let mut guard = StormGuard::new(limits);
        let mut now = 0;
        let mut went = Vec::new();
        for (pause, port, kind, count) in asked {
            now += pause;
            let bytes = payload(kind);
            if guard.allows(millis(now), Some(&peer(port)), &bytes, (count, bytes.len())) {
                went.push((now, port, count, bytes.len()));
            }
        }
        for (index, (start, port, ..)) in went.iter().enumerate() {
            let (mut all, mut own) = ((0, 0), (0, 0));
            for (at, from, count, len) in &went[index..] {
                all = (all.0 + count, all.1 + count * len);
                if from == port {
                    own = (own.0 + 1, own.1 + len);
                }
                let within = |sum: usize, rate: Rate| {
                    let most = rate.burst * 1000 + rate.per_second * (at - start);
                    u64::try_from(sum).unwrap() * 1000 <= most
                };
                prop_assert!(within(all.0, limits.datagrams) && within(all.1, limits.bytes));
                // Beyond eight senders, several share a bucket: less for each, never more.
                prop_assert!(within(own.0, limits.sender_datagrams));
                prop_assert!(within(own.1, limits.sender_bytes));
            }
        }
    }

    #[test]
    fn a_repeat_within_the_window_never_goes(asked in asked(), copies in 1u32..4) {
        let limits = StormLimits { copies, ..small() };
        let mut guard = StormGuard::new(limits);
        let mut now = 0;
        // When the window of each began, and how often it went since.
        let mut went = std::collections::HashMap::<(u16, u8), (u64, u32)>::new();
        for (pause, port, kind, count) in asked {
            now += pause;
            let bytes = payload(kind);
            if guard.allows(millis(now), Some(&peer(port)), &bytes, (count, bytes.len())) {
                let (began, times) = went.entry((port, kind)).or_insert((now, 0));
                if now - *began >= 300 {
                    (*began, *times) = (now, 0);
                }
                *times += 1;
                prop_assert!(*times <= copies);
            }
        }
    }

    #[test]
    fn memory_is_bounded_by_the_limits(
        asked in prop::collection::vec((0u64..20, any::<u16>(), any::<u32>()), 1..600),
    ) {
        let limits = small();
        let mut guard = StormGuard::new(limits);
        let mut now = 0;
        for (pause, port, word) in asked {
            now += pause;
            guard.allows(millis(now), Some(&peer(port)), &word.to_be_bytes(), (1, 4));
            // The burst, and 300 ms of 40 a second.
            prop_assert!(guard.memory.len() <= 20 + 12);
            prop_assert!(guard.senders.len() <= 8);
        }
    }

    #[test]
    fn who_is_the_only_one_and_keeps_to_the_rate_is_always_heard(
        pauses in prop::collection::vec(100u64..500, 1..100),
    ) {
        let mut guard = StormGuard::new(small());
        let mut now = 0;
        for (number, pause) in pauses.into_iter().enumerate() {
            now += pause;
            let payload = number.to_be_bytes();
            prop_assert!(guard.allows(millis(now), Some(&peer(1)), &payload, (2, payload.len())));
        }
    }

    #[test]
    fn what_it_tells_adds_up_to_what_it_held_back(asked in asked()) {
        let mut guard = StormGuard::new(small());
        let (mut now, mut refused, mut told, mut last) = (0, 0, 0, None);
        for (pause, port, kind, count) in asked {
            now += pause;
            let bytes = payload(kind);
            let went = guard.allows(millis(now), Some(&peer(port)), &bytes, (count, bytes.len()));
            refused += u64::from(!went);
            if let Some(storm) = guard.over(millis(now)) {
                prop_assert!(last.is_none_or(|last| now - last >= 1000), "twice within a second");
                last = Some(now);
                told += storm.all();
            }
        }
        told += guard.over(millis(now + 1000)).map_or(0, |storm| storm.all());
        prop_assert_eq!(told, refused);
        prop_assert_eq!(guard.totals().all(), refused);
    }
}
