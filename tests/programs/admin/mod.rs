//! The admin page in a browser.

mod browser;
mod watched;

use crate::{
    skipped::skipped,
    support::{LONG, echoes, rest, soon, stop, until},
};
use browser::Browser;
use reagent::ServerStatus;
use reagent_layers::admin::Admin;
use std::{env, path::Path, time::Duration};
use watched::{HOSTILE, Watched};

async fn browser() -> Option<Browser> {
    let browser = Browser::start().await;
    if browser.is_none() {
        skipped("chromium is not installed");
    }
    browser
}

const ROWS: &str = "document.querySelectorAll('#connections tr[data-key]:not(.nothing)').length";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_connections_kills_one_and_plots_what_happens() {
    let Some(mut browser) = browser().await else {
        return;
    };
    let watched = Watched::start(Admin::new()).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = watched.connect().await;
        assert!(echoes(&mut client, "hello").await);
        clients.push(client);
    }
    browser.open(&watched.url()).await;
    browser.until(&format!("{ROWS} === 3")).await;
    browser
        .until("document.querySelector('#facts dd').textContent === '3 / 5,000'")
        .await;
    browser
        .until("document.querySelector('#status').textContent === 'running'")
        .await;

    // What clients send is text.
    let labels = browser
        .eval("document.querySelector('#connections .labels').textContent")
        .await;
    assert_eq!(labels, format!("server.address={HOSTILE}"));
    assert_eq!(browser.eval("document.images.length").await, 0);

    // A plot moves.
    const LINE: &str = "document.querySelector('#plot-open path').getAttribute('d')";
    let before = browser.eval(LINE).await;
    browser
        .until(&format!("{LINE} !== {before} && {LINE}.includes('L')"))
        .await;

    // The connection that the user picks ends, and no other.
    let mut killed = clients.remove(1);
    let addr = killed.local_addr().unwrap();
    let id = watched.server.connections()[1].id;
    browser
        .eval(&format!(
            "document.querySelector('tr[data-key=\"{id}\"] [data-kill]').click()"
        ))
        .await;
    let _ = rest(&mut killed).await;
    browser.until(&format!("{ROWS} === 2")).await;
    let page = browser.eval("document.body.innerText").await;
    assert!(
        !page.as_str().unwrap().contains(&format!("{addr}\t")),
        "{page}"
    );
    for client in &mut clients {
        assert!(echoes(client, "still here").await);
    }
    browser.stop().await;
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_filters_bans_pauses_changes_limits_and_drains() {
    let Some(mut browser) = browser().await else {
        return;
    };
    let watched = Watched::start(Admin::new()).await;
    let mut client = watched.connect().await;
    assert!(echoes(&mut client, "hello").await);
    browser.open(&watched.url()).await;

    let limit = "document.querySelector('#limits [data-key=\"per-client\"]')";
    browser
        .until(&format!("{limit}?.input.value === '2000'"))
        .await;
    browser
        .eval(&format!(
            "{limit}.input.value = 7, {limit}.querySelector('button').click()"
        ))
        .await;
    until("the limit is changed", || watched.per_client.max() == 7).await;
    // A change that the program refuses is reported.
    browser
        .eval(&format!(
            "{limit}.input.value = '', {limit}.querySelector('button').click()"
        ))
        .await;
    browser
        .until("document.querySelector('#message').textContent.includes('cannot be lifted')")
        .await;

    browser
        .eval(
            "document.querySelector('#ban').client.value = '192.0.2.1', \
             document.querySelector('#ban button').click()",
        )
        .await;
    let banned = "192.0.2.1".parse().unwrap();
    until("the client is banned", || watched.bans.is_banned(banned)).await;
    browser
        .until("document.querySelector('#bans button')")
        .await;
    browser
        .eval("document.querySelector('#bans button').click()")
        .await;
    until("the ban is lifted", || !watched.bans.is_banned(banned)).await;

    let top = "document.querySelector('#top').textContent";
    browser.until(&format!("{top} === '127.0.0.11'")).await;
    browser
        .eval(
            "document.querySelector('#top-by').value = 'bytes', \
             document.querySelector('#top-by').dispatchEvent(new Event('change'))",
        )
        .await;
    browser.until(&format!("{top} === '127.0.0.110 B'")).await;

    let filter = |text: &str| {
        format!(
            "document.querySelector('#client').value = '{text}', \
             document.querySelector('#filter').requestSubmit()"
        )
    };
    browser.until(&format!("{ROWS} === 1")).await;
    browser.eval(&filter("192.0.2.0/24")).await;
    browser.until(&format!("{ROWS} === 0")).await;
    browser.eval(&filter("nonsense")).await;
    browser
        .until("document.querySelector('#filter-error').textContent.includes('invalid network')")
        .await;
    browser.eval(&filter("127.0.0.1")).await;
    browser.until(&format!("{ROWS} === 1")).await;

    let is_paused = || watched.server.stats().listeners[0].is_paused;
    browser
        .eval("document.querySelector('#listeners button').click()")
        .await;
    until("the listener is paused", is_paused).await;
    browser
        .until("document.querySelector('#listeners button').textContent === 'Resume'")
        .await;
    browser
        .eval("document.querySelector('#listeners button').click()")
        .await;
    until("the listener is resumed", || !is_paused()).await;

    // A drain asks first.
    browser
        .eval("document.querySelector('#drain').click()")
        .await;
    browser
        .until("document.querySelector('#ask-dialog').open")
        .await;
    assert_eq!(watched.server.status(), ServerStatus::Running);
    browser
        .eval("document.querySelector('#ask-ok').click()")
        .await;
    browser
        .until("document.querySelector('#status').textContent === 'draining'")
        .await;
    drop(client);
    browser
        .until("document.querySelector('#status').textContent === 'stopped'")
        .await;
    browser.stop().await;
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_asks_for_the_token_and_says_when_the_server_is_gone() {
    let Some(mut browser) = browser().await else {
        return;
    };
    let watched = Watched::start(Admin::new().token("right")).await;
    browser.open(&watched.url()).await;
    browser
        .until("document.querySelector('#token-dialog').open")
        .await;
    let enter = |token: &str| {
        format!(
            "document.querySelector('#token').value = '{token}', \
             document.querySelector('#token-form').requestSubmit()"
        )
    };
    browser.eval(&enter("wrong")).await;
    browser
        .until("document.querySelector('#token-error').textContent === 'That is not the token.'")
        .await;
    browser.eval(&enter("right")).await;
    browser
        .until("document.querySelector('#link').textContent === 'live'")
        .await;
    // The tab keeps it.
    browser.open(&watched.url()).await;
    browser
        .until("document.querySelector('#link').textContent === 'live'")
        .await;
    let page = watched.page.clone();
    soon(page.drain(Duration::ZERO)).await;
    browser
        .until("document.querySelector('#link').textContent.includes('lost')")
        .await;
    browser.stop().await;
    watched.stop().await;
}

/// Saves pictures of the page if `REAGENT_PICTURES` names a folder for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_fits_a_phone_and_a_desktop() {
    let Some(mut browser) = browser().await else {
        return;
    };
    let watched = Watched::start(Admin::new()).await;
    watched.bans.ban("192.0.2.1".parse().unwrap(), LONG * 100);
    let mut clients = Vec::new();
    for n in 0..12 {
        let mut client = watched.connect().await;
        assert!(echoes(&mut client, &"x".repeat(1 << n)).await);
        clients.push(client);
    }
    browser.open(&watched.url()).await;
    browser.until(&format!("{ROWS} === 12")).await;
    let folder = env::var_os("REAGENT_PICTURES");
    if folder.is_some() {
        for n in 0..12_usize {
            for client in clients.iter_mut().skip(n) {
                assert!(echoes(client, &"x".repeat(5000 * (1 + n * 7 % 5))).await);
            }
            tokio::time::sleep(Duration::from_millis(1000)).await;
        }
    }
    for width in [1280, 390] {
        for scheme in ["light", "dark"] {
            browser.look(width, 900, scheme).await;
            browser.until(&format!("innerWidth === {width}")).await;
            let overflow = "document.documentElement.scrollWidth - innerWidth";
            let overflow = browser.eval(overflow).await;
            assert!(
                overflow.as_i64().unwrap() <= 0,
                "{width} {scheme}: {overflow}"
            );
            if let Some(folder) = &folder {
                let name = format!("{width}-{scheme}.png.base64");
                browser.picture(&Path::new(folder).join(name)).await;
            }
        }
    }
    drop(clients);
    browser.stop().await;
    stop(&watched.server).await;
    watched.stop().await;
}
