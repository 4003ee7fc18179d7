"""JetStream: declare streams, publish with an expected sequence, read back, replay."""
