//! What one does with a connection: the HTTP file server.
