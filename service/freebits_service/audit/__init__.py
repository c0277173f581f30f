"""Reading the trail of who changed what; it is written by `accounts.queries.record`."""
