use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use crate::{Blob, Event, Parts};

#[allow(unsafe_code, missing_docs, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "file-reader" });
}

use bindings::catena::reader::source;
use bindings::exports::catena::reader::reader::{self as exported, Guest, GuestReader};

struct Component;

#[allow(unsafe_code, reason = "generated")]
mod export {
    use super::{Component, bindings};
    bindings::export!(Component with_types_in bindings);
}

/// A component has one thread and is not reentered, so a borrow cannot fail.
struct Reader(RefCell<Parts>);

/// The file of the host.
struct Given;

impl Blob for Given {
    fn size(&self) -> u64 {
        source::size()
    }

    fn read(&self, offset: u64, length: u32) -> io::Result<Vec<u8>> {
        source::read(offset, length).map_err(io::Error::other)
    }
}

impl Guest for Component {
    type Reader = Reader;
}

impl GuestReader for Reader {
    fn open(path: String, is_found: bool, longest: u32) -> exported::Reader {
        exported::Reader::new(Self(RefCell::new(Parts::new(Arc::new(Given), &path, is_found, longest as usize))))
    }

    fn next(&self) -> exported::Event {
        match self.0.borrow_mut().next_event() {
            Event::Entry(name) => exported::Event::Entry(name),
            Event::Batch(batch) => {
                let bytes = batch.bytes().to_vec();
                let original = batch.flattened.map(|_| batch.original.to_vec());
                exported::Event::Batch(exported::Batch { bytes, original, line: batch.line })
            }
            Event::TooLong(line) => exported::Event::TooLong(line),
            Event::Failed(why) => exported::Event::Failed(why),
            Event::Skipped(what) => exported::Event::Skipped(what.to_owned()),
            Event::End => exported::Event::End,
        }
    }

    fn offset(&self) -> u64 {
        self.0.borrow().offset()
    }
}
