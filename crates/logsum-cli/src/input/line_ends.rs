//! Converts the line ends of all systems to one.

use std::io::{self, Read};

/// Text in which every line ends in `\n`: also those that end in `\r\n`, or in `\r` alone as on old Macs.
pub(super) struct LineEnds<R> {
    source: R,
    /// The last byte was `\r`; a `\n` that comes next belongs to it.
    is_after_return: bool,
}

impl<R> LineEnds<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, is_after_return: false }
    }
}

impl<R: Read> Read for LineEnds<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.source.read(buffer)?;
            if !self.is_after_return && !buffer[..count].contains(&b'\r') {
                return Ok(count);
            }
            let mut length = 0;
            for place in 0..count {
                let byte = buffer[place];
                let is_return = byte == b'\r';
                let belongs = std::mem::replace(&mut self.is_after_return, is_return) && byte == b'\n';
                if !belongs {
                    buffer[length] = if is_return { b'\n' } else { byte };
                    length += 1;
                }
            }
            // Returning 0 bytes would mean the end of the file.
            if length > 0 || count == 0 {
                return Ok(length);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LineEnds;
    use std::io::{Read, Result};

    /// A source that gives at most so many bytes at a read.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
            let count = self.1.min(buffer.len());
            (&mut self.0).read(&mut buffer[..count])
        }
    }

    #[test]
    fn line_ends_are_one_wherever_a_read_ends() {
        for size in 1..9 {
            let mut text = String::new();
            let pieces = Pieces(b"a\r\nb\rc\n\r\n\r\rd\n\ne\r", size);
            LineEnds::new(pieces).read_to_string(&mut text).unwrap();
            assert_eq!(text, "a\nb\nc\n\n\n\nd\n\ne\n", "{size}");
        }
    }
}
