//! Lines from a pipe, with a deadline: a process that hangs must not hang its reader.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// A longer line is no answer of a worker's: the largest holds 100 000 durations.
const MAX_LINE: usize = 4 << 20;

/// Reads lines from a pipe.
pub struct LineReader<R> {
    pipe: R,
    buffer: Vec<u8>,
}

/// What came instead of a line.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The other side closed the pipe.
    #[error("the pipe was closed")]
    Closed,
    /// No line in time.
    #[error("no answer within {0:?}")]
    Deadline(Duration),
    /// More than a line may hold.
    #[error("an answer of more than {MAX_LINE} bytes")]
    TooLong,
    /// The pipe broke.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl<R: Read + AsFd> LineReader<R> {
    /// Reads from this pipe.
    pub fn new(pipe: R) -> Self {
        Self {
            pipe,
            buffer: Vec::new(),
        }
    }

    /// The next line without its end, as soon as it is there, at the latest after `patience`.
    pub fn line(&mut self, patience: Duration) -> Result<Vec<u8>, ReadError> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
                line.pop();
                return Ok(line);
            }
            if self.buffer.len() > MAX_LINE {
                return Err(ReadError::TooLong);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec {
                tv_sec: left.as_secs().cast_signed(),
                tv_nsec: left.subsec_nanos().into(),
            };
            match poll(
                &mut [PollFd::new(&self.pipe, PollFlags::IN)],
                Some(&timeout),
            ) {
                // A signal, say: its flag is looked at when the sample is there.
                Err(rustix::io::Errno::INTR) => continue,
                Err(e) => return Err(io::Error::from(e).into()),
                Ok(0) => return Err(ReadError::Deadline(patience)),
                Ok(_) => {}
            }
            let mut chunk = [0; 16384];
            match self.pipe.read(&mut chunk) {
                Ok(0) => return Err(ReadError::Closed),
                Ok(n) => self.buffer.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn lines_come_whole_however_they_were_written() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut lines = LineReader::new(reader);
        let patience = Duration::from_secs(10);
        writer.write_all(b"one\ntw").unwrap();
        assert_eq!(lines.line(patience).unwrap(), b"one");
        writer.write_all(b"o\n\nrest").unwrap();
        assert_eq!(lines.line(patience).unwrap(), b"two");
        assert_eq!(lines.line(patience).unwrap(), b"");
        assert!(matches!(
            lines.line(Duration::ZERO),
            Err(ReadError::Deadline(_))
        ));
        drop(writer);
        assert!(matches!(lines.line(patience), Err(ReadError::Closed)));
    }

    #[test]
    fn an_endless_line_is_cut_off() {
        let (reader, mut writer) = io::pipe().unwrap();
        let flood =
            std::thread::spawn(move || while writer.write_all(&vec![b'x'; 65536]).is_ok() {});
        let mut lines = LineReader::new(reader);
        assert!(matches!(
            lines.line(Duration::from_mins(1)),
            Err(ReadError::TooLong)
        ));
        drop(lines);
        flood.join().unwrap();
    }
}
