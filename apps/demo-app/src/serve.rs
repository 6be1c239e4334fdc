//! HTTP on the loopback interface, and how a serving release ends or fails to.
//!
//! One thread answers; whatever touches the file runs on another, so that a slow disk does not
//! silence the health check's connection.

use std::future::{self, Ready};
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue, SERVER};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::CRASH_EXIT_CODE;
use crate::file::{AppendError, Ledger};
use crate::format::decimal;
use crate::release::Fault;

/// A row number has at most 20 digits and a line feed.
const BODY_BYTES_MAX: usize = 32;

/// How long a connection may keep the service from ending after SIGTERM.
const LAST_ANSWERS_MAX: Duration = Duration::from_secs(5);

/// Why the service could not be started or ended badly.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}")]
pub struct ServeError {
    doing: String,
    source: io::Error,
}

fn cannot(doing: &'static str) -> impl FnOnce(io::Error) -> ServeError {
    move |source| ServeError { doing: doing.to_owned(), source }
}

struct Shared {
    ledger: Mutex<Ledger>,
    version: &'static str,
    started: Instant,
    fault: Fault,
}

/// Serves until SIGTERM.
pub(crate) fn serve(
    port: u16,
    version: &'static str,
    fault: Fault,
    ledger: Ledger,
) -> Result<(), ServeError> {
    let shared = Shared { ledger: Mutex::new(ledger), version, started: Instant::now(), fault };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(cannot("start the service's threads"))?.block_on(run(port, Arc::new(shared)))
}

async fn run(port: u16, shared: Arc<Shared>) -> Result<(), ServeError> {
    let term = signal(SignalKind::terminate()).map_err(cannot("listen for SIGTERM"))?;
    if shared.fault == Fault::NeverListens {
        log("waiting for the index to be ready");
        ended(term, shared.fault).await;
        return Ok(());
    }
    if let Fault::Crashes(after) = shared.fault {
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            log("index out of step with the file, giving up");
            std::process::exit(i32::from(CRASH_EXIT_CODE));
        });
    }
    let address = (Ipv4Addr::LOCALHOST, port);
    let listener = TcpListener::bind(address).await.map_err(|source| ServeError {
        doing: format!("open the port 127.0.0.1:{port}"),
        source,
    })?;
    let address = listener.local_addr().map_err(cannot("learn the own port"))?;
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, router(Arc::clone(&shared)));
    let server = server.with_graceful_shutdown(async {
        // A sender that is gone means the same as one that sent.
        drop(stopped.await);
    });
    let server = tokio::spawn(server.into_future());
    let mut out = io::stdout();
    writeln!(out, "listening on {address}")
        .and_then(|()| out.flush())
        .map_err(cannot("say the port on standard output"))?;
    ended(term, shared.fault).await;
    drop(stop);
    if tokio::time::timeout(LAST_ANSWERS_MAX, server).await.is_err() {
        log("a connection stayed open too long and was cut");
    }
    shared.ledger.lock().expect("no holder panics").sync().map_err(cannot("sync the data file"))
}

async fn ended(mut term: Signal, fault: Fault) {
    if fault == Fault::IgnoresTerm {
        future::pending::<()>().await;
    }
    term.recv().await;
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/rows", get(list).post(append))
        .route("/health", get(health))
        .route("/version", get(version))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(map_response(says_who(shared.version)))
        .with_state(shared)
}

/// Puts the version into every answer, so that a client knows who acknowledged its row.
fn says_who(version: &'static str) -> impl Fn(Response) -> Ready<Response> + Clone {
    let name = HeaderValue::from_str(version).unwrap_or(HeaderValue::from_static("unknown"));
    move |mut response| {
        response.headers_mut().insert(SERVER, name.clone());
        future::ready(response)
    }
}

async fn append(State(shared): State<Arc<Shared>>, body: String) -> Response {
    let Some(number) = decimal(body.trim_end()) else {
        return (StatusCode::BAD_REQUEST, "the body is no decimal number\n").into_response();
    };
    let status = match with_ledger(shared, move |ledger| ledger.append(number)).await {
        Ok(()) => return format!("{number}\n").into_response(),
        Err(error) => {
            log(&error.to_string());
            match error {
                AppendError::Full => StatusCode::INSUFFICIENT_STORAGE,
                AppendError::Broken | AppendError::Write(_) => StatusCode::SERVICE_UNAVAILABLE,
            }
        }
    };
    (status, "the row was not taken\n").into_response()
}

async fn list(State(shared): State<Arc<Shared>>) -> String {
    with_ledger(shared, |ledger| ledger.listing()).await
}

async fn health(State(shared): State<Arc<Shared>>) -> Response {
    let version = shared.version;
    let soured = matches!(shared.fault, Fault::Sours(after) if shared.started.elapsed() >= after);
    let trouble = with_ledger(shared, |ledger| ledger.trouble()).await;
    let trouble = trouble.or_else(|| soured.then(|| "the queue does not drain".into()));
    let (status, body) = match trouble {
        None => (StatusCode::OK, format!(r#"{{"status":"ok","version":"{version}"}}"#)),
        Some(detail) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!(r#"{{"status":"failing","version":"{version}","detail":"{detail}"}}"#),
        ),
    };
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

async fn version(State(shared): State<Arc<Shared>>) -> String {
    shared.version.to_owned()
}

async fn with_ledger<T: Send + 'static>(
    shared: Arc<Shared>,
    act: impl FnOnce(&mut Ledger) -> T + Send + 'static,
) -> T {
    let acted = tokio::task::spawn_blocking(move || {
        act(&mut shared.ledger.lock().expect("no holder panics"))
    });
    acted.await.expect("it neither panics nor is canceled")
}

fn log(sentence: &str) {
    // The log is for people; without it the service goes on.
    drop(writeln!(io::stderr(), "ledger: {sentence}"));
}
