# %% [markdown] id="title"
# # 05 · Heal: telling Kubernetes what healthy means
#
# A program that *dies* is easy: the kubelet sees it and starts it again (lab 02). But most outages are quieter. A program hangs on a lock, still
# loads its data, or has lost its database: its process is there, and its users get nothing. From the outside only one thing tells such a process from
# a healthy one: asking it.
#
# These questions are called **probes**, and there are three, with three different consequences. At the end of this lab you will have let a pod
# hang while users were watching, twice, and the second time it will hardly have mattered.

# %% id="connect"
import halab

lab = halab.lab("05-heal")
lab

# %% id="topology"
lab.topology()

# %% [markdown] id="scene-words"
# The scene: a Deployment `web` with three pods of the course's own small service, `halab-app:1.0`, and a Service before them. It says who answered, and
# it can be broken on purpose: a file `/tmp/broken-hang` in its container makes it hang, `/tmp/broken-healthz` and
# `/tmp/broken-readyz` make these two paths answer 503. And there is `slow`, which seems to be in trouble; we will come to it.

# %% id="pods"
# !kubectl rollout status deployment/web --timeout=60s
# !kubectl get pods

# %% [markdown] id="predict-words"
# ## A hang, and nobody asks
#
# In a moment one of the three pods of `web` will hang: it accepts connections and never answers. `web` has no probes.

# %% id="predict-hang"
lab.predict(
    "hang",
    "One of three pods hangs. What do the users of the Service see?",
    [
        "nothing: the Service notices that the pod does not answer",
        "a few failures, until the kubelet restarts the container",
        "about a third of their requests fail, and it stays so",
    ],
    ### BEGIN SOLUTION
    answer=2,
    ### END SOLUTION
)

# %% [markdown] id="meter-words"
# Twenty requests a second, from users who give up after one second (`patience=1`):

# %% id="meter"
meter = lab.traffic("service/web", rate=20, patience=1)
meter

# %% id="hang"
victim = lab.scene.pods("app=web")[0]["metadata"]["name"]
meter.wait(1)
# !kubectl exec {victim} -- touch /tmp/broken-hang
meter.wait(6)
# !kubectl get pods -l app=web
meter.stop()
# !kubectl exec {victim} -- rm /tmp/broken-hang

# %% id="explain-hang"
record = meter.record()
lab.explain(
    "hang",
    2,
    f"{record.sent - record.ok} of {record.sent} requests lost, for {record.hurt:.1f} s and to the end; {victim} was Ready throughout",
)

# %% [markdown] id="probes-words"
# Look at the pod list above: *Running*, *1/1*, 0 restarts. Without probes, "the process exists" is all Kubernetes knows.
#
# ## Two questions, two consequences
#
# | probe | asks | when it fails |
# | --- | --- | --- |
# | **readiness** | do you want requests *now*? | the pod leaves the Service until it says yes again; nothing is restarted |
# | **liveness** | can you still recover by yourself? | the container is stopped and started again |
#
# Keep them apart. A service whose database is away is not ready, but a restart would heal nothing; if its liveness probe asked about the
# database too, every pod would be restarted, over and over, just when things are bad.
#
# **Your turn.** Give the container of `web`
#
# - a `readinessProbe`: HTTP GET of `/readyz` on the port `http`, every second (`periodSeconds`), one failure is enough (`failureThreshold`);
# - a `livenessProbe`: GET of `/healthz`, every 2 seconds, two failures;
# - the will to stop in peace: `ON_TERM` is `finish` instead of `abrupt`, and `terminationGracePeriodSeconds` gives it 20 seconds. More of that below.

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
#   selector:
#     matchLabels:
#       app: web
#   template:
#     metadata:
#       labels:
#         app: web
#     spec:
#       ### BEGIN SOLUTION
#       terminationGracePeriodSeconds: 20
#       ### END SOLUTION
#       containers:
#         - name: app
#           image: halab-app:1.0
#           ports:
#             - name: http
#               containerPort: 80
#           resources:
#             requests: {cpu: 20m, memory: 32Mi}
#           ### BEGIN SOLUTION
#           env:
#             - name: ON_TERM
#               value: finish
#           readinessProbe:
#             httpGet:
#               path: /readyz
#               port: http
#             periodSeconds: 1
#             failureThreshold: 1
#           livenessProbe:
#             httpGet:
#               path: /healthz
#               port: http
#             periodSeconds: 2
#             failureThreshold: 2
#           ### END SOLUTION

# %% id="apply-web" tags=["nbval-check-output"]
# !kubectl apply -f web.yaml

# %% id="rollout-web"
# !kubectl rollout status deployment/web --timeout=60s

# %% [markdown] id="predict-again-words"
# ## The same hang again
#
# A probe that gets no answer within `timeoutSeconds` (1, if you do not say) counts as failed. Both probes run now.

# %% id="predict-probed"
lab.predict(
    "hang-with-probes",
    "One of three pods hangs again. What happens first?",
    [
        "the container is restarted; that is when the failures end",
        "the pod leaves the Service; that is when the failures end. The restart comes later",
        "the pod is deleted, and the ReplicaSet makes another",
    ],
    ### BEGIN SOLUTION
    answer=1,
    ### END SOLUTION
)

# %% id="meter-probed"
meter = lab.traffic("service/web", rate=20, patience=1)
meter

# %% id="hang-probed"
victim = lab.scene.pods("app=web")[0]["metadata"]["name"]
before = lab.scene.restarts(victim)
meter.wait(1)
# !kubectl exec {victim} -- touch /tmp/broken-hang
# !kubectl wait --for=condition=Ready=false pod/{victim} --timeout=20s
lab.scene.wait_for_restart(victim, before)
meter.stop()
# !kubectl get pods -l app=web

# %% id="explain-probed"
record = meter.record()
lost = f"{record.sent - record.ok} of {record.sent} requests lost, for {record.hurt:.1f} s"
if lab.scene.restarts(victim) > before:
    lab.explain("hang-with-probes", 1, f"{lost}; the restart came after that")
else:
    print(
        f"{lost}, and nobody restarted {victim}: has web.yaml its probes, and was it applied?"
    )

# %% [markdown] id="timeline-words"
# ## Side by side
#
# Two hangs are in the record by now; the red buttons lead to each. The first hurts users for as long as it lasts, the second only until the pod has left the Service.

# %% id="timeline"
lab.timeline()

# %% [markdown] id="events-words"
# The pod is the same, its container is new: RESTARTS says 1. The events tell who decided what. (Some requests failed all the same: those that were sent to the
# pod before the probe noticed. Lab 12 shows how a proxy that retries hides even these.)

# %% id="events"
# !kubectl get events --field-selector involvedObject.name={victim} -o custom-columns=REASON:.reason,MESSAGE:.message

# %% id="check-hang" role="check" points=3
lab.expect("a-hang-is-healed")

# %% id="check-unready" role="check" points=2
lab.expect("unready-is-left-alone")

# %% [markdown] id="slow-words"
# ## Impatience: a crash loop of one's own making
#
# Now `slow`. It needs five seconds until it listens, and it has a liveness probe: every second, two failures. See what comes of it:

# %% id="slow-pods"
# !kubectl get pods -l app=slow
pod = lab.scene.pods("app=slow")[0]["metadata"]["name"]
# !kubectl get events --field-selector involvedObject.name={pod} -o custom-columns=TIMES:.count,REASON:.reason,MESSAGE:.message

# %% [markdown] id="backoff-words"
# The kubelet kills it before it can ever answer, starts it, kills it. After each restart it waits longer: 10 s, 20 s, 40 s, up to five minutes.
# That pause is what **CrashLoopBackOff** means: not an error of its own, but "I have restarted this before, and I am waiting".
#
# Making the liveness probe patient would cure this, but then a real hang would be found late. The third probe exists for this case: while a
# **startup probe** has not succeeded, the other two do not run.
#
# **Your turn.** Give `slow` a `startupProbe` that asks `/healthz` every second and lets it fail 30 times. Leave the liveness probe as it is.

# %% id="write-slow" role="answer"
# %%writefile slow.yaml
# apiVersion: apps/v1
# kind: Deployment
# metadata:
#   name: slow
#   labels:
#     app: slow
# spec:
#   replicas: 1
#   selector:
#     matchLabels:
#       app: slow
#   template:
#     metadata:
#       labels:
#         app: slow
#     spec:
#       terminationGracePeriodSeconds: 5
#       containers:
#         - name: app
#           image: halab-app:1.0
#           ports:
#             - name: http
#               containerPort: 80
#           env:
#             - name: START_SECONDS
#               value: "5"
#           ### BEGIN SOLUTION
#           startupProbe:
#             httpGet:
#               path: /healthz
#               port: http
#             periodSeconds: 1
#             failureThreshold: 30
#           ### END SOLUTION
#           livenessProbe:
#             httpGet:
#               path: /healthz
#               port: http
#             periodSeconds: 1
#             failureThreshold: 2
#           resources:
#             requests: {cpu: 20m, memory: 32Mi}

# %% id="apply-slow" tags=["nbval-check-output"]
# !kubectl apply -f slow.yaml

# %% id="rollout-slow"
# !kubectl rollout status deployment/slow --timeout=60s

# %% id="check-slow" role="check" points=2
lab.expect("slow-start-is-awaited")

# %% [markdown] id="stop-words"
# ## Stopping is part of living
#
# Pods are stopped all the time: by rollouts, by scaling down, by a node's maintenance. Kubernetes sends **SIGTERM** to the container's first process, waits for
# `terminationGracePeriodSeconds` (30, if you do not say), then sends SIGKILL. What the program does in between is up to the program. Ours, told
# `ON_TERM=finish`, answers what is under way and then ends; before your change it just died.

# %% id="predict-stop"
lab.predict(
    "stop",
    "A user's request takes 4 s. After 0.7 s the pod that works on it is deleted. What does the user get?",
    [
        "an error: a deleted pod is gone at once",
        "the answer, after 4 s",
        "the answer of another pod: the Service sends the request again",
    ],
    ### BEGIN SOLUTION
    answer=1,
    ### END SOLUTION
)

# %% id="check-stop" role="check" points=1
lab.expect("the-last-request-is-answered")

# %% id="explain-stop"
lab.explain(
    "stop", 1, "the pod was Terminating, out of the Service, and still finished its work"
)

# %% [markdown] id="recap"
# ## Remember
#
# **Readiness decides who gets requests, liveness decides who is restarted, startup decides from when on one may ask; and a good program hears SIGTERM.**
#
# Read on: [Liveness, readiness and startup probes](https://kubernetes.io/docs/concepts/workloads/pods/probes/) ·
# [Configuring probes](https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/) ·
# [Pod lifecycle: termination](https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination)
