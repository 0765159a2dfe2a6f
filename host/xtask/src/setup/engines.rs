//! What `cargo xtask bench kernels` measures kernels beside: ONNX Runtime, and what writes files for it.

use crate::setup::python;
use crate::step;
use crate::workspace::Workspace;

/// Each with the folder that says it is there.
const PACKAGES: [(&str, &str); 3] = [
    ("numpy==2.4.6", "numpy-2.4.6.dist-info"),
    ("onnx==1.23.2", "onnx-1.23.2.dist-info"),
    ("onnxruntime==1.32.0", "onnxruntime-1.32.0.dist-info"),
];

/// Fetches what is missing into `target/engines`.
pub(crate) async fn provide(workspace: &Workspace) -> anyhow::Result<()> {
    let folder = workspace.fetched().join("engines");
    for (requirement, there) in PACKAGES {
        if !folder.join(there).is_dir() {
            python::install(requirement, &folder).await?;
            step::say("installed", format!("{requirement} in {}", folder.display()));
        }
    }
    Ok(())
}
