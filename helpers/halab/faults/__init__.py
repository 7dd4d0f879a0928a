"""Break it on purpose: a catalogue of failures, each injected and healed, none outliving its time or whoever injected it.

``api`` is the front door; ``catalogue`` has one file a failure; ``engine`` injects, records and heals; ``guard`` is the small process
that heals when the time is over or the injecting process has died; ``scenario`` plays a seeded series of them.
"""
