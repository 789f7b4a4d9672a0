//! Random exchanges, of which the ends are compared with what was sent, and those of pipes with
//! those of buffers.

use super::{
    dice::Dice,
    proxy::{Kind, Proxy, Socket},
};
use crate::{relay::in_time, relay::pattern, support::until};
use std::{io::ErrorKind, sync::LazyLock};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};

/// Seven times this and the last test are 1,000 exchanges.
const SEEDS: u64 = 150;

/// The bytes that everybody sends parts of.
static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| pattern(1, 0, 2 << 20));

/// The size of a pipe, and that of a buffer.
const PIPE: usize = 256 * 1024;
const BUFFER: usize = 64 * 1024;

/// How one peer behaves.
#[derive(Clone, Debug)]
struct Plan {
    dice: Dice,
    sent: &'static [u8],
    largest_write: usize,
    largest_read: usize,
    /// One read in this many is followed by a pause.
    pauses: usize,
    is_small: bool,
}

impl Plan {
    fn new(dice: &mut Dice) -> Self {
        let len = match dice.below(3) {
            0 => dice.below(BUFFER),
            1 => dice.of(&[1, 2, 3]) * PIPE + BUFFER - 8 + dice.below(17),
            _ => dice.below(1 << 20),
        };
        let from = dice.below(251);
        Plan {
            sent: &BYTES[from..from + len],
            largest_write: dice.of(&[1500, BUFFER, PIPE, 1 << 20]),
            largest_read: dice.of(&[1500, BUFFER, PIPE]),
            pauses: dice.of(&[1, 10, usize::MAX]),
            is_small: dice.is(2),
            dice: Dice::new(dice.below(usize::MAX) as u64),
        }
    }

    async fn write(&self, writer: &mut WriteHalf<Socket>) {
        let (mut dice, mut rest) = (self.dice.clone(), self.sent);
        while !rest.is_empty() {
            let len = 1 + dice.below(self.largest_write.min(rest.len()));
            // The other side may be gone.
            if writer.write_all(&rest[..len]).await.is_err() {
                return;
            }
            rest = &rest[len..];
            if dice.is(8) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Reads to the end, and returns what came and how it ended.
    async fn read(&self, reader: &mut ReadHalf<Socket>) -> (Vec<u8>, End) {
        let (mut dice, mut all) = (self.dice.clone(), Vec::new());
        let mut chunk = vec![0; self.largest_read];
        loop {
            let most = 1 + dice.below(self.largest_read);
            match reader.read(&mut chunk[..most]).await {
                Ok(0) => return (all, End::Orderly),
                Ok(n) => all.extend_from_slice(&chunk[..n]),
                Err(error) => return (all, End::Error(error.kind())),
            }
            if dice.is(self.pauses) {
                tokio::task::yield_now().await;
            }
        }
    }
}

#[derive(Debug, PartialEq)]
enum End {
    Orderly,
    Error(ErrorKind),
}

const KINDS: [(Kind, Kind); 4] = [
    (Kind::Tcp, Kind::Tcp),
    (Kind::Tcp, Kind::Unix),
    (Kind::Unix, Kind::Tcp),
    (Kind::Unix, Kind::Unix),
];

/// What both peers of an exchange have received, with the ends, and what the server knows.
type Received = [(Vec<u8>, End); 2];

async fn exchange(proxy: &Proxy, id: u64, plans: &[Plan; 2]) -> (Received, String, [u64; 2]) {
    let (client, upstream) = proxy.pair().await;
    let connection = proxy.server.connection(id).unwrap();
    let peer = |socket: Socket, plan: &Plan| {
        let plan = plan.clone();
        async move {
            if plan.is_small {
                socket.shrink();
            }
            let (mut reader, mut writer) = split(socket);
            let send = async {
                plan.write(&mut writer).await;
                writer.shutdown().await.unwrap();
            };
            tokio::join!(plan.read(&mut reader), send).0
        }
    };
    let both = async { tokio::join!(peer(client, &plans[0]), peer(upstream, &plans[1])) };
    let (at_client, at_upstream) = in_time(both).await;
    let outcome = proxy.ends.of(id).await.to_string();
    let counts = [connection.bytes_read(), connection.bytes_written()];
    ([at_client, at_upstream], outcome, counts)
}

/// Every byte arrives in both directions at once, and is counted, whatever the sizes of reads and
/// writes are.
#[tokio::test]
async fn pipes_deliver_what_buffers_deliver() {
    for (client, upstream) in KINDS {
        let proxies = [
            Proxy::start(client, upstream, true).await,
            Proxy::start(client, upstream, false).await,
        ];
        for seed in 1..=SEEDS {
            let mut dice = Dice::new(seed);
            let plans = [Plan::new(&mut dice), Plan::new(&mut dice)];
            let piped = exchange(&proxies[0], seed, &plans).await;
            let [sent, answered] = [plans[0].sent, plans[1].sent];
            let what = || format!("{client:?} to {upstream:?}, seed {seed}: {plans:?}");
            let ([at_client, at_upstream], outcome, counts) = &piped;
            assert!(at_upstream.0 == sent, "at the upstream, {}", what());
            assert!(at_client.0 == answered, "at the client, {}", what());
            assert_eq!(
                (&at_client.1, &at_upstream.1),
                (&End::Orderly, &End::Orderly)
            );
            assert_eq!(outcome, "completed");
            // The first byte in each direction is counted too.
            assert_eq!(*counts, [sent.len() as u64 + 1, answered.len() as u64 + 1]);
            // Buffers take longer, and one seed in ten shows whether they differ.
            let buffered = match seed % 10 {
                0 => exchange(&proxies[1], seed / 10, &plans).await,
                _ => continue,
            };
            assert!(piped == buffered, "{}", what());
        }
    }
}

/// What a side sent before its reset is delivered, at whatever byte the reset comes.
async fn deliver(proxy: &Proxy, id: u64, plans: &[Plan; 2], resets_client: bool) {
    let (client, upstream) = proxy.pair().await;
    let (dying, living) = match resets_client {
        true => (client, upstream),
        false => (upstream, client),
    };
    let [sender, receiver] = plans;
    if receiver.is_small {
        living.shrink();
    }
    let (mut reader, mut writer) = split(living);
    let send = async {
        let (reader, mut writer) = split(dying);
        sender.write(&mut writer).await;
        let dying = reader.unsplit(writer);
        // A reset discards what the sender's own system has not delivered.
        until("the proxy's system has everything", || {
            dying.unacknowledged() == 0
        })
        .await;
        dying.reset();
    };
    // The living side may send more than anybody reads, so that the failure is seen by a write.
    let answer = async {
        if receiver.pauses > 1 {
            receiver.write(&mut writer).await;
        }
    };
    let all = async { tokio::join!(receiver.read(&mut reader), send, answer) };
    let (received, ..) = in_time(all).await;
    let what = || format!("{:?}, {resets_client}, number {id}, {plans:?}", received.1);
    assert_eq!(received.0.len(), sender.sent.len(), "{}", what());
    assert!(received.0 == sender.sent, "{}", what());
    proxy.ends.of(id).await;
}

#[tokio::test]
async fn a_reset_at_any_byte_loses_nothing_that_was_sent_before() {
    for resets_client in [true, false] {
        let proxy = Proxy::start(Kind::Tcp, Kind::Tcp, true).await;
        for seed in 1..=SEEDS {
            let mut dice = Dice::new(seed);
            let plans = [Plan::new(&mut dice), Plan::new(&mut dice)];
            deliver(&proxy, seed, &plans, resets_client).await;
        }
    }
}

/// Every byte around the end of the first buffer and around that of the first pipe.
#[tokio::test]
async fn a_reset_around_the_end_of_a_pipe_loses_nothing() {
    for resets_client in [true, false] {
        let proxy = Proxy::start(Kind::Tcp, Kind::Tcp, true).await;
        let mut id = 0;
        for end in [BUFFER, PIPE, BUFFER + PIPE, 2 * PIPE] {
            for len in end - 6..end + 6 {
                id += 1;
                let mut dice = Dice::new(id);
                let mut plans = [Plan::new(&mut dice), Plan::new(&mut dice)];
                plans[0].sent = &BYTES[..len];
                deliver(&proxy, id, &plans, resets_client).await;
            }
        }
    }
}
