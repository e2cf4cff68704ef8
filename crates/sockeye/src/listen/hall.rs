//! Where clients are talked to: who is there, and what standard input has for them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io::{self, IsTerminal as _};
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use sockeye_engine::{Address, Endpoint, EndpointKind, spawn};
use sockeye_services::broker::{Hub, HubLimits, MemberId, post};
use sockeye_wire::frame::Framing;

use super::datagrams::Desk;
use super::door::Door;
use crate::output::say;
use crate::talk::{self, Composer, Direction, Flow, Input, Message, Printer};

/// How long a client may take nothing of the input while others do.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of input that may wait for a client besides one message.
const AHEAD: usize = 256 * 1024;

/// Everybody who is there.
pub(super) struct Hall {
    pub(super) door: Rc<Door>,
    pub(super) printer: Rc<Printer>,
    /// What waits for the connections.
    pub(super) hub: Mutex<Hub>,
    /// The hub's first member: standard input.
    operator: MemberId,
    people: RefCell<BTreeMap<u64, Person>>,
    numbers: Cell<u64>,
    composer: Composer,
    typed: bool,
    /// Whether `@N` is looked for.
    pick: bool,
    /// Whether messages say whose they are as soon as there are several.
    names: bool,
    input: Cell<Given>,
    /// Standard input, where it is for one client and nobody looks at it.
    alone: RefCell<Option<Input>>,
    waiting: RefCell<Vec<Waker>>,
}

/// Somebody who is there.
struct Person {
    way: Way,
    /// Where what is sent lies; out while it is shown.
    flow: Option<Flow>,
    /// Will send no more.
    half_closed: bool,
}

/// How to reach somebody.
#[derive(Clone)]
enum Way {
    Member(MemberId),
    Sender(Rc<Desk>, Address),
}

/// What standard input has given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    Nothing,
    Something,
    /// It ended, and there never was anything in it.
    NothingAtAll,
    /// It ended.
    All,
}

/// A place in the hall, given up when dropped.
pub(super) struct Place {
    hall: Rc<Hall>,
    pub(super) number: u64,
    pub(super) member: Option<MemberId>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hall.people.borrow_mut().remove(&self.number);
        if let Some(member) = self.member {
            self.hall.hub().leave(member);
        }
    }
}

impl Hall {
    pub(super) fn open(door: &Rc<Door>) -> anyhow::Result<Rc<Hall>> {
        let args = &door.args;
        // Where both are listened on, streams get the same bytes in shorter pieces.
        let datagram =
            args.endpoints.iter().filter_map(|endpoint| args.talk.datagram(endpoint.kind())).min();
        let (input, printer) = talk::open(&args.talk, datagram)?;
        let most = door.most().saturating_add(1);
        // A message is let in whole; those of raw input have as many bytes as were read at once.
        let longest = match args.talk.frame {
            Framing::Raw | Framing::Gap(_) if !args.talk.hex => 64 * 1024,
            _ => args.talk.max_frame.saturating_add(1024),
        };
        let bytes = longest.saturating_add(AHEAD);
        let mut hub = Hub::new(HubLimits { members: most, bytes, messages: 65_536 });
        let operator = hub.join().expect("nobody is in it yet");
        let typed = input.is_terminal();
        // Whoever waits for a time, or looks on, wants to know of all bytes.
        let streams =
            |endpoint: &Endpoint| matches!(endpoint.kind(), EndpointKind::Tcp | EndpointKind::Unix);
        let alone = args.once
            && !args.eye.is_open()
            && args.idle_timeout.is_none()
            && args.endpoints.iter().all(streams)
            && (input.is_plain() && printer.is_plain() && !args.pick);
        let hall = Rc::new(Hall {
            door: Rc::clone(door),
            printer,
            hub: Mutex::new(hub),
            operator,
            people: RefCell::default(),
            numbers: Cell::new(1),
            composer: Composer::new(&args.talk),
            typed,
            pick: typed || args.pick,
            names: io::stdout().is_terminal() || args.talk.timestamps,
            input: Cell::new(Given::Nothing),
            alone: RefCell::default(),
            waiting: RefCell::default(),
        });
        if alone {
            *hall.alone.borrow_mut() = Some(input);
        } else {
            spawn(Rc::clone(&hall).pump(input));
        }
        Ok(hall)
    }

    /// Standard input, for the one client there is to be, if nobody looks at what is said.
    pub(super) fn alone(&self) -> Option<Input> {
        self.alone.borrow_mut().take()
    }

    /// A connection comes in; None where there are as many as may be.
    pub(super) fn enter(self: &Rc<Self>, peer: &str) -> Option<Place> {
        let member = self.hub().join()?;
        let number = self.add(Way::Member(member), peer);
        Some(Place { hall: Rc::clone(self), number, member: Some(member) })
    }

    /// Somebody sends datagrams.
    pub(super) fn meet(self: &Rc<Self>, desk: &Rc<Desk>, from: &Address, peer: &str) -> Place {
        let number = self.add(Way::Sender(Rc::clone(desk), from.clone()), peer);
        Place { hall: Rc::clone(self), number, member: None }
    }

    fn add(&self, way: Way, peer: &str) -> u64 {
        let number = self.numbers.get();
        self.numbers.set(number + 1);
        let flow = Some(Flow::new(&self.door.args.talk, peer, Direction::Out));
        self.people.borrow_mut().insert(number, Person { way, flow, half_closed: false });
        if self.people.borrow().len() > 1 && self.names {
            self.printer.name_peers();
        }
        if self.pick {
            self.door.remark(format_args!("{peer} is @{number}"));
        }
        self.wake();
        number
    }

    /// A connection will send no more. Who types sees that, and has said what he had to say; what is
    /// piped in may be an answer that is yet to come.
    pub(super) fn half_closed(&self, place: &Place) {
        if let Some(person) = self.people.borrow_mut().get_mut(&place.number) {
            person.half_closed = true;
        }
        if self.typed || self.input_is_over() {
            place.member.into_iter().for_each(|member| self.hub().close(member));
        }
    }

    /// Whether nothing more is to come from standard input.
    pub(super) fn input_is_over(&self) -> bool {
        matches!(self.input.get(), Given::NothingAtAll | Given::All)
    }

    /// Nothing more is sent to anybody.
    pub(super) fn stop(&self) {
        for person in self.people.borrow().values() {
            if let Way::Member(member) = person.way {
                self.hub().close(member);
            }
        }
        self.wake();
    }

    /// Waits until the input is over.
    pub(super) async fn input_over(&self) {
        self.until(|| self.input_is_over()).await;
    }

    pub(super) fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands the input to those who are there; it waits until somebody is.
    async fn pump(self: Rc<Self>, mut input: Input) {
        let ended = loop {
            self.until(|| !self.people.borrow().is_empty()).await;
            match input.next().await {
                Ok(None) => break Ok(()),
                Ok(Some(message)) => {
                    self.input.set(Given::Something);
                    if let Err(error) = self.hand_out(message).await {
                        break Err(error);
                    }
                }
                Err(error) if error.is::<io::Error>() => {
                    break Err(error.context("standard input"));
                }
                // One line is wrong, the next one may be right.
                Err(error) => say(format_args!("sockeye: {}", crate::told(&error))),
            }
        };
        let nothing = self.input.get() == Given::Nothing;
        self.input.set(if nothing { Given::NothingAtAll } else { Given::All });
        for person in self.people.borrow().values() {
            // Where there never was input, its end says nothing.
            if let Way::Member(member) = person.way
                && (!nothing || person.half_closed)
            {
                self.hub().close(member);
            }
        }
        self.wake();
        if let Err(error) = ended {
            self.door.finish(Err(error));
        }
    }

    async fn hand_out(&self, message: Message) -> anyhow::Result<()> {
        // Whoever was there when it was read may have gone.
        self.until(|| !self.people.borrow().is_empty()).await;
        let (to, message) = match self.picked(&message) {
            Some((number, message)) => (Some(number), message?),
            None => (None, message),
        };
        let ways: Vec<(u64, Way)> = {
            let people = self.people.borrow();
            let meant = people.iter().filter(|(number, _)| to.is_none_or(|to| to == **number));
            meant.map(|(number, person)| (*number, person.way.clone())).collect()
        };
        if let (Some(number), true) = (to, ways.is_empty()) {
            say(format_args!("sockeye: nobody here is @{number}; the line is lost"));
            return Ok(());
        }
        match (to, ways.iter().any(|(_, way)| matches!(way, Way::Member(_)))) {
            (None, true) => post(&self.hub, self.operator, &message.wire, PATIENCE).await,
            (Some(number), true) => {
                let sent = ways.iter().all(|(_, way)| match way {
                    Way::Member(member) => self.hub().send(*member, message.wire.clone()),
                    Way::Sender(..) => true,
                });
                if !sent {
                    say(format_args!("sockeye: @{number} takes nothing; the line is lost"));
                }
            }
            (_, false) => {}
        }
        for (number, way) in ways {
            if let Way::Sender(desk, address) = way {
                let sent = desk.send(&message.wire, &address).await;
                let people = self.people.borrow();
                let flow = people.get(&number).and_then(|person| person.flow.as_ref());
                if let Some(flow) = flow.filter(|_| sent) {
                    flow.mark_datagram(desk.socket(), &message.wire);
                }
            }
            self.show_sent(number, &message).await?;
        }
        Ok(())
    }

    /// Shows what is sent, where that is shown.
    async fn show_sent(&self, number: u64, message: &Message) -> anyhow::Result<()> {
        if !self.printer.shows_sent() {
            return Ok(());
        }
        let flow = self.people.borrow_mut().get_mut(&number).and_then(|person| person.flow.take());
        let Some(mut flow) = flow else { return Ok(()) };
        let shown = self.printer.sent(&mut flow, message).await;
        if let Some(person) = self.people.borrow_mut().get_mut(&number) {
            person.flow = Some(flow);
        }
        shown
    }

    /// `@N TEXT` is for one client alone.
    fn picked(&self, message: &Message) -> Option<(u64, anyhow::Result<Message>)> {
        if !self.pick {
            return None;
        }
        let rest = message.payload.strip_prefix(b"@")?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = rest.split_at(digits);
        let number = str::from_utf8(number).ok()?.parse().ok()?;
        let text = rest.strip_prefix(b" ")?;
        Some((number, self.composer.framed(message.payload.slice_ref(text))))
    }

    async fn until(&self, is_so: impl Fn() -> bool) {
        poll_fn(|cx| {
            if is_so() {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn wake(&self) {
        self.waiting.take().into_iter().for_each(Waker::wake);
    }
}
