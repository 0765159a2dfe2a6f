//! Where messages of HTTP/1.1 begin and end, followed on the bytes below the server.
//!
//! The server takes some requests that two readers may understand differently: it drops `Content-Length` beside
//! `Transfer-Encoding`, and takes a bare line feed for the end of a line. Whoever stands before the node and reads them the
//! other way sees other requests than the node: request smuggling (RFC 9112, section 11.2). The server tells nobody that
//! it did so; hence this reader, which knows no more than lines, lengths and chunks, and breaks what may be read in two
//! ways: in the place of the doubtful byte it puts one that the server is sure to refuse, so that it answers 400 and closes.

/// A line may be so long: the longest target that the server takes, and a method.
const LINE_MAX: usize = 72 << 10;
/// Digits of a chunk's size: 2^60 bytes and more are nobody's chunk.
const SIZE_DIGITS_MAX: usize = 15;
/// What a connection with HTTP/2 begins with, as a line (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0";
/// What no head may have and no size.
const BROKEN: u8 = 0;

/// The reader of one connection. Give it all bytes in order.
#[derive(Debug, Default)]
pub(super) struct Framing {
    state: State,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    body: Body,
    /// Whether a first line has come.
    begun: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    RequestLine,
    Fields,
    /// So many bytes of a body, or of a chunk and then its end.
    Bytes {
        left: u64,
        is_chunk: bool,
    },
    ChunkSize,
    ChunkEnd,
    Trailers,
    /// Another protocol, or a head that no server takes: nothing is looked at any more.
    Other,
    /// A body that is none: nothing gets through any more.
    Broken,
}

/// What a head says of the body.
#[derive(Clone, Copy, Debug, Default)]
struct Body {
    length: Option<u64>,
    is_chunked: bool,
}

/// A line may be read in two ways.
struct Ambiguous;

impl Framing {
    /// Whether no request has begun on the connection.
    pub(super) fn is_untouched(&self) -> bool {
        !self.begun
    }

    /// Whether it is another protocol, HTTP/2 above all.
    pub(super) fn is_other(&self) -> bool {
        self.state == State::Other
    }

    /// Follows the next bytes, and breaks the first that may be read in two ways.
    pub(super) fn follow(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() {
            match self.state {
                State::Other => return,
                State::Broken => return bytes[at..].fill(BROKEN),
                State::Bytes { left, is_chunk } => {
                    let here = left.min((bytes.len() - at) as u64);
                    at += here as usize;
                    self.state = match left - here {
                        0 if is_chunk => State::ChunkEnd,
                        0 => State::RequestLine,
                        left => State::Bytes { left, is_chunk },
                    };
                }
                _ => match memchr::memchr(b'\n', &bytes[at..]) {
                    None => {
                        self.line.extend_from_slice(&bytes[at..]);
                        if self.line.len() > LINE_MAX {
                            bytes[at] = BROKEN;
                            self.state = self.broken();
                        }
                        return;
                    }
                    Some(length) => {
                        let end = at + length;
                        let next = if self.line.is_empty() {
                            self.take(&bytes[at..end])
                        } else {
                            let mut line = std::mem::take(&mut self.line);
                            line.extend_from_slice(&bytes[at..end]);
                            let next = self.take(&line);
                            line.clear();
                            self.line = line;
                            next
                        };
                        self.state = next.unwrap_or_else(|Ambiguous| {
                            bytes[end] = self.refused(&bytes[at..end]);
                            self.broken()
                        });
                        at = end + 1;
                    }
                },
            }
        }
    }

    /// What follows a byte that the server refuses. It looks at a head once it is whole, so the rest of it must come.
    fn broken(&self) -> State {
        match self.state {
            State::RequestLine | State::Fields => State::Other,
            _ => State::Broken,
        }
    }

    /// The byte that the server refuses at the end of a line. Within extensions and trailers it takes NULs.
    fn refused(&self, line: &[u8]) -> u8 {
        match self.state {
            State::ChunkSize if line.contains(&b';') => b'\n',
            // What has to follow it does not.
            State::Trailers => b'\r',
            _ => BROKEN,
        }
    }

    /// One line without its line feed.
    fn take(&mut self, line: &[u8]) -> Result<State, Ambiguous> {
        let line = line.strip_suffix(b"\r").ok_or(Ambiguous)?;
        if memchr::memchr2(b'\r', 0, line).is_some() {
            return Err(Ambiguous);
        }
        match self.state {
            // Empty lines before a request are nothing (RFC 9112, section 2.2).
            State::RequestLine if line.is_empty() => Ok(State::RequestLine),
            State::RequestLine if !self.begun && line == PREFACE => {
                self.begun = true;
                Ok(State::Other)
            }
            State::RequestLine => {
                self.begun = true;
                self.body = Body::default();
                Ok(State::Fields)
            }
            State::Fields if line.is_empty() => match self.body {
                Body { length: Some(_), is_chunked: true } => Err(Ambiguous),
                Body { is_chunked: true, .. } => Ok(State::ChunkSize),
                Body { length: None | Some(0), .. } => Ok(State::RequestLine),
                Body { length: Some(left), .. } => Ok(State::Bytes { left, is_chunk: false }),
            },
            State::Fields => self.field(line).map(|()| State::Fields),
            State::ChunkSize => match chunk_size(line)? {
                0 => Ok(State::Trailers),
                left => Ok(State::Bytes { left, is_chunk: true }),
            },
            State::ChunkEnd if line.is_empty() => Ok(State::ChunkSize),
            State::ChunkEnd => Err(Ambiguous),
            State::Trailers if line.is_empty() => Ok(State::RequestLine),
            State::Trailers => Ok(State::Trailers),
            State::Bytes { .. } | State::Other | State::Broken => Err(Ambiguous),
        }
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Ambiguous> {
        // Most fields end here.
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T' | b' ' | b'\t')) {
            return Ok(());
        }
        // A folded line belongs to the field before it for some, and is one of its own for others.
        if line[0].is_ascii_whitespace() {
            return Err(Ambiguous);
        }
        let Some(colon) = memchr::memchr(b':', line) else { return Err(Ambiguous) };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = value.iter().all(u8::is_ascii_digit).then_some(value).ok_or(Ambiguous)?;
            let length = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or(Ambiguous)?;
            // Also where both say the same: no client does that.
            if self.body.length.replace(length).is_some() {
                return Err(Ambiguous);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // Which codings there are is looked at above, where there is an answer for them.
            if std::mem::replace(&mut self.body.is_chunked, true) {
                return Err(Ambiguous);
            }
        } else if name.trim_ascii().len() != name.len() {
            return Err(Ambiguous);
        }
        Ok(())
    }
}

/// The size that a chunk begins with; extensions are allowed and mean nothing.
fn chunk_size(line: &[u8]) -> Result<u64, Ambiguous> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, rest) = line.split_at(digits);
    let rest = rest.trim_ascii();
    if digits == 0 || digits > SIZE_DIGITS_MAX || !(rest.is_empty() || rest[0] == b';') {
        return Err(Ambiguous);
    }
    let size = std::str::from_utf8(size).ok().and_then(|size| u64::from_str_radix(size, 16).ok());
    size.ok_or(Ambiguous)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of the bytes, given in pieces of so many bytes.
    fn followed(text: &[u8], piece: usize) -> (Vec<u8>, Framing) {
        let (mut bytes, mut framing) = (text.to_vec(), Framing::default());
        for piece in bytes.chunks_mut(piece) {
            framing.follow(piece);
        }
        (bytes, framing)
    }

    #[test]
    fn what_can_be_read_in_one_way_stays_as_it_is_however_it_comes() {
        for text in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\na\nb\0cGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\na\nb\r\n\r\n0\r\nX: 1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\n\n\r",
        ] {
            for piece in 1..=text.len() {
                let (bytes, framing) = followed(text.as_bytes(), piece);
                assert_eq!(String::from_utf8_lossy(&bytes), text, "in pieces of {piece}");
                assert!(matches!(framing.state, State::RequestLine | State::Other) && framing.line.is_empty());
            }
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_broken_before_its_head_or_chunk_is_whole() {
        for text in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nabcde",
            "POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\nabcde",
            "POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\nabcde",
            "POST / HTTP/1.1\r\nContent-Length:\r\n\r\nabcde",
            "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length : 5\r\n\r\nabcde",
            "POST / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nX: a\r\n Content-Length: 5\r\n\r\nabcde",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\nabcde\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdef\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabcde\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r\nabcde\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1000000000000005\r\nabcde\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a\rb\r\nabcde\r\n0\r\n\r\n",
        ] {
            for piece in 1..=text.len() {
                let (bytes, framing) = followed(text.as_bytes(), piece);
                assert_ne!(bytes, text.as_bytes(), "{text:?} in pieces of {piece}");
                assert!(matches!(framing.state, State::Other | State::Broken), "{text:?} in pieces of {piece}");
            }
        }
        let endless = vec![b'a'; LINE_MAX + 2];
        let (bytes, framing) = followed(&endless, 4096);
        assert!(bytes.contains(&BROKEN) && framing.line.len() <= LINE_MAX + 4096);
    }
}
