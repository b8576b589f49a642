//! A whole installation to look at: started in process, in demonstration mode, and gone when it ends.

/// What can be chosen about a demonstration.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {}

/// Runs the demonstration until it is interrupted.
///
/// # Errors
/// The installation cannot be started.
pub async fn run(_options: &Options) -> anyhow::Result<()> {
    anyhow::bail!("this program was built without the demonstration")
}
