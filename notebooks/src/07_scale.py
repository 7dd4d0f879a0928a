# %% [markdown] id="title"
# # 07 · Scale: enough replicas, at the right moment
#
# A service that is too slow is down, too, for those who wait. Load has its days: calm at night, a peak at noon, a mention on television. You can
# pay all day for what the peak needs, or let the number of replicas follow the load.
#
# The **HorizontalPodAutoscaler** follows it: it measures and reacts. Reacting takes time, and users wait meanwhile. In the second half you will write a scaler that
# does not react but *expects*, and set the two against each other under the very same load.

# %% id="connect"
import halab

lab = halab.lab("07-scale")
lab

# %% id="topology"
lab.topology()

# %% [markdown] id="scene-words"
# The scene: `web`, one pod of the course's service. A request for `/work?ms=3&wait=57` takes it 60 milliseconds: 3 of computing, 57 of waiting for a
# database, and it works on one request at a time (`WORKERS=1`). So one pod can answer 16 requests a second, and not one more. (`ahead` is its
# twin; its time will come.)

# %% id="pods"
# !kubectl rollout status deployment/web --timeout=60s
# !kubectl get pods

# %% id="predict-queue"
lab.predict(
    "queue",
    "24 requests a second come to a pod that can answer 16. How long does a user wait, after some seconds?",
    [
        "half as long again as before: 90 ms",
        "longer with every second: the queue grows and grows",
        "as long as before; the surplus requests are refused",
    ],
    ### BEGIN SOLUTION
    answer=1,
    ### END SOLUTION
)

# %% [markdown] id="queue-words"
# Watch the latency on the right:

# %% id="queue-meter"
meter = lab.traffic("service/web", path="/work?ms=3&wait=57", rate=24)
meter

# %% id="queue"
meter.wait(4)
record = meter.stop()

# %% id="explain-queue"
waits = record.latency_ms
lab.explain(
    "queue",
    1,
    f"half of the answers took {waits['50'] / 1000:.1f} s or more, the slowest {waits['99'] / 1000:.1f} s; one alone takes 0.06 s",
)

# %% [markdown] id="requests-words"
# ## What a pod asks for
#
# The autoscaler compares the CPU that pods *use*, measured by their nodes, with the CPU that they **request**:
#
# `replicas wanted = ceil(replicas now × (use / request) / target)`
#
# So without a request there is nothing to compare with. (The request is also what the scheduler reserves on a node. A **limit** is another thing: what the pod may not exceed. A
# CPU limit slows the pod down, a memory limit that is exceeded kills it.)
#
# **Your turn.** Give `web` a request of `50m` CPU (a twentieth of a core) and `32Mi` memory.

# %% id="write-web" role="answer"
# %%writefile web.yaml
# apiVersion: apps/v1
# kind: Deployment
# metadata:
#   name: web
#   labels:
#     app: web
# spec:
#   selector:
#     matchLabels:
#       app: web
#   template:
#     metadata:
#       labels:
#         app: web
#     spec:
#       terminationGracePeriodSeconds: 10
#       containers:
#         - name: app
#           image: halab-app:1.0
#           ports:
#             - name: http
#               containerPort: 80
#           env:
#             - name: WORKERS
#               value: "1"
#             - name: START_SECONDS
#               value: "2"
#           readinessProbe:
#             httpGet:
#               path: /readyz
#               port: http
#             periodSeconds: 1
#             timeoutSeconds: 3
#           ### BEGIN SOLUTION
#           resources:
#             requests:
#               cpu: 50m
#               memory: 32Mi
#           ### END SOLUTION

# %% [markdown] id="replicas-words"
# (Did you notice? `replicas` is not in this manifest any more. Who lets an autoscaler decide must not state the number as well, or every `kubectl apply` sets it back.)
#
# **Your turn.** And the autoscaler: it scales the Deployment `web` between 1 and 5 replicas, so that on average they use 60% of the CPU they requested. To scale *down*, it looks
# back over a window and takes the highest number it wanted there, so that a short calm does not cost replicas which the next wave needs. The default is 300 seconds; make it 5 here, so that you
# see it happen (`behavior.scaleDown.stabilizationWindowSeconds`).

# %% id="write-hpa" role="answer"
# %%writefile hpa.yaml
# apiVersion: autoscaling/v2
# kind: HorizontalPodAutoscaler
# metadata:
#   name: web
# spec:
#   ### BEGIN SOLUTION
#   scaleTargetRef:
#     apiVersion: apps/v1
#     kind: Deployment
#     name: web
#   minReplicas: 1
#   maxReplicas: 5
#   metrics:
#     - type: Resource
#       resource:
#         name: cpu
#         target:
#           type: Utilization
#           averageUtilization: 60
#   behavior:
#     scaleDown:
#       stabilizationWindowSeconds: 5
#   ### END SOLUTION

# %% id="apply" tags=["nbval-check-output"]
# !kubectl apply -f web.yaml -f hpa.yaml

# %% id="rollout"
# !kubectl rollout status deployment/web --timeout=60s

# %% id="badges"
lab.badges("HorizontalPodAutoscaler", "CPU limits")

# %% id="check-measures" role="check" points=1
lab.expect("autoscaler-measures")

# %% id="top"
# !kubectl get hpa
# !kubectl top pods

# %% [markdown] id="load-words"
# The check now sends 24 requests a second until the replicas have come and the latency is back, then stops and waits until they have gone. Watch the map above.

# %% id="check-load" role="check" points=3
lab.expect("load-brings-replicas")

# %% id="events"
# !kubectl get events --field-selector reason=SuccessfulRescale -o custom-columns=NAME:.involvedObject.name,MESSAGE:.message

# %% [markdown] id="late-words"
# ## Always a little late
#
# Between the load and the help lie: a metric that is measured over some seconds, the autoscaler's period (15 seconds by default; 5 in the embedded cluster), the start of a pod, its
# readiness, and the queue that has grown meanwhile. For a load that creeps up this is good enough. For one that jumps it is not.
#
# But most loads are no surprise: noon comes every day. The file `load.json` holds the requests a second of three days of `web`; its days are short, 20 seconds.

# %% id="history" tags=["nbval-check-output"]
import json
from pathlib import Path

days = json.loads(Path("load.json").read_text())["days"]
for number, day in enumerate(days, 1):
    print(
        f"day {number}",
        "".join("▁▂▃▄▅▆▇█"[min(7, rate // 4)] for rate in day),
        "peak",
        max(day),
    )

# %% [markdown] id="forecast-words"
# A **forecasting scaler** asks for pods before the load is there: as many as the *forecast* for the moment at which a pod asked for now would serve. In `scaler.py`
# everything is there but the forecast; it says "as now", which makes the scaler just another one that reacts.
#
# **Your turn.** Write `forecast`. The simplest good one is *seasonal*: at this time of day, what was it on the days before? Their mean will do.
# `history` has a number for each second, from the first second of the first day to now; the second that you are asked about has the index `len(history) + ahead`.

# %% id="write-scaler" role="answer"
# %%writefile scaler.py
# """A scaler that looks ahead. Once a second ``replicas`` gets the load so far and says how many pods there should be."""
#
# import math
#
# DAY = 20  # seconds: our days are short
# LEAD = 4  # seconds from asking for a pod until it serves
# PER_POD = 12.0  # requests a second that one pod answers at its ease
# MOST = 5
#
#
# def forecast(history: list[float], ahead: int) -> float:
#     """Requests a second, ``ahead`` seconds from now. ``history`` has a number for every second so far, oldest first."""
#     ### BEGIN SOLUTION
#     same_time_of_day = history[(len(history) + ahead) % DAY :: DAY]
#     return sum(same_time_of_day) / len(same_time_of_day)
#     ### END SOLUTION
#
#
# def replicas(history: list[float]) -> int:
#     """As many as the highest load between now and the moment at which a pod asked for now would serve."""
#     load = max(forecast(history, ahead) for ahead in range(LEAD + 1))
#     return min(MOST, max(1, math.ceil(load / PER_POD)))

# %% [markdown] id="duel-words"
# ## The duel
#
# The third day is now sent to both services at once: `web` with its autoscaler, `ahead` with your scaler, which only knows the first two days and what has happened since.
# What it costs is counted in pod-seconds: three pods for ten seconds are thirty.

# %% id="predict-duel"
lab.predict(
    "duel",
    "Who answers faster during the peak, and who uses more pod-seconds?",
    [
        "the forecast is faster, and uses more pod-seconds",
        "the autoscaler is faster, because it measures instead of guessing",
        "both are equally fast; the forecast is only cheaper",
    ],
    ### BEGIN SOLUTION
    answer=0,
    ### END SOLUTION
)

# %% id="check-ahead" role="check" points=3
lab.expect("ahead-of-the-load")

# %% [markdown] id="explain-words"
# Two rows, one load: *how long users wait* and *what it costs* pull against each other. A scaler that never looks ahead is cheap and late, five pods all day are quick and dear.
# A forecast can be wrong, though: on the day of the television mention the past knows nothing. So in production the two go together: the forecast sets the least number
# (`minReplicas`), the autoscaler adds what nobody foresaw.

# %% id="explain-duel"
lab.explain("duel", 0, "two rows, one load: who waited, and what it cost")

# %% [markdown] id="recap"
# ## Remember
#
# **An autoscaler reacts to what is measured and is late by as long as that takes; what you can foresee, scale for before it comes.**
#
# Read on: [Horizontal pod autoscaling](https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/) ·
# [Managing resources for containers](https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/) ·
# [Autoscaling workloads](https://kubernetes.io/docs/concepts/workloads/autoscaling/)
