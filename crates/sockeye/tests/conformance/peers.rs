//! The servers that run the suite: this one, and others from packages for the table.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::kit::server::{Ended, Server, readable_by_all, run};
use crate::kit::{eventually, program_path};

/// When the files were last changed: Sun, 06 Nov 1994 08:49:37 GMT.
const MODIFIED: Duration = Duration::from_secs(784_111_777);

/// What the cases ask for.
pub(super) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    readable_by_all(folder.path());
    let path = folder.path();
    for sub in ["folder", "listing"] {
        fs::create_dir(path.join(sub)).unwrap();
        readable_by_all(&path.join(sub));
    }
    let long = "<p>The same line again.</p>\n".repeat(2000);
    let big: Vec<u8> = (0..300_000u32).map(|at| at.to_le_bytes()[0]).collect();
    let files: [(&str, &[u8]); 11] = [
        ("hello.txt", b"hello\n"),
        ("empty.txt", b""),
        ("one.txt", b"one\n"),
        ("two.txt", b"two\n"),
        ("index.html", b"<p>the root\n"),
        ("folder/index.html", b"<p>a folder\n"),
        ("listing/a.txt", b"a\n"),
        ("name with space.txt", b"spaced\n"),
        ("café.txt", b"accent\n"),
        ("long.html", long.as_bytes()),
        ("big.bin", &big),
    ];
    for (name, content) in files {
        file(&path.join(name), content, UNIX_EPOCH + MODIFIED);
    }
    let tomorrow = SystemTime::now() + Duration::from_secs(24 * 60 * 60);
    file(&path.join("future.txt"), b"later\n", tomorrow);
    folder
}

fn file(path: &Path, content: &[u8], modified: SystemTime) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

/// Another server on a port of its own, ended when the test ends.
pub(super) struct Peer {
    /// Name and version.
    pub(super) name: String,
    pub(super) address: SocketAddr,
    /// Its configuration and what it writes.
    pub(super) work: TempDir,
    child: Ended,
}

impl Peer {
    /// `nginx`, handing out the folder.
    pub(super) fn nginx(folder: &Path) -> Peer {
        let site = format!("root {}; location /listing/ {{ autoindex on; }}", folder.display());
        Peer::nginx_with("", &format!("access_log off; {site}"))
    }

    /// `nginx` with these lines at the level of `http` and of `server`.
    pub(super) fn nginx_with(http: &str, server: &str) -> Peer {
        let program = program_path("nginx").unwrap();
        Peer::start(&program, &["-v"], |port, work| {
            let at = work.display();
            let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|of| format!("{of}_temp_path {at}/{of};\n"))
                .concat();
            let text = format!(
                "daemon off;\nmaster_process off;\nerror_log {at}/error.log;\npid {at}/pid;\n\
                 events {{}}\nhttp {{\n{temporary}include /etc/nginx/mime.types;\n\
                 {http}\nserver {{\nlisten 127.0.0.1:{port};\n{server}\n}}\n}}\n"
            );
            vec![
                "-p".to_owned(),
                at.to_string(),
                "-c".to_owned(),
                written(work, "nginx.conf", &text),
            ]
        })
    }

    /// `lighttpd`, handing out the folder.
    pub(super) fn lighttpd(folder: &Path) -> Peer {
        let program = program_path("lighttpd").unwrap();
        Peer::start(&program, &["-v"], |port, work| {
            let text = format!(
                "server.document-root = \"{}\"\nserver.port = {port}\nserver.bind = \"127.0.0.1\"\n\
                 server.errorlog = \"{}/error.log\"\nserver.modules = (\"mod_dirlisting\")\n\
                 index-file.names = (\"index.html\")\ndir-listing.activate = \"enable\"\n\
                 mimetype.assign = (\".html\" => \"text/html\", \".txt\" => \"text/plain\", \
                 \"\" => \"application/octet-stream\")\n",
                folder.display(),
                work.display(),
            );
            vec!["-D".to_owned(), "-f".to_owned(), written(work, "lighttpd.conf", &text)]
        })
    }

    /// `haproxy` in front of a server, with this patience for clients. It writes a line about each
    /// request to standard output.
    pub(super) fn haproxy(backend: SocketAddr, patience: &str) -> Peer {
        let program = program_path("haproxy").unwrap();
        Peer::start(&program, &["-v"], |port, work| {
            let text = format!(
                "global\n log stdout format raw local0\ndefaults\n mode http\n log global\n \
                 log-format \"%s %ST %ts\"\n timeout connect 5s\n timeout client {patience}\n \
                 timeout server 20s\n timeout http-request {patience}\n http-reuse always\n\
                 frontend in\n bind 127.0.0.1:{port}\n default_backend out\n\
                 backend out\n server one {backend}\n"
            );
            vec!["-db".to_owned(), "-f".to_owned(), written(work, "haproxy.cfg", &text)]
        })
    }

    /// `python3 -m http.server`, handing out the folder.
    pub(super) fn python(folder: &Path) -> Peer {
        let program = program_path("python3").unwrap();
        let folder = folder.to_str().unwrap().to_owned();
        Peer::start(&program, &["--version"], |port, _| {
            let mut arguments =
                ["-m", "http.server", "--bind", "127.0.0.1", "--protocol", "HTTP/1.1"]
                    .map(str::to_owned)
                    .to_vec();
            arguments.extend(["--directory".to_owned(), folder.clone(), port.to_string()]);
            arguments
        })
    }

    fn start(
        program: &Path,
        version: &[&str],
        configure: impl Fn(u16, &Path) -> Vec<String>,
    ) -> Peer {
        let (_, out, err) = run(Command::new(program).args(version));
        let name = short_version(&format!("{out}{err}"));
        let work = tempfile::tempdir().unwrap();
        readable_by_all(work.path());
        // Nobody keeps the port until the server has it; if another process was quicker, again.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let said = fs::File::create(work.path().join("said")).unwrap();
            let mut child = Ended(
                Command::new(program)
                    .args(configure(port, work.path()))
                    .stdin(Stdio::null())
                    .stdout(said.try_clone().unwrap())
                    .stderr(said)
                    .spawn()
                    .unwrap(),
            );
            let ready = eventually(&name, || {
                if child.0.try_wait().unwrap().is_some() {
                    return Some(false);
                }
                TcpStream::connect(address).is_ok().then_some(true)
            });
            if ready {
                return Peer { name, address, work, child };
            }
        }
        panic!("{name}: {}", fs::read_to_string(work.path().join("said")).unwrap());
    }

    pub(super) fn child(&mut self) -> &mut Child {
        &mut self.child.0
    }
}

/// `nginx/1.22.1`, `HAProxy version 2.6.12-1...`, `Python 3.11.2`: name and number.
fn short_version(said: &str) -> String {
    let words: Vec<&str> = said.split([' ', '/', '\n']).collect();
    let number =
        |word: &&&str| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit());
    let number = words.iter().find(number).map_or("", |word| word.split('-').next().unwrap());
    let name = ["nginx", "lighttpd", "HAProxy", "Python"];
    let name = name.iter().find(|name| said.contains(**name)).unwrap();
    format!("{name} {number}")
}

fn written(work: &Path, name: &str, text: &str) -> String {
    let path = work.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// This server on a driver.
pub(super) fn sockeye(folder: &Path, driver: &str) -> Server {
    Server::start(folder, &["--driver", driver, "--threads", "1"])
}
