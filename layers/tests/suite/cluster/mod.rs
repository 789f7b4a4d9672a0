//! Limits across instances hold while the store answers, and keep their stated bounds when it does
//! not.

mod kit;
mod lost;
mod odd_stores;
mod places;
mod quota;
mod rates;
mod redis;
mod redis_proxy;
mod redis_rules;
mod redis_server;
mod simulation;
