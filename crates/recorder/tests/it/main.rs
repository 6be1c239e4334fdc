//! The recorder from outside: what is written under every kind of trouble, and read again.

mod clocks;
mod crash;
mod disks;
mod document;
mod flights;
mod follow;
mod model;
mod plain_python;
mod python;
mod real;
mod recorder;
mod review;
mod ring;
mod strange;
mod together;
mod trouble;
mod whole;
mod world;
