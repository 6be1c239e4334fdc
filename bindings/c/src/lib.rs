//! The producer of the flight recorder for C: attach to a ring, push, detach.
//!
//! `include/groundcrew_recorder.h` says the same for those who call it; a test compares the two.
//! Pointers come from a caller whom no compiler checks: each function says what it relies on.

#![expect(unsafe_code, reason = "C hands over pointers")]

use std::ffi::{CStr, OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;

use groundcrew_recorder::ring::Producer;
use groundcrew_recorder::ring::shared::{Map, attach};
use groundcrew_recorder::{chain, recorder};

/// A producer.
#[derive(Debug)]
pub struct GcRing(Producer<Map>);

/// Attaches to the ring at `path`; null: it takes no producer, and `error` says why, in at most
/// `error_len` bytes with the zero behind it.
///
/// # Safety
///
/// `path` is a string; `error` is null or has room for `error_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gc_ring_attach(
    path: *const c_char,
    error: *mut c_char,
    error_len: usize,
) -> *mut GcRing {
    if path.is_null() {
        // SAFETY: the caller promises room for `error_len` bytes at `error`.
        unsafe { tell("the path is null", error, error_len) };
        return ptr::null_mut();
    }
    // SAFETY: the caller promises that `path`, which is not null, is a string with its zero.
    let path = unsafe { CStr::from_ptr(path) };
    match attach(Path::new(OsStr::from_bytes(path.to_bytes()))) {
        Ok(producer) => Box::into_raw(Box::new(GcRing(producer))),
        Err(why) => {
            // SAFETY: the caller promises room for `error_len` bytes at `error`.
            unsafe { tell(&chain(&why), error, error_len) };
            ptr::null_mut()
        }
    }
}

/// Copies as much of a text as there is room for, and a zero.
///
/// # Safety
///
/// `to` is null or has room for `len` bytes.
unsafe fn tell(text: &str, to: *mut c_char, len: usize) {
    let Some(room) = len.checked_sub(1).filter(|_| !to.is_null()) else { return };
    let bytes = text.as_bytes();
    let count = bytes.len().min(room);
    // SAFETY: `bytes` has `count` bytes, and `to` room for them and one more, apart from `bytes`,
    // which is ours.
    unsafe {
        ptr::copy_nonoverlapping(bytes.as_ptr().cast::<c_char>(), to, count);
        to.add(count).write(0);
    }
}

/// Hands a record over: a body of `len` bytes of this type, made at `time_ns`. Whether there was
/// room; a record that is refused has used up its number, and the recorder tells of it.
///
/// # Safety
///
/// `ring` comes from `gc_ring_attach`, was not detached, and is used by no other thread meanwhile;
/// `body` has `len` bytes, or `len` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gc_ring_push(
    ring: *mut GcRing,
    kind: u16,
    time_ns: u64,
    body: *const c_void,
    len: usize,
) -> bool {
    let body = if len == 0 || body.is_null() {
        &[]
    } else {
        // SAFETY: the caller promises `len` bytes at `body`, which is not null.
        unsafe { std::slice::from_raw_parts(body.cast::<u8>(), len) }
    };
    // SAFETY: the caller promises a ring of `gc_ring_attach` that nobody else uses meanwhile.
    let ring = unsafe { ring.as_mut() };
    ring.is_some_and(|ring| ring.0.push(kind, time_ns, body))
}

/// Records that were made, those that were refused among them.
///
/// # Safety
///
/// As [`gc_ring_push`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gc_ring_made(ring: *const GcRing) -> u64 {
    // SAFETY: the caller promises a ring of `gc_ring_attach` that nobody else uses meanwhile.
    let ring = unsafe { ring.as_ref() };
    ring.map_or(0, |ring| ring.0.made())
}

/// Says that this producer ends, and frees it; null is ignored.
///
/// # Safety
///
/// `ring` comes from `gc_ring_attach` and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gc_ring_detach(ring: *mut GcRing) {
    if !ring.is_null() {
        // SAFETY: the caller promises that `ring`, which is not null, was made by `Box::into_raw`
        // in `gc_ring_attach` and is not used again.
        drop(unsafe { Box::from_raw(ring) });
    }
}

/// The time now, as records carry it: nanoseconds of `CLOCK_BOOTTIME`.
#[unsafe(no_mangle)]
pub extern "C" fn gc_time_ns() -> u64 {
    recorder::now().time_ns
}
