//! `text/event-stream` bytes to whole events.
//!
//! Owns the framing of the format: line ends, fields, comments, and the bound on one
//! event. It doesn't own what an event means, and it doesn't reconnect: `retry` is skipped.
//! Invariant: every byte is looked at once, and beside the chunk in hand nothing is kept
//! but one unfinished event of at most [`FRAME_BYTES`].

use super::event::{Event, Malformed};
use crate::caps::FRAME_BYTES;

/// Decodes chunks that may be cut anywhere, also within a character or a line end.
///
/// ```
/// use steadfast::upstream::event_stream::Decoder;
/// let mut decoder = Decoder::default();
/// decoder.feed(b"id: 7\ndata: {\"type\"".to_vec());
/// assert_eq!(decoder.next_event(), Ok(None));
/// decoder.feed(b":\"usage\"}\r\n\r\n".to_vec());
/// let event = decoder.next_event().unwrap().unwrap();
/// assert_eq!((event.id.as_deref(), event.data.as_str()), (Some("7"), "{\"type\":\"usage\"}"));
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    chunk: Vec<u8>,
    /// Where the unread part of `chunk` begins.
    at: usize,
    place: Place,
    /// The last line ended with CR, so that a LF right after it belongs to the same line end.
    after_cr: bool,
    unfinished: Unfinished,
}

/// Where in the grammar the next byte stands.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// At the very beginning, after so many bytes of a byte order mark.
    ByteOrderMark(usize),
    /// In a line's field name, of which so many bytes are known to be those of `Name`.
    Name([u8; LONGEST_NAME], usize),
    /// After the colon, where one space is no part of the value.
    Space(Field),
    Value(Field),
    /// In a comment, or in a field that nobody reads.
    Skipped,
}

#[derive(Clone, Copy, Debug)]
enum Field {
    Id,
    Event,
    Data,
}

/// The fields of the event that no empty line has ended yet.
#[derive(Debug, Default)]
struct Unfinished {
    id: Option<Vec<u8>>,
    event: Option<Vec<u8>>,
    data: Option<Vec<u8>>,
}

const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];
/// `event`; a longer field name is none that we read.
const LONGEST_NAME: usize = 5;
const LINE_START: Place = Place::Name([0; LONGEST_NAME], 0);

impl Default for Place {
    fn default() -> Self {
        Place::ByteOrderMark(0)
    }
}

impl Decoder {
    /// Takes the next bytes. The events of the bytes before must have been taken out:
    /// what [`Decoder::next_event`] has not read yet is dropped.
    pub fn feed(&mut self, chunk: Vec<u8>) {
        self.chunk = chunk;
        self.at = 0;
    }

    /// The next whole event of the bytes fed so far; `None` asks for more bytes.
    ///
    /// # Errors
    /// After [`Malformed`] the stream has no meaning any more and must be given up.
    pub fn next_event(&mut self) -> Result<Option<Event>, Malformed> {
        while let Some((&byte, _)) = self.rest().split_first() {
            if std::mem::take(&mut self.after_cr) && byte == b'\n' {
                self.at += 1;
                continue;
            }
            match self.place {
                Place::ByteOrderMark(seen) => self.byte_order_mark(seen, byte),
                Place::Name(name, len) => {
                    self.at += 1;
                    if let Some(event) = self.name(name, len, byte)? {
                        return Ok(Some(event));
                    }
                }
                Place::Space(field) => {
                    self.at += usize::from(byte == b' ');
                    self.place = Place::Value(field);
                }
                Place::Value(field) => self.value(field)?,
                Place::Skipped => {
                    let (skipped, end) = line_part(self.rest());
                    self.at += skipped.len() + usize::from(end.is_some());
                    self.line_end(end);
                }
            }
        }
        Ok(None)
    }

    fn rest(&self) -> &[u8] {
        self.chunk.get(self.at..).unwrap_or_default()
    }

    fn byte_order_mark(&mut self, seen: usize, byte: u8) {
        if BYTE_ORDER_MARK.get(seen) != Some(&byte) {
            // Half a mark is the beginning of a field name, and of none that we know.
            self.place = if seen == 0 {
                LINE_START
            } else {
                Place::Skipped
            };
            return;
        }
        self.at += 1;
        self.place = match seen + 1 {
            3 => LINE_START,
            seen => Place::ByteOrderMark(seen),
        };
    }

    /// Reads one byte of a field name; an empty line ends the event.
    fn name(
        &mut self,
        mut name: [u8; LONGEST_NAME],
        len: usize,
        byte: u8,
    ) -> Result<Option<Event>, Malformed> {
        let known = name.get(..len).and_then(Field::named);
        match byte {
            b'\r' | b'\n' => {
                self.line_end(Some(byte));
                if len == 0 {
                    return self.unfinished.finish();
                }
                if let Some(field) = known {
                    self.unfinished.open(field)?;
                }
            }
            b':' => {
                self.place = match known {
                    Some(field) => {
                        self.unfinished.open(field)?;
                        Place::Space(field)
                    }
                    None => Place::Skipped,
                };
            }
            _ => {
                self.place = match name.get_mut(len) {
                    Some(slot) => {
                        *slot = byte;
                        Place::Name(name, len + 1)
                    }
                    None => Place::Skipped,
                };
            }
        }
        Ok(None)
    }

    fn value(&mut self, field: Field) -> Result<(), Malformed> {
        let rest = self.chunk.get(self.at..).unwrap_or_default();
        let (value, end) = line_part(rest);
        self.unfinished.extend(field, value)?;
        self.at += value.len() + usize::from(end.is_some());
        self.line_end(end);
        Ok(())
    }

    fn line_end(&mut self, end: Option<u8>) {
        if let Some(end) = end {
            self.after_cr = end == b'\r';
            self.place = LINE_START;
        }
    }
}

/// What of `bytes` belongs to the line in hand, and the byte that ends it if that is among them.
fn line_part(bytes: &[u8]) -> (&[u8], Option<u8>) {
    let mut parts = bytes.splitn(2, |byte| matches!(byte, b'\r' | b'\n'));
    let part = parts.next().unwrap_or_default();
    (part, bytes.get(part.len()).copied())
}

impl Field {
    fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"id" => Some(Field::Id),
            b"event" => Some(Field::Event),
            b"data" => Some(Field::Data),
            _ => None,
        }
    }
}

impl Unfinished {
    /// Begins a field's value: another `data` goes on after a line feed, anything else replaces.
    fn open(&mut self, field: Field) -> Result<(), Malformed> {
        match field {
            Field::Id => self.id = Some(Vec::new()),
            Field::Event => self.event = Some(Vec::new()),
            Field::Data if self.data.is_some() => self.extend(Field::Data, b"\n")?,
            Field::Data => self.data = Some(Vec::new()),
        }
        Ok(())
    }

    fn extend(&mut self, field: Field, bytes: &[u8]) -> Result<(), Malformed> {
        let kept = [&self.id, &self.event, &self.data];
        let size: usize = kept.into_iter().flatten().map(Vec::len).sum();
        if size + bytes.len() > FRAME_BYTES {
            return Err(Malformed::TooLarge);
        }
        let value = match field {
            Field::Id => &mut self.id,
            Field::Event => &mut self.event,
            Field::Data => &mut self.data,
        };
        value.get_or_insert_default().extend_from_slice(bytes);
        Ok(())
    }

    /// The event, or nothing when it had no `data` line: the format drops such an event.
    fn finish(&mut self) -> Result<Option<Event>, Malformed> {
        let Unfinished { id, event, data } = std::mem::take(self);
        let Some(data) = data else { return Ok(None) };
        Ok(Some(Event {
            // The format ignores an id with NUL in it.
            id: text(id)?.filter(|id| !id.contains('\0')),
            event: text(event)?,
            data: String::from_utf8(data).map_err(|_| Malformed::NotUtf8)?,
        }))
    }
}

fn text(bytes: Option<Vec<u8>>) -> Result<Option<String>, Malformed> {
    bytes
        .map(String::from_utf8)
        .transpose()
        .map_err(|_| Malformed::NotUtf8)
}

#[cfg(test)]
mod tests;
