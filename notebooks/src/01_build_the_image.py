# %% [markdown] id="title"
# # 01 · Build the image
#
# A program that runs on your machine is not yet a program that can run anywhere. It needs its files, its libraries, its settings, a way to start, all
# of it together and always the same. That bundle is an **image**; a running copy of it is a **container**.
#
# Why does that matter for availability? Because recovery means *starting again somewhere else*, fast and exactly alike. In this lab you build two
# images: the one that a thousand articles show, and one that is worth keeping. You also see what a restart policy can do for you on a single machine,
# and what it cannot.

# %% id="connect"
import halab

lab = halab.lab("01-build-the-image")
lab

# %% [markdown] id="dockerfile-words"
# ## The recipe
#
# A **Dockerfile** is the recipe of an image. An instruction that changes files adds a **layer** on top of the layers below it; the others note settings:
#
# - `FROM` names the image to start from,
# - `RUN` runs a command in it and keeps what changed,
# - `EXPOSE` notes on which port the program listens,
# - `CMD` says how to start it.
#
# **Your turn.** Complete the Dockerfile: start from `ubuntu:18.04`, install `nginx` with `apt-get` (update first, in the same
# `RUN`), note port 80, and start `nginx -g "daemon off;"`.

# %% id="write-dockerfile" role="answer"
# %%writefile article/Dockerfile
# ### BEGIN SOLUTION
# FROM ubuntu:18.04
#
# RUN apt-get update && apt-get install -y nginx
#
# EXPOSE 80
#
# CMD ["nginx", "-g", "daemon off;"]
# ### END SOLUTION

# %% id="build"
# !halab image build -t my-nginx:1.0 article

# %% [markdown] id="layers-words"
# ## Layers
#
# `history` shows them, newest first, each with its instruction and its size (0 for one that only notes a setting):

# %% id="history"
# !halab image history my-nginx:1.0

# %% id="badges"
lab.badges("docker build without Docker", "Base images")

# %% [markdown] id="cache-words"
# Build it again. Nothing in the recipe changed, so every step comes from the **cache**. That is why the order of instructions
# matters: a change invalidates its own step and all that follow.

# %% id="build-again"
# !halab image build -t my-nginx:1.0 article

# %% id="check-cache" role="check" points=1
lab.expect("rebuild-hits-the-cache")

# %% [markdown] id="run-words"
# ## Run it
#
# `-p 8080:80` makes port 80 of the container reachable as port 8080 of this machine (or as the next free one, if somebody has 8080 already).

# %% id="run"
port = lab.free_port(8080)
# !halab image run -d --name try -p {port}:80 my-nginx:1.0

# %% id="ask" tags=["nbval-check-output"]
# !curl -s -o /dev/null --retry 5 --retry-connrefused -w "%{{http_code}}\n" http://127.0.0.1:{port}/

# %% id="stop-try"
# !halab image rm --force try

# %% id="check-image" role="check" points=2
lab.expect("the-image-answers")

# %% [markdown] id="better-words"
# ## A better image
#
# The recipe above works, and it is what the article that inspired this course shows. Look at it as someone who will be called at night:
#
# | in the article | the trouble | instead |
# | --- | --- | --- |
# | `ubuntu:18.04` | no standard security updates since May 2023 | a maintained base, pinned |
# | `apt-get install` of whatever is current | two builds differ | a base that has the program in a known version |
# | one stage | build tools stay in the image | a stage for building, a stage for running |
# | nobody asks whether it works | a hung server looks healthy | `HEALTHCHECK`, and probes in lab 05 |
# | `SIGTERM` cuts requests off | failed requests at every update | `STOPSIGNAL SIGQUIT`: nginx finishes what it began |
#
# The folder `better` has such a recipe:

# %% id="show-better"
# !cat better/Dockerfile

# %% id="build-better"
# !halab image build -t my-nginx:1.1 better

# %% id="images"
# !halab image ls

# %% [markdown] id="digest-words"
# ## Names move, digests do not
#
# A **tag** like `1.1` is a name that anybody can give to another image tomorrow. A **digest** is computed from the content: same digest, same bytes. Whoever must know
# *exactly* what runs, pins the digest.

# %% id="digest"
print(lab.scene.images.inspect("my-nginx:1.1")["Digest"])

# %% [markdown] id="save-words"
# ## Take it with you
#
# `save` writes the image as one file in the format of the Open Container Initiative. `docker load`, `skopeo` and every registry understand it.

# %% id="save"
# !halab image save my-nginx:1.1 -o my-nginx.tar
# !ls -lh my-nginx.tar

# %% [markdown] id="restart-words"
# ## One machine's way to stay up
#
# A container's **restart policy** says what happens when its program ends: `no`, `on-failure`, `always`, `unless-stopped`.
#
# **Your turn.** Run `my-nginx:1.1` detached, with the name `web`, on the port `{port}`, and with a restart policy that brings it back when it is killed.

# %% id="predict"
lab.predict(
    "kill-with-policy",
    "The container web has a restart policy. You kill its process. What do users see?",
    [
        "nothing at all",
        "a short gap, then answers again",
        "errors until you start it yourself",
    ],
    ### BEGIN SOLUTION
    answer=1,
    ### END SOLUTION
)

# %% id="run-web" role="answer"
### BEGIN SOLUTION
# !halab image run -d --name web --restart always -p {port}:80 my-nginx:1.1
### END SOLUTION

# %% id="meter"
meter = lab.traffic(f"http://127.0.0.1:{port}", rate=50)
meter

# %% id="kill"
meter.wait(1)
pid = lab.scene.images.container("web").pid
# !kill -9 {pid}
meter.wait(3)
record = meter.stop()

# %% id="explain"
lab.explain(
    "kill-with-policy",
    1,
    f"{record.sent - record.ok} of {record.sent} requests lost, longest outage {record.longest_outage:.1f} s",
)

# %% [markdown] id="not-stop"
# (`halab image stop web`, like `docker stop`, would be another matter: what you stop on purpose stays stopped.)

# %% id="check-restart" role="check" points=2
lab.expect("a-killed-container-answers-again")

# %% [markdown] id="recap"
# ## Remember
#
# **An image makes a program the same everywhere; a restart policy brings it back on this machine.** When the *machine* is lost, nobody is left to keep the policy. That takes a
# cluster: lab 02.
#
# Read on: [Dockerfile reference](https://docs.docker.com/reference/dockerfile/) ·
# [Images](https://kubernetes.io/docs/concepts/containers/images/) ·
# [Restart policies](https://docs.docker.com/engine/containers/start-containers-automatically/)
