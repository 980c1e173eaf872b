//! What tests of this room have in common.

use std::fs;
use tempfile::TempDir;

/// A folder that stands for the root of a host, with these files.
pub(super) fn host(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}
