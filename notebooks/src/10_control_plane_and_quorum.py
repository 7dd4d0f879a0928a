# %% [markdown] id="title"
# # 10 · Control plane and quorum: who decides, and how many must agree
#
# A cluster has two halves. The *nodes* serve: kubelets keep containers running, proxies pass requests on. The *control plane* decides: the API server is its only door,
# controllers and scheduler act through it, and behind it a database, etcd, remembers everything. When the deciding half is away, what do users lose?
# You will measure it: nothing at first; and then you will see what "at first" means.
#
# Then the half that must never forget. etcd has three members or five, and a write counts only when a **majority** has it. That one rule explains why
# clusters have odd numbers of control planes, why two are worse than one, and why a cut-off minority *refuses* to work instead of guessing.

# %% id="connect"
import halab

lab = halab.lab("10-control-plane-and-quorum")
lab

# %% id="topology"
lab.topology()

# %% [markdown] id="web-words"
# ## Users, and no API server
#
# **Your turn.** Complete `web`: two replicas, and a readiness probe that asks the pod itself (`GET /` at the port `http`, every second).

# %% id="write-web" role="answer"
# %%writefile web.yaml
# apiVersion: apps/v1
# kind: Deployment
# metadata:
#   name: web
# spec:
#   ### BEGIN SOLUTION
#   replicas: 2
#   ### END SOLUTION
#   selector:
#     matchLabels:
#       app: web
#   template:
#     metadata:
#       labels:
#         app: web
#     spec:
#       terminationGracePeriodSeconds: 2
#       containers:
#         - name: nginx
#           image: nginx:1.22
#           ports:
#             - name: http
#               containerPort: 80
#           ### BEGIN SOLUTION
#           readinessProbe:
#             httpGet:
#               path: /
#               port: http
#             periodSeconds: 1
#           ### END SOLUTION
# ---
# apiVersion: v1
# kind: Service
# metadata:
#   name: web
# spec:
#   selector:
#     app: web
#   ports:
#     - port: 80
#       targetPort: http

# %% id="apply-web" tags=["nbval-check-output"]
# !kubectl apply -f web.yaml

# %% id="rollout-web"
# !kubectl rollout status deployment/web --timeout=60s

# %% id="predict-api"
lab.predict(
    "api",
    "The API server stops for some seconds; users send 20 requests a second. What do they see?",
    [
        "no answers any more: Services need the API server",
        "nothing: the proxies know where the pods are, and the pods run on",
        "answers for as long as a probe takes; then the pods are unready, and all requests fail",
    ],
    ### BEGIN SOLUTION
    answer=1,
    ### END SOLUTION
)

# %% id="meter"
meter = lab.traffic("service/web", rate=20)
meter

# %% id="api-away"
outage = lab.fault("apiserver-down", duration=30)
meter.wait(3)
# !kubectl get pods --request-timeout=2s
outage.heal()
# !kubectl get pods
meter.stop()

# %% id="explain-api"
record = meter.record()
lab.explain(
    "api",
    1,
    f"{record.ok} of {record.sent} requests answered; kubectl had no answer at all",
)

# %% [markdown] id="api-means"
# What you did lose is *change*. No new pods, no rollouts, no scaling, no endpoints taken out: a crashed container is restarted (that is the kubelet's own doing),
# but a lost *node* is not noticed, and a pod that becomes unready stays in the Service. The cluster flies on, with nobody at the stick.
#
# And one way to lose users at once: a **liveness** probe that asks the API server, or anything else that is far away. The kubelet needs no API server to kill
# a container for it.

# %% id="check-api" role="check" points=2
lab.expect("served-without-the-api")

# %% [markdown] id="two-words"
# ## Two of each
#
# API servers hold no state of their own: run two, put a load balancer in front, done. Controllers and schedulers are the opposite: two that act at once
# would each create the missing pod. So any number may run, and **one leads**: whoever holds a *Lease*, an object with a name in it that has to be
# renewed every few seconds. If the leader vanishes, the others wait until the Lease has run out (15 s). A leader that ends in good order may hand it on at once: this cluster's
# does; Kubernetes' own controller manager can from [version 1.36](https://kubernetes.io/docs/concepts/architecture/leases/) on, behind a feature gate.
#
# **Your turn.** Start the components `apiserver-2` and `controllers-2` of your cluster (`halab component --help`).

# %% id="two" role="answer"
### BEGIN SOLUTION
# !halab component start apiserver-2 controllers-2
### END SOLUTION

# %% id="leases"
# !kubectl get leases -n kube-system

# %% id="check-two" role="check" points=2
lab.expect("two-of-each")

# %% [markdown] id="etcd-words"
# ## Three that agree
#
# Now the memory. Three real etcd members, each a process of its own in a container with its own disk. (Your cluster keeps its own state elsewhere, so
# that you can be rough with these.) Each needs to know its peers.
#
# **Your turn.** In `member.sh` the list `members` has one name; make it three: `etcd-1` at port 2380, `etcd-2` at 22380, `etcd-3` at 32380, all at `http://$LAB_ADDRESS`.

# %% id="members" role="answer"
### BEGIN SOLUTION
from pathlib import Path

file = Path("member.sh")
line = 'members="etcd-1=http://$LAB_ADDRESS:2380"'
file.write_text(
    file.read_text().replace(
        line,
        line[:-1] + ',etcd-2=http://$LAB_ADDRESS:22380,etcd-3=http://$LAB_ADDRESS:32380"',
    )
)
# !grep ^members= member.sh
### END SOLUTION

# %% id="start-members"
# !for number in 1 2 3; do sh member.sh $number; done

# %% id="check-members" role="check" points=1
lab.expect("three-members")

# %% id="status"
import json
import os

endpoints = ",".join(
    f"http://{os.environ['LAB_ADDRESS']}:{port}" for port in (2379, 22379, 32379)
)
etcdctl = f"halab image exec etcd-1 /usr/local/bin/etcdctl --endpoints {endpoints}"
for member in json.loads(os.popen(f"{etcdctl} endpoint status -w json").read()):
    state = member["Status"]
    role = "leads" if state["leader"] == state["header"]["member_id"] else "follows"
    log = f"term {state['raftTerm']}, entry {state['raftIndex']}"
    print(f"{member['Endpoint']:26}  etcd {state['version']}  {role:7}  {log}")

# %% id="put" tags=["nbval-check-output"]
# !{etcdctl} put greeting hello
# !{etcdctl} get greeting

# %% [markdown] id="vote-words"
# One of them **leads**: every write goes through it, it sends the entry to the others, and answers the client when a majority (2 of 3) has it on disk. When the
# leader is silent for about a second, another asks for votes; with a majority of votes it leads. Two majorities of three always share a member, so
# whoever wins has seen everything that was ever acknowledged. That is all the magic.

# %% id="predict-one"
lab.predict(
    "one",
    "The leader itself is stopped. What becomes of writing?",
    [
        "it ends until the leader is back",
        "it pauses for a second or two, then goes on",
        "it goes on at once, but the newest values may be lost",
    ],
    ### BEGIN SOLUTION
    answer=1,
    ### END SOLUTION
)

# %% id="check-one" role="check" points=2
lab.expect("one-may-fail")

# %% id="explain-one"
lab.explain("one", 1, lab.runner.last["one-may-fail"].saw)

# %% id="predict-two"
lab.predict(
    "two",
    "Two of the three members stop. What can the third still do?",
    [
        "everything: its copy is complete",
        "read and write, but it will have to merge later",
        "answer old values to those who accept stale ones; no writes, no consistent reads",
        "nothing: it stops as well",
    ],
    ### BEGIN SOLUTION
    answer=2,
    ### END SOLUTION
)

# %% id="stop-two"
import subprocess


def alone(words):
    first = endpoints.split(",")[0]
    command = f"halab image exec etcd-1 /usr/local/bin/etcdctl --endpoints {first}"
    done = subprocess.run(
        f"{command} --command-timeout=2s {words}".split(), capture_output=True, text=True
    )
    return "no answer in 2 s" if done.returncode else done.stdout.split()[-1]


# !halab image stop --time 3 etcd-2 etcd-3
seen = {
    words: alone(words)
    for words in ("put greeting goodbye", "get greeting", "get greeting --consistency=s")
}

# %% id="explain-two"
lab.explain("two", 2, "; ".join(f"{words}: {outcome}" for words, outcome in seen.items()))

# %% id="seen-two" tags=["nbval-check-output"]
for words, outcome in seen.items():
    print(f"{words:30} {outcome}")

# %% [markdown] id="refuse-words"
# It *keeps silent*, and it is right to: it cannot know whether the two others are dead or just out of reach, agreeing on something else at this moment. A
# Kubernetes whose etcd has lost its majority is therefore read-only in the best case (what the API server still has in its cache), whatever else is healthy.
#
# So: 3 members bear the loss of 1, 5 of 2. **Two bear none**, and are twice as likely to lose one: worse than a single one. Four bear one, like three.

# %% id="start-two"
# !halab image start etcd-2 etcd-3

# %% id="check-two-down" role="check" points=2
lab.expect("two-may-not")

# %% [markdown] id="unknown-words"
# One thing the rule does *not* promise: a write that was **not** acknowledged may have happened all the same. "Timed out" means "I don't know". Whoever
# retries must be able to do the same thing twice. (And a majority is no backup: a wrong `DELETE` is replicated as faithfully as anything else.
# `etcdctl snapshot save`, stored elsewhere, and restored once in practice.)

# %% id="after"
# !{etcdctl} get greeting

# %% id="badges"
lab.badges("Leader election")

# %% [markdown] id="fidelity"
# **What is real here.** The etcd members are etcd (its version is this machine's; in production use a current patch release: 3.5.0 to 3.5.2 could corrupt data in a
# crash). The second API server of the embedded cluster shares the first one's address, as behind a load balancer, and one SQLite database, where Kubernetes has etcd.

# %% [markdown] id="recap"
# ## Remember
#
# **Without the control plane the cluster keeps serving but stops adapting; and its memory works exactly as long as a majority of it does.**
#
# Read on: [Highly available topologies](https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/ha-topology/) ·
# [Leases](https://kubernetes.io/docs/concepts/architecture/leases/) ·
# [Operating etcd for Kubernetes](https://kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd/) ·
# [etcd: failure modes](https://etcd.io/docs/latest/op-guide/failures/) · [The Raft paper](https://raft.github.io/)
