//! Out of descriptors: the server waits without spinning, and serves again when clients leave.
//!
//! The limit is lowered in a process of its own, which this program starts as a test of one name
//! and talks to over its standard input and output.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sockeye_engine::{Bound, DriverKind, Endpoint, Notice, ServeOptions, Stream};

use crate::peer::LONG;
use crate::serving::options;
use crate::transcript::same_everywhere;

const DESCRIPTORS: u64 = 64;
const CLIENTS: usize = 200;

/// Names the driver to the process that serves.
const DRIVER: &str = "SOCKEYE_TEST_SERVES_ON";

#[test]
fn a_server_out_of_descriptors_does_not_spin_and_recovers() {
    let golden = "
        some were served before it was full: true
        processor time while full: less than a twentieth
        200 of 200 clients were served, each after others had left
        stopped, cut off 0
    ";
    let script = "a_server_out_of_descriptors_does_not_spin_and_recovers";
    if let Ok(driver) = std::env::var(DRIVER) {
        return serve(driver.parse().expect("the name of a driver"));
    }
    same_everywhere(script, golden, |driver, told| {
        let mut server = Server::start(script, driver);
        let port = server.hear("port ");
        let address = format!("127.0.0.1:{port}");
        let mut clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let mut client = TcpStream::connect(&address).expect("it listens");
                client.set_read_timeout(Some(LONG)).expect("an option");
                client.write_all(format!("{n:03}").as_bytes()).expect("the kernel takes it");
                client
            })
            .collect();
        server.hear("full");
        let served = clients[0].peek(&mut [0]).is_ok_and(|count| count == 1);
        told.say(format_args!("some were served before it was full: {served}"));
        told.say(format_args!("processor time while full: {}", server.processor_time()));
        let mut right = 0;
        for (n, mut client) in clients.drain(..).enumerate() {
            let mut answer = [0; 3];
            if client.read_exact(&mut answer).is_ok() && answer == *format!("{n:03}").as_bytes() {
                right += 1;
            }
        }
        told.say(format_args!(
            "{right} of {CLIENTS} clients were served, each after others had left"
        ));
        told.say(format_args!("stopped, cut off {}", server.ask("stop", "cut off ")));
        server.end();
    });
}

/// The process that serves, as the test sees it.
struct Server {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Server {
    fn start(test: &str, driver: DriverKind) -> Server {
        let mut alone = Command::new(std::env::current_exe().expect("this program"));
        alone.args([&format!("descriptors::{test}"), "--exact", "--nocapture"]);
        alone.env(DRIVER, driver.name()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = alone.spawn().expect("it starts");
        let lines = BufReader::new(process.stdout.take().expect("it is piped"));
        Server { process, lines }
    }

    /// What follows `start` on the next line that begins so.
    fn hear(&mut self, start: &str) -> String {
        let mut heard = String::new();
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).expect("it speaks") == 0 {
                panic!("the server ended without saying {start:?}; it said\n{heard}");
            }
            if let Some(rest) = line.trim_end().strip_prefix(start) {
                return rest.to_owned();
            }
            heard += &line;
        }
    }

    fn ask(&mut self, question: &str, answer: &str) -> String {
        let stdin = self.process.stdin.as_mut().expect("it is piped");
        writeln!(stdin, "{question}").expect("it listens");
        self.hear(answer)
    }

    /// How much of a second, in which nothing happens, it wants a processor. Whether it gets one
    /// depends on who else is busy: a thread that always waits for one spins as well.
    fn processor_time(&self) -> &'static str {
        let period = Duration::from_secs(1);
        let before = scheduled(self.process.id());
        let mut says = [PollFd::new(self.lines.get_ref(), PollFlags::IN)];
        let timeout = Timespec::try_from(period).expect("a second");
        let count = retry_on_intr(|| poll(&mut says, Some(&timeout))).expect("one descriptor");
        assert_eq!(count, 0, "nobody asked it anything");
        let after = scheduled(self.process.id());
        let ran = after.ran.saturating_sub(before.ran);
        let wanted = ran + after.waited.saturating_sub(before.waited);
        match () {
            () if wanted > period / 2 => "all there is",
            () if ran < period / 20 => "less than a twentieth",
            () => "more than a twentieth",
        }
    }

    fn end(mut self) {
        drop(self.process.stdin.take());
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).expect("it ends");
        assert!(self.process.wait().expect("our child").success(), "{rest}");
    }
}

/// The body of the process that serves.
fn serve(driver: DriverKind) {
    let limit = getrlimit(Resource::Nofile);
    let lowered = Rlimit { current: Some(DESCRIPTORS), maximum: limit.maximum };
    setrlimit(Resource::Nofile, lowered).expect("a lower limit is always allowed");
    let (full, is_full) = mpsc::channel();
    let full = std::sync::Mutex::new(full);
    let endpoint: Endpoint = "tcp://127.0.0.1:0".parse().expect("an endpoint");
    let options = ServeOptions {
        threads: driver.multiplexes().then_some(1),
        notice: Arc::new(move |notice| {
            if let Notice::Accept(_) = notice {
                let _ = full.lock().expect("no panic").send(());
            }
        }),
        ..options(driver)
    };
    let bound = Bound::listen(&[endpoint], options).expect("a free port");
    say(format_args!("port {}", bound.addresses()[0].port()));
    let serving = bound
        .start(async |mut stream: Stream| {
            while let Ok(Some(chunk)) = stream.recv_idle().await {
                if chunk.is_empty() {
                    break;
                }
                stream.write(&chunk);
                drop(chunk);
                if stream.flush().await.is_err() {
                    break;
                }
            }
        })
        .expect("threads start");
    is_full.recv().expect("there are more clients than descriptors");
    say(format_args!("full"));
    let mut lines = std::io::stdin().lines();
    let asked = lines.next().expect("the test asks").expect("a line");
    assert_eq!(asked, "stop");
    serving.stop();
    say(format_args!("cut off {}", serving.join()));
}

/// Time on processors and in line for one.
struct Scheduled {
    ran: Duration,
    waited: Duration,
}

/// Of all threads of the process (Documentation/scheduler/sched-stats.rst).
fn scheduled(process: u32) -> Scheduled {
    let mut sum = Scheduled { ran: Duration::ZERO, waited: Duration::ZERO };
    for task in std::fs::read_dir(format!("/proc/{process}/task")).expect("it runs") {
        let task = task.expect("an entry").path();
        // A thread may end meanwhile.
        let Ok(stat) = std::fs::read_to_string(task.join("schedstat")) else { continue };
        let mut numbers = stat.split(' ').map(|number| number.parse().expect("nanoseconds"));
        let mut next = || Duration::from_nanos(numbers.next().expect("two numbers"));
        sum.ran += next();
        sum.waited += next();
    }
    sum
}

#[allow(clippy::print_stdout, reason = "this is how the process that serves speaks")]
fn say(line: std::fmt::Arguments<'_>) {
    // The harness may have begun the line.
    println!("\n{line}");
}
