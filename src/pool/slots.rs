//! The distribution of slots over acceptors.

/// Distributes the slots of an address over the acceptors that accept there, and returns the slots
/// of each.
///
/// Every slot has at least one owner, and every acceptor at least one slot, if there are any. An
/// acceptor keeps the slot with its own number. The other slots are dealt out in turn, and so are
/// acceptors without a slot.
pub(crate) fn distribute(slots: &[usize], acceptors: &[usize]) -> Vec<Vec<usize>> {
    let mut owned = vec![Vec::new(); acceptors.len()];
    if acceptors.is_empty() || slots.is_empty() {
        return owned;
    }
    for (place, slot) in slots.iter().enumerate() {
        let own = acceptors.iter().position(|acceptor| acceptor == slot);
        owned[own.unwrap_or(place % acceptors.len())].push(*slot);
    }
    for (place, owned) in owned.iter_mut().enumerate() {
        if owned.is_empty() {
            owned.push(slots[place % slots.len()]);
        }
    }
    owned
}

#[cfg(test)]
mod tests {
    use super::distribute;

    #[test]
    fn every_slot_and_every_acceptor_has_its_share() {
        for slots in 1..6 {
            for acceptors in 1..6 {
                let slots: Vec<_> = (0..slots).collect();
                let acceptors: Vec<_> = (0..acceptors).map(|index| index * 2).collect();
                let owned = distribute(&slots, &acceptors);
                assert!(owned.iter().all(|owned| !owned.is_empty()));
                for slot in slots {
                    assert!(owned.iter().any(|owned| owned.contains(&slot)));
                }
            }
        }
    }

    #[test]
    fn an_acceptor_keeps_the_slot_of_its_number() {
        assert_eq!(distribute(&[0, 1, 2], &[0, 1, 2]), [[0], [1], [2]]);
        assert_eq!(distribute(&[0, 1, 2], &[0, 2]), [vec![0], vec![1, 2]]);
        assert_eq!(distribute(&[0], &[0, 1]), [[0], [0]]);
        assert!(distribute(&[0], &[]).is_empty());
    }
}
