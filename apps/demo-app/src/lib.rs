//! A small real service with a data file, in several releases.
