//! A map from types to values, for what layers and handlers tell one another of a connection.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
};

/// At most one value of each type; empty, it takes a pointer and allocates nothing.
#[derive(Clone, Default)]
pub struct Extensions {
    #[expect(
        clippy::box_collection,
        reason = "most connections have none, and it is 40 bytes less"
    )]
    map: Option<Box<HashMap<TypeId, Box<dyn Value>>>>,
}

/// What a value in the map can do: be cloned, and be looked at as what it is.
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

impl Extensions {
    /// Puts `value` in and returns the one of its type that stood there.
    pub fn insert<T: Clone + Send + Sync + 'static>(&mut self, value: T) -> Option<T> {
        let old = self
            .map
            .get_or_insert_default()
            .insert(TypeId::of::<T>(), Box::new(value))?;
        old.into_any().downcast().ok().map(|old| *old)
    }

    /// The value of type `T`.
    pub fn get<T: 'static>(&self) -> Option<&T> {
        (**self.map.as_ref()?.get(&TypeId::of::<T>())?)
            .as_any()
            .downcast_ref()
    }

    /// The value of type `T`, to be changed.
    pub fn get_mut<T: 'static>(&mut self) -> Option<&mut T> {
        (**self.map.as_mut()?.get_mut(&TypeId::of::<T>())?)
            .as_any_mut()
            .downcast_mut()
    }

    /// Takes the value of type `T` out.
    pub fn remove<T: 'static>(&mut self) -> Option<T> {
        let value = self.map.as_mut()?.remove(&TypeId::of::<T>())?;
        value.into_any().downcast().ok().map(|value| *value)
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.map.as_ref().is_none_or(|map| map.is_empty())
    }
}

/// Says how many there are and not what they are: values may be secrets.
impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = self.map.as_ref().map_or(0, |map| map.len());
        f.debug_struct("Extensions")
            .field("len", &len)
            .finish_non_exhaustive()
    }
}
