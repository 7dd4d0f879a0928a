# %% [markdown] id="title"
# # 11 · Images that are always there
#
# It is three at night, a node dies, and its pods are to start on another one. That node has never run this image. It asks the registry, and the registry
# is down, or somebody has pushed something else under the same tag since. The app was fine, the cluster was fine, and you have an outage all the same:
# **an image is a dependency, and it is needed exactly when other things break.**
#
# Two questions decide how that night goes. *Can the image be had?* (a second registry, a mirror, the node's own cache.) And *is it the one I tested?* (a
# digest instead of a tag.) This lab answers both, and takes the first registry away to see.

# %% id="connect"
import halab

lab = halab.lab("11-images-that-are-always-there")
lab

# %% id="topology"
lab.topology()

# %% [markdown] id="registries-words"
# ## Two registries
#
# A registry is a small web server that keeps *blobs* by their hash and *tags* that point to them. Two of them, on two ports of an address that belongs to
# your cluster alone (`$LAB_ADDRESS`). Nothing in them is special: `docker push` and `skopeo copy` can use them as well.

# %% id="registries"
# !halab image registry start first --address $LAB_ADDRESS:5000
# !halab image registry start second --address $LAB_ADDRESS:5001
# !halab image registry ls

# %% [markdown] id="push-words"
# ## Build once, push twice
#
# The folder `shop` holds a Dockerfile. **Your turn.** Build it as `shop:1.0`, tag that image for each registry (`ADDRESS:PORT/shop:1.0`: the registry is the
# first part of an image's name), and push both.

# %% id="push" role="answer"
### BEGIN SOLUTION
# !halab image build shop -t shop:1.0 --quiet
# !halab image tag shop:1.0 $LAB_ADDRESS:5000/shop:1.0
# !halab image tag shop:1.0 $LAB_ADDRESS:5001/shop:1.0
# !halab image push $LAB_ADDRESS:5000/shop:1.0
# !halab image push $LAB_ADDRESS:5001/shop:1.0
### END SOLUTION

# %% id="check-pushed" role="check" points=1
lab.expect("pushed-to-both")

# %% [markdown] id="digest-words"
# Look at the last line of each push: the same `sha256:…`. That is the **digest**, the hash of the image's manifest, which holds the hashes of its layers. A tag is a
# note on a box, and anybody who may push can stick it on another box; a digest *is* the content. Ask the registry itself:

# %% id="digest"
import os

from halab.course.requests import fetch

address = os.environ["LAB_ADDRESS"]
manifest = "application/vnd.oci.image.manifest.v1+json"
digest = fetch(
    (address, 5000), "/v2/shop/manifests/1.0", method="HEAD", headers={"Accept": manifest}
).headers["docker-content-digest"]
image = f"{address}:5000/shop@{digest}"
image

# %% [markdown] id="deploy-words"
# **Your turn.** Complete the Deployment: instead of `IMAGE`, the name that nobody can change behind your back. (In a cell of Python a file is quickly filled in: read
# `deployment.yaml`, replace `IMAGE`, write it back.)

# %% id="deploy" role="answer"
### BEGIN SOLUTION
from pathlib import Path

file = Path("deployment.yaml")
file.write_text(file.read_text().replace("IMAGE", image))
# !grep image: deployment.yaml
### END SOLUTION

# %% id="apply"
# !kubectl apply -f deployment.yaml
# !kubectl rollout status deployment/shop --timeout=60s
# !kubectl get pods -o custom-columns=POD:.metadata.name,RUNS:.status.containerStatuses[0].imageID

# %% id="check-runs" role="check" points=2
lab.expect("runs-what-was-pushed")

# %% [markdown] id="mirror-words"
# ## The first registry goes away
#
# Tell the nodes that the second registry has what the first one has. (With containerd the same stands in
# `/etc/containerd/certs.d/HOST/hosts.toml`; a cluster's administrator writes it once for all nodes.)
#
# **Your turn.** `halab image registry mirror --help` shows how.

# %% id="mirror" role="answer"
### BEGIN SOLUTION
# !halab image registry mirror $LAB_ADDRESS:5000 $LAB_ADDRESS:5001
### END SOLUTION

# %% id="predict"
lab.predict(
    "down",
    "The first registry is stopped. Nothing else. What happens to the two pods that run?",
    [
        "nothing: a running container does not need its registry",
        "they go to ImagePullBackOff within a minute",
        "they are restarted from the mirror",
    ],
    ### BEGIN SOLUTION
    answer=0,
    ### END SOLUTION
)

# %% id="stop-first"
# !halab image registry stop first

# %% id="explain"
answers = [lab.scene.ask_pod(pod, 80) for pod in lab.scene.pods("app=shop")]
lab.explain(
    "down",
    0,
    f"with the first registry down, the pods answer {[answer.status for answer in answers]}",
)

# %% [markdown] id="cache-words"
# A pod that starts *anew on a node that has the image* does not need a registry either, as long as its `imagePullPolicy` is `IfNotPresent` (the default for a digest
# and for every tag but `:latest`). With `Always` the kubelet asks the registry about the tag at every start, cached or not: the registry becomes a part of your availability.
# (So it does from Kubernetes 1.35 on, whatever the policy, for a private image that was pulled here with *another* pod's credentials:
# the kubelet [has these verified first](https://kubernetes.io/docs/concepts/containers/images/#ensureimagepullcredentialverification).)
#
# The hard case is the node that has never seen the image. The check makes one: first registry down, the nodes' copy forgotten, a pod deleted.

# %% id="start-first"
# !halab image registry start first --address $LAB_ADDRESS:5000

# %% id="check-down" role="check" points=2
lab.expect("starts-without-the-first-registry")

# %% [markdown] id="event-words"
# What the kubelet wrote about it:

# %% id="events"
which = "--field-selector reason=Pulled --sort-by=.lastTimestamp"
# !kubectl get events {which} -o custom-columns=MESSAGE:.message | tail -1

# %% [markdown] id="rollback-words"
# ## Forward, and back
#
# Version 1.1 is built from the same Dockerfile with another argument, pushed to both registries, and rolled out by its digest:

# %% id="release"
# !halab image build shop -t shop:1.1 --build-arg RELEASE=1.1 --quiet
for port in (5000, 5001):
    name = f"{address}:{port}/shop:1.1"
    lab.scene.images.tag("shop:1.1", name)
    new = lab.scene.images.push(name, lambda line: None)
# !kubectl set image deployment/shop app={address}:5000/shop@{new}
# !kubectl rollout status deployment/shop --timeout=60s

# %% id="new-version" tags=["nbval-check-output"]
print(
    {lab.scene.ask_pod(pod, 80).headers["x-version"] for pod in lab.scene.pods("app=shop")}
)

# %% [markdown] id="predict-tag-words"
# ## What a tag does to you
#
# A second Deployment, `careless`, names a tag: `shop:stable`, which today means 1.0.

# %% id="careless"
stable = f"{address}:5000/shop:stable"
lab.scene.images.tag("shop:1.0", stable)
lab.scene.images.push(stable, lambda line: None)
# !kubectl create deployment careless --image={stable} --replicas=2
# !kubectl rollout status deployment/careless --timeout=60s

# %% id="predict-tag"
lab.predict(
    "tag",
    "Somebody pushes version 1.1 under the same tag, shop:stable. Then one of careless' two pods "
    "is lost and replaced on a node without a copy. What runs?",
    [
        "1.0 in both pods: Kubernetes remembers what the tag meant",
        "1.1 in both pods: Kubernetes notices and rolls out",
        "1.0 in one and 1.1 in the other, and the Deployment says nothing",
    ],
    ### BEGIN SOLUTION
    answer=2,
    ### END SOLUTION
)

# %% id="move-tag"
lab.scene.images.tag("shop:1.1", stable)
lab.scene.images.push(stable, lambda line: None)
# !kubectl delete $(kubectl get pods -l app=careless -o name | head -1)
# !kubectl rollout status deployment/careless --timeout=60s

# %% id="explain-tag"
versions = sorted(
    lab.scene.ask_pod(pod, 80).headers["x-version"]
    for pod in lab.scene.wait_for_ready("deployments", "careless", 2)
)
lab.explain("tag", 2, f"careless' pods answer {versions}; its template never changed")

# %% id="mixed" tags=["nbval-check-output"]
print(versions)

# %% id="remove-careless"
# !kubectl delete deployment careless

# %% [markdown] id="undo-words"
# And `rollout undo` goes back to the old *template*: with a tag in it, to whatever that tag means by then. With a digest, to the bytes that ran before.
#
# **Your turn.** Go back.

# %% id="undo" role="answer"
### BEGIN SOLUTION
# !kubectl rollout undo deployment/shop
# !kubectl rollout status deployment/shop --timeout=60s
### END SOLUTION

# %% id="check-back" role="check" points=1
lab.expect("rolled-back")

# %% [markdown] id="fidelity"
# **What is real here.** The registries speak the OCI distribution protocol, and pulls, digests and mirrors are what they are elsewhere. One thing is smaller: the nodes of the
# embedded cluster are processes of one machine and share one image store, so an image that one has, all have. On a real cluster each node has its own
# cache, and garbage collection empties it when the disk fills.

# %% [markdown] id="recap"
# ## Remember
#
# **A tag is a promise, a digest is a proof; and an image that only one registry has is a single point of failure.**
#
# Read on: [Images and pull policy](https://kubernetes.io/docs/concepts/containers/images/) ·
# [OCI distribution specification](https://github.com/opencontainers/distribution-spec/blob/main/spec.md) ·
# [containerd: registry hosts](https://github.com/containerd/containerd/blob/main/docs/hosts.md) ·
# [Rolling back a Deployment](https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-back-a-deployment)
