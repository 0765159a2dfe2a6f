//! The commands that make keys and certificates, which need no node.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use spillway_trust::{Authority, DeployerKey, IdentityFiles};

/// Runs `spillway` in a folder that is its home, too.
fn spillway(home: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_spillway"))
        .args(args)
        .current_dir(home)
        .env("HOME", home)
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("SPILLWAY_KEY")
        .output()
        .unwrap()
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(' ')
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a command that fails says.
fn refusal(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_new_key_goes_where_it_is_looked_for_and_is_never_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let made = stdout(&spillway(home.path(), words("key new")));
    let file = home.path().join(".config/spillway/deployer.pem");
    let public = DeployerKey::load(&file).unwrap().public();
    assert!(made.contains(&format!("spillway key trust {public} --name NAME")), "{made}");
    assert_eq!(mode(&file), 0o600);
    assert_eq!(stdout(&spillway(home.path(), words("key show"))), format!("{public}\n"));

    let refused = refusal(&spillway(home.path(), words("key new")), 1);
    assert!(refused.contains("deployer.pem is there already"), "{refused}");
    assert_eq!(DeployerKey::load(&file).unwrap().public(), public);
}

#[test]
fn a_key_goes_where_the_command_line_says_and_json_names_it() {
    let home = tempfile::tempdir().unwrap();
    let made = json(&spillway(home.path(), words("key new --out ada.pem --json")));
    let public = DeployerKey::load(&home.path().join("ada.pem")).unwrap().public();
    assert_eq!((&made["key"], &made["id"]), (&public.to_string().into(), &public.id().to_string().into()));
    assert_eq!(json(&spillway(home.path(), words("key show --key ada.pem --json"))), made);
    let absent = refusal(&spillway(home.path(), words("key show")), 1);
    assert!(absent.contains("deployer.pem"), "{absent}");
}

#[test]
fn a_cluster_gets_its_authority_and_a_node_its_identity() {
    let home = tempfile::tempdir().unwrap();
    let at = |path: &str| home.path().join(path);
    let made = stdout(&spillway(home.path(), words("ca init acme --dir ca")));
    assert!(made.contains("spillway ca issue NODE --role edge --site SITE --region REGION --dir ca"), "{made}");
    assert_eq!(mode(&at("ca/ca.key")), 0o600);

    let line = "ca issue box-1 --role edge --site paris --dir ca --address box.example.com --address 10.0.0.7";
    let issued = stdout(&spillway(home.path(), words(line)));
    assert!(issued.contains("spillway up --join nats://HOST:4222 --identity box-1"), "{issued}");
    let identity = IdentityFiles::new(at("box-1")).load().unwrap();
    assert_eq!(identity.node.to_string(), "spiffe://acme/region/default/site/paris/edge/box-1");

    let shown = stdout(&spillway(home.path(), words("ca show box-1")));
    for part in [&*identity.node.to_string(), "the authority of acme", "(valid)", "10.0.0.7", "O=acme"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let shown = json(&spillway(home.path(), words("ca show box-1/node.crt --json")));
    assert_eq!(shown[0]["identity"], identity.node.to_string());
    assert_eq!(shown[0]["names"], serde_json::json!(["box-1.acme.spillway", "box.example.com", "10.0.0.7"]));
}

#[test]
fn neither_an_authority_nor_an_identity_is_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let issue = "ca issue box-1 --role cloud --site paris --region eu";
    stdout(&spillway(home.path(), words("ca init acme")));
    stdout(&spillway(home.path(), words(issue)));
    let folder = home.path().join(".config/spillway/ca");
    let before = Authority::load(&folder).unwrap().certificate_pem().to_owned();
    for (line, file) in [("ca init acme", "ca.crt"), ("ca init other", "ca.crt"), (issue, "node.crt")] {
        let refused = refusal(&spillway(home.path(), words(line)), 1);
        assert!(refused.contains(file) && refused.contains("never overwritten"), "{refused}");
    }
    assert_eq!(Authority::load(&folder).unwrap().certificate_pem(), before);
    // A renewed one goes to another folder.
    stdout(&spillway(home.path(), words(&format!("{issue} --out renewed"))));
}

#[test]
fn wrong_usage_is_refused_before_anything_is_written() {
    let home = tempfile::tempdir().unwrap();
    for line in [
        "ca init Acme",
        "ca init acme --days 0",
        "ca issue box-1 --role fog --site paris",
        "ca issue box-1 --role edge",
        "ca issue box-1 --role edge --site paris --address box:443",
        "key trust ed25519:AAAA",
        "key revoke nonsense",
    ] {
        refusal(&spillway(home.path(), words(line)), 2);
    }
    let reserved = "ca issue box-1 --role edge --site paris --address box-2.acme.spillway";
    stdout(&spillway(home.path(), words("ca init acme")));
    let refused = refusal(&spillway(home.path(), words(reserved)), 1);
    assert!(refused.contains("box-2.acme.spillway"), "{refused}");
    assert!(!home.path().join("box-1").exists());
    let nothing = refusal(&spillway(home.path(), words("ca show .")), 1);
    assert!(nothing.contains("node.crt"), "{nothing}");
}
