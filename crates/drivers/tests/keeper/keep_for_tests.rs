//! The keeper and a client of it as processes of their own, for the tests beside this file.
//!
//! `keep SPEC` is the keeper. `start RUN_DIR SPEC KEEPER…` is a client: it starts the run with the
//! spec in the file and that command for a keeper, says so, and waits to be killed.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use groundcrew_drivers::keeper::client::{self, Exe};
use groundcrew_drivers::keeper::main as keep;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        [_, "keep", spec] => keep(Path::new(spec)),
        [_, "start", run_dir, spec, program, args @ ..] => {
            let text = std::fs::read(spec).expect("the test wrote the spec");
            let spec = serde_json::from_slice(&text).expect("the test wrote a spec");
            let args = args.iter().map(|arg| (*arg).to_owned()).collect();
            let exe = Exe { program: program.into(), args };
            client::start(Path::new(run_dir), &spec, &exe).expect("the run starts");
            let mut out = std::io::stdout();
            out.write_all(b"started\n").and_then(|()| out.flush()).expect("the test listens");
            loop {
                std::thread::park();
            }
        }
        _ => ExitCode::from(64),
    }
}
