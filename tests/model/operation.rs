//! Operations on a running server.

use crate::{dice::Dice, listening::Settings, trouble::Spot};
use std::time::Duration;

/// One step of a run. Indices of clients, places and listeners are taken modulo their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Connect {
        place: usize,
    },
    Send {
        client: usize,
        bytes: usize,
    },
    HalfClose {
        client: usize,
    },
    Leave {
        client: usize,
        reset: bool,
    },
    Fail {
        client: usize,
    },
    Panic {
        client: usize,
        with_bomb: bool,
    },
    Pause,
    Resume,
    SetAcceptors(usize),
    SetMax(usize),
    LoseQueue {
        listener: usize,
        failed_reopens: usize,
    },
    LoseForGood {
        listener: usize,
    },
    Exhaust {
        listener: usize,
        times: usize,
    },
    ConnectionErrors {
        listener: usize,
        times: usize,
    },
    Arm {
        spot: Spot,
        times: usize,
        with_bomb: bool,
    },
    DrainConnection {
        client: usize,
    },
    AbortConnection {
        client: usize,
    },
    /// A listener is added. The request may be given up before it is answered.
    Listen {
        settings: Settings,
        patience: Option<Duration>,
    },
    /// A listener is closed just after `clients` have come.
    Close {
        listener: usize,
        clients: usize,
        is_awaited: bool,
    },
    PauseListener {
        listener: usize,
    },
    ResumeListener {
        listener: usize,
    },
    SetListenerMax {
        listener: usize,
        max: usize,
    },
    RemakeServices,
    /// The server becomes a lame duck, without an end.
    LameDuck,
    /// Clients leave until none is left.
    AllLeave,
    Wait(Duration),
}

/// The ways to end a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Drain(Duration),
    /// Connections are notified during the first half of the time.
    Spread(Duration),
    /// All clients leave, and the idle server is drained.
    DrainIdle,
    Abort,
}

/// The maximum number of concurrent clients.
pub const MOST_CLIENTS: usize = 12;
/// The maximum number of open listeners.
pub const MOST_LISTENERS: usize = 4;

impl Operation {
    pub fn of(dice: &mut Dice) -> Self {
        let client = dice.roll(1 << 16);
        let listener = dice.roll(1 << 16);
        match dice.roll(116) {
            0..30 => Operation::Connect {
                place: dice.roll(1 << 16),
            },
            30..38 => Operation::Send {
                client,
                bytes: 1 + dice.roll(48),
            },
            38..42 => Operation::HalfClose { client },
            42..52 => Operation::Leave {
                client,
                reset: dice.roll(2) == 0,
            },
            52..54 => Operation::Fail { client },
            54..57 => Operation::Panic {
                client,
                with_bomb: dice.roll(2) == 0,
            },
            57..60 => Operation::Pause,
            60..65 => Operation::Resume,
            65..69 => Operation::SetAcceptors(dice.pick(&[0, 1, 1, 2, 3, 4])),
            69..72 => Operation::SetMax(dice.pick(&[0, 1, 2, 3, 8])),
            72..75 => Operation::LoseQueue {
                listener,
                failed_reopens: dice.roll(3),
            },
            75 if dice.roll(4) == 0 => Operation::LoseForGood { listener },
            75..78 => Operation::Exhaust {
                listener,
                times: 1 + dice.roll(3),
            },
            78..80 => Operation::ConnectionErrors {
                listener,
                times: 1 + dice.roll(70),
            },
            80..91 => Operation::Arm {
                spot: dice.pick(&Spot::ALL),
                times: 1 + dice.roll(2),
                with_bomb: dice.roll(2) == 0,
            },
            91..94 => Operation::DrainConnection { client },
            94..97 => Operation::AbortConnection { client },
            97 => Operation::AllLeave,
            98 if dice.roll(4) == 0 => Operation::LameDuck,
            100..104 => Operation::Listen {
                settings: Settings {
                    max: dice.pick(&[usize::MAX, 0, 1, 2]),
                    reserve: dice.pick(&[0, 0, 1, 2]),
                    is_labelled: dice.roll(2) == 0,
                },
                patience: match dice.roll(4) {
                    0 => Some(Duration::from_millis(dice.pick(&[0, 0, 1, 100]))),
                    _ => None,
                },
            },
            104..107 => Operation::Close {
                listener,
                clients: dice.roll(3),
                is_awaited: dice.roll(2) == 0,
            },
            107..109 => Operation::PauseListener { listener },
            109..112 => Operation::ResumeListener { listener },
            112..114 => Operation::SetListenerMax {
                listener,
                max: dice.pick(&[usize::MAX, 0, 1, 2, 3]),
            },
            114..116 => Operation::RemakeServices,
            _ => Operation::Wait(Duration::from_millis(1 << dice.roll(11))),
        }
    }
}

impl Ending {
    pub fn of(dice: &mut Dice) -> Self {
        match dice.roll(8) {
            0 => Ending::Abort,
            1 | 2 => Ending::DrainIdle,
            3 | 4 => Ending::Spread(Duration::from_millis(dice.pick(&[100, 5_000]))),
            _ => Ending::Drain(Duration::from_millis(dice.pick(&[0, 100, 5_000]))),
        }
    }
}
