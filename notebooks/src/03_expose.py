# %% [markdown] id="title"
# # 03 · Expose: one address for pods that come and go
#
# Three pods, three addresses, and each address dies with its pod. Nobody can put that into a bookmark. A **Service** is an address that stays: it takes
# requests and passes each on to one of the pods that are *ready right now*.
#
# The rule that matters for availability is in those last words. A pod that runs but cannot serve, because it still starts, is overloaded or about to
# stop, must not get requests. At the end of this lab you have measured that it does not.

# %% id="connect"
import halab

lab = halab.lab("03-expose")
lab

# %% id="topology"
lab.topology()

# %% [markdown] id="scene-words"
# The scene: `nginx-deployment` with three pods of `my-nginx:1.1`. They have a **readiness probe**: every second the kubelet (the agent of their node) runs a small
# command in the container, and as long as it succeeds, the pod counts as ready.

# %% id="pods"
# !kubectl rollout status deployment/nginx-deployment --timeout=60s
# !kubectl get pods -o wide --show-labels

# %% [markdown] id="service-words"
# ## The Service
#
# A Service finds its pods by their labels (`selector`), listens on `port`, and passes on to the pods' `targetPort`.
#
# **Your turn.** Complete the Service: it leads to the pods labelled `app: nginx`, from its port 80 (TCP) to their port 80.

# %% id="write-service" role="answer"
# %%writefile service.yaml
# apiVersion: v1
# kind: Service
# metadata:
#   name: nginx-service
# spec:
#   ### BEGIN SOLUTION
#   selector:
#     app: nginx
#   ports:
#     - protocol: TCP
#       port: 80
#       targetPort: 80
#   ### END SOLUTION

# %% id="apply" tags=["nbval-check-output"]
# !kubectl apply -f service.yaml

# %% id="get-service"
# !kubectl get service nginx-service

# %% [markdown] id="slices-words"
# The Service has an address of its own, its **ClusterIP**. Whom it leads to stands in an **EndpointSlice**, a list that a controller keeps current
# as pods come, go, and change their readiness:

# %% id="slices"
# !kubectl get endpointslices -l kubernetes.io/service-name=nginx-service

# %% [markdown] id="routes-words"
# As a picture: the way of a request, from the Service through its EndpointSlice to the pods. It is live, too, and shows each pod's share while a meter runs.

# %% id="routes"
lab.routes()

# %% [markdown] id="spread-words"
# ## Does it spread?
#
# Don't believe it, count it. The image `my-nginx:1.1` says in a header which pod answered:

# %% id="count"
from collections import Counter

answers = lab.scene.ask_service("nginx-service", 80, count=300)
by_pod = Counter(answer.headers.get("x-served-by", answer.error) for answer in answers)
for pod, count in sorted(by_pod.items()):
    print(f"{pod:40} {count:4}  {'█' * (count // 4)}")

# %% id="count-total" tags=["nbval-check-output"]
print(
    sum(answer.ok for answer in answers),
    "of",
    len(answers),
    "requests answered, by",
    len(by_pod),
    "pods",
)

# %% [markdown] id="random-words"
# Whether each gets exactly a hundred is the proxy's choice: kube-proxy (in its modes `iptables` and `nftables`) picks a pod at random for each new *connection*, the embedded cluster's
# Envoy takes turns. (A client that keeps its connection open stays with one pod either way.)

# %% id="badges"
lab.badges("Service", "Low ports")

# %% id="check-spread" role="check" points=2
lab.expect("spread-over-all")

# %% [markdown] id="predict-words"
# ## Take one out
#
# The probe of these pods succeeds as long as there is no file `/tmp/drain`. So by making that file you can make a pod unready, without
# stopping it. Before you do:

# %% id="predict"
lab.predict(
    "unready",
    "One of three pods becomes unready while users send 20 requests a second. What do the users see?",
    [
        "about a third of the requests fail until the pod is ready again",
        "nothing: the two others answer everything",
        "the unready pod is restarted, and a few requests fail",
    ],
    ### BEGIN SOLUTION
    answer=1,
    ### END SOLUTION
)

# %% id="meter"
meter = lab.traffic("service/nginx-service", rate=20)
meter

# %% id="drain"
victim = lab.scene.pods("app=nginx")[0]["metadata"]["name"]
# !kubectl exec {victim} -- touch /tmp/drain
# !kubectl wait --for=condition=Ready=false pod/{victim} --timeout=20s
# !kubectl get endpointslices -l kubernetes.io/service-name=nginx-service -o jsonpath='{{range .items[*].endpoints[*]}}{{.targetRef.name}} ready={{.conditions.ready}}{{"\n"}}{{end}}'

# %% id="undrain"
meter.wait(2)
# !kubectl exec {victim} -- rm /tmp/drain
# !kubectl wait --for=condition=Ready pod/{victim} --timeout=20s
meter.stop()

# %% id="explain"
record = meter.record()
lab.explain(
    "unready",
    1 if record.ok > 0.9 * record.sent else 0,
    f"{record.ok} of {record.sent} requests answered while one pod was out",
)

# %% id="no-request-lost" tags=["nbval-check-output"]
print("requests lost:", record.sent - record.ok)

# %% [markdown] id="timeline-words"
# ## Before and after
#
# Drag the line to the seconds in which the pod was out: it stands in the map, unready, and the answers go on.

# %% id="timeline"
lab.timeline()

# %% id="check-unready" role="check" points=2
lab.expect("unready-gets-none")

# %% [markdown] id="other-types"
# ## Other kinds of Service
#
# A ClusterIP is reached from inside the cluster. A **NodePort** Service also opens one port, the same, on every node: a plain way in from outside.
#
# **Your turn.** Make a Service of type `NodePort`, called `nginx-nodeport`, with `nodePort: 30080` that leads to port 80 of the same pods.

# %% id="write-node-port" role="answer"
# %%writefile node-port.yaml
# apiVersion: v1
# kind: Service
# metadata:
#   name: nginx-nodeport
# spec:
#   ### BEGIN SOLUTION
#   type: NodePort
#   selector:
#     app: nginx
#   ports:
#     - port: 80
#       targetPort: http
#       nodePort: 30080
#   ### END SOLUTION

# %% id="apply-node-port" tags=["nbval-check-output"]
# !kubectl apply -f node-port.yaml

# %% id="check-node-port" role="check" points=1
lab.expect("node-port-answers")

# %% [markdown] id="headless-words"
# And a **headless** Service (`clusterIP: None`) has no address at all: its name resolves to the addresses of the pods themselves. Databases
# like that, because their clients want to know whom they talk to (lab 09).

# %% id="headless" tags=["nbval-check-output"]
# !kubectl create service clusterip nginx-headless --clusterip=None --tcp=80:80
# !kubectl patch service nginx-headless -p '{{"spec": {{"selector": {{"app": "nginx"}}}}}}'

# %% id="resolve"
# !kubectl run look --image=busybox:1.36 --restart=Never -- nslookup nginx-headless.{lab.namespace}.svc.cluster.local
# !kubectl wait --for=jsonpath='{{.status.phase}}'=Succeeded pod/look --timeout=30s
# !kubectl logs look
# !kubectl delete pod look --now

# %% [markdown] id="recap"
# ## Remember
#
# **A Service is an address that stays; readiness decides who stands behind it.**
#
# Read on: [Service](https://kubernetes.io/docs/concepts/services-networking/service/) ·
# [EndpointSlices](https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/) ·
# [Readiness probes](https://kubernetes.io/docs/concepts/workloads/pods/probes/)
