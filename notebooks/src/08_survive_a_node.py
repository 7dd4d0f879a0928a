# %% [markdown] id="title"
# # 08 · Survive a node: machines are cattle, and cattle falls over
#
# Sooner or later a machine is gone: a power supply, a kernel, a cable. And more often than any of these, you take it away yourself, because it needs a new
# kernel. Three replicas help with neither if all three stand on that one machine.
#
# So this lab is about two questions. *Where* do the pods stand? And *who is asked* before one is taken away? At the end you will have drained one node and lost
# another while users were sending requests.

# %% id="connect"
import halab

lab = halab.lab("08-survive-a-node")
lab

# %% id="topology"
lab.topology()

# %% id="pods"
# !kubectl rollout status deployment/web --timeout=60s
# !kubectl get pods -o wide

# %% [markdown] id="spread-words"
# ## Where they stand
#
# All three on one node. Somebody asked for it, with a `podAffinity`: close together is fast. It is also one power cut away from nothing.
#
# The opposite wish is a **topology spread constraint**: over the values of a node label (`topologyKey`; here each host, in a cloud rather each zone) the numbers of
# pods may differ by at most `maxSkew`. Three more fields deserve a thought:
#
# - `whenUnsatisfiable: DoNotSchedule` makes it a rule; `ScheduleAnyway` a preference.
# - `nodeTaintsPolicy: Honor`: nodes whose taints the pod does not tolerate, such as lost or cordoned ones, do not count as places. By default they do
#   (`Ignore`), and then an *empty lost node* makes the scheduler insist on that very node.
# - `matchLabelKeys: [pod-template-hash]`: each revision is spread by itself, so that a rollout ends up spread, too.
#
# And a pod tolerates for 300 seconds that its node does not answer, before it is replaced elsewhere. The control plane adds these two
# tolerations to every pod that does not bring its own:
# `node.kubernetes.io/unreachable` and `node.kubernetes.io/not-ready`, effect `NoExecute`. For a web service without state, 2 seconds are patience enough.
#
# **Your turn.** Take the affinity out, put the constraint and the two tolerations in.

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
#   strategy:
#     rollingUpdate:
#       maxSurge: 1
#       maxUnavailable: 1
#   selector:
#     matchLabels:
#       app: web
#   template:
#     metadata:
#       labels:
#         app: web
#     spec:
#       ### BEGIN SOLUTION
#       topologySpreadConstraints:
#         - topologyKey: kubernetes.io/hostname
#           maxSkew: 1
#           whenUnsatisfiable: DoNotSchedule
#           nodeTaintsPolicy: Honor
#           labelSelector:
#             matchLabels:
#               app: web
#           matchLabelKeys: [pod-template-hash]
#       tolerations:
#         - key: node.kubernetes.io/unreachable
#           operator: Exists
#           effect: NoExecute
#           tolerationSeconds: 2
#         - key: node.kubernetes.io/not-ready
#           operator: Exists
#           effect: NoExecute
#           tolerationSeconds: 2
#       ### END SOLUTION
#       terminationGracePeriodSeconds: 20
#       containers:
#         - name: app
#           image: halab-app:1.0
#           ports:
#             - name: http
#               containerPort: 80
#           env:
#             - name: START_SECONDS
#               value: "2"
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
#           resources:
#             requests: {cpu: 20m, memory: 32Mi}

# %% id="apply-web" tags=["nbval-check-output"]
# !kubectl apply -f web.yaml

# %% id="rollout-web"
# !kubectl rollout status deployment/web --timeout=60s
# !kubectl get pods -o wide

# %% id="check-spread" role="check" points=1
lab.expect("spread-over-nodes")

# %% id="badges"
lab.badges("Node", "Node heartbeats")

# %% [markdown] id="budget-words"
# ## Who is asked
#
# Maintenance takes pods away on purpose. There is a polite way to do so, the **eviction**: a request to the API that may be refused. A
# **PodDisruptionBudget** says when: here, whenever fewer than two ready pods would be left.
#
# A budget stands against *voluntary* disruptions only. A power cut does not ask, `kubectl delete pod` does not ask, and a rollout follows its own `maxUnavailable`.
#
# **Your turn.** Write a budget for the pods `app: web`: `minAvailable` is 2.

# %% id="write-budget" role="answer"
# %%writefile budget.yaml
# apiVersion: policy/v1
# kind: PodDisruptionBudget
# metadata:
#   name: web
# spec:
#   ### BEGIN SOLUTION
#   minAvailable: 2
#   selector:
#     matchLabels:
#       app: web
#   ### END SOLUTION

# %% id="apply-budget" tags=["nbval-check-output"]
# !kubectl apply -f budget.yaml

# %% id="check-budget" role="check" points=2
lab.expect("budget-refuses-then-allows")

# %% [markdown] id="drain-words"
# ## Maintenance: cordon and drain
#
# `kubectl cordon` marks a node: no new pods. `kubectl drain` cordons it and evicts its pods, asking the budgets, and tries again until it may. Then
# you update the machine, and `kubectl uncordon` it. (Without `--pod-selector`, as in earnest, it moves *all* pods of the node, other teams' too.)

# %% id="predict-drain"
lab.predict(
    "drain",
    "Three pods on three nodes, a budget of at least two. One node is drained while users send "
    "requests. How many fail?",
    [
        "about a third, until the pod has moved",
        "none",
        "a few, when the proxies learn of it",
    ],
    ### BEGIN SOLUTION
    answer=1,
    ### END SOLUTION
)

# %% [markdown] id="drain-watch"
# Watch it in the map above:

# %% id="drain"
node = lab.scene.pods("app=web")[0]["spec"]["nodeName"]
meter = lab.traffic("service/web", rate=20)
which = "--pod-selector=app=web --ignore-daemonsets --delete-emptydir-data"
# !kubectl drain {node} {which} --timeout=30s
lab.scene.wait_for_ready("deployments", "web", 3)
# !kubectl uncordon {node}
# !kubectl get pods -o wide
meter.stop()

# %% id="drain-lost" tags=["nbval-check-output"]
record = meter.record()
print("requests lost:", record.sent - record.ok)

# %% id="explain-drain"
lab.explain(
    "drain",
    1,
    f"{record.ok} of {record.sent} requests answered: "
    "the pod left the Service, finished its work, and stopped",
)

# %% [markdown] id="no-return"
# The node is back, but the pod is not: nothing in Kubernetes moves running pods to even things out. (A rollout would spread them anew, and the
# [descheduler](https://github.com/kubernetes-sigs/descheduler) is a program that evicts for that purpose.)

# %% id="check-drain" role="check" points=2
lab.expect("drained-without-loss")

# %% [markdown] id="lost-words"
# ## A node is lost
#
# Now without asking. The node's agent and everything on it are killed at once. How does Kubernetes learn of it? Each node's kubelet renews a **Lease** every ten
# seconds. When nothing has come for a while (by default 50 seconds in today's Kubernetes), the control plane calls the node *NotReady*: it
# marks its pods unready, so that they leave their Services, and taints the node; and when `tolerationSeconds` are over, the pods are deleted and made anew elsewhere.
#
# So that you need not wait, the check has the silence noticed after 10 seconds instead.

# %% id="predict-lost"
lab.predict(
    "lost-node",
    "One of your nodes, with one of three pods, is gone without a word. What do the users see?",
    [
        "nothing: the Service knows at once that the pod is gone",
        "some requests fail until the node is called NotReady, and none from then on",
        "some requests fail until the replacement is ready, which is later",
    ],
    ### BEGIN SOLUTION
    answer=1,
    ### END SOLUTION
)

# %% id="meter"
meter = lab.traffic("service/web", rate=20)
meter

# %% id="check-lost" role="check" points=3
lab.expect("lost-node-is-survived")

# %% id="explain-lost"
meter.stop()
record = meter.record()
lab.explain(
    "lost-node",
    1,
    record.sentence(),
)

# %% id="events"
# !kubectl get events --sort-by=.lastTimestamp | grep -e NotReady -e TaintManager | tail -4

# %% [markdown] id="timeline-words"
# ## Second by second
#
# In the record you can measure it: from the loss of the node to *NotReady*, from there to the replacement.

# %% id="timeline"
lab.timeline()

# %% [markdown] id="sum-words"
# Add it up: *time to notice* (the Lease) hurts users; *tolerationSeconds* and *time to start* only leave you with fewer pods than you wanted. That is why one replica
# more than the load needs is worth more than the fastest replacement. With a lost zone instead of a lost host the sum is the same; only the
# `topologyKey` is `topology.kubernetes.io/zone`.

# %% [markdown] id="recap"
# ## Remember
#
# **Spread for the failures that do not ask, budget for the maintenance that does; and know how long it takes until a loss is noticed.**
#
# Read on: [Pod topology spread constraints](https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/) ·
# [Disruptions and budgets](https://kubernetes.io/docs/concepts/workloads/pods/disruptions/) ·
# [Safely drain a node](https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/) ·
# [Taint-based evictions](https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-based-evictions) ·
# [Node heartbeats](https://kubernetes.io/docs/reference/node/node-status/#heartbeats)
