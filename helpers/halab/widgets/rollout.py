"""Rollouts: each Deployment's revisions, filling and draining."""

from __future__ import annotations

from halab.timeline import words
from halab.timeline.picture import Change, Picture
from halab.widgets.base import PictureWidget, script, style


class Rollout(PictureWidget):
    """Shows the Deployments of the picture with a bar for every revision that has, or had, pods."""

    _esm = script("common.js", "rollout.js")
    _css = style("common.css", "rollout.css")

    def sentence(self, old: Picture, change: Change, new: Picture) -> str:
        said = []
        for key in change["set"]:
            if key.startswith("deployment/") and old.get(key, {}).get("word") != new[key]["word"]:
                one = new[key]
                said.append(f"{one['name']}: {one['word']}, {one['available']} of {one['wanted']} available")
        said += [f"deployment {old[key]['name']} is gone" for key in change["gone"] if key.startswith("deployment/")]
        return "; ".join(said[: words.MOST])

    def __repr__(self) -> str:
        return words.rollouts(self.picture)
