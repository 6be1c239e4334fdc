//! An error with all its causes in one line, for the ports, which carry text and no error types.

use std::error::Error;

/// The error and everything that [`Error::source`] leads to, joined by `: `.
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
