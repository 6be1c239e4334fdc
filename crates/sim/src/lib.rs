//! A simulated machine that runs the engine from a seed.
