//! Bytes with meaning, without HTTP: ranges, escapes, packets, TCP sequence numbers and states. Pure: no socket, no clock, no thread.
