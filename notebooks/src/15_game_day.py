# %% [markdown] id="title"
# # 15 · Game day: hold the target while everything breaks
#
# In a game day a team breaks its own system on purpose, at a time it has chosen, with everybody awake. Not to find out *whether* something fails (it will), but whether what was built
# holds, whether one sees what happens, and whether one finds out why. Most teams learn most from the failure that they thought they were prepared for.
#
# Everything you need, you have built in the earlier labs. Now it has to hold *together*: in half a minute containers are killed, programs hang, a pod says it is not ready, a
# node is drained, the control plane goes away. The target: **99.9 %** of the users are answered. Out of 1,300 requests that is one.

# %% id="connect"
import halab

lab = halab.lab("15-game-day")
lab

# %% id="topology"
lab.topology()

# %% [markdown] id="plan-words"
# ## The plan
#
# What may break, and how often, stands in `game-day.yml`. When, and whom it hits, is drawn from the seed: the same seed gives the same day, so that a change can be
# compared with what was before. (`pods: own` keeps the drain to this lab. A real drain asks nobody: whatever runs on the node goes, other teams' pods too.)

# %% id="plan" tags=["nbval-check-output"]
from pathlib import Path

from halab.faults import scenario

day = scenario.load(Path("game-day.yml"))
for step in scenario.steps(day):
    print(f"{step.at:5.1f} s  {step.sentence()}")

# %% [markdown] id="budget-words"
# ## The budget
#
# A target is a budget: 99.9 % *allows* one failure in a thousand. That is no shame but room, to be spent on releases and experiments. When it is used up, one stops
# releasing and mends. 99.9 % in a month of 30 days is 43 minutes; 99.99 % is 4 minutes, less than it takes to be woken up and find one's glasses. *From three nines on, people
# are too slow: the system has to help itself.*

# %% id="predict-replicas"
lab.predict(
    "replicas",
    "Four replicas with good probes, no retries. A container hangs: it takes connections and "
    "answers nobody, until the readiness probe has noticed (about 2 s). "
    "At 40 requests a second, how many fail?",
    [
        "none: there are three others",
        "about twenty: a quarter of those two seconds",
        "about eighty",
    ],
    ### BEGIN SOLUTION
    answer=1,
    ### END SOLUTION
)

# %% [markdown] id="turn"
# ## Prepare
#
# **Your turn.** Make `shop.yaml` and `route.yaml` fit for that day. What you have met:
#
# | what breaks | what helps | lab |
# | --- | --- | --- |
# | a container dies | replicas; somebody who asks again | 02, 12 |
# | a program hangs | a liveness probe; a time limit *for each try*, then the next pod | 05, 12 |
# | a pod is not ready | readiness, and enough others | 03, 05 |
# | a node is drained | spread, a disruption budget, `preStop`, a graceful end | 06, 08 |
# | the control plane is away | nothing: users must not need it | 10 |
#
# In the route, `timeouts.backendRequest` limits one try and `timeouts.request` the whole; `retry` asks again.

# %% id="write-shop" role="answer"
# %%writefile shop.yaml
# apiVersion: apps/v1
# kind: Deployment
# metadata:
#   name: shop
# spec:
#   ### BEGIN SOLUTION
#   replicas: 4
#   ### END SOLUTION
#   selector:
#     matchLabels:
#       app: shop
#   template:
#     metadata:
#       labels:
#         app: shop
#     spec:
#       ### BEGIN SOLUTION
#       topologySpreadConstraints:
#         - topologyKey: kubernetes.io/hostname
#           maxSkew: 1
#           whenUnsatisfiable: ScheduleAnyway
#           labelSelector:
#             matchLabels:
#               app: shop
#       ### END SOLUTION
#       terminationGracePeriodSeconds: 10
#       containers:
#         - name: app
#           image: halab-app:1.0
#           ports:
#             - name: http
#               containerPort: 80
#           readinessProbe:
#             httpGet:
#               path: /readyz
#               port: http
#             periodSeconds: 1
#             failureThreshold: 1
#           ### BEGIN SOLUTION
#           livenessProbe:
#             httpGet:
#               path: /healthz
#               port: http
#             periodSeconds: 1
#             failureThreshold: 3
#           lifecycle:
#             preStop:
#               sleep:
#                 seconds: 2
#           ### END SOLUTION
# ---
# apiVersion: v1
# kind: Service
# metadata:
#   name: shop
#   ### BEGIN SOLUTION
#   annotations:
#     halab.dev/traffic: '{"ejectAfter": 3, "ejectSeconds": 3}'
#   ### END SOLUTION
# spec:
#   selector:
#     app: shop
#   ports:
#     - port: 80
#       targetPort: http
# ### BEGIN SOLUTION
# ---
# apiVersion: policy/v1
# kind: PodDisruptionBudget
# metadata:
#   name: shop
# spec:
#   maxUnavailable: 1
#   selector:
#     matchLabels:
#       app: shop
# ### END SOLUTION

# %% id="write-route" role="answer"
# %%writefile route.yaml
# apiVersion: gateway.networking.k8s.io/v1
# kind: HTTPRoute
# metadata:
#   name: shop
# spec:
#   parentRefs:
#     - name: game
#   hostnames: [shop.game.example]
#   rules:
#     - backendRefs:
#         - name: shop
#           port: 80
#       ### BEGIN SOLUTION
#       timeouts:
#         request: 4s
#         backendRequest: 700ms
#       retry:
#         attempts: 4
#         codes: [502, 503, 504]
#       ### END SOLUTION

# %% id="apply"
# !kubectl apply -f shop.yaml -f route.yaml
# !kubectl rollout status deployment/shop --timeout=60s

# %% id="check-fit" role="check" points=1
lab.expect("fit-for-it")

# %% [markdown] id="play-words"
# ## Play
#
# Half a minute. Watch the picture above.

# %% id="check-target" role="check" points=4
lab.expect("target-held")

# %% id="check-shape" role="check" points=2
lab.expect("back-in-shape")

# %% [markdown] id="timeline-words"
# ## What happened?
#
# The record of the probe beside the failures: for each, how long until the first user was hurt, and how long until the last one was.

# %% id="timeline"
from halab.traffic.availability import percentiles, summarize, time_to_recover

played = lab.scene.memory["game-day"]
for at, text in played["failures"]:
    after = [r for r in played["requests"] if 0 <= r.at - played["began"] - at < 3]
    failed = sum(not r.ok for r in after)
    slow = percentiles(r.latency for r in after if r.ok).get("99", 0)
    recovered = time_to_recover(after, played["began"] + at)
    print(f"{at:5.1f} s  {text}")
    print(
        f"{'':9}failed {failed}, 99% within {slow:.0f} ms, users well after {recovered or 0:.1f} s"
    )

# %% id="record"
lab.timeline()

# %% id="explain-replicas"
seen = summarize(played["requests"])
slow = sum(r.latency > 0.6 for r in played["requests"])
hangs = sum("container-hung" in text for _, text in played["failures"])
lab.explain(
    "replicas",
    1,
    f"with retries {seen.sent - seen.ok} of {seen.sent} failed; in {hangs} hangs {slow} took more "
    "than 0.6 s: those would have been the failures",
)

# %% [markdown] id="latency-words"
# The failures did not vanish: they became *latency*. Whoever only counts errors sees a quiet day; the 99th percentile tells the truth.
#
# ## The post-mortem
#
# What was learnt has to be written down, soon, and **without blame**: people act reasonably by what they know at the time; ask why it seemed reasonable, and what would have made the right
# thing easy. A cause is hardly ever one thing; look for what *let it through* as well. And every action has an owner and a date, or it is a wish.

# %% id="post-mortem" role="manual" points=5
# %%writefile post-mortem.md
# # Post-mortem: game day
#
# ## Summary
# What users saw, in two sentences, with numbers.
#
# ## Timeline
# When what broke, when it was noticed (by whom, by what), when users were well again.
#
# ## What helped, what did not
# Which measure covered which failure? What was luck?
#
# ## Causes
# Not "who": what made it possible, and what let it through?
#
# ## What we change
# Action, owner, date. What would have shown it earlier?
# ### BEGIN SOLUTION
#
# ---
# Example. *Summary:* in half a minute of failures every request was answered; the slowest waited for about a second. *Timeline:* see the table in the notebook. *Helped:*
# time limits for each try, with retries, covered hung and killed containers; the budget and preStop covered the drain. *Luck:* no two pods hung at once for long. *Causes:* a hung program
# takes connections until the readiness probe has failed; until then only the time limit of the route helps. *Change:* alert on the 99th percentile, not only on
# errors (platform team, in two weeks); play the day with another seed every month (shop team).
# ### END SOLUTION

# %% [markdown] id="again"
# Then change the seed and play another day: the check plays the lab's own day, `halab fault play` any file of yours against any Deployment of yours. A system that holds
# on the day it was built for has passed an exam; one that holds on a day nobody had seen before is available.

# %% [markdown] id="recap"
# ## Remember
#
# **Availability is not what you configured but what your users measured on the worst day: so choose that day yourself, and write down what you saw.**
#
# Read on: [Google SRE: postmortem culture](https://sre.google/sre-book/postmortem-culture/) ·
# [Embracing risk: error budgets](https://sre.google/sre-book/embracing-risk/) ·
# [Principles of chaos engineering](https://principlesofchaos.org/) ·
# [Kubernetes: disruptions](https://kubernetes.io/docs/concepts/workloads/pods/disruptions/)
