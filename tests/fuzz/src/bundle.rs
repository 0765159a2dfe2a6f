//! Bundles and manifests.

use spillway_types::{Bundle, Digest, Manifest, Origin};

/// The parts of a bundle, put together again, are the same parts.
pub(crate) fn bundle(bytes: &[u8]) {
    let Ok(bundle) = Bundle::read(bytes) else { return };
    let component = bundle.component();
    let bare = Bundle::read(&component).expect("a bundle's component is a component");
    assert_eq!((bare.manifest(), bare.models().len()), (None, 0));
    assert_eq!(bare.component(), component);
    let kept = bundle.without_models();
    let kept = Bundle::read(&kept).expect("a bundle without its models is one");
    assert_eq!((kept.manifest(), kept.models().len()), (bundle.manifest(), 0));
    assert_eq!(kept.component(), component);
    for (digest, model) in bundle.models() {
        assert_eq!(*digest, Digest::of(model));
    }
    let text = bundle.manifest().unwrap_or_default();
    let models: Vec<&[u8]> = bundle.models().iter().map(|(_, model)| *model).collect();
    let written = Bundle::write(bytes, text, &models).expect("what was read can be written");
    let again = Bundle::read(&written).expect("what was written can be read");
    assert_eq!((again.manifest(), again.models()), (Some(text), bundle.models()));
    assert_eq!(again.component(), component);
    manifest(text.as_bytes());
}

/// A manifest that is accepted says the same once more when it is written and read; one that is not is told why.
pub(crate) fn manifest(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for origin in [Origin::Source, Origin::Bundle] {
        match Manifest::parse(text, origin) {
            Ok(manifest) => {
                if manifest.models.values().any(|grant| grant.digest.is_none()) {
                    continue;
                }
                let written = manifest.to_bundle_toml();
                let again = Manifest::parse(&written, Origin::Bundle);
                let again = again.unwrap_or_else(|error| panic!("{error}\n{written}"));
                assert_eq!(again.to_bundle_toml(), written);
                // Where models lay is for `spillway build` only.
                let mut normal = manifest;
                normal.models.values_mut().for_each(|grant| grant.path = None);
                assert_eq!(again, normal, "{written}");
            }
            Err(error) => assert!(!error.to_string().is_empty(), "a refusal says nothing"),
        }
    }
}
