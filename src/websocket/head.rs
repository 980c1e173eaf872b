//! The head of an HTTP request, whatever the number of its header lines.

use std::mem::MaybeUninit;

/// Header lines that are read without a heap block; browsers send about fifteen, and some layers
/// of proxies add as many again.
const LINES_ON_STACK: usize = 64;

/// Parses a whole head and passes it on; `None` if it is malformed. The number of header lines is
/// bounded by the bytes of the head alone, as in the gateway that this one replaces.
pub(super) fn parse<'h, T>(
    head: &'h [u8],
    read: impl FnOnce(&httparse::Request<'_, 'h>) -> T,
) -> Option<T> {
    let mut few = [const { MaybeUninit::uninit() }; LINES_ON_STACK];
    let lines = head.iter().filter(|byte| **byte == b'\n').count();
    let mut many = Vec::new();
    let headers = if lines <= LINES_ON_STACK {
        &mut few[..]
    } else {
        many.resize_with(lines, MaybeUninit::uninit);
        &mut many
    };
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, headers) {
        Ok(httparse::Status::Complete(end)) if end == head.len() => Some(read(&request)),
        Ok(_) | Err(_) => None,
    }
}
