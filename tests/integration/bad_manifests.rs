//! Manifests with errors: all come at once, each with its line, from the node and from `spillway build`.

use std::path::Path;
use std::process::Command;

use spillway_tests::{Ran, bundle, spillway, with_manifest};
use spillway_types::ProblemType;

use crate::serving;

/// One error in each of several lines.
const BAD: &str = r#"spillway = 1
name = "Hello"
version = "1"
efects = "none"

[[routes]]
path = "hello"
methods = ["FETCH"]

[limits]
memry = "1MiB"
deadline = 10
"#;

/// The lines of `BAD`, and what must be said of each.
const ERRORS: [(u32, &str); 7] = [
    (2, "`Hello`"),
    (3, "write one like `0.1.0`"),
    (4, "did you mean `effects`?"),
    (7, "must start with `/`"),
    (8, "`FETCH`"),
    (11, "did you mean `memory`?"),
    (12, "`deadline`"),
];

/// Demands exactly the errors of `BAD` in `lines`, each where `place` says.
fn all_are_there(lines: &[String], place: impl Fn(u32) -> String) {
    for (line, part) in ERRORS {
        let said = |text: &&String| text.contains(&place(line)) && text.contains(part);
        assert_eq!(lines.iter().filter(said).count(), 1, "line {line}, {part}: {lines:#?}");
    }
    assert_eq!(lines.len(), ERRORS.len(), "{lines:#?}");
}

#[tokio::test]
async fn all_errors_of_a_manifest_come_at_once_with_their_lines_and_the_old_revision_serves() {
    let node = serving::hello().await;
    let answer = node.post(with_manifest(&bundle("hello"), BAD), "").await;
    let problem = answer.problem(ProblemType::InvalidManifest, &["7 errors"]);
    all_are_there(&problem.errors, |line| format!("spillway.toml:{line}: "));
    serving::untouched(&node).await;
}

#[tokio::test]
async fn a_manifest_that_lacks_everything_is_told_what_to_write() {
    let node = serving::hello().await;
    let answer = node.post(with_manifest(&bundle("hello"), ""), "").await;
    let problem = answer.problem(ProblemType::InvalidManifest, &[]);
    for key in ["`spillway`", "`name`", "`version`", "`[[routes]]`"] {
        assert!(problem.errors.iter().any(|error| error.contains(key)), "{key}: {problem:#?}");
    }
    serving::untouched(&node).await;
}

#[tokio::test]
async fn a_manifest_of_a_newer_format_is_refused_by_its_number() {
    let node = serving::hello().await;
    let text = serving::changed("hello", |_| ()).replace("spillway = 1", "spillway = 2");
    let answer = node.post(with_manifest(&bundle("hello"), &text), "").await;
    let problem = answer.problem(ProblemType::InvalidManifest, &[]);
    assert!(problem.errors[0].contains("`spillway = 2`") && problem.errors[0].contains("1"), "{problem:#?}");
    serving::untouched(&node).await;
}

/// A crate folder with this manifest. What the manifest says is checked before Cargo is asked.
fn crate_with(manifest: Option<&str>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("the folder is ours");
    write("Cargo.toml", "[package]\nname = \"hello\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
    std::fs::create_dir(folder.path().join("src")).expect("the folder is ours");
    write("src/lib.rs", "");
    if let Some(text) = manifest {
        write("spillway.toml", text);
    }
    folder
}

async fn build(paths: &[&Path]) -> Ran {
    let mut command = Command::new(spillway());
    command.arg("build").args(paths);
    Ran::of(command).await
}

#[tokio::test]
async fn build_names_file_and_line_of_every_error_in_every_manifest() {
    let (first, second) = (crate_with(Some(BAD)), crate_with(Some(BAD)));
    let ran = build(&[first.path(), second.path()]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:#?}");
    let lines: Vec<String> = ran.stderr.lines().map(ToOwned::to_owned).collect();
    assert!(lines.iter().all(|line| line.starts_with("error: ")), "{lines:#?}");
    let (of_first, of_second): (Vec<_>, Vec<_>) =
        lines.into_iter().partition(|line| line.contains(&first.path().display().to_string()));
    for (folder, lines) in [(&first, of_first), (&second, of_second)] {
        all_are_there(&lines, |line| format!("{}:{line}: ", folder.path().join("spillway.toml").display()));
    }
}

#[tokio::test]
async fn build_without_a_manifest_shows_one_to_begin_with() {
    let folder = crate_with(None);
    let ran = build(&[folder.path()]).await;
    assert_eq!(ran.code, 1, "{ran:#?}");
    for part in ["spillway.toml is missing", "spillway = 1", "[[routes]]", "path = "] {
        assert!(ran.stderr.contains(part), "{part}: {ran:#?}");
    }
}

#[tokio::test]
async fn build_names_a_model_that_is_not_where_the_manifest_says() {
    let manifest = "spillway = 1\nname = \"hello\"\nversion = \"0.1.0\"\n[[routes]]\npath = \"/hello\"\n[models.m]\n";
    let missing = crate_with(Some(&format!("{manifest}path = \"nowhere.onnx\"\n")));
    let ran = build(&[missing.path()]).await;
    assert_eq!(ran.code, 1, "{ran:#?}");
    for part in ["\"m\"", "nowhere.onnx", "correct `path`"] {
        assert!(ran.stderr.contains(part), "{part}: {ran:#?}");
    }
}
