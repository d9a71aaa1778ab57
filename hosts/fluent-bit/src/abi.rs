//! The interface of `filter_wasm`, as Fluent Bit 5.1 calls it. The one file with unsafe code: the interface has pointers.
//!
//! Fluent Bit copies the tag and the record into memory that it allocates with `malloc`, calls the function that its configuration
//! names, and reads a text up to its NUL from the pointer that it returns. A null pointer drops the record.

#![allow(unsafe_code, reason = "the interface has pointers")]

use std::alloc::{Layout, alloc, dealloc};
use std::cell::{Cell, OnceCell};
use std::{ptr, slice};

use catena::{Mode, Timestamp};

use crate::Filter;

/// Settings in JSON, given when the module is built: Fluent Bit passes none.
const CONFIG: Option<&str> = option_env!("CATENA_FLUENT_BIT_CONFIG");

thread_local! {
    /// The filter. An instance of the module serves one filter of Fluent Bit, and so one of the functions.
    static FILTER: OnceCell<Filter> = const { OnceCell::new() };
    /// The text that was returned last. Fluent Bit copies it before the next call.
    static ANSWER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Bytes before those that [`malloc`] returns: their number.
const HEADER: usize = 8;

fn layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size.checked_add(HEADER)?, HEADER).ok()
}

/// Allocates `size` bytes; null if there are none. Without it, Fluent Bit passes no record that is longer than its own heap.
#[unsafe(no_mangle)]
pub extern "C" fn malloc(size: usize) -> *mut u8 {
    let Some(layout) = layout(size) else { return ptr::null_mut() };
    // SAFETY: the layout is not empty. The header is within what was allocated, and aligned.
    unsafe {
        let start = alloc(layout);
        if start.is_null() {
            return start;
        }
        start.cast::<usize>().write(size);
        start.add(HEADER)
    }
}

/// Frees what [`malloc`] returned.
///
/// # Safety
///
/// `allocated` is null, or from `malloc` and not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(allocated: *mut u8) {
    if allocated.is_null() {
        return;
    }
    // SAFETY: `malloc` wrote the size before it, and allocated with this layout.
    unsafe {
        let start = allocated.sub(HEADER);
        if let Some(layout) = layout(start.cast::<usize>().read()) {
            dealloc(start, layout);
        }
    }
}

/// Passes all records; those that match a rule are annotated, and have the findings that they complete.
///
/// # Safety
///
/// `record` points to `record_length` bytes, or is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn catena_enrich(
    _tag: *const u8,
    _tag_length: usize,
    seconds: u32,
    _nanoseconds: u32,
    record: *const u8,
    record_length: usize,
) -> *const u8 {
    // SAFETY: as the caller promises.
    unsafe { answer(Mode::Enrich, seconds, record, record_length) }
}

/// Passes only the records that match a rule, annotated, with the findings that they complete.
///
/// # Safety
///
/// `record` points to `record_length` bytes, or is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn catena_filter(
    _tag: *const u8,
    _tag_length: usize,
    seconds: u32,
    _nanoseconds: u32,
    record: *const u8,
    record_length: usize,
) -> *const u8 {
    // SAFETY: as the caller promises.
    unsafe { answer(Mode::Filter, seconds, record, record_length) }
}

/// Passes findings alone, in records of their own.
///
/// # Safety
///
/// `record` points to `record_length` bytes, or is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn catena_findings(
    _tag: *const u8,
    _tag_length: usize,
    seconds: u32,
    _nanoseconds: u32,
    record: *const u8,
    record_length: usize,
) -> *const u8 {
    // SAFETY: as the caller promises.
    unsafe { answer(Mode::Findings, seconds, record, record_length) }
}

/// # Safety
///
/// `record` points to `length` bytes, or is null.
unsafe fn answer(mode: Mode, seconds: u32, record: *const u8, length: usize) -> *const u8 {
    if record.is_null() {
        return ptr::null();
    }
    // SAFETY: as the caller promises. Nothing else writes there during the call.
    let record = unsafe { slice::from_raw_parts(record, length) };
    // Fluent Bit counts the NUL at its end, or does not.
    let record = record.strip_suffix(b"\0").unwrap_or(record);
    let answer = FILTER
        .with(|filter| filter.get_or_init(|| Filter::new(CONFIG.unwrap_or("{}"), mode)).record(record, time(seconds)));
    let Some(mut answer) = answer else { return ptr::null() };
    answer.push(0);
    let start = answer.as_ptr();
    ANSWER.set(answer);
    start
}

/// The time that Fluent Bit gives a record: its own, unless a parser takes it from the record. A time that cannot be one is none.
fn time(seconds: u32) -> Option<Timestamp> {
    // 2000-01-01.
    (seconds >= 946_684_800).then(|| Timestamp::from_millis(u64::from(seconds) * 1000))
}
