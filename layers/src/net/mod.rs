//! Networks and names, as they are written and as clients show themselves.

pub(crate) mod cidr;
