//! Seeing: records of calls, messages and segments, joined on one byte axis and drawn.
