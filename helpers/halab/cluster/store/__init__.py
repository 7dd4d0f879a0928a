"""The cluster's memory: a log of revisions in SQLite, the current objects in memory, and watches on both."""
