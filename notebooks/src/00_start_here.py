# %% [markdown] id="title"
# # 00 · Start here
#
# Users do not care whether a server is up. They care whether *their request* got an answer. **High availability** is the craft of
# answering although machines, programs and people fail. In this course you run a real application on a real cluster, send it real
# requests, break things on purpose, and look at who was hurt and for how long.
#
# This first notebook takes fifteen minutes. At its end you know which cluster you are on, what is real on it, and how to talk to it.

# %% [markdown] id="how"
# **How a notebook works.** Run the cells from top to bottom, each with <kbd>Shift</kbd>+<kbd>Enter</kbd>. A line that begins with `!` is a shell command, as you would
# type it in a terminal, but for its braces: `{url}` stands for what Python calls `url`, and a brace that is meant for the shell is written twice.
#
# You can break nothing that one call cannot mend: `lab.reset()` sets the scene back. And if a cell says that a name is *not defined*, for example after a restart of the
# kernel, then the cell that makes it was not run: begin with the next one.

# %% id="connect"
import halab

lab = halab.lab("00-start-here")
lab

# %% [markdown] id="cluster-words"
# ## Your cluster
#
# The cell above connected you to a **cluster**: some machines, called **nodes**, that share the work of running your programs, and an
# **API server** that knows what should run where. Ask the API server for the nodes with `kubectl`, the command line of Kubernetes:

# %% id="nodes" tags=["nbval-check-output"]
# !kubectl get nodes

# %% [markdown] id="what-is-real"
# On a laptop with Docker the nodes may be containers; in a classroom they may be machines. Where there is nothing but Python, as on
# Binder, halab brings its own **embedded cluster**: the same API, the same `kubectl`, and every "container" is a real process
# with its own address that answers real requests. What differs from the real thing is said, never hidden:

# %% id="status"
# !halab status

# %% [markdown] id="badge-words"
# Where it matters, a lab shows a **badge**: ● real, ◐ simulated, ○ accepted but not enforced, ✕ absent. Open one to read what is different. (All of them: `halab fidelity`.)

# %% id="badges"
lab.badges("Node", "Container isolation")

# %% [markdown] id="map"
# ## The map
#
# Here is the cluster as a picture. It is live: leave it open while you go on. Each box is a node. What runs there will appear in the boxes as **pods** (you make one in a moment), and
# the state of a pod shows in its shape, its colour and its text. Select a pod (click, or <kbd>Tab</kbd> and the arrow keys) to see its events and log.
#
# To keep it in sight in JupyterLab while you scroll, right-click it and choose *Create New View for Cell Output*.

# %% id="topology"
lab.topology()

# %% [markdown] id="first-pod"
# ## Your first pod
#
# A **pod** is the smallest thing that Kubernetes runs: one program (or a few that belong together), with an address of its own.
#
# **Your turn.** Run a pod called `hello` from the image `nginx:1.17.10`, a web server that listens on port 80. The command is
# `kubectl run NAME --image=IMAGE --port=PORT`. Watch the map while you do it.

# %% id="run-hello" role="answer"
### BEGIN SOLUTION
# !kubectl run hello --image=nginx:1.17.10 --port=80
### END SOLUTION

# %% [markdown] id="wait-words"
# A pod takes a moment. `kubectl wait` waits for a condition, instead of for a while:

# %% id="wait-hello" tags=["nbval-check-output"]
# !kubectl wait --for=condition=Ready pod/hello --timeout=60s

# %% [markdown] id="ask-words"
# Now be the user. `lab.url` tells where something in the cluster is reached from this machine, and `curl` sends the request:

# %% id="ask" tags=["nbval-check-output"]
url = lab.url("pod/hello")
# !curl -s -o /dev/null -w "%{{http_code}}\n" {url}

# %% [markdown] id="log-words"
# The web server wrote a line for your request. That line is in the pod's log:

# %% id="log"
# !kubectl logs hello --tail=3

# %% [markdown] id="check-words"
# ## Did it work?
#
# A lab's checks look at **behaviour**: they send requests, as you just did. Run them whenever you like; if something is not there yet, they say
# what they saw. `lab.hint()` says where to look.

# %% id="check-nodes" role="check" points=1
lab.expect("nodes-ready")

# %% id="check-hello" role="check" points=1
lab.expect("own-pod-answers")

# %% [markdown] id="predict-words"
# ## One question before you go on
#
# You have one pod and nobody who looks after it. Make up your mind first, then see.

# %% id="predict"
lab.predict(
    "delete-bare-pod",
    "You delete the pod hello. What happens to the next request?",
    [
        "Kubernetes starts it again, the request is answered",
        "Nobody replaces it, the request fails",
    ],
    ### BEGIN SOLUTION
    answer=1,
    ### END SOLUTION
)

# %% id="inject"
# !kubectl delete pod hello --now
after = lab.get(url)
print(after)

# %% id="explain" tags=["nbval-check-output"]
lab.explain("delete-bare-pod", 1, f"a request to where hello was: {after}")

# %% [markdown] id="timeline-words"
# ## Look back
#
# A lab keeps a record of what happened. Move along the line below (drag, or <kbd>←</kbd> <kbd>→</kbd>): the map shows the cluster as it was at that second, and what you predicted
# stands beside what happened.

# %% id="timeline"
lab.timeline()

# %% [markdown] id="recap"
# ## Remember
#
# **A pod on its own is lost when it is lost.** Something must promise to replace it. That is lab 02; first, lab 01 builds the image that it runs.
#
# Read on: [Pods](https://kubernetes.io/docs/concepts/workloads/pods/) ·
# [Cluster architecture](https://kubernetes.io/docs/concepts/architecture/) ·
# [kubectl](https://kubernetes.io/docs/reference/kubectl/)
