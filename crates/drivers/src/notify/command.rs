//! Tells people by a command: exit code 0 is delivered, 65 is refused, anything else may pass.

use std::path::Path;
use std::time::Duration;

use super::{Delivery, Told};
use crate::causes::causes;
use crate::command::{self, End, Order};

/// "This cannot be used", as `sysexits.h` numbers it.
const REFUSED: i32 = 65;

pub(super) fn deliver(argv: &[String], timeout: Duration, told: &Told) -> Delivery {
    let retry = |why: String| Delivery::Retry { why, after: None };
    let input = match serde_json::to_vec(told) {
        Ok(input) => input,
        Err(error) => return Delivery::Refused { why: error.to_string() },
    };
    let mut env = command::base_env();
    let short = [
        ("KEY", told.key.as_str()),
        ("SEVERITY", told.urgency()),
        ("TITLE", &told.title),
        ("HOST", &told.host),
        ("APP", &told.app),
        ("AT", &told.at),
    ];
    // A zero byte would end the variable and keep the command from starting.
    let clean = |text: &str| text.replace('\0', " ");
    env.extend(short.map(|(name, value)| (format!("GROUNDCREW_{name}"), clean(value))));
    let cwd = Path::new("/");
    let order = Order { argv, cwd, env: &env, input: &input, user: None, timeout };
    match command::run(&order) {
        Err(error) => retry(causes(&error)),
        Ok(report) => match (report.failure(), report.end) {
            (None, _) => Delivery::Delivered,
            (Some(why), End::Code(REFUSED)) => Delivery::Refused { why },
            (Some(why), _) => retry(why),
        },
    }
}
