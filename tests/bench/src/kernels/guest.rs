//! A node whose guest times its own host calls.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use kernels::{Case, Question, values};
use spillway_tests::{Node, bundle, bundle_file, deploy_similar, manifest_of, similar_index, with_manifest};
use spillway_types::RoutePattern;

use crate::caller::Caller;
use crate::spread::Spread;

/// Texts that an index is made of.
const TEXTS: usize = 512;
/// Calls of `embed` in one block.
const EMBEDDINGS: usize = 8;

/// The node, with a kernel thread for each call at once.
pub(super) struct Guest {
    node: Node,
    milliseconds: u64,
}

impl Guest {
    pub(super) async fn start(milliseconds: u64) -> anyhow::Result<Self> {
        let node = Node::builder().args(&["--kernel-threads", "2"]).start().await;
        for name in ["kernels", "embed"] {
            node.cli(&["deploy", &bundle_file(name).display().to_string(), "--json"]).await.json();
        }
        Ok(Self { node, milliseconds })
    }

    /// A new connection: the node closes those that nobody uses.
    async fn caller(&self) -> anyhow::Result<Caller> {
        Caller::connect(self.node.listen()).await
    }

    /// The median of what the guest measured, in nanoseconds, in so many calls at once.
    pub(super) async fn median(&self, case: &Case, threads: usize) -> anyhow::Result<f64> {
        let question = Question { case: case.clone(), milliseconds: self.milliseconds };
        let question = Bytes::from(serde_json::to_vec(&question)?);
        let answers = (0..threads).map(async |_| {
            let (answer, _) = self.caller().await?.post("/kernels", question.clone()).await?;
            anyhow::Ok(serde_json::from_slice::<Vec<f64>>(&answer)?)
        });
        let took = try_join_all(answers).await.with_context(|| format!("{case:?}"))?;
        Ok(Spread::of(took.concat()).median)
    }

    /// The median of what the node says that the graph of `embed` took for a text of 64 tokens, in nanoseconds.
    pub(super) async fn embed(&self, threads: usize) -> anyhow::Result<f64> {
        // A first and a last token come to those of the words.
        self.embed_text(&"cat ".repeat(62), threads).await
    }

    /// The same for a text as short as that of the search.
    pub(super) async fn embed_short(&self) -> anyhow::Result<f64> {
        self.embed_text("a sleeping cat", 1).await
    }

    async fn embed_text(&self, text: &str, threads: usize) -> anyhow::Result<f64> {
        let body = Bytes::from(serde_json::json!({ "model": "all-MiniLM-L6-v2", "input": text }).to_string());
        let answers = (0..threads).map(async |_| {
            let (mut took, mut caller) = (Vec::new(), self.caller().await?);
            // The first one may have to build the graph.
            for call in 0..=EMBEDDINGS {
                let inferred = caller.inferred("/v1/embeddings", body.clone()).await?;
                if call > 0 {
                    took.push(inferred.as_nanos() as f64);
                }
            }
            anyhow::Ok(took)
        });
        Ok(Spread::of(try_join_all(answers).await?.concat()).median)
    }

    /// The same while another namespace, at its quota of half a core of kernels, sends four calls at once, again and again.
    pub(super) async fn embed_beside_others(&self) -> anyhow::Result<f64> {
        self.deploy_others().await?;
        let body = serde_json::to_vec(&Question { case: Case::Matmul { size: 512 }, milliseconds: 20 })?;
        let others = futures::future::join_all((0..4).map(async |_| {
            loop {
                let answer = self.node.request(reqwest::Method::POST, "/others").body(body.clone()).send().await;
                // Who is refused comes again: sooner than he is told.
                if answer.is_ok_and(|answer| answer.status() == 429) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }));
        tokio::select! {
            took = self.embed(1) => took,
            _ = others => unreachable!("they never stop"),
        }
    }

    /// The kernels again, in a namespace with a quota.
    async fn deploy_others(&self) -> anyhow::Result<()> {
        let functions = self.node.get("/functions").await;
        if functions.as_array().is_some_and(|all| all.iter().any(|one| one["namespace"] == "others")) {
            return Ok(());
        }
        let built = bundle("kernels");
        let mut manifest = manifest_of(&built);
        manifest.routes[0].pattern = RoutePattern::any_host("/others").map_err(anyhow::Error::msg)?;
        let answer = self.node.post(with_manifest(&built, &manifest.to_bundle_toml()), "namespace=others").await;
        ensure!(answer.status == 201, "{answer:?}");
        self.node.cli(&["quota", "set", "others", "--kernel-time", "50%"]).await;
        Ok(())
    }

    /// The median of what the node says that a search among so many vectors took it, the text's own vector made, in
    /// nanoseconds; and how many texts a second are made an index.
    pub(super) async fn search(&self, rows: usize) -> anyhow::Result<(f64, f64)> {
        let functions = self.node.get("/functions").await;
        if !functions.as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "similar")) {
            let vector =
                |row: usize| (0..384).map(|index| values(1)[0] + ((row * 31 + index * 7) % 97) as f32).collect();
            let rows: Vec<(String, Vec<f32>)> = (0..rows).map(|row| (format!("text {row}"), vector(row))).collect();
            deploy_similar(&self.node, &similar_index(&rows)).await;
        }
        let (mut took, mut caller) = (Vec::new(), self.caller().await?);
        for search in 0..=EMBEDDINGS {
            let inferred = caller.inferred("/similar", Bytes::from_static(br#"{"text":"a sleeping cat"}"#)).await?;
            if search > 0 {
                took.push(inferred.as_nanos() as f64);
            }
        }
        let texts: String = (0..TEXTS).map(|text| format!("Text {text} says what nobody asked.\n")).collect();
        let (_, made) = caller.post("/similar/index", texts.into()).await?;
        Ok((Spread::of(took).median, TEXTS as f64 / made.as_secs_f64()))
    }
}
