# %% [markdown] id="title"
# # 14 · Two clusters and the edge: when a whole place is gone
#
# A cluster survives pods and nodes. It does not survive itself: a bad upgrade of its control plane, an expired certificate, a deleted namespace, a flooded data centre.
# Against those helps only a second cluster that shares *nothing* with the first, and somebody in front who knows which one is well.
#
# At the other end is the **edge**: a machine in a shop or on a mast that loses its connection every day. It must not need anybody to go on working. This lab stops a real
# cluster under traffic, and cuts a real node off.

# %% id="connect"
import halab

lab = halab.lab("14-two-clusters-and-the-edge")
lab

# %% id="topology"
lab.topology()

# %% id="pods"
# !kubectl wait --for=condition=Available deployment --all --timeout=60s
# !kubectl get pods,ingress

# %% [markdown] id="west-words"
# ## A second cluster
#
# The same manifests for both, so that they cannot drift apart unseen; what differs comes from the surroundings. `shop.yaml` takes the place's name from a ConfigMap called `place`, and
# answers with it in the header `X-Version`.
#
# **Your turn.** Bring up a cluster called `west` with one node (`halab up --name west --nodes 1`), and in it: the ConfigMap `place` with `name=west`, and the shop.
# `halab kubeconfig --name west` tells kubectl's way there.

# %% id="west" role="answer"
### BEGIN SOLUTION
# !halab up --name west --nodes 1
west = "--kubeconfig $(halab kubeconfig --name west)"
# !kubectl {west} create configmap place --from-literal=name=west
# !kubectl {west} apply -f shop.yaml
# !kubectl {west} rollout status deployment/shop --timeout=60s
### END SOLUTION

# %% id="check-west" role="check" points=1
lab.expect("west-serves")

# %% [markdown] id="front-words"
# ## Somebody in front
#
# Users know one address. What stands behind it can be DNS with health checks, a cloud's global load balancer, or a proxy; each does the same three things:
#
# - it **looks**: asks every place again and again whether it is well (*health checks*),
# - it **prefers**: the first place that is well gets the users, the other waits (*priorities*: active/standby; with weights instead: active/active),
# - it **covers** the moment in between: a request that failed at one place is asked at the other (*retries*).
#
# DNS alone does the first two, but resolvers and browsers remember answers: minutes, not milliseconds. And it can repeat nothing.

# %% id="see-front"
# !sed -n '/route:/,$p' front.yml

# %% id="predict-half"
lab.predict(
    "half",
    "This front knows both places, and neither health checks nor retries. West is stopped: every "
    "connection there is refused at once. What do users see?",
    [
        "nothing: a proxy always uses what works",
        "about every second request fails, for as long as west is away",
        "everything fails",
    ],
    ### BEGIN SOLUTION
    answer=1,
    ### END SOLUTION
)

# %% [markdown] id="half-words"
# Without stopping anything one can see how it would be: who answers ten users of this front?

# %% id="see-half"
from pathlib import Path

from halab.backends import beside
from halab.course.front import front
from halab.course.requests import fetch

with front(
    Path("front.yml"),
    {"west": beside.running("west").ingress(), "home": lab.backend.ingress()},
) as door:
    places = [fetch(door).headers.get("x-version", "nobody") for _ in range(10)]
lab.explain(
    "half",
    1,
    f"ten users were served by {', '.join(places)}: those of west would meet a refusal, "
    "each time anew",
)

# %% [markdown] id="front-turn"
# **Your turn.** In `front.yml`: west first (`priority: 0`), home when west is not well (`priority: 1`); a health check of `/readyz` every half second; and a
# retry for what fails meanwhile, which asks the *other* priority (Envoy's `previous_priorities`). See
# [Envoy's health checking](https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/health_checking) and
# [priority levels](https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/priority).

# %% id="write-front" role="answer"
# %%writefile front.yml
# static_resources:
#   listeners:
#     - address: {socket_address: {address: 127.0.0.1, port_value: $FRONT_PORT}}
#       filter_chains:
#         - filters:
#             - name: envoy.filters.network.http_connection_manager
#               typed_config:
#                 "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
#                 stat_prefix: front
#                 http_filters:
#                   - name: envoy.filters.http.router
#                     typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
#                 route_config:
#                   virtual_hosts:
#                     - name: shop
#                       domains: ["*"]
#                       routes:
#                         - match: {prefix: /}
#                           route:
#                             cluster: shop
#                             host_rewrite_literal: shop.example
#                             timeout: 3s
#                             ### BEGIN SOLUTION
#                             retry_policy:
#                               retry_on: connect-failure,reset,gateway-error
#                               num_retries: 2
#                               retry_priority:
#                                 name: envoy.retry_priorities.previous_priorities
#                                 typed_config:
#                                   "@type": type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig
#                                   update_frequency: 1
#                             ### END SOLUTION
#   clusters:
#     - name: shop
#       connect_timeout: 0.25s
#       ### BEGIN SOLUTION
#       health_checks:
#         - timeout: 0.5s
#           interval: 0.5s
#           unhealthy_threshold: 1
#           healthy_threshold: 2
#           http_health_check: {path: /readyz, host: shop.example}
#       ### END SOLUTION
#       load_assignment:
#         cluster_name: shop
#         endpoints:
#           ### BEGIN SOLUTION
#           - priority: 0
#             lb_endpoints:
#               - endpoint: {address: {socket_address: {address: $WEST_HOST, port_value: $WEST_PORT}}}
#           - priority: 1
#             lb_endpoints:
#               - endpoint: {address: {socket_address: {address: $HOME_HOST, port_value: $HOME_PORT}}}
#           ### END SOLUTION

# %% [markdown] id="stop-words"
# Now the real thing: the check starts your front, sends 20 users a second, stops the whole cluster `west`, waits, and brings it back.

# %% id="predict-stop"
lab.predict(
    "stop",
    "West is stopped as a whole. How many users fail, with health checks twice a second and "
    "retries at the other place?",
    ["about ten: those of the first half second", "hardly any", "all, until west is back"],
    ### BEGIN SOLUTION
    answer=1,
    ### END SOLUTION
)

# %% id="check-front" role="check" points=3
lab.expect("front-fails-over")

# %% id="explain-stop"
lab.explain("stop", 1, lab.runner.last["front-fails-over"].saw)

# %% [markdown] id="state-words"
# That was the easy half. The shop keeps no state. As soon as there is a database, the question is no longer *where do users go* but *which copy is right*: what west took in
# during its last second may not have reached home. Then somebody has to choose, **before** that day, between losing the last second (asynchronous copies) and being slower
# every day (synchronous ones). And a standby that never serves is a standby that nobody has tested: send it one user in a hundred, always.

# %% [markdown] id="edge-words"
# ## The edge
#
# `kiosk` runs on `node-1`, a machine far away. What happens when its line is cut? The node's agent goes on: it has the pod's specification, probes it, restarts it. The control plane hears
# nothing any more, marks the node `NotReady`, puts the taint `node.kubernetes.io/unreachable` on it, and after the pod's `tolerationSeconds` marks the pod for deletion.
# It *cannot know* whether the pod still runs.

# %% id="predict-edge"
lab.predict(
    "edge",
    "kiosk.yaml tolerates an unreachable node for one second. The node is cut off for a while, "
    "and then comes back. What does the kiosk do?",
    [
        "stops as soon as the line is cut",
        "serves on while it is cut off, and is ended the moment the line is back",
        "serves on, and goes on afterwards",
    ],
    ### BEGIN SOLUTION
    answer=1,
    ### END SOLUTION
)

# %% id="inject-edge"
result = lab.check("edge-keeps-serving")
lab.explain("edge", 1, result.why)

# %% [markdown] id="edge-turn"
# The worst of both: cut down just when all was well again. For a web service with other replicas one second is right; for a program that belongs to *this* machine
# it is not. (DaemonSets get tolerations without a time for this very reason.)
#
# **Your turn.** Let the kiosk stay, however long the node is away.

# %% id="write-kiosk" role="answer"
# %%writefile kiosk.yaml
# apiVersion: apps/v1
# kind: Deployment
# metadata:
#   name: kiosk
# spec:
#   replicas: 1
#   strategy:
#     type: Recreate
#   selector:
#     matchLabels:
#       app: kiosk
#   template:
#     metadata:
#       labels:
#         app: kiosk
#     spec:
#       nodeSelector:
#         kubernetes.io/hostname: node-1
#       ### BEGIN SOLUTION
#       tolerations:
#         - key: node.kubernetes.io/unreachable
#           operator: Exists
#           effect: NoExecute
#         - key: node.kubernetes.io/not-ready
#           operator: Exists
#           effect: NoExecute
#       ### END SOLUTION
#       terminationGracePeriodSeconds: 2
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

# %% id="apply-kiosk"
# !kubectl apply -f kiosk.yaml
# !kubectl rollout status deployment/kiosk --timeout=60s

# %% id="check-edge" role="check" points=2
lab.expect("edge-keeps-serving")

# %% [markdown] id="edge-limits"
# What a cut-off node cannot do: take new pods, pull a new image, hear of changed Services, Secrets or policies. It goes on *as things stood*. If the machine itself is started
# anew without a line, an ordinary kubelet starts nothing until it has heard from an API server; [static pods](https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/) and
# the edge distributions ([KubeEdge](https://kubeedge.io/), for one) fill that gap.

# %% id="tidy"
# !halab down --name west

# %% id="badges"
lab.badges("Node", "Node heartbeats")

# %% [markdown] id="fidelity"
# **What is real here, and what is not.** Two control planes, two data planes, an Envoy and a severed connection are real. One machine and one kernel below them are shared: no
# latency between the places, no common cause such as a power cut. And the node was noticed after 3 seconds of silence for the sake of the lesson; Kubernetes' own default is 50.

# %% [markdown] id="recap"
# ## Remember
#
# **A place that is gone is survived by those who share nothing with it, who are looked after before it happens, and who are used every day.**
#
# Read on: [Taints, tolerations and lost nodes](https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-based-evictions) ·
# [Nodes: heartbeats](https://kubernetes.io/docs/concepts/architecture/nodes/#node-heartbeats) ·
# [Envoy: retry plugins](https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/http/http_routing#retry-plugin-configuration) ·
# [Running in multiple zones](https://kubernetes.io/docs/setup/best-practices/multiple-zones/)
