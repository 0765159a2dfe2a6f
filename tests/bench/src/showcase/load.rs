//! Calls: one after the other to see what a node can do, and on a schedule, whatever becomes of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder};
use tokio::task::JoinSet;

use super::bill::{self, BILL};
use super::mix::{Function, Mix, ROUND};
use super::ramp::Ramp;
use super::stage::{EDGES, NODES, Stage};
use super::tally::{Outcome, Record, Tally};

/// A caller gives up so many times its patience after it has called.
const GIVE_UP: u32 = 3;

/// From so many of each a node learns: few pictures, of which one keeps the smallest node busy for ten seconds.
const FILES: usize = 100;
const PICTURES: usize = 1;

/// A load under way, and what became of its calls so far.
pub(crate) struct Load {
    pub(crate) ramp: Ramp,
    pub(crate) started: Instant,
    records: Mutex<Vec<Record>>,
}

impl Load {
    /// One that starts now.
    pub(crate) fn start(ramp: Ramp) -> Arc<Self> {
        Arc::new(Self { ramp, started: Instant::now(), records: Mutex::default() })
    }

    /// The calls so far that `which` holds for.
    pub(crate) fn tally(&self, which: impl Fn(&Record) -> bool) -> Tally {
        Tally::of(self.lock().iter().filter(|record| which(record)))
    }

    /// All calls so far.
    pub(crate) fn records(&self) -> Vec<Record> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends each call when it is due, to the edge nodes in turn, and waits for the last answer.
    ///
    /// # Errors
    /// A call panicked.
    pub(crate) async fn run(self: &Arc<Self>, stage: &Stage, mix: &Mix) -> anyhow::Result<()> {
        let mut calls = JoinSet::new();
        for (number, due) in self.ramp.due().enumerate() {
            tokio::time::sleep_until((self.started + due).into()).await;
            let (function, body) = mix.call(number);
            let edge = number % EDGES;
            let path = format!("/{}", function.name());
            let request = stage.node(edge).request(Method::POST, &path).body(body);
            let load = self.clone();
            calls.spawn(async move {
                let record = call(request, function, due, edge).await;
                load.lock().push(record);
            });
        }
        while let Some(call) = calls.join_next().await {
            call?;
        }
        Ok(())
    }
}

/// Makes a call, and reads its answer to the end.
async fn call(request: RequestBuilder, function: Function, due: Duration, edge: usize) -> Record {
    let patience = function.patience();
    let request = request
        .header("spillway-deadline-ms", patience.as_millis().to_string())
        .header(BILL, "1")
        .timeout(patience * GIVE_UP);
    let sent = Instant::now();
    let answer = request.send().await.ok();
    let (status, headers) = answer.as_ref().map(|answer| (answer.status().as_u16(), answer.headers().clone())).unzip();
    let status = match answer {
        Some(answer) => answer.bytes().await.ok().and(status),
        None => None,
    };
    let took = sent.elapsed();
    let headers = headers.unwrap_or_default();
    let sent_to = headers.get("spillway-node").and_then(|name| name.to_str().ok());
    let node = sent_to.map_or(Some(edge), |name| NODES.iter().position(|place| place.name == name));
    let ran_on = node.filter(|_| status == Some(200));
    Record { function, due, took, outcome: Outcome::of(status, took, patience), ran_on, cost: bill::cost(&headers) }
}

/// Lets a node learn how long calls take. Gives how many calls of the mix it does per second, one after the other.
///
/// # Errors
/// A call is not answered.
pub(crate) async fn learn(stage: &Stage, node: usize, mix: &Mix) -> anyhow::Result<f64> {
    let timed = async |function: Function, bodies: usize| {
        let started = Instant::now();
        for number in 0..bodies {
            let request = stage.node(node).request(Method::POST, &format!("/{}", function.name()));
            request.body(mix.body(function, number)).send().await?.error_for_status()?.bytes().await?;
        }
        anyhow::Ok(started.elapsed().as_secs_f64() / bodies as f64)
    };
    let (sniff, ocr) = (timed(Function::Sniff, FILES).await?, timed(Function::Ocr, PICTURES).await?);
    Ok(ROUND as f64 / (sniff * (ROUND - 1) as f64 + ocr))
}
