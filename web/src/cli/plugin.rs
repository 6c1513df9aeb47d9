//! Puts `docker-dumps` where the Docker CLI finds it for every user, and takes it away again.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where packages put it (docker/cli, cli-plugins/manager).
const OURS: &str = "/usr/libexec/docker/cli-plugins";
/// The system directories the CLI searches before that one.
const OTHERS: [&str; 3] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
];
const NAME: &str = "docker-dumps";

/// Whether install adds it unasked: Docker is here, nobody has put a plugin elsewhere, and this
/// program is itself installed rather than run from where it was built.
pub fn is_wanted() -> bool {
    let elsewhere = OTHERS
        .iter()
        .any(|directory| Path::new(directory).join(NAME).exists());
    let installed = std::env::current_exe().is_ok_and(|program| program.starts_with("/usr"));
    installed && !elsewhere && has_docker() && sibling(NAME).is_ok_and(|program| program.exists())
}

fn has_docker() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).any(|directory| directory.join("docker").is_file());
    on_path || Path::new(OURS).is_dir()
}

/// A program beside this one.
pub fn sibling(name: &str) -> Result<PathBuf, String> {
    let program =
        std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    Ok(program.with_file_name(name))
}

/// Copies the plugin that is beside this program; returns where it is now.
pub fn install() -> Result<PathBuf, String> {
    let to = Path::new(OURS).join(NAME);
    let from = sibling(NAME)?;
    copy(&from, &to).map_err(|error| {
        format!(
            "cannot copy {} to {}: {error}",
            from.display(),
            to.display()
        )
    })?;
    Ok(to)
}

/// Under another name first: whoever runs `docker` meanwhile finds the old one or the new one.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut program = File::open(from)?;
    if let Some(directory) = to.parent() {
        fs::create_dir_all(directory)?;
    }
    let new = to.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::create_new(&new)?;
    io::copy(&mut program, &mut file)?;
    file.set_permissions(Permissions::from_mode(0o755))?;
    file.sync_all()?;
    fs::rename(&new, to)
}

/// Removes what [`install`] put there; its path if there was something.
pub fn uninstall() -> Result<Option<PathBuf>, String> {
    let path = Path::new(OURS).join(NAME);
    match fs::remove_file(&path) {
        Ok(()) => Ok(Some(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot remove {}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_plugin_is_replaced_whole() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (
            directory.path().join("from"),
            directory.path().join("a/b/docker-dumps"),
        );
        for text in ["old", "new"] {
            fs::write(&from, text).unwrap();
            copy(&from, &to).unwrap();
            assert_eq!(fs::read_to_string(&to).unwrap(), text);
        }
        assert_eq!(
            fs::metadata(&to).unwrap().permissions().mode() & 0o777,
            0o755
        );
        assert_eq!(fs::read_dir(to.parent().unwrap()).unwrap().count(), 1);
        assert!(copy(&directory.path().join("absent"), &to).is_err());
        assert_eq!(fs::read_to_string(&to).unwrap(), "new");
    }
}
