//! The recorder from outside: what is written under every kind of trouble, and read again.

mod crash;
mod follow;
mod model;
mod trouble;
mod whole;
mod world;
