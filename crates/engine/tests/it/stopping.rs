//! A stop while work is in flight: what may finish finishes, the rest is cut off and counted.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::Duration;

use rustix::net::sockopt::set_socket_recv_buffer_size;
use sockeye_engine::{Bound, DriverKind, Endpoint, ServeOptions, Serving, Stream};

use crate::peer::{LONG, count_numbered, read, rest};
use crate::serving::options;
use crate::transcript::{same_everywhere, same_on_an_engine};
use crate::turns;

/// A server of one thread (or one a connection) that says when it has received something.
fn serve<Fut: Future<Output = ()> + 'static>(
    driver: DriverKind,
    grace: Duration,
    service: impl Fn(Stream, mpsc::Sender<String>) -> Fut + Send + Sync + 'static,
) -> (Serving, impl Fn() -> TcpStream, mpsc::Receiver<String>) {
    let endpoint: Endpoint = "tcp://127.0.0.1:0".parse().expect("an endpoint");
    let threads = driver.multiplexes().then_some(1);
    let options = ServeOptions { threads, grace, ..options(driver) };
    let bound = Bound::listen(&[endpoint], options).expect("a free port");
    let address = bound.addresses()[0];
    let (say, said) = mpsc::channel();
    let serving = bound.start(move |stream| service(stream, say.clone())).expect("threads start");
    let client = move || {
        let client = TcpStream::connect(address).expect("it listens");
        client.set_read_timeout(Some(LONG)).expect("an option");
        // So that a long answer does not fit into the two sockets' queues.
        set_socket_recv_buffer_size(&client, 32 * 1024).expect("an option");
        client
    };
    (serving, client, said)
}

/// Receives, says what, and then sends a long answer.
async fn answer_at_length(mut stream: Stream, say: mpsc::Sender<String>) {
    let asked = stream.recv().await.expect("connected");
    say.send(String::from_utf8_lossy(&asked).into_owned()).expect("the test listens");
    drop(asked);
    stream.write_shared(crate::peer::bytes(0..6_000_000).into());
    let _ = stream.flush().await;
}

#[test]
fn an_answer_in_flight_is_finished_within_the_grace() {
    let golden = "
        served: first
        served: second
        stopped with 2 connections
        first got Ok(6000000)
        second got Ok(6000000)
        cut off 0
    ";
    let script = "an_answer_in_flight_is_finished_within_the_grace";
    same_everywhere(script, golden, |driver, told| {
        let (serving, client, said) = serve(driver, LONG, answer_at_length);
        let clients = ["first", "second"].map(|name| {
            let mut client = client();
            client.write_all(name.as_bytes()).expect("connected");
            told.say(format_args!("served: {}", said.recv().expect("it is served")));
            (name, client)
        });
        told.say(format_args!("stopped with {} connections", serving.connections()));
        serving.stop();
        for (name, client) in clients {
            let got = count_numbered(client, 100_000).join().expect("no panic");
            told.say(format_args!("{name} got {got:?}"));
        }
        told.say(format_args!("cut off {}", serving.join()));
    });
}

#[test]
fn what_is_not_over_when_the_grace_is_gets_cut_off_and_counted() {
    let golden = "
        served: stays 0
        served: stays 1
        served: stays 2
        stopped with 4 connections
        idle: , end
        cut off 3
    ";
    let script = "what_is_not_over_when_the_grace_is_gets_cut_off_and_counted";
    same_everywhere(script, golden, |driver, told| {
        let grace = Duration::from_millis(100);
        let (serving, client, said) = serve(driver, grace, async |mut stream: Stream, say| {
            while let Ok(Some(asked)) = stream.recv_idle().await {
                if asked.is_empty() {
                    break;
                }
                let asked = String::from_utf8_lossy(&asked).into_owned();
                say.send(asked.clone()).expect("the test listens");
                if asked == "idle" {
                    continue;
                }
                // In the middle of something that never ends.
                let _ = stream.recv().await;
            }
        });
        let idle = client();
        (&idle).write_all(b"idle").expect("connected");
        said.recv().expect("it is served");
        let staying = [0, 1, 2].map(|n| {
            let mut client = client();
            client.write_all(format!("stays {n}").as_bytes()).expect("connected");
            told.say(format_args!("served: {}", said.recv().expect("it is served")));
            client
        });
        told.say(format_args!("stopped with {} connections", serving.connections()));
        serving.stop();
        told.say(format_args!("idle: {}", rest(&idle)));
        told.say(format_args!("cut off {}", serving.join()));
        drop(staying);
    });
}

#[test]
fn a_stop_is_no_end_of_the_stream_for_who_is_in_the_middle_of_something() {
    let golden = "
        served: half
        answer: half and half, end
        cut off 0
    ";
    let script = "a_stop_is_no_end_of_the_stream_for_who_is_in_the_middle_of_something";
    same_everywhere(script, golden, |driver, told| {
        let (serving, client, said) = serve(driver, LONG, async |mut stream: Stream, say| {
            let first = stream.recv_idle().await.expect("connected").expect("not stopped yet");
            let mut all = first.to_vec();
            drop(first);
            say.send(String::from_utf8_lossy(&all).into_owned()).expect("the test listens");
            while all.len() < 13 {
                let more = stream.recv().await.expect("connected");
                if more.is_empty() {
                    break;
                }
                all.extend_from_slice(&more);
            }
            stream.write(&all);
            stream.flush().await.expect("connected");
        });
        let mut client = client();
        client.write_all(b"half").expect("connected");
        told.say(format_args!("served: {}", said.recv().expect("it is served")));
        serving.stop();
        client.write_all(b" and half").expect("connected");
        told.say(format_args!("answer: {}", rest(&client)));
        told.say(format_args!("cut off {}", serving.join()));
    });
}

#[test]
fn a_stop_comes_through_to_a_server_that_never_had_a_client() {
    let golden = "cut off 0";
    let script = "a_stop_comes_through_to_a_server_that_never_had_a_client";
    same_everywhere(script, golden, |driver, told| {
        let (serving, _client, _said) = serve(driver, LONG, answer_at_length);
        serving.stop();
        told.say(format_args!("cut off {}", serving.join()));
    });
}

#[test]
fn bytes_that_arrived_before_the_stop_are_answered() {
    let golden = "
        served: first
        answer: first
        answer: second, end
        cut off 0
    ";
    let script = "bytes_that_arrived_before_the_stop_are_answered";
    same_everywhere(script, golden, |driver, told| {
        let (go, may_go) = mpsc::channel::<()>();
        let may_go = std::sync::Arc::new(std::sync::Mutex::new(may_go));
        let (serving, client, said) = serve(driver, LONG, move |mut stream: Stream, say| {
            let may_go = std::sync::Arc::clone(&may_go);
            async move {
                while let Ok(Some(asked)) = stream.recv_idle().await {
                    if asked.is_empty() {
                        break;
                    }
                    stream.write(&asked);
                    drop(asked);
                    let asked = stream.received();
                    stream.flush().await.expect("connected");
                    if asked == 5 {
                        say.send("first".to_owned()).expect("the test listens");
                        // The thread is busy until the second part is there and the stop as well.
                        may_go.lock().expect("no panic").recv().expect("the test says when");
                    }
                }
            }
        });
        let mut client = client();
        client.write_all(b"first").expect("connected");
        told.say(format_args!("served: {}", said.recv().expect("it is served")));
        told.say(format_args!("answer: {}", read(&client, 5)));
        client.write_all(b"second").expect("connected");
        serving.stop();
        go.send(()).expect("it waits");
        told.say(format_args!("answer: {}", rest(&client)));
        told.say(format_args!("cut off {}", serving.join()));
    });
}

#[test]
fn what_came_before_anybody_asked_is_received_even_when_the_thread_is_stopping() {
    let golden = "
        recv_idle: here
        recv_idle: stopped
        recv: more
        recv_idle: stopped
        recv_idle: end
    ";
    let script = "what_came_before_anybody_asked_is_received_even_when_the_thread_is_stopping";
    same_on_an_engine(script, golden, async |told, stage| {
        let idle = async |stream: &mut Stream| match stream.recv_idle().await {
            Ok(None) => "recv_idle: stopped".to_owned(),
            Ok(Some(chunk)) if chunk.is_empty() => "recv_idle: end".to_owned(),
            Ok(Some(chunk)) => format!("recv_idle: {}", String::from_utf8_lossy(&chunk)),
            Err(error) => format!("recv_idle: {:?}", error.kind()),
        };
        stage.stop();
        turns(3).await;
        let (ours, mut theirs) = stage.connection().await;
        let look = ours.look();
        theirs.write(b"here").await.expect("connected");
        look.until_readable().await;
        let mut stream = ours.adopt();
        told.say(idle(&mut stream).await);
        told.say(idle(&mut stream).await);
        theirs.write(b"more").await.expect("connected");
        told.recv(&mut stream).await;
        told.say(idle(&mut stream).await);
        drop(theirs);
        look.until_readable().await;
        told.say(idle(&mut stream).await);
    });
}
