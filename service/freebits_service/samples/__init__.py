"""Numbers about the whole hub that cost a look at many rows: taken by one process, read by all."""
