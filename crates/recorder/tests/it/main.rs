//! The recorder from outside: what is written under every kind of trouble, and read again.

mod crash;
mod model;
mod python;
mod recorder;
mod ring;
mod trouble;
mod whole;
mod world;
