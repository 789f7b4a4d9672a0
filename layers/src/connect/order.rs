//! The order in which addresses are tried (RFC 8305, section 4).

use std::net::SocketAddr;

/// Returns the first `most` addresses, without repetitions, with the families in turn. The first
/// address stays the first, and the order within a family stays as it was.
pub(super) fn interleaved(addrs: &[SocketAddr], most: usize) -> Vec<SocketAddr> {
    let Some(first) = addrs.first() else {
        return Vec::new();
    };
    let of = |is_v4| addrs.iter().filter(move |addr| addr.is_ipv4() == is_v4);
    let mut families = [of(first.is_ipv4()), of(!first.is_ipv4())];
    let mut ordered = Vec::with_capacity(addrs.len().min(most));
    loop {
        let before = ordered.len();
        for family in &mut families {
            if ordered.len() == most {
                return ordered;
            }
            ordered.extend(family.find(|addr| !ordered.contains(addr)));
        }
        if ordered.len() == before {
            return ordered;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prelude::*, test_runner::TestRunner};

    fn is_subsequence(part: &[SocketAddr], whole: &[SocketAddr]) -> bool {
        let mut whole = whole.iter();
        part.iter().all(|addr| whole.any(|other| other == addr))
    }

    /// From a few, so that they repeat.
    fn addr() -> impl Strategy<Value = SocketAddr> {
        (any::<bool>(), 0..12_u8).prop_map(|(is_v4, n)| match is_v4 {
            true => SocketAddr::from(([192, 0, 2, n], 80)),
            false => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, n.into()], 80)),
        })
    }

    #[test]
    fn families_take_turns_and_nothing_is_lost() {
        let inputs = (prop::collection::vec(addr(), 0..30), 0..40_usize);
        let checked = TestRunner::deterministic().run(&inputs, |(addrs, most)| {
            let all = interleaved(&addrs, usize::MAX);
            let ordered = interleaved(&addrs, most);
            prop_assert_eq!(&ordered[..], &all[..most.min(all.len())]);

            let mut distinct = addrs.clone();
            distinct.sort();
            distinct.dedup();
            let mut sorted = all.clone();
            sorted.sort();
            prop_assert_eq!(sorted, distinct, "each address once");
            prop_assert_eq!(all.first(), addrs.first());
            for is_v4 in [true, false] {
                let of = |addrs: &[SocketAddr]| -> Vec<SocketAddr> {
                    let family = addrs.iter().filter(|addr| addr.is_ipv4() == is_v4);
                    family.copied().collect()
                };
                prop_assert!(is_subsequence(&of(&all), &of(&addrs)));
            }
            // Once two of a family follow each other, the other family has no more.
            let same = |two: &[SocketAddr]| two[0].is_ipv4() == two[1].is_ipv4();
            if let Some(at) = all.windows(2).position(same) {
                prop_assert!(all[at..].windows(2).all(same));
            }
            Ok(())
        });
        checked.unwrap();
    }
}
