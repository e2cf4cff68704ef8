//! Echo over datagrams that are lost, doubled, overtaken and cut short on their way.
//!
//! Nothing waits for them to come again, so a client only counts: what comes back is what it has sent,
//! as often as it was sent, but for the faults that struck datagrams between it and the service.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use sockeye_engine::sim::{DatagramFault, Fault, Net};
use sockeye_engine::{Address, Datagram, sleep, spawn};

use super::runner::{self, SERVER, Tell, host};

const PORT: u16 = 7;

/// How many a client sends at most.
const MOST: u64 = 24;

/// Longer than a question and its answer are held up together: who hears nothing for so long hears
/// nothing more.
const SILENCE: Duration = Duration::from_secs(250);

/// An echo of datagrams for five clients.
pub(crate) struct Scenario {
    mixes: bool,
}

impl Scenario {
    /// The service as it should be.
    pub(crate) fn whole() -> Scenario {
        Scenario { mixes: false }
    }

    /// One that answers whoever asked before, now and then.
    pub(crate) fn mixing() -> Scenario {
        Scenario { mixes: true }
    }
}

impl runner::Scenario for Scenario {
    fn name(&self) -> &'static str {
        if self.mixes { "mixing echo of datagrams" } else { "echo of datagrams" }
    }

    fn clients(&self) -> u8 {
        5
    }

    fn datagrams(&self) -> u32 {
        u32::try_from(MOST).expect("it is small")
    }

    fn serve(&self, _net: &Net, tell: &Tell) {
        let at: Address = SocketAddr::new(SERVER, PORT).into();
        let (socket, tell) = (Datagram::bind(&at).expect("nobody has it"), tell.clone());
        let mixes = self.mixes;
        spawn(async move {
            let mut before = None;
            while let Some(message) = match socket.recv_idle().await {
                Ok(message) => message,
                Err(error) => return tell.wrong(format_args!("the service: recv: {error}")),
            } {
                let from = message.from.expect("it has a sender");
                let to = before.replace(from.clone()).filter(|_| mixes).unwrap_or(from);
                if let Err(error) = socket.send_to(&message.bytes, &to).await {
                    tell.wrong(format_args!("the service: send: {error}"));
                }
            }
        });
    }

    fn client(&self, number: u8, net: Net, tell: Tell) -> impl Future<Output = ()> + 'static {
        client(number, net, tell)
    }
}

/// What a client has sent and heard.
#[derive(Default)]
struct Account {
    /// How often each content was sent, less how often it came back.
    open: BTreeMap<Vec<u8>, i64>,
    sent: usize,
    came: usize,
    /// Came back shorter.
    short: usize,
}

async fn client(number: u8, net: Net, tell: Tell) {
    let mut random = net.random(1 + u64::from(number));
    let any: Address = SocketAddr::new(host(number), 0).into();
    let socket = Rc::new(Datagram::bind(&any).expect("there are ports"));
    let service: Address = SocketAddr::new(SERVER, PORT).into();
    let account = Rc::new(RefCell::new(Account::default()));
    let (sending, sender) = (Rc::clone(&account), Rc::clone(&socket));
    let (to, told) = (service.clone(), tell.clone());
    let count = random.below(MOST + 1);
    spawn(async move {
        for question in 0..count {
            sleep(random.micros(Duration::from_millis(300))).await;
            let most = if random.one_in(5) { 9000 } else { 300 };
            let len = usize::try_from(random.below(most));
            let mut content = vec![number, u8::try_from(question).expect("they are few")];
            content.extend(random.bytes(len.expect("it is small")));
            sending.borrow_mut().sends(&content);
            if let Err(error) = sender.send_to(&content, &to).await {
                told.wrong(format_args!("client {number}: send: {error}"));
            }
        }
    });
    socket.set_deadline(Some(SILENCE));
    while let Ok(answer) = socket.recv().await {
        socket.set_deadline(Some(SILENCE));
        if answer.from.as_ref() != Some(&service) {
            tell.wrong(format_args!("client {number}: an answer from {:?}", answer.from));
        }
        if !account.borrow_mut().take(&answer.bytes) {
            tell.wrong(format_args!("client {number}: {} bytes nobody sent", answer.len));
        }
    }
    let account = account.borrow();
    if let Some(wrong) = account.judge(&net.faults_of_datagrams(SERVER, host(number))) {
        tell.wrong(format_args!("client {number}: {wrong}"));
    }
}

impl Account {
    fn sends(&mut self, content: &[u8]) {
        self.sent += 1;
        *self.open.entry(content.to_vec()).or_default() += 1;
    }

    /// Whether it is one of ours, or the beginning of one.
    fn take(&mut self, answer: &[u8]) -> bool {
        self.came += 1;
        if let Some(open) = self.open.get_mut(answer) {
            *open -= 1;
            return true;
        }
        self.short += 1;
        self.open.keys().any(|sent| sent.starts_with(answer))
    }

    /// What no fault explains.
    fn judge(&self, faults: &[Fault]) -> Option<String> {
        let count = |is: fn(&DatagramFault) -> bool| {
            let of = |fault: &&Fault| matches!(fault, Fault::Datagram { what, .. } if is(what));
            faults.iter().filter(of).count()
        };
        let lost = count(|what| matches!(what, DatagramFault::Lost));
        let twice = count(|what| matches!(what, DatagramFault::Twice));
        // One that is cut short before it is doubled comes back twice so.
        let cut_short = count(|what| matches!(what, DatagramFault::Truncated(_))) + twice;
        let cut = faults.iter().any(|fault| matches!(fault, Fault::Cut { .. }));
        let doubled: i64 = self.open.values().map(|open| (-open).max(0)).sum();
        let Account { sent, came, short, .. } = *self;
        match () {
            () if came > sent + twice => Some(format!("{came} answers to {sent}, {twice} doubled")),
            () if came + lost < sent && !cut => {
                Some(format!("{came} answers to {sent}, {lost} lost"))
            }
            () if short > cut_short => Some(format!("{short} answers cut short")),
            () if usize::try_from(doubled).is_ok_and(|doubled| doubled > twice) => {
                Some(format!("{doubled} answers came again, {twice} doubled"))
            }
            () => None,
        }
    }
}
