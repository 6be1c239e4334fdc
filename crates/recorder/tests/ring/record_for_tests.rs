//! Records what lies in rings until it is killed: `FLIGHT RINGS`.

use std::path::Path;

use groundcrew_recorder::format::flight_id::FlightId;
use groundcrew_recorder::recorder::Recorder;
use groundcrew_recorder::storage::Disk;
use groundcrew_recorder::writer::{Policy, Writer};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let flight = arguments.next().expect("the first argument is the flight's directory");
    let rings = arguments.next().expect("the second is the directory of the rings");
    let id = FlightId::new(1_800_000_000_000, [3; 10]);
    let writer = Writer::new(Disk::new(flight), id, [0; 16], Policy::default());
    let _recorder = Recorder::start(writer, Some(Path::new(&rings))).expect("it starts");
    loop {
        std::thread::park();
    }
}
