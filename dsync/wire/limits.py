"""What messages may be, on both sides of the wire."""

# Bytes of a message, after decompression, either way.
MOST_BYTES = 64 << 20
# Of documents in a batch: leaves room for what else is in a message.
MOST_BATCH_BYTES = 48 << 20
# What a sink behind gRPC may wish for: a batch is full with the page that passes this.
PREFERRED_BATCH_BYTES = 32 << 20
# Bytes, documents and connector's own pages in an answer of ListData (measured: pages of 64 KB cost three times as much).
PAGE_BYTES, PAGE_DOCUMENTS, PAGE_UNIT_BYTES = 1 << 20, 10_000, 64 << 10
# Calls at once, streams among them.
MOST_CALLS = 256

MESSAGE_SIZES = (("grpc.max_receive_message_length", MOST_BYTES), ("grpc.max_send_message_length", MOST_BYTES))


def megabytes(size: int) -> str:
    """A size as people read it."""
    return f"{size / (1 << 20):.1f} MiB"
