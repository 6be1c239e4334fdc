//! Both sides in any order, on memory that shows relaxed stores as late and as mixed as it may.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use shuttle::rand::Rng as _;
use shuttle::sync::atomic::AtomicU64;

use crate::ring::consumer::Consumer;
use crate::ring::item::Item;
use crate::ring::layout::{CAPACITY_MIN, Fixed, HEADER_LEN, at};
use crate::ring::producer::{Producer, index};
use crate::ring::words::Words;

/// Orders that are tried.
const ORDERS: usize = 200;
/// Records in each, more than fit into the ring.
const RECORDS: u64 = 14;
/// Bytes of a body: eight entries fit, and nine would but for the last eight bytes.
const BODY: usize = 424;

/// A store that nobody else sees yet.
struct Pending {
    word: usize,
    value: u64,
    /// Whether it is seen only after all that were done before it.
    release: bool,
}

/// One side's view of the memory.
struct Weak {
    words: Arc<Vec<AtomicU64>>,
    pending: Mutex<Vec<Pending>>,
}

impl Weak {
    fn new(words: &Arc<Vec<AtomicU64>>) -> Self {
        Self { words: words.clone(), pending: Mutex::new(Vec::new()) }
    }

    /// Shows any of the pending stores that may be seen; whether there was one.
    fn show_one(&self) -> bool {
        let mut pending = self.pending.lock().unwrap();
        if pending.is_empty() {
            return false;
        }
        let any = shuttle::rand::thread_rng().gen_range(0..pending.len());
        // Stores to one word are seen in their order.
        let word = pending[any].word;
        let first = pending.iter().position(|other| other.word == word).unwrap();
        let place = if pending[first].release { 0 } else { first };
        let shown = pending.remove(place);
        drop(pending);
        self.words[shown.word].store(shown.value, Ordering::SeqCst);
        true
    }
}

impl Drop for Weak {
    fn drop(&mut self) {
        while self.show_one() {}
    }
}

impl Words for Weak {
    fn count(&self) -> usize {
        self.words.len()
    }

    fn load(&self, index: usize, _: Ordering) -> u64 {
        let pending = self.pending.lock().unwrap();
        let own = pending.iter().rev().find(|own| own.word == index).map(|own| own.value);
        drop(pending);
        own.unwrap_or_else(|| self.words[index].load(Ordering::SeqCst))
    }

    fn store(&self, word: usize, value: u64, order: Ordering) {
        let release = order != Ordering::Relaxed;
        self.pending.lock().unwrap().push(Pending { word, value, release });
        while shuttle::rand::thread_rng().gen_bool(0.5) && self.show_one() {}
    }
}

fn body(number: u64) -> Vec<u8> {
    vec![u8::try_from(number).unwrap() + 1; BODY]
}

fn both_sides() {
    let fixed = Fixed { flags: 0, generation: 5, capacity: CAPACITY_MIN };
    let words = (0..index(HEADER_LEN + fixed.capacity)).map(|_| AtomicU64::new(0)).collect();
    let words: Arc<Vec<AtomicU64>> = Arc::new(words);
    for (place, word) in fixed.encode().as_chunks::<8>().0.iter().enumerate() {
        words[place].store(u64::from_le_bytes(*word), Ordering::SeqCst);
    }
    words[index(at::TAIL_CHECK)].store(u64::MAX, Ordering::SeqCst);
    let mut consumer = Consumer::new(Weak::new(&words)).unwrap();
    let mut producer = Producer::new(Weak::new(&words), 1, 1).unwrap();
    let pushing = shuttle::thread::spawn(move || {
        let kept = (0..RECORDS).filter(|number| producer.push(0x8001, *number, &body(*number)));
        kept.collect::<BTreeSet<u64>>()
    });
    let (mut taken, mut settled) = (BTreeSet::new(), 0);
    let mut drain = || {
        let bytes_max = if shuttle::rand::thread_rng().r#gen() { u64::MAX } else { 1000 };
        let drained = consumer.drain(bytes_max, &mut |item| match item {
            Item::Record(record) => {
                assert_eq!(record.body, body(record.number));
                assert!(record.number >= settled, "{} was said to be gone", record.number);
                assert!(taken.insert(record.number));
            }
            Item::Damage(damage) => panic!("{damage}"),
        });
        settled = drained.settled;
        consumer.release().unwrap();
        drained.more
    };
    for _ in 0..RECORDS {
        drain();
    }
    let kept = pushing.join().unwrap();
    while drain() {}
    assert_eq!(taken, kept, "what was pushed came out, and nothing else");
    assert_eq!(settled, RECORDS, "of the others it is said that they never will");
}

#[test]
fn rec_3_no_order_of_both_sides_loses_or_tears_a_record() {
    shuttle::check_random(both_sides, ORDERS);
    shuttle::check_pct(both_sides, ORDERS / 2, 3);
}
