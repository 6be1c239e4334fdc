//! A Unix socket as a transport of the HTTP client.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

/// Opens the socket, whatever address is asked for.
#[derive(Debug)]
pub(super) struct UnixConnector {
    socket: PathBuf,
    quiet: Duration,
}

impl UnixConnector {
    /// `quiet`: limit of one wait for the next bytes, within that of the whole.
    pub(super) fn new(socket: &Path, quiet: Duration) -> Self {
        Self { socket: socket.to_owned(), quiet }
    }
}

impl Connector<()> for UnixConnector {
    type Out = UnixTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        let stream = UnixStream::connect(&self.socket)?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(UnixTransport { stream, buffers, quiet: self.quiet }))
    }
}

/// A connection.
pub(super) struct UnixTransport {
    stream: UnixStream,
    buffers: LazyBuffers,
    quiet: Duration,
}

impl fmt::Debug for UnixTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixTransport").finish_non_exhaustive()
    }
}

impl Transport for UnixTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.set_write_timeout(Some(self.limit(timeout)))?;
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output).map_err(|error| late(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.set_read_timeout(Some(self.limit(timeout)))?;
        let room = self.buffers.input_append_buf();
        let read = loop {
            match self.stream.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read.map_err(|error| late(error, timeout))?,
            }
        };
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        // Connections are never kept.
        false
    }
}

impl UnixTransport {
    /// The kernel takes no time limit of nothing.
    fn limit(&self, timeout: NextTimeout) -> Duration {
        let left = timeout.not_zero().map_or(self.quiet, |left| (*left).min(self.quiet));
        left.max(Duration::from_millis(1))
    }
}

fn late(error: io::Error, timeout: NextTimeout) -> Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Timeout(timeout.reason),
        _ => Error::Io(error),
    }
}
