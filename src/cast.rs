//! Specialization by type.

use std::any::Any;

/// Returns `value` as a `U` if that is its type, without boxing it.
pub(crate) fn cast<T: 'static, U: 'static>(value: T) -> Result<U, T> {
    let mut slot = Some(value);
    let same = (&mut slot as &mut dyn Any).downcast_mut::<Option<U>>();
    match same.and_then(Option::take) {
        Some(value) => Ok(value),
        // It was not taken, so it is still there.
        None => Err(slot.unwrap_or_else(|| unreachable!("taken above, which returns"))),
    }
}
