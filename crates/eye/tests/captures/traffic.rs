//! Real traffic of other programs in a capture file: nginx serves, curl asks, tcpdump captures.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::support::{may_capture, skip};

/// A capture, for as long as this lives.
pub(crate) struct Traffic {
    _folder: TempDir,
    file: PathBuf,
    port: u16,
}

impl Traffic {
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// The server's.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

/// Captures web traffic; `None`, and said, where that can't be done.
pub(crate) fn web(test: &str) -> Option<Traffic> {
    if !may_capture(test) {
        return None;
    }
    for (program, ask) in [("nginx", "-v"), ("curl", "--version"), ("tcpdump", "--version")] {
        if Command::new(program).arg(ask).output().is_err() {
            skip(test, &format!("{program} is missing"));
            return None;
        }
    }
    Some(capture())
}

/// Ended when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn capture() -> Traffic {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("www")).unwrap();
    fs::write(root.join("www/small"), b"a few bytes\n").unwrap();
    let large: Vec<u8> = (0..600_000_u32).flat_map(|at| at.to_le_bytes()).take(600_000).collect();
    fs::write(root.join("www/large"), large).unwrap();
    // Free a moment ago; nobody else on this machine hands out ports by number.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!(
        "daemon off; master_process off; pid {root}/pid; error_log stderr;\n\
         events {{}}\n\
         http {{ access_log off; client_body_temp_path {root}/body; proxy_temp_path {root}/proxy;\n\
         fastcgi_temp_path {root}/fastcgi; uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;\n\
         server {{ listen 127.0.0.1:{port}; root {root}/www; }} }}\n",
        root = root.display()
    );
    fs::write(root.join("nginx.conf"), config).unwrap();
    let nginx = Command::new("nginx")
        .args(["-p".as_ref(), root.as_os_str(), "-c".as_ref(), root.join("nginx.conf").as_os_str()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let nginx = Running(nginx);
    // Until it listens it refuses, which nobody needs to see thousands of times.
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::yield_now();
    }
    let file = root.join("web.pcap");
    let mut tcpdump = Command::new("tcpdump")
        .args(["-i", "lo", "-U", "--immediate-mode", "-B", "16384", "-s", "0", "-w"])
        .arg(&file)
        .args(["-Z", "root", &format!("tcp port {port}")])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(tcpdump.stderr.take().unwrap());
    let tcpdump = Running(tcpdump);
    until_it_says(&mut said, "listening on");
    for paths in [&["small"][..], &["small", "large", "missing"], &["large", "small", "large"]] {
        let urls = paths.iter().map(|path| format!("http://127.0.0.1:{port}/{path}"));
        let curl = Command::new("curl").arg("-s").args(urls).stdout(Stdio::null()).status();
        assert!(curl.unwrap().success());
    }
    drop(nginx);
    // The last word of each connection is in the file: its own end tells that of all before it.
    interrupt(tcpdump, &mut said);
    Traffic { _folder: folder, file, port }
}

fn until_it_says(said: &mut impl BufRead, what: &str) {
    let mut line = String::new();
    while !line.contains(what) {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "tcpdump ended");
    }
}

fn interrupt(mut running: Running, said: &mut impl BufRead) {
    let id = rustix::process::Pid::from_child(&running.0);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let _ = running.0.wait();
    let mut rest = String::new();
    let _ = said.read_to_string(&mut rest);
    assert!(
        rest.contains(" 0 packets dropped by kernel") || rest.contains("\n0 packets dropped"),
        "{rest}"
    );
}
