"""What every layer may lean on: processes that end with their parent, an HTTPS server, one event loop for synchronous callers."""
