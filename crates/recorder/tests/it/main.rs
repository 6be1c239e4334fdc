//! The recorder from outside: what is written under every kind of trouble, and read again.

mod crash;
mod document;
mod flights;
mod follow;
mod model;
mod plain_python;
mod python;
mod recorder;
mod ring;
mod strange;
mod trouble;
mod whole;
mod world;
