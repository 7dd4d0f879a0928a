# %% [markdown] id="title"
# # 09 · Keep state: names and disks that outlive pods
#
# Everything so far was *stateless*: any pod could take any request, and a lost pod cost nothing but a moment. A database is different. Its members
# are not interchangeable (one leads, the others follow; each holds its own part), and what a member has acknowledged must still be there
# after it was killed, rescheduled, or upgraded.
#
# Kubernetes answers with two promises that belong together: a **StatefulSet** gives each pod a *name* that comes back, and a **PersistentVolumeClaim**
# gives each name a *disk* that stays. In this lab you test both promises by killing things, and meet two ways of losing data by one line of YAML.

# %% id="connect"
import halab

lab = halab.lab("09-keep-state")
lab

# %% id="topology"
lab.topology()

# %% [markdown] id="headless-words"
# ## A Service that is only a name
#
# The app counts: `POST /count` adds one, writes the number to `/data/counter`, and only then answers. Three of them are to run, each with its own count.
# So a client must be able to say *which* one it means. A Service with an address would pick any; a **headless** Service has no address: DNS answers
# with the pods themselves, and each pod of a StatefulSet gets a name beneath it, `counter-0.counter`, `counter-1.counter` and so on.
#
# **Your turn.** One line makes this Service headless.

# %% id="write-service" role="answer"
# %%writefile service.yaml
# apiVersion: v1
# kind: Service
# metadata:
#   name: counter
# spec:
#   ### BEGIN SOLUTION
#   clusterIP: None
#   ### END SOLUTION
#   selector:
#     app: counter
#   ports:
#     - name: http
#       port: 80

# %% [markdown] id="set-words"
# ## Three pods that are somebody
#
# **Your turn.** Complete the StatefulSet: its pods are named by the Service `counter`; each gets a claim of its own, called `data` (10Mi, `ReadWriteOnce`),
# mounted where the app writes: `/data`.

# %% id="write-set" role="answer"
# %%writefile statefulset.yaml
# apiVersion: apps/v1
# kind: StatefulSet
# metadata:
#   name: counter
# spec:
#   ### BEGIN SOLUTION
#   serviceName: counter
#   ### END SOLUTION
#   replicas: 3
#   selector:
#     matchLabels:
#       app: counter
#   template:
#     metadata:
#       labels:
#         app: counter
#     spec:
#       terminationGracePeriodSeconds: 5
#       securityContext:
#         fsGroup: 1000
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
#           ### BEGIN SOLUTION
#           volumeMounts:
#             - name: data
#               mountPath: /data
#   volumeClaimTemplates:
#     - metadata:
#         name: data
#       spec:
#         accessModes: [ReadWriteOnce]
#         resources:
#           requests:
#             storage: 10Mi
#           ### END SOLUTION

# %% id="apply" tags=["nbval-check-output"]
# !kubectl apply -f service.yaml -f statefulset.yaml

# %% id="rollout"
# !kubectl rollout status statefulset/counter --timeout=60s
# !kubectl get pods

# %% [markdown] id="order-words"
# Look at the ages: the pods did not start together. `counter-1` was created only when `counter-0` was ready, as a database wants it whose first member must
# be there for the second to join. (`podManagementPolicy: Parallel` gives that up; updates and scaling down go in the opposite order.)
#
# And each pod has a claim named after it: template, set, number.

# %% id="claims" tags=["nbval-check-output"]
# !kubectl get pvc -o custom-columns=CLAIM:.metadata.name,PHASE:.status.phase

# %% id="check-names" role="check" points=1
lab.expect("each-has-a-name")

# %% [markdown] id="write-words"
# ## Write something down
#
# Three at `counter-1`, none at the others:

# %% id="count" tags=["nbval-check-output"]
import json

from halab.course.requests import fetch


def count(pod, method="GET"):
    answer = fetch(lab.backend.pod(lab.namespace, pod, 80), "/count", method=method)
    return json.loads(answer.body)["count"]


for _ in range(3):
    count("counter-1", "POST")
{pod: count(pod) for pod in ("counter-0", "counter-1", "counter-2")}

# %% [markdown] id="predict-words"
# ## Kill it
#
# Not gently: `--grace-period=0 --force` removes the pod at once, as a crash would.

# %% id="predict"
lab.predict(
    "killed",
    "counter-1 has counted to 3 and is killed. What do you find half a minute later?",
    [
        "a pod with a new name, such as counter-3, with an empty disk",
        "a pod called counter-1 that counts from 0 again",
        "a pod called counter-1 that says 3",
        "counter-1 again, but the two others were restarted as well",
    ],
    ### BEGIN SOLUTION
    answer=2,
    ### END SOLUTION
)

# %% id="kill"
before = lab.scene.api.get("pods", "counter-1")["metadata"]["uid"]
# !kubectl delete pod counter-1 --grace-period=0 --force
ready = lab.scene.wait_for_ready("statefulsets", "counter", 3)
after = lab.scene.api.get("pods", "counter-1")["metadata"]["uid"]

# %% id="explain"
lab.explain(
    "killed",
    2,
    f"pod {before[:8]} became pod {after[:8]}; counter-1 says {count('counter-1')}",
)

# %% id="same-name-new-pod" tags=["nbval-check-output"]
print("same pod:", before == after, "| count:", count("counter-1"))

# %% id="check-back" role="check" points=2
lab.expect("comes-back-with-its-data")

# %% [markdown] id="lost-node"
# The name is also a lock: there is **at most one** `counter-1` in the cluster, ever, since two members of one name writing to one disk would be worse
# than none. That has a price that surprises people in their first outage. When a *node* is lost, a Deployment's pods are soon replaced elsewhere; a
# StatefulSet's pod stays `Terminating`, because nobody can know whether it still runs behind the broken network. Only when the node comes back, or when a
# person says that it is truly off (the taint `node.kubernetes.io/out-of-service`), does its replacement start. *Available or consistent*:
# this is where you see which one Kubernetes chose. Forcing the deletion of such a pod, as you just did to a healthy one, is how two of them come to be.

# %% [markdown] id="scale-words"
# ## Away and back
#
# Scale down to two. The highest number goes. Its disk?

# %% id="predict-scale"
lab.predict(
    "scale",
    "counter-2 is scaled away, and half a minute later back. Its count?",
    [
        "0: the disk went with the pod",
        "as before: the claim stayed",
        "that of another pod, whose disk it shares now",
    ],
    ### BEGIN SOLUTION
    answer=1,
    ### END SOLUTION
)

# %% id="scale-down"
counted = count("counter-2", "POST")
# !kubectl scale statefulset counter --replicas=2
# !kubectl wait --for=delete pod/counter-2 --timeout=30s

# %% id="claims-after" tags=["nbval-check-output"]
# !kubectl get pvc -o custom-columns=CLAIM:.metadata.name,PHASE:.status.phase

# %% [markdown] id="retention-words"
# It stays: by default a claim outlives the pod, the scaling, and even the StatefulSet itself. Data is kept until a person deletes it. The field
# `persistentVolumeClaimRetentionPolicy` can change that (`whenScaled: Delete`, `whenDeleted: Delete`): handy for a cache, a trap for a database. The
# *volume* behind the claim has a rule of its own: with the storage class's `reclaimPolicy: Delete`, deleting the claim deletes the data.

# %% id="scale-up"
# !kubectl scale statefulset counter --replicas=3
# !kubectl rollout status statefulset/counter --timeout=60s

# %% id="explain-scale"
lab.explain(
    "scale", 1, f"counter-2 had counted to {counted}, and says {count('counter-2')}"
)

# %% id="check-scaled" role="check" points=2
lab.expect("scaled-down-is-not-lost")

# %% id="badges"
lab.badges("PersistentVolume", "Volume size")

# %% [markdown] id="fidelity"
# **What is real here.** The volumes of the embedded cluster are directories of this machine, made by a local provisioner (`kubectl get storageclass`). On a
# real cluster such a *local* volume binds its pod to one node; a network volume can follow it to another. Either way a volume is one copy: it protects
# from a lost pod, not from a lost disk or a wrong `DELETE`. For those there are replicas (lab 10) and backups.

# %% [markdown] id="recap"
# ## Remember
#
# **A Deployment's pods are a number; a StatefulSet's pods are names, and each name keeps its disk.**
#
# Read on: [StatefulSets](https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/) ·
# [Persistent volumes](https://kubernetes.io/docs/concepts/storage/persistent-volumes/) ·
# [Force-deleting StatefulSet pods](https://kubernetes.io/docs/tasks/run-application/force-delete-stateful-set-pod/) ·
# [Non-graceful node shutdown](https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#non-graceful-node-shutdown)
