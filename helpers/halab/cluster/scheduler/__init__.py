"""The scheduler: which node each pod runs on. Filters and scores are pure; ``loop.py`` is the part that talks to the API."""
