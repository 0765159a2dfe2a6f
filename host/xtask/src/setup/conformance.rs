//! Tests of other makers, as data, that kernels are held to.

use crate::setup::wheel::Package;
use crate::step;
use crate::workspace::Workspace;

/// ONNX, Apache-2.0: a model, inputs and outputs for each of its operators' tests, its "backend node tests". The last releases
/// have them no more. What is taken is the same on all machines, so the wheel of one of them does for all.
const ONNX: Package = Package {
    name: "onnx",
    requirement: "onnx==1.19.1",
    platform: "manylinux2014_x86_64",
    wheel: (
        "onnx-1.19.1-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        "1839af08ab4a909e4af936b8149c27f8c64b96138981024e251906e0539d8bf9",
    ),
    files: &[],
};

/// Fetches what is missing.
pub(crate) async fn provide(workspace: &Workspace) -> anyhow::Result<()> {
    let (name, folder) = (ONNX.name, workspace.fetched().join("downloads"));
    match ONNX.keep(&folder).await? {
        true => step::say("installed", format!("tests of {name} in {}", folder.display())),
        false => step::say("ready", format!("tests of {name}")),
    }
    Ok(())
}
