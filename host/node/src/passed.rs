//! Which models have passed their check, across restarts.

use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use spillway_inference::Engine;
use spillway_types::{Digest, Specialization};

/// A folder with one small file for each passed check. A file that is damaged or missing means another check, nothing
/// worse; so nothing here is synced.
pub(crate) struct Passed {
    folder: PathBuf,
}

impl Passed {
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder })
    }

    pub(crate) fn holds(&self, engine: &dyn Engine, digest: Digest, specialization: &Specialization) -> bool {
        let record = record(engine, digest, specialization);
        fs::read(self.path(&record)).is_ok_and(|found| found == record.as_bytes())
    }

    pub(crate) fn add(&self, engine: &dyn Engine, digest: Digest, specialization: &Specialization) -> io::Result<()> {
        let record = record(engine, digest, specialization);
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(record.as_bytes())?;
        file.persist(self.path(&record)).map_err(|error| error.error)?;
        Ok(())
    }

    fn path(&self, record: &str) -> PathBuf {
        self.folder.join(Digest::of(record.as_bytes()).hex())
    }
}

/// All that a passed check is about. The check is as much this program's as the engine's, so both have their versions
/// in it.
fn record(engine: &dyn Engine, digest: Digest, specialization: &Specialization) -> String {
    let (name, version, ours) = (engine.name(), engine.version(), env!("CARGO_PKG_VERSION"));
    format!("{digest}\nspillway {ours}\n{name} {version}\n{specialization:?}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use spillway_inference::TractEngine;

    #[test]
    fn a_passed_check_is_remembered_for_that_file_and_specialization_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        let whole = Specialization::default();
        let narrow = Specialization { shapes: [("x".to_owned(), vec![1])].into(), ..Default::default() };
        let open = || Passed::open(folder.path().join("checked")).unwrap();
        assert!(!open().holds(&TractEngine, a, &whole));
        open().add(&TractEngine, a, &whole).unwrap();
        assert!(open().holds(&TractEngine, a, &whole));
        assert!(!open().holds(&TractEngine, b, &whole) && !open().holds(&TractEngine, a, &narrow));
    }

    #[test]
    fn a_damaged_record_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let passed = Passed::open(folder.path().to_owned()).unwrap();
        let (digest, whole) = (Digest::of(b"a"), Specialization::default());
        passed.add(&TractEngine, digest, &whole).unwrap();
        let file = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        fs::write(&file, "").unwrap();
        assert!(!passed.holds(&TractEngine, digest, &whole));
        passed.add(&TractEngine, digest, &whole).unwrap();
        assert!(passed.holds(&TractEngine, digest, &whole));
    }
}
