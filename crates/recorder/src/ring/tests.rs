//! What a producer and a consumer promise each other, without and with damage between them.

mod interleave;

use std::io;
use std::sync::atomic::Ordering::Relaxed;

use super::consumer::Consumer;
use super::heap::{self, Heap};
use super::item::{Damage, Drained, Item, Look};
use super::layout::{NUMBER_MAX, at, entry_len};
use super::producer::{NotUsable, Producer, index};
use super::words::Words as _;
use crate::format::frame::BODY_MAX;

const KIND: u16 = 0x8001;

/// The body of the record with this number, of a length that depends on it.
fn body(number: u64) -> Vec<u8> {
    let len = number * 37 % 211;
    (0..len).map(|place| u8::try_from((number + place * 7) % 251).unwrap()).collect()
}

fn push(producer: &mut Producer<Heap>) -> bool {
    let number = producer.made();
    producer.push(KIND, number * 10, &body(number))
}

/// What a drain gives: the numbers, after a look at the bodies, and the damage.
fn drain<L: Look>(consumer: &mut Consumer<L>) -> (Vec<u64>, Vec<Damage>, Drained) {
    let (mut numbers, mut damages) = (Vec::new(), Vec::new());
    let drained = consumer.drain(u64::MAX, &mut |item| match item {
        Item::Record(record) => {
            assert_eq!(record.body, body(record.number), "record {}", record.number);
            assert_eq!((record.kind, record.time_ns), (KIND, record.number * 10));
            numbers.push(record.number);
        }
        Item::Damage(damage) => damages.push(damage),
    });
    assert_eq!(drained.records, numbers.len() as u64);
    (numbers, damages, drained)
}

#[test]
fn rec_3_what_is_pushed_comes_out_in_order_lap_after_lap() {
    let (mut producer, mut consumer) = heap::ring(0, false);
    let mut next = 0;
    for round in 0..2000 {
        for _ in 0..round % 23 {
            assert!(push(&mut producer));
        }
        let (numbers, damages, drained) = drain(&mut consumer);
        assert_eq!(numbers, (next..producer.made()).collect::<Vec<_>>());
        assert!(damages.is_empty() && !drained.more, "{damages:?}");
        next = producer.made();
        consumer.release().unwrap();
    }
    assert!(next > 20_000, "{next}");
}

#[test]
fn rec_4_a_full_ring_refuses_and_says_which_numbers_are_gone() {
    let (mut producer, mut consumer) = heap::ring(0, false);
    let mut kept = Vec::new();
    for number in 0..100 {
        if push(&mut producer) {
            kept.push(number);
        }
    }
    assert!(kept.len() < 60, "{} of 100 fit", kept.len());
    let (numbers, _, drained) = drain(&mut consumer);
    assert_eq!(numbers, kept);
    assert_eq!(drained.settled, 100, "those behind the last one will never come");
    // Taken is not released: until then there is no room.
    assert!(!push(&mut producer));
    consumer.release().unwrap();
    assert!(push(&mut producer));
    assert_eq!(drain(&mut consumer).0, [101]);
}

#[test]
fn a_body_is_refused_when_it_is_too_long_for_a_record_or_for_the_ring() {
    let (mut producer, mut consumer) = heap::ring(4 * BODY_MAX, false);
    assert!(!producer.push(KIND, 0, &vec![1; BODY_MAX + 1]));
    assert!(producer.push(KIND, 0, &vec![2; BODY_MAX]));
    let mut lens = Vec::new();
    let drained = consumer.drain(u64::MAX, &mut |item| match item {
        Item::Record(record) => lens.push((record.number, record.body.len())),
        Item::Damage(damage) => panic!("{damage}"),
    });
    assert_eq!((lens, drained.settled), (vec![(1, BODY_MAX)], 2));
    let (mut producer, _consumer) = heap::ring(0, false);
    assert!(!producer.push(KIND, 0, &[0; 4096]));
    assert!(producer.push(KIND, 0, &[0; 4096 - 32]), "an entry that fills the ring fits");
}

#[test]
fn a_drain_takes_about_as_much_as_it_may() {
    let (mut producer, mut consumer) = heap::ring(1 << 16, false);
    while push(&mut producer) {}
    let mut numbers = 0;
    let drained = consumer.drain(1000, &mut |_| numbers += 1);
    assert!(drained.more && (1000..1300).contains(&drained.bytes), "{drained:?}");
    assert_eq!(drained.settled, numbers, "nothing is known of those that are still in the ring");
}

#[test]
fn a_closed_ring_refuses() {
    let (mut producer, consumer) = heap::ring(0, false);
    assert!(push(&mut producer));
    consumer.close().unwrap();
    assert!(!push(&mut producer));
}

/// Both sides, and the memory between them.
fn open() -> (Producer<Heap>, Consumer<Heap>, Heap) {
    let (producer, consumer) = heap::ring(1 << 14, false);
    let memory = consumer.look().clone();
    (producer, consumer, memory)
}

#[test]
fn a_later_consumer_goes_on_where_the_earlier_one_released() {
    let (mut producer, mut consumer, memory) = open();
    (0..5).for_each(|_| assert!(push(&mut producer)));
    drain(&mut consumer);
    consumer.release().unwrap();
    (5..8).for_each(|_| assert!(push(&mut producer)));
    drain(&mut consumer);
    drop(producer);
    let mut later = Consumer::new(memory.clone()).unwrap();
    assert_eq!(later.next_number(), 5);
    assert!(later.source().detached);
    assert_eq!(drain(&mut later).0, [5, 6, 7], "what was taken and not released comes again");
    later.release().unwrap();
    let mut producer = Producer::new(memory, 1, 1).unwrap();
    assert!(push(&mut producer));
    assert_eq!(drain(&mut later).0, [8], "a later producer numbers on");
}

#[test]
fn an_entry_that_was_overwritten_is_passed_over_and_the_next_ones_come() {
    for word in 0..entry_len(body(4).len()) / 8 {
        let (mut producer, mut consumer, memory) = open();
        (0..4).for_each(|_| assert!(push(&mut producer)));
        let place = index(256 + memory.load(index(at::HEAD), Relaxed) + word * 8);
        (4..9).for_each(|_| assert!(push(&mut producer)));
        memory.store(place, !memory.load(place, Relaxed), Relaxed);
        let (numbers, damages, drained) = drain(&mut consumer);
        assert_eq!(numbers, [0, 1, 2, 3, 5, 6, 7, 8], "word {word}");
        let bytes = entry_len(body(4).len());
        assert!(matches!(damages[..], [Damage::Entries { bytes: b, .. }] if b == bytes));
        assert_eq!(drained.settled, 9);
    }
}

#[test]
fn a_head_that_cannot_be_true_is_told_once_and_entries_are_taken_while_they_fit() {
    for bad in [u64::MAX, 3, 1 << 14 | 8, NUMBER_MAX, 0] {
        let (mut producer, mut consumer, memory) = open();
        assert!(push(&mut producer));
        drain(&mut consumer);
        assert!(push(&mut producer));
        assert!(push(&mut producer));
        let good = memory.load(index(at::HEAD), Relaxed);
        memory.store(index(at::HEAD), if bad == 1 << 14 | 8 { good + bad } else { bad }, Relaxed);
        let (numbers, damages, _) = drain(&mut consumer);
        assert_eq!(numbers, [1, 2], "{bad}");
        assert!(matches!(damages[..], [Damage::Head { .. }]), "{bad}: {damages:?}");
        assert_eq!(drain(&mut consumer).1, [], "told once");
        // Its producer knows better, and the next record puts it right.
        assert!(push(&mut producer));
        assert_eq!(drain(&mut consumer).0, [3], "{bad}");
        memory.store(index(at::HEAD), 3, Relaxed);
        assert!(matches!(drain(&mut consumer).1[..], [Damage::Head { .. }]), "told again");
    }
}

#[test]
fn a_tail_that_cannot_be_true_brings_back_what_lies_in_the_ring() {
    let (mut producer, mut consumer, memory) = open();
    for _ in 0..500 {
        assert!(push(&mut producer));
        drain(&mut consumer);
        consumer.release().unwrap();
    }
    memory.store(index(at::TAIL), 64, Relaxed);
    let mut later = Consumer::new(memory.clone()).unwrap();
    let first = later.next_number();
    let (numbers, damages, _) = drain(&mut later);
    assert_eq!(numbers, (first..500).collect::<Vec<_>>());
    assert!(numbers.len() > 60, "about a ring's worth: {}", numbers.len());
    assert!(matches!(damages[..], [Damage::Tail { .. }]), "{damages:?}");
    later.release().unwrap();
    assert!(push(&mut producer));
    assert_eq!(drain(&mut later).0, [500]);
}

#[test]
fn a_producer_never_believes_a_tail_that_would_let_it_write_over_records() {
    for bad in [u64::MAX, 8, 1 << 20, NUMBER_MAX, 12] {
        let (mut producer, mut consumer, memory) = open();
        while push(&mut producer) {}
        for check in [bad, !bad] {
            memory.store(index(at::TAIL), bad, Relaxed);
            memory.store(index(at::TAIL_CHECK), check, Relaxed);
            assert!(!push(&mut producer), "{bad} {check}");
        }
        let kept = drain(&mut consumer).0;
        assert_eq!(kept, (0..kept.len() as u64).collect::<Vec<_>>());
    }
}

#[test]
fn numbers_that_cannot_be_theirs_are_left_out_and_told() {
    let (mut producer, mut consumer, memory) = open();
    (0..3).for_each(|_| assert!(push(&mut producer)));
    drain(&mut consumer);
    drop(producer);
    memory.store(index(at::MADE), 1, Relaxed);
    let mut again = Producer::new(memory.clone(), 1, 1).unwrap();
    (1..5).for_each(|_| assert!(push(&mut again)));
    drop(again);
    memory.store(index(at::MADE), NUMBER_MAX - 1, Relaxed);
    let mut last = Producer::new(memory, 1, 1).unwrap();
    last.push(KIND, 0, &[]);
    assert!(!last.push(KIND, 0, &[]), "there are no numbers left");
    let mut numbers = Vec::new();
    let mut damages = Vec::new();
    consumer.drain(u64::MAX, &mut |item| match item {
        Item::Record(record) => numbers.push(record.number),
        Item::Damage(damage) => damages.push(damage),
    });
    assert_eq!(numbers, [3, 4]);
    assert_eq!(damages, [Damage::Numbers { count: 2, first: 1 }]);
}

#[test]
fn counters_that_contradict_each_other_take_no_producer() {
    for (field, value) in [(at::HEAD, 1 << 15), (at::HEAD, 4), (at::TAIL, 64), (at::MADE, u64::MAX)]
    {
        let (producer, _consumer, memory) = open();
        drop(producer);
        memory.store(index(field), value, Relaxed);
        let refused = Producer::new(memory, 1, 1).map(|_| ());
        assert!(matches!(refused, Err(NotUsable::Counters { .. })), "{field}: {refused:?}");
    }
}

#[test]
fn a_ring_whose_header_changes_or_whose_end_is_gone_is_given_up() {
    let (mut producer, mut consumer, memory) = open();
    assert!(push(&mut producer));
    memory.store(1, 7, Relaxed);
    assert_eq!(drain(&mut consumer).1, [Damage::Header]);
    assert!(consumer.given_up());
    assert_eq!(
        drain(&mut consumer),
        (vec![], vec![], Drained { settled: 0, ..Drained::default() })
    );

    /// A ring of which only so many bytes are there.
    struct Cut(Heap, u64);
    impl Look for Cut {
        fn read(&self, at: u64, to: &mut [u8]) -> io::Result<usize> {
            let left = usize::try_from(self.1.saturating_sub(at)).unwrap().min(to.len());
            self.0.read(at, &mut to[..left])
        }
        fn write(&self, at: u64, words: &[u64]) -> io::Result<()> {
            self.0.write(at, words)
        }
    }
    let (mut producer, consumer, memory) = open();
    while push(&mut producer) {}
    drop(consumer);
    for there in (0..256 + (1 << 14)).step_by(8) {
        let cut = Consumer::new(Cut(memory.clone(), there)).map(|_| ());
        assert_eq!(cut.unwrap_err(), Damage::Short, "{there}");
    }
}
