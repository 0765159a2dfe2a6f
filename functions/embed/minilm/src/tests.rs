//! Token ids against those of the Python package tokenizers (`tests/data/embed`).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{tokenizer, vocabulary};

#[derive(Deserialize)]
struct Reference {
    text: String,
    ids: Vec<u32>,
}

fn read<T: DeserializeOwned>(path: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").join(path);
    let text = fs::read_to_string(&path);
    let text = text.unwrap_or_else(|error| panic!("{} ({error}); run `cargo xtask setup`", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn references(name: &str) -> Vec<Reference> {
    read(&format!("tests/data/embed/{name}.json"))
}

#[test]
fn ids_of_unusual_texts_are_those_of_the_python_package() {
    let references = references("tokens");
    assert!(references.len() > 200);
    for Reference { text, ids, .. } in references {
        assert_eq!(tokenizer::encode(&text), ids, "{text:?}");
    }
}

#[test]
fn ids_of_sentences_are_those_of_the_python_package() {
    for Reference { text, ids, .. } in references("references") {
        assert_eq!(tokenizer::encode(&text), ids, "{text:?}");
    }
}

#[test]
fn every_token_has_the_id_that_the_tokenizers_file_gives_it() {
    #[derive(Deserialize)]
    struct File {
        model: Tokens,
    }

    #[derive(Deserialize)]
    struct Tokens {
        vocab: BTreeMap<String, u32>,
    }

    let file: File = read("target/models/minilm/tokenizer.json");
    let words = file.model.vocab.iter().filter(|(token, _)| token.len() == 1 || !token.starts_with('['));
    for (token, id) in words {
        let (rest, starts) = match token.strip_prefix("##") {
            Some(rest) if !rest.is_empty() => (rest, false),
            _ => (token.as_str(), true),
        };
        assert_eq!(vocabulary::longest(rest, starts), Some((rest.len(), *id)), "{token}");
    }
}
