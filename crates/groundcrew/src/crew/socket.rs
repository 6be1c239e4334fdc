//! The control socket: the agent's end and the command line's end.
//!
//! A plain Unix socket, mode 0600, in a directory that everybody may pass and nobody may list:
//! whoever may open it may do what the agent may. Each connection has a thread, a limit on its lines and a limit on its silence.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::Crew;
use super::request::{
    REQUEST_MAX_BYTES, RESPONSE_MAX_BYTES, Reply, Request, RequestLine, Response, ResponseLine,
    VERSION,
};
use crate::exit::{Exit, Refusal};

/// The socket's name in the run directory.
const NAME: &str = "control.sock";
/// Most connections at a time; a person and a console need a few.
const CONNECTIONS_MAX: usize = 32;
/// A connection that says nothing for so long is closed.
const SILENCE: Duration = Duration::from_secs(60);
/// How long the command line waits for an answer; an app's thread may be in a long step.
const ANSWER_WITHIN: Duration = Duration::from_secs(30 * 60);

/// Where the socket is.
pub(crate) fn path(run: &Path) -> PathBuf {
    run.join(NAME)
}

/// Opens the socket. The caller holds the agent's lock, so what lies there is a dead one's.
///
/// # Errors
///
/// The host failed.
pub(crate) fn listen(run: &Path) -> Result<UnixListener, Refusal> {
    let path = path(run);
    let cannot = |error: std::io::Error| {
        Refusal::failed(format!("cannot listen on {}: {error}", path.display()))
    };
    match fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(cannot(error)),
    }
    let listener = UnixListener::bind(&path).map_err(cannot)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(cannot)?;
    Ok(listener)
}

/// Answers whoever connects, until the process ends.
pub(crate) fn serve(listener: &UnixListener, crew: &Arc<Crew>) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        // An accept that fails (no more descriptors) is tried again with the next connection.
        let Ok(stream) = stream else {
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        if open.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let (crew, count) = (Arc::clone(crew), Arc::clone(&open));
        let started = std::thread::Builder::new().name("control".to_owned()).spawn(move || {
            // A connection that breaks concerns only its other end.
            drop(talk(&stream, &crew));
            count.fetch_sub(1, Ordering::SeqCst);
        });
        if started.is_err() {
            open.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

fn talk(stream: &UnixStream, crew: &Crew) -> std::io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if (&mut reader).take(REQUEST_MAX_BYTES).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let whole = line.ends_with('\n');
        let answer = match serde_json::from_str::<RequestLine>(&line) {
            _ if !whole => {
                Err(Refusal::usage(format!("a request has at most {REQUEST_MAX_BYTES} bytes")))
            }
            Ok(said) if said.v != VERSION => Err(Refusal::usage(format!(
                "version {} of the words is not spoken here, {VERSION} is",
                said.v
            ))),
            Ok(said) => crew.ask(said.request),
            Err(error) => Err(Refusal::usage(format!("not a request: {error}"))),
        };
        let response = ResponseLine { v: VERSION, response: Response::from(answer) };
        let mut bytes = serde_json::to_vec(&response)?;
        bytes.push(b'\n');
        let mut out = stream;
        out.write_all(&bytes)?;
        if !whole {
            return Ok(());
        }
    }
}

/// Whether whoever listens here takes connections: it answers, or it says that there are too many.
pub(crate) fn answers(run: &Path, within: Duration) -> bool {
    let ask = || -> std::io::Result<()> {
        let mut stream = UnixStream::connect(path(run))?;
        stream.set_read_timeout(Some(within))?;
        stream.set_write_timeout(Some(within))?;
        let line = RequestLine { v: VERSION, request: Request::Ping };
        stream.write_all(format!("{}\n", serde_json::to_string(&line)?).as_bytes())?;
        let mut byte = [0];
        stream.read(&mut byte).map(drop)
    };
    match ask() {
        Ok(()) => true,
        // It took the connection and closed it.
        Err(error) => matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
    }
}

/// A running agent, as the command line sees it.
#[derive(Debug)]
pub(crate) struct Line {
    reader: BufReader<UnixStream>,
    path: PathBuf,
}

impl Line {
    /// Connects; `None`: nobody is there.
    ///
    /// # Errors
    ///
    /// Somebody is there and does not let us in.
    pub(crate) fn open(run: &Path) -> Result<Option<Self>, Refusal> {
        Self::open_within(run, ANSWER_WITHIN)
    }

    /// Connects for answers that come within so long each; `None`: nobody is there.
    ///
    /// # Errors
    ///
    /// Somebody is there and does not let us in.
    pub(crate) fn open_within(run: &Path, within: Duration) -> Result<Option<Self>, Refusal> {
        let path = path(run);
        match UnixStream::connect(&path) {
            Ok(stream) => {
                let unreachable = |error: std::io::Error| {
                    let text = format!("cannot set up {}: {error}", path.display());
                    Refusal::new(Exit::Unreachable, text)
                };
                stream.set_read_timeout(Some(within)).map_err(unreachable)?;
                stream.set_write_timeout(Some(SILENCE)).map_err(unreachable)?;
                Ok(Some(Self { reader: BufReader::new(stream), path }))
            }
            Err(error) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::ConnectionRefused => Ok(None),
                _ => Err(Refusal::new(
                    Exit::Unreachable,
                    format!("cannot connect to the agent at {}: {error}", path.display()),
                )),
            },
        }
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    ///
    /// The agent refuses, or is gone.
    pub(crate) fn ask(&mut self, request: Request) -> Result<Reply, Refusal> {
        let gone = |why: String| {
            let text = format!("the agent at {} does not answer: {why}", self.path.display());
            Refusal::new(Exit::Unreachable, text)
        };
        let line = RequestLine { v: VERSION, request };
        let mut bytes = serde_json::to_vec(&line).map_err(|error| gone(error.to_string()))?;
        bytes.push(b'\n');
        self.reader.get_mut().write_all(&bytes).map_err(|error| gone(error.to_string()))?;
        let mut answer = String::new();
        let mut limited = (&mut self.reader).take(RESPONSE_MAX_BYTES);
        limited.read_line(&mut answer).map_err(|error| gone(error.to_string()))?;
        if answer.is_empty() {
            return Err(gone("it closed the connection".to_owned()));
        }
        let line: ResponseLine =
            serde_json::from_str(&answer).map_err(|error| gone(error.to_string()))?;
        if line.v != VERSION {
            return Err(gone(format!("it speaks version {}, this is {VERSION}", line.v)));
        }
        line.response.into()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::config::{self, Overrides};

    fn serving(dir: &Path) -> PathBuf {
        let main = dir.join("main.toml");
        fs::File::create(&main).unwrap().write_all(b"schema = 1\n").unwrap();
        let overrides = Overrides { config: Some(main), state: Some(dir.join("state")) };
        let settings = config::load(&overrides).unwrap();
        let run = settings.run.clone();
        let crew = Crew::open(settings, overrides, "the agent", true).unwrap();
        let listener = listen(&run).unwrap();
        std::thread::spawn(move || serve(&listener, &crew));
        run
    }

    /// Says lines and reads the answer to each.
    fn say(run: &Path, said: &[u8]) -> String {
        let mut stream = UnixStream::connect(path(run)).unwrap();
        stream.write_all(said).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        answer
    }

    #[test]
    fn the_socket_is_the_owners_alone_and_answers_one_line_for_one() {
        let dir = tempfile::tempdir().unwrap();
        let run = serving(dir.path());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path(&run)), mode(&run)), (0o600, 0o711));
        let mut line = Line::open(&run).unwrap().unwrap();
        for _ in 0..3 {
            assert!(matches!(line.ask(Request::Ping), Ok(Reply::Pong { .. })));
        }
        let refusal = line.ask(Request::Unpin { app: "tiles".to_owned() }).unwrap_err();
        assert_eq!(refusal.code, Exit::Usage);
    }

    #[test]
    fn what_is_no_request_is_refused_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let run = serving(dir.path());
        let long = vec![b'x'; usize::try_from(REQUEST_MAX_BYTES).unwrap() + 1];
        for (said, wanted) in [
            (&b"{\"v\":2,\"request\":\"ping\"}\n"[..], "version 2 of the words is not spoken here"),
            (b"{\"v\":1,\"request\":\"fly\"}\n", "not a request"),
            (b"ping\n", "not a request"),
            (&long, "a request has at most 65536 bytes"),
        ] {
            let answer = say(&run, said);
            assert!(answer.contains(wanted) && answer.contains("\"code\":2"), "{answer}");
        }
    }

    #[test]
    fn a_listener_that_takes_connections_answers_and_one_that_does_not_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let run = serving(dir.path());
        let within = Duration::from_millis(300);
        assert!(answers(&run, Duration::from_secs(10)));
        let silent = tempfile::tempdir().unwrap();
        assert!(!answers(silent.path(), within));
        let _listener = listen(silent.path()).unwrap();
        assert!(!answers(silent.path(), within), "it is there and takes nothing");
    }

    #[test]
    fn nobody_there_is_no_error_and_a_dead_socket_is_nobody() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Line::open(dir.path()).unwrap().is_none());
        drop(listen(dir.path()).unwrap());
        assert!(path(dir.path()).exists());
        assert!(Line::open(dir.path()).unwrap().is_none());
    }
}
