//! The permissions of a Unix socket: the mode, owner and group of its file.
//!
//! They are set before `listen`, so no client connects under other permissions. The path is never
//! followed: in a directory that others may write to, it may have become a link to a file of their
//! choice.

use super::{SocketOptions, identity};
use crate::error::Explained;
use socket2::Socket;
use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::Path,
};

/// On Linux the file gets the mode of the socket, less the umask, so it never has more permissions
/// than were requested (`unix_bind` in the kernel).
pub(super) fn restrict(socket: &Socket, mode: Option<u32>) {
    if let (true, Some(mode)) = (cfg!(target_os = "linux"), mode) {
        // If this fails, the mode of the file is still set after the bind.
        let _ = socket.try_clone().and_then(|socket| {
            fs::File::from(OwnedFd::from(socket)).set_permissions(fs::Permissions::from_mode(mode))
        });
    }
}

/// Sets what was requested on the file that was created.
pub(super) fn grant(path: &Path, inode: (u64, u64), options: &SocketOptions) -> io::Result<()> {
    let (owner, group) = (options.unix_owner, options.unix_group);
    if owner.is_none() && group.is_none() && options.unix_mode.is_none() {
        return Ok(());
    }
    // `chown(2)` reads this value as "leave it".
    if [owner, group].contains(&Some(u32::MAX))
        || options.unix_mode.is_some_and(|mode| mode > 0o7777)
    {
        return Err(Explained::error(
            "cannot set the owner, group or mode of the path; expected ids below 4294967295 and a \
             mode of at most 7777",
            io::ErrorKind::InvalidInput.into(),
        ));
    }
    let file = Pinned::open(path, inode)?;
    if owner.is_some() || group.is_some() {
        file.chown(owner, group).map_err(|error| {
            let names = [("owner", owner), ("group", group)];
            let names = names.iter().filter_map(|(name, id)| Some((name, (*id)?)));
            let names: Vec<_> = names.map(|(name, id)| format!("{name} {id}")).collect();
            let names = names.join(" and ");
            Explained::error(
                format!("cannot set {names} on the path; CAP_CHOWN is required"),
                error,
            )
        })?;
    }
    // After the owner, since a change of owner may clear bits (`chown(2)`).
    match options.unix_mode {
        Some(mode) => file.chmod(mode).map_err(|error| {
            Explained::error(
                format!("cannot set the mode of the path to {mode:o}"),
                error,
            )
        }),
        None => Ok(()),
    }
}

/// The file itself, wherever its path leads later.
#[cfg(target_os = "linux")]
struct Pinned {
    /// A link to the open file, by `proc(5)`.
    link: std::path::PathBuf,
    file: fs::File,
}

#[cfg(target_os = "linux")]
impl Pinned {
    fn open(path: &Path, inode: (u64, u64)) -> io::Result<Self> {
        use std::os::{fd::AsRawFd, unix::fs::OpenOptionsExt};
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let file = fs::OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)?;
        check(&file.metadata()?, inode)?;
        Ok(Pinned {
            link: format!("/proc/self/fd/{}", file.as_raw_fd()).into(),
            file,
        })
    }

    fn chown(&self, owner: Option<u32>, group: Option<u32>) -> io::Result<()> {
        std::os::unix::fs::chown(&self.link, owner, group)
    }

    fn chmod(&self, mode: u32) -> io::Result<()> {
        match self.file.metadata()?.mode() & 0o7777 == mode {
            // So that no /proc is needed if `restrict` has set the mode.
            true => Ok(()),
            false => fs::set_permissions(&self.link, fs::Permissions::from_mode(mode)),
        }
    }
}

/// A path that is checked, and never followed.
#[cfg(not(target_os = "linux"))]
struct Pinned(std::path::PathBuf);

#[cfg(not(target_os = "linux"))]
impl Pinned {
    fn open(path: &Path, inode: (u64, u64)) -> io::Result<Self> {
        check(&fs::symlink_metadata(path)?, inode)?;
        Ok(Pinned(path.to_owned()))
    }

    fn chown(&self, owner: Option<u32>, group: Option<u32>) -> io::Result<()> {
        std::os::unix::fs::lchown(&self.0, owner, group)
    }

    fn chmod(&self, mode: u32) -> io::Result<()> {
        use rustix::fs::{AtFlags, CWD, Mode, RawMode, chmodat};
        let mode = Mode::from_raw_mode(RawMode::try_from(mode).map_err(io::Error::other)?);
        Ok(chmodat(CWD, &self.0, mode, AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// Another user of the directory may have put something else there: a link, or by a hard link a
/// socket whose permissions must not change.
fn check(metadata: &fs::Metadata, inode: (u64, u64)) -> io::Result<()> {
    let is_ours =
        metadata.file_type().is_socket() && metadata.nlink() == 1 && identity(metadata) == inode;
    match is_ours {
        true => Ok(()),
        false => Err(Explained::refusal(
            io::ErrorKind::PermissionDenied,
            "the path was replaced while it was bound; choose a directory that only this user can \
             write to",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_was_put_in_the_place_of_the_path_is_not_followed() {
        let dir = std::env::temp_dir().join(format!("reagent-{}-access", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let (path, target) = (dir.join("app.sock"), dir.join("target"));
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let bound = super::super::inode(&path).unwrap();
        let mut options = SocketOptions::default();
        options.unix_mode = Some(0o777);

        fs::write(&target, "").unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        for inode in [bound, super::super::inode(&path).unwrap()] {
            let error = grant(&path, inode, &options).unwrap_err();
            assert!(
                error.to_string().starts_with("the path was replaced"),
                "{error}"
            );
        }
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o777, 0o600);

        // Nor is a socket that somebody else listens on.
        let other = dir.join("other.sock");
        let _other = std::os::unix::net::UnixListener::bind(&other).unwrap();
        let mode = fs::metadata(&other).unwrap().mode();
        fs::remove_file(&path).unwrap();
        fs::hard_link(&other, &path).unwrap();
        grant(&path, super::super::inode(&path).unwrap(), &options).unwrap_err();
        assert_eq!(fs::metadata(&other).unwrap().mode(), mode);
        fs::remove_dir_all(&dir).unwrap();
    }
}
