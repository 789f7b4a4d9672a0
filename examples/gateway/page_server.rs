//! The server of the pages, and how it follows that of the listeners in a hand-over.

use crate::{
    common,
    page_clients::PageClients,
    serving::{Services, Serving},
};
use reagent::{BoxError, ErrorChain, Handover, Server, Shutdown};
use std::{
    fmt::Display,
    mem,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// The time that the last clients have to finish after a hand-over: the time limits of a request and
/// its body. Idle clients leave at once.
const HANDED_OVER: Duration = Duration::from_secs(15);

/// The delay between attempts to take the pages over. The predecessor may be taking them over
/// itself.
const RETRY: Duration = Duration::from_millis(100);

/// The time after which a predecessor that does not answer is reported.
const ANSWER: Duration = Duration::from_secs(1);

/// Serves pages. `handover` is the path by which they are handed over.
pub async fn open(services: Services, handover: Option<&Path>) -> Result<Serving, BoxError> {
    let serving = Serving::start(services, |binds| {
        let server = Server::bind(binds)
            .options(common::keepalive)
            .observe(PageClients::default());
        match handover {
            Some(path) => {
                let handover = Handover::new(path);
                server.handover(handover.shutdown(Shutdown::new(HANDED_OVER)))
            }
            None => server,
        }
    });
    let serving = serving.await?;
    serving.server.track_activity();
    Ok(serving)
}

/// Opens the pages as soon as the predecessor hands them over or closes them.
pub async fn take_over(services: Services, path: PathBuf) -> Serving {
    let (patience, problem) = match path.exists() {
        true => (ANSWER, "the predecessor does not answer"),
        false => (
            RETRY,
            "the path is missing, so they wait for their addresses",
        ),
    };
    let mut is_reported = false;
    let mut report = |problem: &dyn Display| {
        if !mem::replace(&mut is_reported, true) {
            let path = path.display();
            tracing::error!(%path, %problem, "the pages are not served yet; trying again");
        }
    };
    loop {
        let opening = open(services.clone(), Some(&path));
        tokio::pin!(opening);
        let opened = match timeout(patience, &mut opening).await {
            Ok(opened) => opened,
            Err(_) => {
                report(&problem);
                opening.await
            }
        };
        match opened {
            Ok(serving) => return serving,
            Err(error) => report(&ErrorChain(&*error)),
        }
        sleep(RETRY).await;
    }
}

/// Returns the path by which the pages are handed over, from that of the listeners.
pub fn handover_path(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".pages");
    path.into()
}
