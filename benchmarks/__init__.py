"""What halab costs, measured: ``make bench`` prints a table and JSON. Numbers to read, never tests that can fail."""
