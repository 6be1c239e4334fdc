//! The recorder from outside: what is written under every kind of trouble, and read again.

mod crash;
mod document;
mod follow;
mod model;
mod python;
mod trouble;
mod whole;
mod world;
