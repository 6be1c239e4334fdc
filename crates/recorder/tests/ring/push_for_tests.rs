//! Pushes into a shared ring as fast as it can: `PATH [COUNT]`, for ever without a count.

#[path = "body.rs"]
mod body;

use std::path::Path;

use groundcrew_recorder::ring::shared::attach;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().expect("the first argument is the ring");
    let count = arguments.next().map(|count| count.parse().expect("the second is a number"));
    let mut producer = attach(Path::new(&path)).expect("the ring takes a producer");
    for _ in 0..count.unwrap_or(u64::MAX) {
        let number = producer.made();
        producer.push(body::KIND, number, &body::body(number));
    }
}
