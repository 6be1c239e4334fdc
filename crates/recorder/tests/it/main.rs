//! The recorder from outside: what is written under every kind of trouble, and read again.

mod crash;
mod model;
mod recorder;
mod ring;
mod trouble;
mod whole;
mod world;
