//! Who did what at which virtual time, as text: a line each.

use std::fmt;
use std::time::Duration;

/// What happened so far. Lines beyond the bound are counted, not kept.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    text: String,
    left_out: u64,
}

/// Bytes of text that are kept.
const LONGEST: usize = 16 * 1024 * 1024;

impl Transcript {
    pub(crate) fn line(&mut self, now: Duration, what: fmt::Arguments<'_>) {
        if self.text.len() > LONGEST {
            self.left_out += 1;
            return;
        }
        let seconds = now.as_secs();
        let nanos = now.subsec_nanos();
        fmt::Write::write_fmt(&mut self.text, format_args!("{seconds:>5}.{nanos:09} {what}\n"))
            .expect("a string takes everything");
    }

    pub(crate) fn text(&self) -> String {
        match self.left_out {
            0 => self.text.clone(),
            count => format!("{}({count} more lines)\n", self.text),
        }
    }
}

/// Stands for content: FNV-1a of it, in 32 bits.
pub(crate) fn digest(bytes: &[u8]) -> u32 {
    let mut hash: u32 = 0x811c_9dc5;
    for byte in bytes {
        hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_published_function() {
        assert_eq!(digest(b""), 0x811c_9dc5);
        assert_eq!(digest(b"foobar"), 0xbf9c_f968);
    }

    #[test]
    fn a_transcript_without_end_is_cut_off_and_says_so() {
        let mut transcript = Transcript::default();
        let word = "x".repeat(LONGEST / 2);
        for _ in 0..4 {
            transcript.line(Duration::from_millis(1500), format_args!("{word}"));
        }
        let text = transcript.text();
        assert!(text.starts_with("    1.500000000 x"));
        assert!(text.ends_with("x\n(2 more lines)\n"), "{}", &text[text.len() - 40..]);
    }
}
