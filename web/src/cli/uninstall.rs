//! `aground uninstall`: gives the kernel back what it had before. Dumps stay.

use super::install::require_root;
use super::plugin;
use super::session::Failure;
use super::text::visible;
use aground_helper::install::{Uninstalled, uninstall};
use std::path::PathBuf;

/// Put the kernel's settings back as they were; dumps stay
#[derive(clap::Args)]
pub struct Arguments {
    /// State directory
    #[arg(long, value_name = "DIR", default_value = aground_helper::layout::STATE_DIR)]
    state_dir: PathBuf,
}

/// Uninstalls, and says what the settings are now.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    require_root("uninstall")?;
    let done = uninstall(&arguments.state_dir).map_err(|error| Failure::Other(error.into()))?;
    let (settings, remark) = match &done {
        Uninstalled::Restored(settings) => (settings, "as before install"),
        Uninstalled::Defaults(settings) => (
            settings,
            "the kernel's default: what was before is not known",
        ),
        Uninstalled::NotOurs(settings) => (settings, "not Aground's, left alone"),
    };
    println!(
        "core_pattern   {} ({remark})",
        visible(&settings.core_pattern)
    );
    if let Some(path) = plugin::uninstall().map_err(Failure::Message)? {
        println!("removed        {}", visible(&path.display().to_string()));
    }
    Ok(())
}
