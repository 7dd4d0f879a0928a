"""The Dockerfile language: text -> instructions, variables, .dockerignore. Pure; what instructions do is in ``halab.images.build``."""
