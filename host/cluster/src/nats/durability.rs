//! What a server's monitoring endpoint says of its disks: <https://docs.nats.io/running-a-nats-service/nats_admin/monitoring>

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Shared;
use super::connection::ANSWER_MAX;
use crate::control::Durability;

/// Fewer servers than this lose everything with one disk; with two, neither can decide alone.
const REPLICAS_MIN: usize = 3;

/// `/varz`, as far as it matters.
#[derive(Debug, Deserialize)]
struct Server {
    jetstream: JetStream,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct JetStream {
    /// Missing where JetStream is off.
    config: Option<Disk>,
}

#[derive(Debug, Deserialize)]
struct Disk {
    /// In nanoseconds.
    #[serde(default)]
    sync_interval: u64,
    /// `sync_interval: always`.
    #[serde(default)]
    sync_always: bool,
}

/// `/jsz?streams=1&config=1`, as far as it matters.
#[derive(Debug, Deserialize)]
struct Streams {
    #[serde(default)]
    account_details: Vec<Account>,
}

#[derive(Debug, Deserialize)]
struct Account {
    #[serde(default)]
    stream_detail: Vec<Stream>,
}

#[derive(Debug, Deserialize)]
struct Stream {
    name: String,
    config: Settings,
}

#[derive(Debug, Deserialize)]
struct Settings {
    num_replicas: usize,
    storage: String,
    /// `async` where writes are acknowledged before they are written.
    #[serde(default)]
    persist_mode: Option<String>,
}

/// Asks the endpoint.
pub(super) async fn read(shared: &Shared) -> Durability {
    let Some(url) = &shared.monitoring_url else {
        return unknown("no monitoring endpoint is given; name the server's with --nats-monitoring");
    };
    let client = match reqwest::Client::builder().timeout(ANSWER_MAX).no_proxy().build() {
        Ok(client) => client,
        Err(error) => return unknown(format!("no HTTP client: {error}")),
    };
    let url = url.trim_end_matches('/');
    let server = match get(&client, format!("{url}/varz")).await {
        Ok(server) => server,
        Err(why) => return unknown(why),
    };
    // What is to be judged has to be there.
    for bucket in [&shared.state, &shared.blobs] {
        if let Err(failure) = shared.connection.answer(bucket.open(&shared.connection)).await {
            return unknown(failure.control(&shared.connection.servers).to_string());
        }
    }
    match get(&client, format!("{url}/jsz?streams=1&config=1")).await {
        Ok(streams) => judge(&server, &streams, &[shared.state.stream_name(), shared.blobs.stream_name()]),
        Err(why) => unknown(why),
    }
}

async fn get<T: DeserializeOwned>(client: &reqwest::Client, url: String) -> Result<T, String> {
    let answer = async { client.get(&url).send().await?.error_for_status()?.json().await };
    answer.await.map_err(|error: reqwest::Error| {
        format!("the monitoring endpoint {url} has no answer that can be read: {}", error.without_url())
    })
}

/// What that means for the streams with these names. One that is not there yet is judged when it is.
fn judge(server: &Server, streams: &Streams, names: &[&str]) -> Durability {
    let Some(disk) = &server.jetstream.config else {
        return unknown("the server of the monitoring endpoint has no JetStream; name one that has");
    };
    let ours = |stream: &&Stream| names.contains(&stream.name.as_str());
    let ours: Vec<&Stream> = streams.account_details.iter().flat_map(|it| &it.stream_detail).filter(ours).collect();
    let mut why = Vec::new();
    if !disk.sync_always {
        let interval = Duration::from_nanos(disk.sync_interval);
        why.push(format!(
            "a power cut loses what was acknowledged in the last {} s; set sync_interval: always in the server's jetstream block",
            interval.as_secs_f64()
        ));
    }
    for stream in &ours {
        let (name, settings) = (&stream.name, &stream.config);
        if settings.storage != "file" {
            why.push(format!("{name} is kept in memory; keep it in files"));
        }
        if settings.persist_mode.as_deref() == Some("async") {
            why.push(format!("{name} acknowledges before it writes; set its persist mode to default"));
        }
        if settings.num_replicas < REPLICAS_MIN {
            let count = settings.num_replicas;
            why.push(format!("{name} has {count} of {REPLICAS_MIN} replicas; a lost disk loses it"));
        }
    }
    if !why.is_empty() {
        return Durability::Unsafe { why: why.join("; ") };
    }
    if ours.len() < names.len() {
        return unknown("the monitoring endpoint does not show all our streams yet; ask again when they are made");
    }
    Durability::Safe { how: format!("sync_interval: always, {REPLICAS_MIN} replicas or more") }
}

fn unknown(why: impl Into<String>) -> Durability {
    Durability::Unknown { why: why.into() }
}

/// Over what real servers answered (2.15.1): `one` as it comes, `three` in a cluster with `sync_interval: always`.
#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NAMES: [&str; 2] = ["KV_spillway-acme-state", "OBJ_spillway-acme-blobs"];

    fn one() -> (Value, Value) {
        captured(
            include_str!("../../tests/data/nats/one.varz.json"),
            include_str!("../../tests/data/nats/one.jsz.json"),
        )
    }

    fn three() -> (Value, Value) {
        captured(
            include_str!("../../tests/data/nats/three.varz.json"),
            include_str!("../../tests/data/nats/three.jsz.json"),
        )
    }

    fn captured(varz: &str, jsz: &str) -> (Value, Value) {
        (serde_json::from_str(varz).unwrap(), serde_json::from_str(jsz).unwrap())
    }

    fn judged((varz, jsz): (Value, Value)) -> Durability {
        judge(&serde_json::from_value(varz).unwrap(), &serde_json::from_value(jsz).unwrap(), &NAMES)
    }

    #[test]
    fn one_server_as_it_comes_is_unsafe_for_two_reasons() {
        let Durability::Unsafe { why } = judged(one()) else { panic!("not unsafe") };
        assert!(why.contains("in the last 120 s") && why.contains("has 1 of 3 replicas"), "{why}");
    }

    #[test]
    fn three_servers_that_sync_always_are_safe() {
        assert!(matches!(judged(three()), Durability::Safe { .. }));
    }

    #[test]
    fn each_setting_that_loses_writes_is_named_alone() {
        let change = |path: &str, value: Value, part: &str| {
            let (mut varz, mut jsz) = three();
            let place = match varz.pointer_mut(path) {
                Some(place) => place,
                None => jsz.pointer_mut(path).unwrap_or_else(|| panic!("{path} is not in the captured answers")),
            };
            *place = value;
            let Durability::Unsafe { why } = judged((varz, jsz)) else { panic!("{path}: not unsafe") };
            assert!(why.contains(part) && !why.contains("; KV") && !why.contains("; OBJ"), "{why}");
        };
        let stream = "/account_details/0/stream_detail/0/config";
        change("/jetstream/config/sync_always", json!(false), "sync_interval: always");
        change(&format!("{stream}/num_replicas"), json!(2), "2 of 3 replicas");
        change(&format!("{stream}/storage"), json!("memory"), "kept in memory");
        let (varz, mut jsz) = three();
        jsz.pointer_mut(stream).unwrap()["persist_mode"] = json!("async");
        assert!(judged((varz, jsz)).to_string().contains("acknowledges before it writes"));
    }

    #[test]
    fn what_the_endpoint_does_not_show_is_unknown() {
        let (varz, mut jsz) = three();
        jsz["account_details"][0]["stream_detail"].as_array_mut().unwrap().pop();
        assert!(matches!(judged((varz, jsz)), Durability::Unknown { .. }));
        let (mut varz, jsz) = three();
        varz["jetstream"] = json!({});
        assert!(judged((varz, jsz)).to_string().contains("has no JetStream"));
    }
}
