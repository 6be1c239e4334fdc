//! A client that writes rows all along and remembers which were acknowledged, and by whom.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::subject::Subject;

/// Pause between two rows.
const PAUSE: Duration = Duration::from_millis(5);

/// Pause after a row that nobody took.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(10);

/// What the client knows.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// The highest row that was tried; every one from 1 on was tried once.
    pub tried: u64,
    /// Rows that were acknowledged, and the version that did.
    pub acknowledged: BTreeMap<u64, String>,
}

/// The client, until it is dropped.
#[derive(Debug)]
pub struct Client {
    book: Arc<Mutex<Book>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    /// Begins to write.
    #[must_use]
    pub fn start(subject: Arc<dyn Subject>) -> Self {
        let book = Arc::new(Mutex::new(Book::default()));
        let ended = Arc::new(AtomicBool::new(false));
        let (own, end) = (Arc::clone(&book), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let taken = write_one(&*subject, &mut own.lock().expect("no holder panics"));
                std::thread::sleep(if taken { PAUSE } else { PAUSE_AFTER_FAILURE });
            }
        });
        Self { book, ended, thread: Some(thread) }
    }

    /// What it knows; while this is held nothing is written, and no row is under way.
    ///
    /// # Panics
    /// The client did.
    pub fn pause(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("the client does not panic")
    }
}

fn write_one(subject: &dyn Subject, book: &mut Book) -> bool {
    book.tried += 1;
    let by = subject.write(book.tried);
    let taken = by.is_some();
    if let Some(by) = by {
        book.acknowledged.insert(book.tried, by);
    }
    taken
}

impl Drop for Client {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A client that panicked was noticed by whoever asked it.
            drop(thread.join());
        }
    }
}
