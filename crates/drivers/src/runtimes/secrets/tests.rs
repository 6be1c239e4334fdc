//! Made once, private, and given to the app's user.

use super::*;

fn two(state: &Path) -> Secrets {
    Secrets::new(state, "tiles", vec!["db".to_owned(), "token".to_owned()])
}

#[test]
fn upd_23_a_secret_is_made_once_and_is_nobody_elses() {
    let state = tempfile::tempdir().unwrap();
    let secrets = two(state.path());
    secrets.make(None).unwrap();
    let read = |name: &str| fs::read_to_string(secrets.path(name).unwrap()).unwrap();
    let (db, token) = (read("db"), read("token"));
    assert_eq!((db.len(), db == token), (64, false));
    let path = secrets.path("db").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    secrets.make(None).unwrap();
    assert_eq!(read("db"), db, "never another one");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600, "closed again");
    assert_eq!(secrets.path("other"), None);
}

#[test]
fn upd_23_what_is_no_secret_is_not_replaced() {
    let state = tempfile::tempdir().unwrap();
    let secrets = two(state.path());
    let path = state.path().join("secrets/tiles/db");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    File::create(&path).unwrap();
    let error = secrets.make(None).unwrap_err();
    assert!(matches!(error, Error::NoFile { .. }), "{error}");
    assert!(error.to_string().contains("remove it"), "{error}");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    assert!(matches!(secrets.make(None), Err(Error::NoFile { .. })), "a symlink is not followed");
}
