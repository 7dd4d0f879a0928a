"""The course: labs, their checks, hints and the learner's progress. Knows nothing of how a cluster is made."""
