//! Standard input and output beside sockets: whatever they are, on every driver.

use std::fs::File;
use std::future::Future as _;
use std::io::{ErrorKind, Read as _, Seek as _, Write as _, pipe};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::task::{Context, Poll};

use rustix::fs::{OFlags, fcntl_getfl};
use sockeye_engine::{Sink, Source};

use crate::{Either, adopt, connection, either, engine, on_every_driver, turns};

fn is_nonblocking(fd: impl AsFd) -> bool {
    fcntl_getfl(fd).expect("it is open").contains(OFlags::NONBLOCK)
}

/// Bytes that show when a part of them is missing or doubled.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at * 31 % 251).expect("below 251")).collect()
}

async fn all(source: &mut Source) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let chunk = source.read().await.expect("it can be read");
        if chunk.is_empty() {
            return all;
        }
        all.extend_from_slice(&chunk);
    }
}

#[test]
fn a_pipe_is_read_to_its_end() {
    on_every_driver(|kind| {
        let (reader, mut writer) = pipe().expect("a pipe");
        let shared = reader.try_clone().expect("a copy");
        let feeding = std::thread::spawn(move || writer.write_all(&pattern(300_000)));
        engine(kind).block_on(async {
            let mut source = Source::adopt(reader).expect("a pipe");
            assert_eq!(all(&mut source).await, pattern(300_000), "{kind}");
            assert!(source.read().await.expect("again").is_empty(), "{kind}");
        });
        feeding.join().expect("no panic").expect("it was read");
        assert!(!is_nonblocking(shared), "{kind}: others share the description");
    });
}

/// A read that slept would keep everything else of the thread from running.
#[test]
fn other_tasks_run_while_a_pipe_is_empty() {
    on_every_driver(|kind| {
        let (reader, mut writer) = pipe().expect("a pipe");
        engine(kind).block_on(async {
            let mut source = Source::adopt(reader).expect("a pipe");
            let Either::Other(()) = either(source.read(), turns(3)).await else {
                panic!("{kind}: nothing was written yet")
            };
            writer.write_all(b"now").expect("room");
            assert_eq!(&source.read().await.expect("it came")[..], b"now", "{kind}");
        });
    });
}

/// A description that is opened after the last writer is gone is never told so by poll(2).
#[test]
fn a_pipe_whose_writer_is_gone_already_ends() {
    on_every_driver(|kind| {
        for said in ["", "said before\n"] {
            let (reader, mut writer) = pipe().expect("a pipe");
            writer.write_all(said.as_bytes()).expect("room");
            drop(writer);
            engine(kind).block_on(async {
                let mut source = Source::adopt(reader).expect("a pipe");
                assert_eq!(all(&mut source).await, said.as_bytes(), "{kind}");
            });
        }
    });
}

#[test]
fn a_file_is_read_from_where_it_stands_and_stands_at_its_end_then() {
    on_every_driver(|kind| {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&pattern(700_000)).expect("written");
        file.seek(std::io::SeekFrom::Start(5)).expect("a seek");
        let copy = file.try_clone().expect("a copy");
        engine(kind).block_on(async {
            let mut source = Source::adopt(copy).expect("a file");
            assert_eq!(all(&mut source).await, pattern(700_000)[5..], "{kind}");
        });
        assert_eq!(file.stream_position().expect("a position"), 700_000, "{kind}");
    });
}

#[test]
fn a_socket_is_read_and_written_in_the_mode_it_has() {
    on_every_driver(|kind| {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let shared = ours.try_clone().expect("a copy");
        engine(kind).block_on(async {
            let mut source = Source::adopt(ours.try_clone().expect("a copy")).expect("a socket");
            let mut sink = Sink::adopt(ours).expect("a socket");
            sink.write(b"to you");
            sink.flush().await.expect("room");
            let mut said = [0; 6];
            theirs.read_exact(&mut said).expect("it was sent");
            theirs.write_all(&said).expect("room");
            assert_eq!(&source.read().await.expect("it came")[..], b"to you", "{kind}");
            assert!(!is_nonblocking(&shared), "{kind}: others share the description");
        });
    });
}

#[test]
fn a_slow_reader_holds_a_flush_back() {
    on_every_driver(|kind| {
        let (mut reader, writer) = pipe().expect("a pipe");
        let shared = writer.try_clone().expect("a copy");
        let len = 1 << 20;
        engine(kind).block_on(async {
            let mut sink = Sink::adopt(writer).expect("a pipe");
            sink.write(&pattern(len));
            let mut flush = Box::pin(sink.flush());
            let polled = flush.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()));
            assert!(polled.is_pending(), "{kind}: the pipe has no room for it");
            drop(flush);
            let backlog = sink.backlog();
            let held = rustix::io::ioctl_fionread(&shared).expect("a pipe");
            assert_eq!(backlog.bytes() as u64 + held, len as u64, "{kind}");
            let reading = std::thread::spawn(move || {
                let mut all = vec![0; len];
                reader.read_exact(&mut all).map(|()| all)
            });
            sink.flush().await.expect("it is read");
            let read = reading.join().expect("no panic").expect("a pipe");
            assert!(read == pattern(len), "{kind}: dropping a flush loses and doubles nothing");
            assert_eq!(backlog.bytes(), 0, "{kind}");
        });
        assert!(!is_nonblocking(shared), "{kind}: others share the description");
    });
}

#[test]
fn a_pipe_that_nobody_reads_is_broken() {
    on_every_driver(|kind| {
        // Before it is opened again, and after.
        for early in [true, false] {
            let (reader, writer) = pipe().expect("a pipe");
            let mut reader = Some(reader);
            if early {
                reader = None;
            }
            engine(kind).block_on(async {
                let mut sink = Sink::adopt(writer).expect("a pipe");
                drop(reader);
                sink.write(b"to nobody");
                let error = sink.flush().await.expect_err("nobody reads");
                assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{kind}");
            });
        }
    });
}

#[test]
fn a_full_disk_is_told() {
    on_every_driver(|kind| {
        let full = File::options().write(true).open("/dev/full").expect("a device");
        engine(kind).block_on(async {
            let mut sink = Sink::adopt(full).expect("a device");
            sink.write(b"no room");
            let error = sink.flush().await.expect_err("it is full");
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{kind}");
        });
    });
}

#[test]
fn a_relay_moves_every_byte_from_pipes_and_files_to_a_stream() {
    let len = 3_000_000;
    on_every_driver(|kind| {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&pattern(len)).expect("written");
        file.rewind().expect("a seek");
        let (reader, mut writer) = pipe().expect("a pipe");
        let feeding = std::thread::spawn(move || writer.write_all(&pattern(len)));
        for source in [reader.into(), std::os::fd::OwnedFd::from(file)] {
            let (ours, mut theirs) = connection();
            let reading = std::thread::spawn(move || {
                let mut all = Vec::new();
                theirs.read_to_end(&mut all).map(|_| all)
            });
            engine(kind).block_on(async {
                let (_from, mut to) = adopt(ours).split();
                let mut source = Source::adopt(source).expect("it can be read");
                let mut count = 0;
                loop {
                    match source.relay(&mut to).await.expect("both are there") {
                        0 => break,
                        more => count += more,
                    }
                }
                assert_eq!(count, len, "{kind}");
            });
            let read = reading.join().expect("no panic").expect("a connection");
            assert!(read == pattern(len), "{kind}");
        }
        feeding.join().expect("no panic").expect("it was read");
    });
}

#[test]
fn a_relay_moves_every_byte_from_a_stream_to_pipes_and_files() {
    let len = 3_000_000;
    on_every_driver(|kind| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("plain");
        let appended = folder.path().join("appended");
        let options = |append| {
            let mut options = File::options();
            options.create(true).write(true).append(append);
            options
        };
        let (mut reader, writer) = pipe().expect("a pipe");
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all)
        });
        let sinks: [std::os::fd::OwnedFd; 3] = [
            writer.into(),
            options(false).open(&path).expect("a file").into(),
            options(true).open(&appended).expect("a file").into(),
        ];
        for sink in sinks {
            let (ours, mut theirs) = connection();
            let feeding = std::thread::spawn(move || theirs.write_all(&pattern(len)));
            engine(kind).block_on(async {
                let (mut from, _to) = adopt(ours).split();
                let mut sink = Sink::adopt(sink).expect("it can be written");
                while sink.relay(&mut from).await.expect("both are there") > 0 {}
            });
            feeding.join().expect("no panic").expect("it was received");
        }
        let read = reading.join().expect("no panic").expect("a pipe");
        assert!(read == pattern(len), "{kind}");
        for path in [path, appended] {
            assert!(std::fs::read(&path).expect("a file") == pattern(len), "{kind}: {path:?}");
        }
    });
}

#[test]
fn a_relay_into_a_pipe_that_nobody_reads_says_which_end_it_was() {
    on_every_driver(|kind| {
        let (reader, writer) = pipe().expect("a pipe");
        let (ours, mut theirs) = connection();
        theirs.write_all(b"to nobody").expect("room");
        engine(kind).block_on(async {
            let (mut from, _to) = adopt(ours).split();
            let mut sink = Sink::adopt(writer).expect("a pipe");
            drop(reader);
            let error = sink.relay(&mut from).await.expect_err("nobody reads");
            let sockeye_engine::RelayError::Here(error) = error else { panic!("{kind}: {error}") };
            assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{kind}");
        });
    });
}

/// splice(2) says EINVAL of these, whatever write(2) would say.
#[test]
fn a_relay_into_what_takes_no_splices_is_a_copy() {
    on_every_driver(|kind| {
        let relayed = |path: &str, said: &[u8]| {
            let (ours, mut theirs) = connection();
            theirs.write_all(said).expect("room");
            drop(theirs);
            let file = File::options().write(true).open(path).expect("it can be written");
            engine(kind).block_on(async {
                let (mut from, _to) = adopt(ours).split();
                let mut sink = Sink::adopt(file).expect("it can be written");
                while sink.relay(&mut from).await? > 0 {}
                Ok(())
            })
        };
        let Err(sockeye_engine::RelayError::Here(error)) = relayed("/dev/full", b"no room") else {
            panic!("{kind}: there is no room")
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{kind}: {error}");
        let own = format!("/proc/self/task/{}/comm", rustix::thread::gettid().as_raw_nonzero());
        let name = format!("{kind}");
        relayed(&own, name.as_bytes()).expect("both are there");
        let written = std::fs::read_to_string(&own).expect("a file");
        assert_eq!(written.trim_end(), name);
    });
}

/// A read that is dropped half-way leaves what it would have had to the next one.
#[test]
fn a_dropped_read_loses_nothing() {
    on_every_driver(|kind| {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"kept").expect("written");
        file.rewind().expect("a seek");
        engine(kind).block_on(async {
            let mut source = Source::adopt(file).expect("a file");
            let mut read = Box::pin(source.read());
            let polled = read.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()));
            let early = match polled {
                Poll::Ready(chunk) => chunk.expect("a file").to_vec(),
                Poll::Pending => Vec::new(),
            };
            drop(read);
            let rest = all(&mut source).await;
            assert_eq!([early, rest].concat(), b"kept", "{kind}");
        });
    });
}
