//! Servers that resume each other's sessions by files with keys.

use super::{
    openssl::{resumes_at, start},
    pki::{Ca, Dir, EACH},
    running::{Running, in_full, resumes},
};
use reagent_layers::tls::{TlsBuilder, TlsConfigError, TlsLayer};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Writes a file of random bytes that others cannot read.
fn write_key(dir: &Dir, name: &str, len: usize) -> PathBuf {
    let bytes = std::iter::repeat_with(|| fastrand::u8(..)).take(len);
    let path = dir.write(name, bytes.collect::<Vec<_>>());
    set_mode(&path, 0o600);
    path
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) {}

fn builder(dir: &Dir, ca: &Ca) -> TlsBuilder {
    let (cert, key) = ca.server(&["localhost"]).write(dir, "localhost");
    TlsLayer::builder().certificate(cert, key)
}

#[tokio::test]
async fn servers_with_the_same_file_resume_each_others_sessions() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    for len in [48, 80] {
        let file = write_key(&dir, "ticket.key", len);
        let other = write_key(&dir, "other.key", len);
        let builder = builder(&dir, &ca);
        let start = async |file: &Path| {
            let layer = builder.clone().ticket_key_files([file]).build();
            Running::new(layer.unwrap()).await
        };
        let (mut first, mut second) = (start(&file).await, start(&file).await);
        let mut stranger = start(&other).await;
        for version in EACH {
            let config = Arc::new(ca.believer(&[version]));
            assert!(!resumes(&mut first, &config).await);
            assert!(resumes(&mut second, &config).await);
            assert!(resumes(&mut first, &config).await);
            assert!(!resumes(&mut stranger, &config).await);
        }
    }
}

#[tokio::test]
async fn a_new_file_is_rotated_in_without_losing_a_session() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let (a, b) = (write_key(&dir, "a.key", 80), write_key(&dir, "b.key", 80));
    let builder = builder(&dir, &ca);
    let start = async |files: &[&PathBuf]| {
        let layer = builder.clone().ticket_key_files(files).build();
        Running::new(layer.unwrap()).await
    };
    let mut old = start(&[&a]).await;
    let mut prepared = start(&[&a, &b]).await;
    let mut rotated = start(&[&b, &a]).await;
    let mut done = start(&[&b]).await;
    for version in EACH {
        let config = Arc::new(ca.believer(&[version]));
        assert!(!resumes(&mut old, &config).await);
        assert!(resumes(&mut prepared, &config).await);
        assert!(resumes(&mut old, &config).await);
        assert!(resumes(&mut rotated, &config).await);
        assert!(resumes(&mut prepared, &config).await);
        assert!(resumes(&mut rotated, &config).await);
        assert!(resumes(&mut done, &config).await);
        assert!(!resumes(&mut old, &config).await);
    }
}

#[tokio::test]
async fn a_file_is_reloaded_and_the_last_good_one_is_kept() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let file = write_key(&dir, "ticket.key", 80);
    let layer = builder(&dir, &ca).ticket_key_files([&file]).build();
    let layer = layer.unwrap();
    let reloader = layer.reloader();
    let mut running = Running::new(layer).await;
    let config = Arc::new(ca.believer(EACH.as_slice()));
    assert!(!resumes(&mut running, &config).await);
    reloader.reload().await.unwrap();
    assert!(resumes(&mut running, &config).await, "the same file");

    fs::write(&file, [7; 79]).unwrap();
    let error = reloader.reload().await.unwrap_err();
    assert!(
        matches!(&*error, TlsConfigError::TicketKey { path, .. } if *path == file),
        "{error}"
    );
    assert!(resumes(&mut running, &config).await);

    write_key(&dir, "ticket.key", 80);
    reloader.reload().await.unwrap();
    assert!(!resumes(&mut running, &config).await);
    assert!(resumes(&mut running, &config).await);
}

#[test]
fn files_that_cannot_be_used_are_errors() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let error = |file: &Path| {
        let built = builder(&dir, &ca).ticket_key_files([file]).build();
        in_full(&built.unwrap_err())
    };
    for len in [0, 1, 47, 49, 79, 81, 160] {
        let file = write_key(&dir, "ticket.key", len);
        let said = error(&file);
        assert!(
            said.contains("ticket.key: expected 80 or 48 random bytes"),
            "{said}"
        );
    }
    let said = error(&dir.path("missing.key"));
    assert!(
        said.starts_with("cannot read") && said.contains("missing.key"),
        "{said}"
    );
    // Also where there would be no tickets.
    let file = write_key(&dir, "ticket.key", 1);
    let builder = builder(&dir, &ca).session_lifetime(None);
    assert!(builder.ticket_key_files([file]).build().is_err());
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_others_may_read_or_write_is_refused() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let file = write_key(&dir, "ticket.key", 80);
    let builder = builder(&dir, &ca).ticket_key_files([&file]);
    for mode in [0o644, 0o604, 0o602, 0o666] {
        set_mode(&file, mode);
        let said = in_full(&builder.clone().build().unwrap_err());
        assert!(
            said.contains("other users may read or write it"),
            "{mode:o}: {said}"
        );
    }
    for mode in [0o600, 0o400, 0o640, 0o660] {
        set_mode(&file, mode);
        let _ = builder.clone().build().unwrap();
    }
}

#[tokio::test]
async fn openssl_resumes_at_another_server_with_the_same_file() {
    let (dir, ca) = (Dir::new(), Ca::new("ca"));
    let file = write_key(&dir, "ticket.key", 80);
    let builder = builder(&dir, &ca).ticket_key_files([&file]);
    let (first, second) = (
        start(builder.clone().build().unwrap()).await,
        start(builder.clone().build().unwrap()).await,
    );
    write_key(&dir, "ticket.key", 80);
    let third = start(builder.build().unwrap()).await;
    for version in ["1.2", "1.3"] {
        for (server, is_resumed) in [(&second, true), (&third, false)] {
            match resumes_at(&dir, &first, server, version).await {
                Some(resumes) => assert_eq!(resumes, is_resumed, "{version}"),
                None => return,
            }
        }
    }
}
