"""An image that cannot be pulled is rolled out."""

from __future__ import annotations

from halab.backends.access import Obj
from halab.faults.rollouts import RolloutFault


class ImageUnpullable(RolloutFault):
    name = "image-unpullable"
    title = "Image cannot be pulled"
    does = "The workload's image is changed to a tag that does not exist."
    expect = (
        "New pods wait in ErrImagePull and ImagePullBackOff; the rollout stands still. With the default RollingUpdate the old pods serve on "
        "and users notice nothing; with Recreate everything is down."
    )
    within = "a few seconds"
    heals = "The former image is set again, unless you have done so yourself."

    def wrong(self, container: Obj) -> dict[str, object]:
        image = str(container["image"]).partition("@")[0]
        name, colon, tag = image.rpartition(":")
        return {"image": f"{name if colon and '/' not in tag else image}:no-such-tag"}
