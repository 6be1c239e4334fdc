//! One question over HTTP on the loopback interface, with the answer's headers.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// An app that does not answer within this time does not answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// An answer with status 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The version that says it gave the answer.
    pub server: Option<String>,
    /// The body.
    pub body: String,
}

/// GETs a path; `None` for everything that is no answer with status 200.
#[must_use]
pub fn get(port: u16, path: &str) -> Option<Answer> {
    ask(port, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
}

/// POSTs a body; `None` for everything that is no answer with status 200.
#[must_use]
pub fn post(port: u16, path: &str, body: &str) -> Option<Answer> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    ask(port, &format!("{head}Content-Length: {length}\r\n\r\n{body}"))
}

fn ask(port: u16, request: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    read(&text)
}

fn read(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    lines.next()?.starts_with("HTTP/1.1 200").then_some(())?;
    let server = lines.find_map(|line| line.strip_prefix("server: ")).map(str::to_owned);
    Some(Answer { server, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_answer_with_200_is_one() {
        let answer = read("HTTP/1.1 200 OK\r\nserver: 1.0.0\r\nx: y\r\n\r\n7\n").unwrap();
        assert_eq!(answer, Answer { server: Some("1.0.0".into()), body: "7\n".into() });
        assert_eq!(read("HTTP/1.1 200 OK\r\n\r\n").unwrap().server, None);
        assert_eq!(read("HTTP/1.1 503 No\r\n\r\n7"), None);
        assert_eq!(read("HTTP/1.1 200 OK\r\nserver: 1"), None);
        assert_eq!(read(""), None);
    }
}
