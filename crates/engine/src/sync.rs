//! What threads share is made of these: the standard library's, or, under `--cfg loom`, ones that try
//! every order in which threads can get at them.

#[cfg(not(loom))]
pub(crate) use std::sync::{
    Mutex, RwLock,
    atomic::{AtomicBool, AtomicIsize},
};

#[cfg(loom)]
pub(crate) use loom::sync::{
    Mutex, RwLock,
    atomic::{AtomicBool, AtomicIsize},
};
