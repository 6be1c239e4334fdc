//! A server that answers as a test tells it, and remembers what it was asked.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in small letters.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// An answer.
pub(crate) enum Reply {
    /// Status, headers, body.
    With(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// These bytes, whatever they are.
    Raw(Vec<u8>),
    /// A head, and then a body without end.
    Endless,
    /// A head that goes on a little all the time.
    Slow,
    /// Nothing, until the other side gives up.
    Never,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Reply {
        Reply::With(status, Vec::new(), Vec::new())
    }
}

/// A server on a port of its own; it goes with the test's process.
pub(crate) struct Server {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub(crate) fn new(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, heard) = (Arc::new(answer), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, answer, heard) =
                    (stream.unwrap(), Arc::clone(&answer), Arc::clone(&heard));
                std::thread::spawn(move || serve(stream, answer.as_ref(), &heard));
            }
        });
        Server { address, asked }
    }

    /// What was asked, as `METHOD /path`.
    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|one| format!("{} {}", one.method, one.path)).collect()
    }

    /// Everything that was asked.
    pub(crate) fn all(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

fn serve(
    mut stream: TcpStream,
    answer: &(dyn Fn(&Asked) -> Reply + Send + Sync),
    heard: &Mutex<Vec<Asked>>,
) {
    let Some(asked) = read(&stream) else { return };
    heard.lock().unwrap().push(asked.clone());
    // Whoever asked may be gone.
    let sent = match answer(&asked) {
        Reply::With(status, headers, body) => {
            let mut head = format!("HTTP/1.1 {status} x\r\nconnection: close\r\n");
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            if status != 304 {
                head.push_str(&format!("content-length: {}\r\n", body.len()));
            }
            let sent = stream.write_all(format!("{head}\r\n").as_bytes());
            if asked.method == "HEAD" { sent } else { sent.and_then(|()| stream.write_all(&body)) }
        }
        Reply::Raw(bytes) => stream.write_all(&bytes),
        Reply::Endless => {
            let mut sent = stream.write_all(b"HTTP/1.1 200 x\r\nconnection: close\r\n\r\n");
            while sent.is_ok() {
                sent = stream.write_all(&[b' '; 65_536]);
            }
            sent
        }
        Reply::Slow => {
            let mut sent = stream.write_all(b"HTTP/1.1 200 x\r\nx: ");
            while sent.is_ok() {
                std::thread::park_timeout(std::time::Duration::from_millis(20));
                sent = stream.write_all(b"x");
            }
            sent
        }
        Reply::Never => stream.read(&mut [0]).map(drop),
    };
    drop(sent);
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { method, path, headers, body })
}
