//! Compiled code on disk: written once, authenticated before it is mapped.
//!
//! A file's name is the digest of the component (without its manifest), the engine's settings and the build, so a change
//! of any makes another file. Beside each artefact lies its MAC; a file is opened, its MAC checked on the descriptor,
//! and mapped through the same descriptor, so that no other file can slip in between. This guards against other users
//! and against corruption, not against our own user, who can read the key (design decision 10).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use spillway_types::{Digest, DigestHasher};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Why the folder of compiled code cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Somebody else could write to it.
    #[error("folder {0} of compiled code is open to other users; run `chmod 700` on it, or remove it")]
    Exposed(PathBuf),
    /// Reading or writing failed.
    #[error("compiled code in {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The folder of compiled code.
#[derive(Clone)]
pub(crate) struct CodeCache {
    folder: PathBuf,
    key: [u8; 32],
}

/// Names one artefact.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct CodeKey(Digest);

impl CodeKey {
    /// For a component on an engine: wasmtime's own hash covers its version, settings and the processor's features.
    pub(crate) fn new(engine: &Engine, component: &Digest) -> Self {
        struct Feed(DigestHasher);
        impl std::hash::Hasher for Feed {
            fn finish(&self) -> u64 {
                0
            }
            fn write(&mut self, bytes: &[u8]) {
                self.0.update(bytes);
            }
        }
        let mut feed = Feed(DigestHasher::default());
        feed.0.update(component.as_bytes());
        std::hash::Hash::hash(&engine.precompile_compatibility_hash(), &mut feed);
        Self(feed.0.finish().0)
    }
}

impl CodeCache {
    /// Opens the folder, making it (0700) and its key (0600) if they are not there.
    pub(crate) fn open(folder: &Path) -> Result<Self, CacheError> {
        let wrap = |path: &Path| {
            let path = path.to_owned();
            move |source| CacheError::Io { path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(wrap(folder))?;
        let meta = fs::metadata(folder).map_err(wrap(folder))?;
        if meta.mode() & 0o077 != 0 {
            return Err(CacheError::Exposed(folder.to_owned()));
        }
        sweep(folder).map_err(wrap(folder))?;
        let path = folder.join("key");
        let key = read_or_make_key(&path).map_err(wrap(&path))?;
        Ok(Self { folder: folder.to_owned(), key })
    }

    fn artefact(&self, key: CodeKey) -> PathBuf {
        self.folder.join(format!("{}.cwasm", key.0.hex()))
    }

    fn mac_file(&self, key: CodeKey) -> PathBuf {
        self.folder.join(format!("{}.mac", key.0.hex()))
    }

    /// Maps an artefact, if there is one and it is authentic. One that is not is removed and compiled anew.
    pub(crate) fn load(&self, engine: &Engine, key: CodeKey) -> Option<Component> {
        let path = self.artefact(key);
        let mut file = File::open(&path).ok()?;
        match self.authentic(key, &mut file) {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(file = %path.display(), "compiled code is not what was written; compiling again");
                self.remove(key);
                return None;
            }
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "compiled code cannot be read; compiling again");
                return None;
            }
        }
        // The path of the descriptor leads to the very file that was just checked, whatever its name leads to by now.
        let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
        #[allow(
            unsafe_code,
            reason = "mapping compiled code is unsafe unless it is ours, which the MAC has just shown"
        )]
        // SAFETY: the bytes are what this node's wasmtime wrote (MAC checked on this descriptor), and files here are
        // write-once (0400, made under another name and renamed), so they do not change while mapped.
        let component = unsafe { Component::deserialize_file(engine, descriptor) };
        match component {
            Ok(component) => {
                // The age of an artefact is that of its last use; collection drops the oldest.
                let _ = file.set_modified(SystemTime::now());
                Some(component)
            }
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "compiled code cannot be mapped; compiling again");
                self.remove(key);
                None
            }
        }
    }

    /// Writes an artefact: both files under other names first, the artefact's own name last.
    pub(crate) fn store(&self, key: CodeKey, code: &[u8]) -> Result<(), CacheError> {
        let mut mac = self.mac(key);
        mac.update(code);
        let tag = mac.finalize().into_bytes();
        self.write_once(&self.mac_file(key), &tag)?;
        self.write_once(&self.artefact(key), code)
    }

    fn write_once(&self, path: &Path, bytes: &[u8]) -> Result<(), CacheError> {
        let staged = self.folder.join(format!(".{:016x}", rand::random::<u64>()));
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?;
            file.write_all(bytes)?;
            file.set_permissions(fs::Permissions::from_mode(0o400))?;
            file.sync_all()?;
            fs::rename(&staged, path)
        };
        write().map_err(|source| {
            let _ = fs::remove_file(&staged);
            CacheError::Io { path: path.to_owned(), source }
        })
    }

    fn mac(&self, key: CodeKey) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        // The name goes in, too: an authentic artefact under another's name must not pass.
        mac.update(key.0.as_bytes());
        mac
    }

    fn authentic(&self, key: CodeKey, file: &mut File) -> io::Result<bool> {
        let expected = match fs::read(self.mac_file(key)) {
            Ok(tag) => tag,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut mac = self.mac(key);
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(mac.verify_slice(&expected).is_ok()),
                n => mac.update(&buffer[..n]),
            }
        }
    }

    fn remove(&self, key: CodeKey) {
        let _ = fs::remove_file(self.artefact(key));
        let _ = fs::remove_file(self.mac_file(key));
    }

    /// Drops the artefacts used longest ago until at most `budget_bytes` remain, never one of `live`. Returns how many
    /// went, their bytes, and the bytes that remain.
    pub(crate) fn collect(&self, budget_bytes: u64, live: &[CodeKey]) -> Result<(u64, u64, u64), CacheError> {
        let wrap = |source| CacheError::Io { path: self.folder.clone(), source };
        let live: Vec<PathBuf> = live.iter().map(|key| self.artefact(*key)).collect();
        let mut artefacts = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(wrap)? {
            let path = entry.map_err(wrap)?.path();
            if path.extension().is_some_and(|extension| extension == "cwasm")
                && let Ok(meta) = fs::metadata(&path)
            {
                artefacts.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len(), path));
            }
        }
        artefacts.sort();
        let mut kept: u64 = artefacts.iter().map(|(_, bytes, _)| bytes).sum();
        let (mut removed, mut freed) = (0, 0);
        for (_, bytes, path) in artefacts {
            if kept <= budget_bytes {
                break;
            }
            if !live.contains(&path) && fs::remove_file(&path).is_ok() {
                let _ = fs::remove_file(path.with_extension("mac"));
                kept -= bytes;
                freed += bytes;
                removed += 1;
            }
        }
        Ok((removed, freed, kept))
    }
}

/// Removes what a node that was killed in the middle of writing has left: files not renamed yet, MACs without artefact.
/// Only one node uses the folder, and it has not begun to write.
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let staged = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.') || name == "key.new");
        let orphan = path.extension().is_some_and(|e| e == "mac") && !path.with_extension("cwasm").exists();
        if staged || orphan {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn read_or_make_key(path: &Path) -> io::Result<[u8; 32]> {
    match fs::read(path) {
        Ok(bytes) if bytes.len() == 32 => Ok(bytes.try_into().expect("its length was just checked")),
        // A torn or missing key makes all artefacts unreadable, which only costs compiling them again.
        Ok(_) | Err(_) => {
            let key: [u8; 32] = rand::random();
            let staged = path.with_extension("new");
            let _ = fs::remove_file(&staged);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?;
            file.write_all(&key)?;
            file.sync_all()?;
            fs::rename(&staged, path)?;
            Ok(key)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty component, compiled.
    fn compiled(engine: &Engine) -> (CodeKey, Vec<u8>) {
        let component = b"\0asm\x0d\0\x01\0";
        (CodeKey::new(engine, &Digest::of(component)), engine.precompile_component(component).unwrap())
    }

    #[test]
    fn what_was_stored_is_mapped_and_what_was_altered_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(&folder.path().join("code")).unwrap();
        let engine = Engine::default();
        let (key, code) = compiled(&engine);
        assert!(cache.load(&engine, key).is_none());
        cache.store(key, &code).unwrap();
        assert!(cache.load(&engine, key).is_some());

        let path = cache.artefact(key);
        let mut altered = code.clone();
        *altered.last_mut().unwrap() ^= 1;
        fs::remove_file(&path).unwrap();
        fs::write(&path, &altered).unwrap();
        assert!(cache.load(&engine, key).is_none());
        assert!(!path.exists(), "an artefact that fails its MAC goes");
    }

    #[test]
    fn an_artefact_under_the_name_of_another_is_not_mapped() {
        let folder = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(&folder.path().join("code")).unwrap();
        let engine = Engine::default();
        let (key, code) = compiled(&engine);
        let other = CodeKey::new(&engine, &Digest::of(b"other"));
        cache.store(key, &code).unwrap();
        fs::copy(cache.artefact(key), cache.artefact(other)).unwrap();
        fs::copy(cache.mac_file(key), cache.mac_file(other)).unwrap();
        assert!(cache.load(&engine, other).is_none());
    }

    #[test]
    fn a_folder_open_to_others_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code");
        CodeCache::open(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(CodeCache::open(&path), Err(CacheError::Exposed(_))));
    }

    #[test]
    fn collection_keeps_live_artefacts_and_drops_the_oldest_others() {
        let folder = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(&folder.path().join("code")).unwrap();
        let engine = Engine::default();
        let keys: Vec<CodeKey> = (0..3_u8).map(|n| CodeKey::new(&engine, &Digest::of(&[n]))).collect();
        for (age, key) in keys.iter().enumerate() {
            cache.store(*key, &[0; 100]).unwrap();
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1000 + age as u64);
            let file = File::open(cache.artefact(*key)).unwrap();
            file.set_modified(time).unwrap();
        }
        assert_eq!(cache.collect(200, &keys[..1]).unwrap(), (1, 100, 200));
        assert!(
            cache.artefact(keys[0]).exists() && !cache.artefact(keys[1]).exists() && cache.artefact(keys[2]).exists()
        );
    }
}
