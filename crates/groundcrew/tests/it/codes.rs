//! Exit codes and error texts that need no app to run.

use crate::bench::Bench;

#[test]
fn a_wrong_configuration_is_code_2_and_names_file_line_and_way_out() {
    let bench = Bench::new();
    bench.configure("chanel = \"stable\"");
    for command in [&["config", "check"][..], &["status"], &["update", "ledger"], &["agent"]] {
        let ran = bench.run(command).ends(2);
        let wanted = format!("{}:11:1: ", bench.path("groundcrew.toml").display());
        assert!(ran.err.contains(&wanted) && ran.err.contains("chanel"), "{ran:?}");
        assert!(ran.out.is_empty(), "{ran:?}");
    }
    let json = bench.run(&["config", "check", "--json"]).ends(2).json();
    assert_eq!((&json["ok"], &json["problems"][0]["line"]), (&false.into(), &11.into()));
}

#[test]
fn words_that_mean_nothing_are_code_2_and_64_for_the_healthcheck() {
    let bench = Bench::new();
    bench.run(&["updaet"]).ends(2);
    bench.run(&["update"]).ends(2);
    bench.run(&["update", "leger"]).ends(2);
    let ran = bench.run(&["pause", "leger"]).ends(2);
    assert!(ran.err.contains("did you mean \"ledger\""), "{ran:?}");
    bench.run(&["healthcheck", "--loud"]).ends(64);
    bench.run(&["healthcheck"]).ends(1);
    bench.run(&["status", "--help"]).ends(0);
    bench.run(&["stop", "ledger"]).ends(2);
}

#[test]
fn a_source_that_is_not_there_is_code_3_and_an_empty_one_asserts_nothing() {
    let bench = Bench::new();
    std::fs::remove_dir_all(bench.path("releases")).unwrap();
    bench.run(&["update", "ledger"]).ends(3);
    bench.run(&["check", "ledger"]).ends(3);
}

#[test]
fn init_writes_once_and_completions_and_schema_are_data() {
    let bench = Bench::new();
    let etc = bench.path("etc");
    let dir = etc.to_str().unwrap();
    let first = bench.run(&["init", dir]).ends(0);
    assert!(first.out.contains("made"), "{first:?}");
    let main = etc.join("groundcrew.toml");
    std::fs::File::create(&main)
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"schema = 1\n"))
        .unwrap();
    let second = bench.run(&["init", dir]).ends(0);
    assert!(second.out.contains("as it is"), "{second:?}");
    assert_eq!(std::fs::read_to_string(main).unwrap(), "schema = 1\n");
    assert!(bench.run(&["completions", "bash"]).ends(0).out.contains("groundcrew"));
    let schema = bench.run(&["config", "schema"]).ends(0).json();
    assert!(schema["properties"]["apps"].is_object());
    let shown = bench.run(&["config", "show", "--json"]).ends(0).json();
    let polls: Vec<&serde_json::Value> = shown["values"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|value| value["key"] == "apps.ledger.poll")
        .collect();
    assert!(polls[0]["origin"].as_str().unwrap().ends_with("groundcrew.toml:5:11"), "{polls:?}");
}

#[test]
fn a_closed_pipe_is_no_error() {
    let bench = Bench::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_groundcrew"));
    command.args(["config", "schema"]).stdout(writer);
    let status = command.env("GROUNDCREW_CONFIG", bench.path("groundcrew.toml")).status().unwrap();
    assert_eq!(status.code(), Some(0));
}
