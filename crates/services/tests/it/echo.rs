//! Echo and discard, as their clients meet them.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use sockeye_engine::{Bound, DriverKind, Endpoint, ServeOptions, Stream};
use sockeye_services::echo::{Patience, discard, echo};

use crate::support::{on_every_driver, pattern};

/// One connection over the service; what its future returned.
fn once<F, Fut>(driver: DriverKind, serve: F, talk: impl FnOnce(TcpStream)) -> std::io::Result<u64>
where
    F: Fn(Stream) -> Fut + Send + Sync + Clone + 'static,
    Fut: Future<Output = std::io::Result<u64>> + 'static,
{
    let options = ServeOptions {
        driver,
        threads: None,
        max_connections: 10,
        grace: Duration::from_secs(30),
        probe: None,
        notice: Arc::new(|_| ()),
    };
    let endpoint: Endpoint = "tcp://127.0.0.1:0".parse().expect("an endpoint");
    let bound = Bound::listen(&[endpoint], options).expect("a free port");
    let address = bound.addresses()[0];
    let (done, is_done) = mpsc::channel();
    let serving = bound.start(move |stream| {
        let (done, serve) = (done.clone(), serve.clone());
        async move {
            let _ = done.send(serve(stream).await);
        }
    });
    let serving = serving.expect("threads start");
    talk(TcpStream::connect(address).expect("it listens"));
    let result = is_done.recv().expect("it ends");
    serving.stop();
    assert_eq!(serving.join(), 0);
    result
}

#[test]
fn everything_comes_back_even_to_a_client_that_reads_after_it_has_written() {
    on_every_driver(|driver| {
        let sent = pattern(2_000_000);
        let result = once(
            driver,
            |stream| echo(stream, Patience::default()),
            |mut client| {
                let mut reader = client.try_clone().expect("a descriptor");
                let expected = sent.clone();
                // Written by a thread: the server stops to receive while nobody reads.
                let writing = std::thread::spawn(move || {
                    client.write_all(&sent).expect("the server reads");
                    client.shutdown(Shutdown::Write).expect("connected");
                });
                let mut back = Vec::new();
                reader.read_to_end(&mut back).expect("echoed and closed");
                writing.join().expect("all is written");
                assert!(back == expected, "{driver}: other bytes came back");
            },
        );
        assert_eq!(result.expect("no error"), 2_000_000, "{driver}");
    });
}

#[test]
fn discard_takes_everything_and_says_nothing() {
    on_every_driver(|driver| {
        let result = once(
            driver,
            |stream| discard(stream, Patience::default()),
            |mut client| {
                client.write_all(&pattern(700_000)).expect("the server reads");
                client.shutdown(Shutdown::Write).expect("connected");
                assert_eq!(client.read(&mut [0]).expect("closed"), 0, "{driver}");
            },
        );
        assert_eq!(result.expect("no error"), 700_000, "{driver}");
    });
}

#[test]
fn an_echo_to_nobody_who_reads_ends_at_its_deadline_and_says_whom_it_waited_for() {
    on_every_driver(|driver| {
        let patience = Patience { write: Duration::from_millis(50), ..Patience::default() };
        let mut local = None;
        let result = once(
            driver,
            move |stream| echo(stream, patience),
            |mut client| {
                local = Some(client.local_addr().expect("connected"));
                // Until the server has had enough and closes, which resets what it has not read.
                while client.write_all(&[0; 65536]).is_ok() {}
            },
        );
        let error = result.expect_err("nobody reads");
        let expected = format!("send to {}: timed out", local.expect("connected"));
        assert_eq!(error.to_string(), expected, "{driver}");
    });
}
