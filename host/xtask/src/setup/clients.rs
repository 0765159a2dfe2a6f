//! Clients of other makers that the tests call functions with.

use crate::setup::python;
use crate::step;
use crate::workspace::Workspace;

/// OpenAI's own client, which `embed` is called with.
const OPENAI: (&str, &str) = ("openai==3.57.0", "openai-3.57.0.dist-info");

/// Fetches what is missing.
pub(crate) async fn provide(workspace: &Workspace) -> anyhow::Result<()> {
    let folder = workspace.fetched().join("clients");
    if !folder.join(OPENAI.1).is_dir() {
        python::install(OPENAI.0, &folder).await?;
        step::say("installed", format!("{} in {}", OPENAI.0, folder.display()));
    }
    Ok(())
}
