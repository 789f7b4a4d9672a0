//! A map from types to values, through which layers and handlers share facts about a connection.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    hash::{BuildHasherDefault, Hasher},
};

type Map = HashMap<TypeId, Box<dyn Value>, BuildHasherDefault<IdHasher>>;

/// A map that holds at most one value of each type. An empty map takes one pointer and no
/// allocation.
///
/// Layers use it to pass values to inner layers and to the handler: see
/// [`Connection::extensions`](crate::Connection::extensions).
#[derive(Clone, Default)]
pub struct Extensions {
    // Boxed, since most connections have none, and it saves 40 bytes.
    map: Option<Box<Map>>,
}

/// The operations on a value in the map: cloning and downcasting.
trait Value: Any + Send + Sync {
    fn clone_value(&self) -> Box<dyn Value>;
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl<T: Clone + Send + Sync + 'static> Value for T {
    fn clone_value(&self) -> Box<dyn Value> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl Clone for Box<dyn Value> {
    fn clone(&self) -> Self {
        (**self).clone_value()
    }
}

/// Uses a `TypeId` as its own hash: the compiler has already hashed the type, and nobody can choose
/// types that collide.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write_u64(&mut self, id: u64) {
        self.0 = id;
    }

    /// Correct for whatever else a future `TypeId` may write, but slower.
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0.rotate_left(5) ^ u64::from(*byte)).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Extensions {
    /// Inserts `value`, and returns the previous value of its type.
    pub fn insert<T: Clone + Send + Sync + 'static>(&mut self, value: T) -> Option<T> {
        let old = self
            .map
            .get_or_insert_default()
            .insert(TypeId::of::<T>(), Box::new(value))?;
        old.into_any().downcast().ok().map(|old| *old)
    }

    /// Returns a reference to the value of type `T`.
    pub fn get<T: 'static>(&self) -> Option<&T> {
        (**self.map.as_ref()?.get(&TypeId::of::<T>())?)
            .as_any()
            .downcast_ref()
    }

    /// Returns a mutable reference to the value of type `T`.
    pub fn get_mut<T: 'static>(&mut self) -> Option<&mut T> {
        (**self.map.as_mut()?.get_mut(&TypeId::of::<T>())?)
            .as_any_mut()
            .downcast_mut()
    }

    /// Removes and returns the value of type `T`.
    pub fn remove<T: 'static>(&mut self) -> Option<T> {
        let value = self.map.as_mut()?.remove(&TypeId::of::<T>())?;
        value.into_any().downcast().ok().map(|value| *value)
    }

    /// Returns whether the map is empty.
    pub fn is_empty(&self) -> bool {
        self.map.as_ref().is_none_or(|map| map.is_empty())
    }
}

/// Shows the number of values and not the values, which may be secret.
impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.map.as_ref().map_or(0, |map| map.len());
        f.debug_struct("Extensions")
            .field("len", &len)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::Hash;

    #[test]
    fn a_type_id_is_its_own_hash() {
        /// Records what a `TypeId` writes.
        #[derive(Default)]
        struct Listening(Vec<u64>);

        impl Hasher for Listening {
            fn write_u64(&mut self, id: u64) {
                self.0.push(id);
            }

            fn write(&mut self, bytes: &[u8]) {
                panic!("{bytes:?} in the place of one u64");
            }

            fn finish(&self) -> u64 {
                0
            }
        }

        for id in [TypeId::of::<u8>(), TypeId::of::<String>()] {
            let (mut heard, mut hasher) = (Listening::default(), IdHasher::default());
            id.hash(&mut heard);
            id.hash(&mut hasher);
            assert_eq!(heard.0, [hasher.finish()]);
        }
    }

    #[test]
    fn other_hashes_differ_too() {
        let hash = |text: &str| {
            let mut hasher = IdHasher::default();
            text.hash(&mut hasher);
            hasher.finish()
        };
        assert_ne!(hash("one"), hash("two"));
    }

    #[test]
    fn there_is_at_most_one_value_of_each_type() {
        let mut extensions = Extensions::default();
        assert!(extensions.is_empty());
        assert_eq!(extensions.insert(1_u8), None);
        assert_eq!(extensions.insert(2_u8), Some(1));
        assert_eq!(extensions.insert(3_u16), None);
        assert_eq!(extensions.insert("text"), None);
        if let Some(number) = extensions.get_mut::<u16>() {
            *number += 1;
        }
        let mut other = extensions.clone();
        assert_eq!(other.remove::<u8>(), Some(2));
        assert_eq!(other.get::<u8>(), None);
        assert_eq!(
            (extensions.get(), extensions.get()),
            (Some(&2_u8), Some(&4_u16))
        );
        assert_eq!(other.remove::<&str>(), Some("text"));
        assert_eq!(other.remove::<u16>(), Some(4));
        assert!(other.is_empty() && !extensions.is_empty());
    }
}
