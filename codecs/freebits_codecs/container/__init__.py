"""The container: chunk records, index and footer around the codecs (FORMAT.md)."""
