//! Indices for the sample `similar`.

use serde_json::json;
use spillway_types::{Bundle, Digest};

use crate::{Node, bundle, with_manifest, workspace};

/// An index of these texts and their vectors, all of one length, as a safetensors file.
///
/// # Panics
/// If the texts have more than 2 GiB.
#[must_use]
pub fn similar_index(rows: &[(String, Vec<f32>)]) -> Vec<u8> {
    let vectors: Vec<u8> = rows.iter().flat_map(|(_, vector)| vector).flat_map(|value| value.to_le_bytes()).collect();
    let mut end = 0;
    let ends = rows.iter().map(|(text, _)| {
        end += i32::try_from(text.len()).expect("texts are short");
        end.to_le_bytes()
    });
    let ends: Vec<u8> = ends.flatten().collect();
    let texts: Vec<u8> = rows.iter().flat_map(|(text, _)| text.bytes()).collect();
    let dimensions = rows.first().map_or(0, |(_, vector)| vector.len());
    let (after_vectors, after_ends) = (vectors.len(), vectors.len() + ends.len());
    let header = json!({
        "vectors": { "dtype": "F32", "shape": [rows.len(), dimensions], "data_offsets": [0, after_vectors] },
        "ends": { "dtype": "I32", "shape": [rows.len()], "data_offsets": [after_vectors, after_ends] },
        "texts": { "dtype": "U8", "shape": [texts.len()], "data_offsets": [after_ends, after_ends + texts.len()] },
    });
    let header = header.to_string().into_bytes();
    [&(header.len() as u64).to_le_bytes()[..], &header, &vectors, &ends, &texts].concat()
}

/// Deploys `similar` with this index in place of the one that it comes with.
///
/// # Panics
/// If the node refuses it.
pub async fn deploy_similar(node: &Node, index: &[u8]) {
    let folder = tempfile::tempdir().expect("tests may write temporary files");
    let (bundle_file, index_file) = (folder.path().join("similar.wasm"), folder.path().join("index.safetensors"));
    std::fs::write(&index_file, index).expect("there is room");
    let built = bundle("similar");
    let manifest = Bundle::read(&built).expect("it was built").manifest().expect("with one").to_owned();
    let (before, models) = manifest.split_once("[models.index]").expect("it has one");
    // 64 digits follow.
    let (_, after) = models.split_once("sha256:").expect("by its digest");
    let manifest = format!("{before}[models.index]\ndigest = \"{}{}", Digest::of(index), &after[64..]);
    std::fs::write(&bundle_file, with_manifest(&built, &manifest)).expect("there is room");
    let (bundle_file, index) = (bundle_file.display().to_string(), format!("index={}", index_file.display()));
    let minilm = format!("minilm={}", workspace().join("target/models/minilm/model.safetensors").display());
    node.cli(&["deploy", &bundle_file, "--model", &index, "--model", &minilm, "--json"]).await.json();
}
