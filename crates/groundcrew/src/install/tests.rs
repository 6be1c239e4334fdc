//! An installation into a directory: twice is once, and what is not ours stays.

use super::*;

fn put(root: &Path, path: &str, text: &str) {
    let path = below(root, path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::File::create(&path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
        .unwrap();
}

fn install(root: &Path) -> Result<Vec<Planned>, Refusal> {
    let plan = plan(root, pieces(Role::Agent)?)?;
    carry_out(&plan)?;
    Ok(plan)
}

fn fates(plan: &[Planned], wanted: Fate) -> usize {
    plan.iter().filter(|planned| planned.fate == wanted).count()
}

const UNIT: &str = "/etc/systemd/system/groundcrew.service";

#[test]
fn an_installation_is_written_once_mended_and_taken_away_but_for_the_configuration() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let first = install(root).unwrap();
    assert_eq!(fates(&first, Fate::Write), first.len());
    let unit = fs::read_to_string(below(root, UNIT)).unwrap();
    assert!(
        unit.contains("\nExecStart=/usr/local/bin/groundcrew agent\n")
            && !unit.contains("@BINARY@")
    );
    let again = install(root).unwrap();
    assert_eq!((fates(&again, Fate::Same), fates(&again, Fate::Keep)), (first.len() - 1, 1));

    put(root, UNIT, &unit.replace("60", "61"));
    put(root, crate::config::MAIN_FILE, "schema = 1\n# mine");
    let program = below(root, "/usr/local/bin/groundcrew");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let mended = install(root).unwrap();
    assert_eq!((fates(&mended, Fate::Replace), fates(&mended, Fate::Keep)), (2, 1));
    assert_eq!(fs::read_to_string(below(root, UNIT)).unwrap(), unit);

    let away = plan_removal(root, Role::Agent).unwrap();
    carry_out(&away).unwrap();
    assert_eq!((fates(&away, Fate::Remove), fates(&away, Fate::Keep)), (first.len() - 1, 1));
    assert!(fs::read_to_string(below(root, crate::config::MAIN_FILE)).unwrap().contains("# mine"));
    let nothing = plan_removal(root, Role::Agent).unwrap();
    assert_eq!(fates(&nothing, Fate::Absent), first.len() - 1);
}

#[test]
fn what_was_not_written_by_us_is_neither_replaced_nor_removed() {
    for (path, text) in [
        (UNIT, "[Service]\nExecStart=/opt/mine\n"),
        ("/usr/local/bin/groundcrew", "#!/bin/sh\n# Written by `groundcrew install`\n"),
        ("/etc/tmpfiles.d/groundcrew.conf", ""),
        ("/etc/systemd/system/multi-user.target.wants/groundcrew.service", "no link"),
        ("/etc/systemd/system/groundcrew.service/x", "a directory"),
    ] {
        let root = tempfile::tempdir().unwrap();
        put(root.path(), path, text);
        let refusal = install(root.path()).unwrap_err();
        assert!(refusal.text.contains("was not written by groundcrew"), "{path}: {refusal}");
        let others = fs::read_dir(root.path()).unwrap().count();
        assert_eq!(others, 1, "{path}: nothing was written");
        let away = plan_removal(root.path(), Role::Agent).unwrap();
        assert_eq!(fates(&away, Fate::Remove), 0, "{path}");
    }
}

/// tmpfiles.d makes the state directory at boot, everything else makes it when it is missing: one
/// mode for both.
#[test]
fn tmpfiles_and_the_program_give_the_state_directory_one_mode() {
    let pieces = pieces(Role::Agent).unwrap();
    let tmpfiles = pieces.iter().find(|piece| piece.path == "/etc/tmpfiles.d/groundcrew.conf");
    let Content::Bytes(text) = &tmpfiles.unwrap().content else { panic!("{tmpfiles:?}") };
    let text = String::from_utf8_lossy(text);
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<Vec<String>> = text.lines().map(words).collect();
    let state =
        lines.iter().find(|words| words.get(1).is_some_and(|at| at == "/var/lib/groundcrew"));
    let mode = u32::from_str_radix(&state.unwrap()[2], 8).unwrap();
    assert_eq!(mode, crate::crew::STATE_MODE, "{text}");
}

#[test]
fn what_two_roles_share_goes_with_the_last_of_them() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    install(root).unwrap();
    let recorder = plan(root, pieces(Role::Recorder).unwrap()).unwrap();
    assert_eq!(fates(&recorder, Fate::Write), 2, "its unit, and what starts it");
    carry_out(&recorder).unwrap();
    let program = below(root, "/usr/local/bin/groundcrew");
    for (role, left) in [(Role::Recorder, true), (Role::Agent, false)] {
        let away = plan_removal(root, role).unwrap();
        carry_out(&away).unwrap();
        assert_eq!(program.exists(), left);
        assert!(!below(root, &role.unit_path()).exists());
    }
    install(root).unwrap();
    carry_out(&plan(root, pieces(Role::Recorder).unwrap()).unwrap()).unwrap();
    carry_out(&plan_removal(root, Role::Agent).unwrap()).unwrap();
    assert!(program.exists(), "the recorder needs it");
}
