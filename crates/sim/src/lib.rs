//! A simulated machine that runs the real engine: every story, crashed at every point.
//!
//! [`story`] says what is on offer and what happens, [`world`] is the machine and the truth about
//! it, [`ports`] are the engine's ports on it, [`live`] boots agents, [`crash`] kills them
//! everywhere, [`truth`] says what must hold on the ground, [`random`] makes stories from seeds,
//! and [`seeded`] builds mistakes in on purpose to see all this turn red.
//!
//! Nothing here knows a driver; the drivers and these fakes run the same contracts.

pub mod crash;
pub mod live;
pub mod ports;
pub mod random;
pub mod release;
pub mod seeded;
pub mod story;
pub mod things;
pub mod truth;
pub mod world;

/// Keeps the deaths on purpose quiet; a real panic is still printed.
pub fn quiet_cuts() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<world::Cut>().is_none() {
            print(info);
        }
    }));
}
