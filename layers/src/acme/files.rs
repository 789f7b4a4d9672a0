//! Files that only their owner can read, and that are replaced as a whole.

use super::AcmeError;
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
};
use zeroize::Zeroizing;

/// The largest file that is read. A chain has a few kilobytes.
const LARGEST: u64 = 1024 * 1024;

/// The end of the name of a file that is being written.
const UNFINISHED: &str = "new";

fn failed<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> AcmeError + use<'a> {
    move |source| AcmeError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Creates a folder, and those that it is in.
pub(super) fn create_folder(path: &Path) -> Result<(), AcmeError> {
    private_folder()
        .recursive(true)
        .create(path)
        .map_err(failed("create", path))?;
    let metadata = fs::metadata(path).map_err(failed("read", path))?;
    check_mode(path, &metadata, "0700")
}

/// Reads a file. Returns `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<String>>, AcmeError> {
    let foreign = |expected: &str| AcmeError::Foreign {
        path: path.to_owned(),
        expected: expected.to_owned(),
    };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path)(error)),
    };
    // Anything else might never end, or never return any data.
    if !metadata.is_file() {
        return Err(foreign("a regular file"));
    }
    check_mode(path, &metadata, "0600")?;
    if metadata.len() > LARGEST {
        return Err(foreign("a smaller file"));
    }
    let mut text = Zeroizing::new(String::with_capacity(metadata.len() as usize + 1));
    let file = File::open(path).map_err(failed("read", path))?;
    match file.take(LARGEST).read_to_string(&mut text) {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(foreign("text in UTF-8")),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Replaces a file, so that there is the old one or the new one at any time, even after a crash.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), AcmeError> {
    let unfinished = path.with_extension(UNFINISHED);
    let written = write_new(&unfinished, text)
        .and_then(|()| fs::rename(&unfinished, path))
        .and_then(|()| sync_folder(path));
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    written.map_err(failed("write", path))
}

/// Checks that files in a folder can be written.
pub(super) fn probe(folder: &Path) -> Result<(), AcmeError> {
    let path = folder.join("probe").with_extension(UNFINISHED);
    write_new(&path, "probe")
        .and_then(|()| fs::remove_file(&path))
        .map_err(failed("write", &path))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    // A crash has left it behind.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private_file().create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

pub(super) fn open_lock(path: &Path) -> Result<File, AcmeError> {
    let mut options = private_file();
    options.create(true).truncate(false);
    options.open(path).map_err(failed("write", path))
}

#[cfg(unix)]
mod system {
    use super::*;
    use rustix::fs::{FlockOperation, flock};
    use std::{
        fs::Metadata,
        os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    };

    pub(super) fn private_folder() -> DirBuilder {
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        builder
    }

    pub(super) fn private_file() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.write(true).mode(0o600);
        options
    }

    pub(super) fn check_mode(
        path: &Path,
        metadata: &Metadata,
        mode: &str,
    ) -> Result<(), AcmeError> {
        match metadata.permissions().mode() & 0o077 {
            0 => Ok(()),
            _ => Err(AcmeError::Foreign {
                path: path.to_owned(),
                expected: format!("mode {mode}, since others must not read the keys"),
            }),
        }
    }

    /// A renamed file is only on the disk when its folder is.
    pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
        path.parent()
            .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }

    /// Returns whether the file was locked. The system unlocks it when the process ends.
    pub(in super::super) fn try_lock(file: &File, path: &Path) -> Result<bool, AcmeError> {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(failed("lock", path)(error.into())),
        }
    }
}

/// Where there are no modes, files have the permissions of the folder that they are in.
#[cfg(not(unix))]
mod system {
    use super::*;
    use std::fs::Metadata;

    pub(super) fn private_folder() -> DirBuilder {
        DirBuilder::new()
    }

    pub(super) fn private_file() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.write(true);
        options
    }

    pub(super) fn check_mode(_: &Path, _: &Metadata, _: &str) -> Result<(), AcmeError> {
        Ok(())
    }

    pub(super) fn sync_folder(_: &Path) -> io::Result<()> {
        Ok(())
    }

    pub(in super::super) fn try_lock(_: &File, _: &Path) -> Result<bool, AcmeError> {
        Ok(true)
    }
}

pub(super) use system::try_lock;
use system::{check_mode, private_file, private_folder, sync_folder};
