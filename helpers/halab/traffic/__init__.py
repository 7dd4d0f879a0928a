"""What users see: a constant-rate probe in a process of its own, and the arithmetic of availability."""
