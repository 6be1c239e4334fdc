//! Tests of the gates.
