"""Containers outside any cluster: what ``docker run`` does, for the lab on images. Each is watched by a small process of its own."""
