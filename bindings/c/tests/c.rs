//! A program in C that produces, and the header that it is compiled with.

#![expect(clippy::unwrap_used, reason = "test code, but no test function")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use groundcrew_recorder::ring::Item;
use groundcrew_recorder::ring::shared::{Options, create, open_existing};

const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// What types of the binding are called in C.
const TYPES: [(&str, &str); 9] = [
    ("*const c_char", "const char *"),
    ("*mut c_char", "char *"),
    ("*const c_void", "const void *"),
    ("*mut GcRing", "GcRing *"),
    ("*const GcRing", "const GcRing *"),
    ("usize", "size_t "),
    ("u16", "uint16_t "),
    ("u64", "uint64_t "),
    ("bool", "bool "),
];

fn in_c(name: &str) -> &'static str {
    let found = TYPES.iter().find(|(rust, _)| *rust == name.trim());
    found.map_or_else(|| panic!("{name} has no name in C"), |(_, c)| c)
}

/// The prototypes of all functions that the binding gives to C.
fn prototypes(source: &str) -> Vec<String> {
    let functions = source.split("extern \"C\" fn ").skip(1);
    let prototype = |text: &str| {
        let (declared, _) = text.split_once('{').unwrap();
        let (name, rest) = declared.split_once('(').unwrap();
        let (arguments, result) = rest.rsplit_once(')').unwrap();
        let arguments: Vec<String> = arguments
            .split(',')
            .filter_map(|argument| argument.split_once(':'))
            .map(|(name, kind)| format!("{}{}", in_c(kind), name.trim()))
            .collect();
        let result = result.trim().strip_prefix("->").map_or("void ", in_c);
        let arguments = if arguments.is_empty() { "void".into() } else { arguments.join(", ") };
        format!("{result}{name}({arguments});")
    };
    functions.map(prototype).collect()
}

#[test]
fn rec_10_the_header_declares_what_the_library_gives() {
    let read = |path: &str| std::fs::read_to_string(Path::new(HERE).join(path)).unwrap();
    let header = read("include/groundcrew_recorder.h");
    let expected = prototypes(&read("src/lib.rs"));
    let declared: Vec<&str> = header.lines().filter(|line| line.ends_with(");")).collect();
    let sorted = |mut list: Vec<String>| {
        list.sort();
        list
    };
    let declared = sorted(declared.into_iter().map(str::to_owned).collect());
    assert_eq!(declared, sorted(expected));
    let max = groundcrew_recorder::format::frame::BODY_MAX;
    assert!(header.contains(&format!("GC_BODY_MAX {max}u")));
    let user = groundcrew_recorder::body::USER_TYPES;
    assert!(header.contains(&format!("GC_USER_TYPES {user:#06x}u")));
}

/// Compiles the program; where it is.
fn compile(dir: &Path) -> PathBuf {
    // The library lies beside the tests that are built with it.
    let test = std::env::current_exe().unwrap();
    let libraries = test.parent().unwrap();
    let program = dir.join("push");
    let mut gcc = Command::new("cc");
    gcc.args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", "-o"]);
    gcc.arg(&program).arg(format!("{HERE}/tests/push.c")).arg(format!("-I{HERE}/include"));
    gcc.arg(libraries.join("libgroundcrew_recorder_c.so"));
    gcc.arg(format!("-Wl,-rpath,{}", libraries.display()));
    let output = gcc.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

fn run(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap()
}

#[test]
fn rec_10_what_a_program_in_c_pushes_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path());
    let path = dir.path().join("c.ring");
    let options = Options { bytes: 1 << 14, critical: false, generation: 3 };
    drop(create(&path, options).unwrap());
    let output = run(&program, &[path.to_str().unwrap(), "1000"]);
    let said = String::from_utf8(output.stdout).unwrap();
    let (made, refused) = said.trim().split_once(' ').unwrap();
    let (made, refused): (u64, u64) = (made.parse().unwrap(), refused.parse().unwrap());
    assert_eq!(made, 1001);
    let mut consumer = open_existing(&path).unwrap();
    let (mut count, mut last) = (0, 0);
    consumer.drain(u64::MAX, &mut |item| match item {
        Item::Record(record) => {
            assert_eq!(record.kind, 0x8005);
            assert_eq!(record.body, format!("record {count} of C").as_bytes());
            assert_eq!(record.number, count);
            assert!(record.time_ns > last, "time goes on");
            last = record.time_ns;
            count += 1;
        }
        Item::Damage(damage) => panic!("{damage}"),
    });
    assert!(count > 100 && count + refused == made, "{count} came, {refused} of {made} refused");
    assert!(consumer.source().detached);
}

#[test]
fn a_program_in_c_is_told_why_it_cannot_attach() {
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path());
    let output = run(&program, &["/nowhere", "1"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "cannot open the ring /nowhere: No such file or directory (os error 2)\n");
}
