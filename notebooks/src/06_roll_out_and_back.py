# %% [markdown] id="title"
# # 06 · Roll out and back: the commonest cause of outages is a change
#
# Hardware fails seldom; versions change every week. Most outages begin with somebody deploying something. So the two skills that buy the most
# availability are changing a version without a lost request, and getting back fast when the new one is bad.
#
# A Deployment does both, if you tell it how. At the end of this lab you will have changed a version under load without one failed request, and let a
# broken version loose that no user ever met.

# %% id="connect"
import halab

lab = halab.lab("06-roll-out-and-back")
lab

# %% id="topology"
lab.topology()

# %% [markdown] id="scene-words"
# The scene: `web`, three pods of `halab-app:1.0` that need a second until they listen, and a Service. Every answer says its version.

# %% id="pods"
# !kubectl rollout status deployment/web --timeout=60s

# %% id="version-now" tags=["nbval-check-output"]
print(lab.scene.wait_for_service("web").headers["x-version"])

# %% [markdown] id="predict-words"
# ## The wrong way first
#
# The Deployment's `strategy` is `Recreate`. Its other choice, and the default, is `RollingUpdate`. You change the image to `halab-app:2.0` now, with users watching.

# %% id="predict-recreate"
lab.predict(
    "recreate",
    "strategy Recreate, three pods, a new image. What do the users see?",
    [
        "version 1.0, then, from one request to the next, version 2.0",
        "for a while a mixture of 1.0 and 2.0",
        "nothing at all for a while, then version 2.0",
    ],
    ### BEGIN SOLUTION
    answer=2,
    ### END SOLUTION
)

# %% id="meter"
meter = lab.traffic("service/web", rate=20)
meter

# %% [markdown] id="rollout-picture-words"
# The picture of a rollout: each revision of the template with its pods, filling and draining. Keep it in view.

# %% id="rollout-picture"
lab.rollout()

# %% id="recreate" tags=["nbval-check-output"]
# !kubectl set image deployment/web app=halab-app:2.0

# %% id="recreate-wait"
# !kubectl rollout status deployment/web --timeout=60s
lab.scene.wait_for_service("web")
meter.wait(1)
meter.stop()

# %% id="explain-recreate"
record = meter.record()
lab.explain(
    "recreate",
    2,
    f"{record.sent - record.ok} of {record.sent} requests failed; the longest outage was {record.longest_outage:.1f} s",
)

# %% [markdown] id="undo-words"
# All old pods are stopped before the first new one starts. And when `kubectl rollout status` said that all was done, nobody listened yet: without a
# readiness probe a pod counts as ready as soon as it runs. There are programs that need this (two versions must never write to the same disk); a web
# service is not one of them.
#
# ## The way back
#
# The old template is not lost. Each template has a ReplicaSet of its own, and the Deployment keeps the last ten (`revisionHistoryLimit`), scaled to zero:

# %% id="history"
# !kubectl get replicasets
# !kubectl rollout history deployment/web

# %% id="undo" tags=["nbval-check-output"]
# !kubectl rollout undo deployment/web

# %% id="undo-wait"
# !kubectl rollout status deployment/web --timeout=60s

# %% id="version-back" tags=["nbval-check-output"]
print(lab.scene.wait_for_service("web").headers["x-version"])

# %% [markdown] id="strategy-words"
# ## The right way
#
# Three things must hold for no request to be lost, and each has its field:
#
# 1. **There are always enough ready pods.** `strategy.type: RollingUpdate` with `maxUnavailable: 0` (none may be missing) and
#    `maxSurge: 2` (two more than wanted may exist meanwhile). The defaults are 25% and 25%.
# 2. **A new pod gets requests only when it can serve.** A `readinessProbe`; and `minReadySeconds: 1`: only after being ready for a second
#    does it count as *available*, so one that falls over right after the start stops the rollout.
# 3. **An old pod stops only when nobody is on the way to it.** Two things happen at the same time when a pod is deleted: it is taken out of
#    the Service everywhere, and it gets SIGTERM. The first takes a moment to reach every proxy. A `preStop` hook that sleeps 2 seconds lets that
#    moment pass; then the program, like ours, finishes what is under way.
#
# And one for the bad days: `progressDeadlineSeconds: 10`. If the rollout makes no progress for so long, the Deployment says so. (The default, 600, is too long to watch.)
#
# **Your turn.** Put all that in, with the image `halab-app:2.0`.

# %% id="write-web" role="answer"
# %%writefile web.yaml
# apiVersion: apps/v1
# kind: Deployment
# metadata:
#   name: web
#   labels:
#     app: web
# spec:
#   replicas: 3
#   ### BEGIN SOLUTION
#   strategy:
#     type: RollingUpdate
#     rollingUpdate:
#       maxSurge: 2
#       maxUnavailable: 0
#   minReadySeconds: 1
#   progressDeadlineSeconds: 10
#   ### END SOLUTION
#   selector:
#     matchLabels:
#       app: web
#   template:
#     metadata:
#       labels:
#         app: web
#     spec:
#       terminationGracePeriodSeconds: 20
#       containers:
#         - name: app
#           image: halab-app:2.0
#           ports:
#             - name: http
#               containerPort: 80
#           env:
#             - name: START_SECONDS
#               value: "1"
#           ### BEGIN SOLUTION
#           readinessProbe:
#             httpGet:
#               path: /readyz
#               port: http
#             periodSeconds: 1
#             failureThreshold: 1
#           lifecycle:
#             preStop:
#               sleep:
#                 seconds: 2
#           ### END SOLUTION
#           resources:
#             requests: {cpu: 20m, memory: 32Mi}

# %% id="apply-web" tags=["nbval-check-output"]
# !kubectl apply -f web.yaml

# %% id="rollout-web"
# !kubectl rollout status deployment/web --timeout=60s

# %% id="check-version" role="check" points=1
lab.expect("version-2-serves")

# %% [markdown] id="check-words"
# (This change itself still went from the old template, whose pods know no `preStop`.) The check now changes the version and undoes it, with twenty slow
# requests a second on the way, and counts:

# %% id="check-lost" role="check" points=3
lab.expect("no-request-is-lost")

# %% [markdown] id="bad-words"
# ## A bad version
#
# `halab-app:3.0` has a fault: it starts, but its `/readyz` always answers 503. Nobody has noticed, and it is being rolled out.

# %% id="predict-bad"
lab.predict(
    "bad-version",
    "version 3.0 is rolled out with maxSurge 2, maxUnavailable 0. A quarter of a minute later:",
    [
        "all pods are 3.0 and not ready; the users get nothing",
        "two pods of 3.0 hang around, not ready, and three of 2.0 serve everybody",
        "the Deployment has gone back to 2.0 by itself",
    ],
    ### BEGIN SOLUTION
    answer=1,
    ### END SOLUTION
)

# %% id="bad-meter"
meter = lab.traffic("service/web", rate=20)
meter

# %% id="bad-rollout" tags=["nbval-check-output"]
# !kubectl set image deployment/web app=halab-app:3.0

# %% id="bad-wait"
# !kubectl rollout status deployment/web --timeout=30s
# !kubectl get deployment,pods -l app=web
meter.stop()

# %% id="explain-bad"
record = meter.record()
said = lab.scene.get("deployments", "web")["status"]["conditions"]
progress = [condition["reason"] for condition in said if condition["type"] == "Progressing"]
lab.explain(
    "bad-version",
    1 if record.ok > record.sent / 2 else 0,
    f"{record.ok} of {record.sent} requests answered; the Deployment says {', '.join(progress)}",
)

# %% [markdown] id="bad-why"
# Readiness, which in lab 05 protected users from a pod that is ill, protects them here from a version that is ill: the rollout waits for pods that never get ready.
# But mind the third option: **Kubernetes does not go back by itself.** It reports (`ProgressDeadlineExceeded`; `kubectl rollout status` then exits
# with an error), and somebody, or your delivery pipeline, has to act on it:

# %% id="bad-undo" tags=["nbval-check-output"]
# !kubectl rollout undo deployment/web

# %% id="bad-undo-wait"
# !kubectl rollout status deployment/web --timeout=60s

# %% id="check-bad" role="check" points=2
lab.expect("a-bad-version-is-stopped")

# %% [markdown] id="timeline-words"
# ## Two changes, side by side
#
# The record holds them all: the change that hurt everybody, and the bad version that hurt nobody. Go to each, and look at who stood behind the Service.

# %% id="timeline"
lab.timeline()

# %% [markdown] id="pause-words"
# ## Pause: look before you go on
#
# A rollout can be held half way. Some users then meet the new version while the old one still carries the rest: a rough canary. (Lab 12 splits
# traffic by exact shares.)

# %% id="pause"
# !kubectl set image deployment/web app=halab-app:1.0
lab.scene.wait_for_ready("deployments", "web", 5)
# !kubectl rollout pause deployment/web
from collections import Counter

print(
    Counter(
        answer.headers.get("x-version", answer.error)
        for answer in lab.scene.ask_service("web", 80, count=60)
    )
)

# %% id="resume"
# !kubectl rollout resume deployment/web
# !kubectl rollout undo deployment/web
# !kubectl rollout status deployment/web --timeout=60s

# %% [markdown] id="recap"
# ## Remember
#
# **A change is safe when new pods must prove that they are ready, old ones leave before they stop, and the way back is one command that you have practised.**
#
# Read on: [Updating and rolling back a Deployment](https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#updating-a-deployment) ·
# [Container lifecycle hooks](https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/) ·
# [Pod termination](https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination)
