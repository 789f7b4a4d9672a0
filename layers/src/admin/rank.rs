//! The order of connections on a page, and the first few of very many.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    fmt,
    str::FromStr,
};

/// A position in the order: a larger key comes first, and of two equal ones the smaller id.
///
/// In a URL it is `KEY.ID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    key: i64,
    id: Reverse<u64>,
}

impl Rank {
    pub(super) fn new(key: i64, id: u64) -> Self {
        Rank {
            key,
            id: Reverse(id),
        }
    }
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.key, self.id.0)
    }
}

impl FromStr for Rank {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (key, id) = text.split_once('.').ok_or(())?;
        match (key.parse(), id.parse()) {
            (Ok(key), Ok(id)) => Ok(Rank::new(key, id)),
            _ => Err(()),
        }
    }
}

/// The values with the highest ranks, of any number of values.
#[derive(Debug)]
pub(super) struct Top<V> {
    limit: usize,
    /// The lowest rank is on top, to be replaced by a higher one.
    heap: BinaryHeap<Reverse<Ranked<V>>>,
    /// Whether a value found no room.
    is_cut: bool,
}

#[derive(Debug)]
struct Ranked<V>(Rank, V);

impl<V> Top<V> {
    /// Creates a list of at most `limit` values, at least 1.
    pub(super) fn new(limit: usize) -> Self {
        Top {
            limit,
            heap: BinaryHeap::with_capacity(limit),
            is_cut: false,
        }
    }

    /// Offers a value, which is made only if it is among the highest so far.
    pub(super) fn offer(&mut self, rank: Rank, value: impl FnOnce() -> V) {
        if self.heap.len() >= self.limit {
            self.is_cut = true;
            match self.heap.peek() {
                Some(Reverse(lowest)) if lowest.0 < rank => self.heap.pop(),
                _ => return,
            };
        }
        self.heap.push(Reverse(Ranked(rank, value())));
    }

    /// Returns the values, the highest rank first, and the rank of the last if there are more.
    pub(super) fn finish(self) -> (Vec<V>, Option<Rank>) {
        let sorted = self.heap.into_sorted_vec();
        let last = sorted.last().map(|Reverse(last)| last.0);
        let values = sorted.into_iter().map(|Reverse(ranked)| ranked.1);
        (values.collect(), last.filter(|_| self.is_cut))
    }
}

impl<V> PartialEq for Ranked<V> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<V> Eq for Ranked<V> {}

impl<V> PartialOrd for Ranked<V> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<V> Ord for Ranked<V> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top(limit: usize, keys: &[i64]) -> (Vec<u64>, Option<String>) {
        let mut top = Top::new(limit);
        for (id, key) in (1..).zip(keys) {
            top.offer(Rank::new(*key, id), || id);
        }
        let (ids, last) = top.finish();
        (ids, last.map(|last| last.to_string()))
    }

    #[test]
    fn the_highest_come_first_and_the_last_says_whether_there_are_more() {
        assert_eq!(top(3, &[]), (vec![], None));
        assert_eq!(top(3, &[1, -5, 1]), (vec![1, 3, 2], None));
        assert_eq!(top(2, &[3, 9, 4, 9, 1]), (vec![2, 4], Some("9.4".into())));
    }

    #[test]
    fn a_rank_survives_a_url_and_anything_else_is_refused() {
        for rank in [Rank::new(i64::MIN, u64::MAX), Rank::new(7, 0)] {
            assert_eq!(rank.to_string().parse(), Ok(rank));
        }
        for text in [
            "",
            ".",
            "1",
            "1.",
            ".1",
            "1.-1",
            "1.1.1",
            "99999999999999999999.1",
        ] {
            assert_eq!(text.parse::<Rank>(), Err(()), "{text}");
        }
    }
}
