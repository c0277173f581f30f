"""Plain files of what is stored in a symmetric form: made once, kept for a while on this machine, read by many."""
