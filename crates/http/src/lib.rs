//! HTTP/1.1 messages: heads, targets, dates, limits. Pure: no socket, no clock, no thread.
