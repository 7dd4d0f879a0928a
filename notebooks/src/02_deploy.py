# %% [markdown] id="title"
# # 02 · Deploy: a promise of three
#
# Programs crash and machines die, at night and on holidays. You could get up and start them again. Or you tell Kubernetes *how many* you
# want, and it compares, without end, what is there with what you asked for, and mends the difference. That loop is called
# **reconciliation**, and everything else in this course stands on it.
#
# The object that holds such a wish for a web application is the **Deployment**. At the end of this lab you will have three **replicas** (equal copies) of your image
# running, will have killed one under the eyes of its users, and can say who brought it back.

# %% id="connect"
import halab

lab = halab.lab("02-deploy")
lab

# %% id="topology"
lab.topology()

# %% [markdown] id="deployment-words"
# ## The Deployment
#
# A **manifest** says, in YAML, what you want to exist. The next cell writes one to the file `deployment.yaml` in your working folder. Three
# things are missing under `spec`:
#
# - `replicas`: how many pods you want. Ask for **3**.
# - `selector.matchLabels`: which pods are *its* pods. Labels are just words on objects; use `app: nginx`.
# - `template`: what a new pod looks like. Give it the same label, and one container called `nginx` with the image `my-nginx:1.0`
#   and `containerPort: 80`.
#
# **Your turn.** Complete it and run the cell. Then `kubectl apply` hands the file to the API server (if it does not like it, it says which field), and
# `kubectl rollout status` waits until what you asked for is there.

# %% id="write-deployment" role="answer"
# %%writefile deployment.yaml
# apiVersion: apps/v1
# kind: Deployment
# metadata:
#   name: nginx-deployment
#   labels:
#     app: nginx
# spec:
#   ### BEGIN SOLUTION
#   replicas: 3
#   selector:
#     matchLabels:
#       app: nginx
#   template:
#     metadata:
#       labels:
#         app: nginx
#     spec:
#       containers:
#         - name: nginx
#           image: my-nginx:1.0
#           ports:
#             - containerPort: 80
#   ### END SOLUTION

# %% id="apply" tags=["nbval-check-output"]
# !kubectl apply -f deployment.yaml

# %% id="rollout"
# !kubectl rollout status deployment/nginx-deployment --timeout=60s

# %% [markdown] id="who-owns-words"
# ## Who owns whom
#
# You made one object. Look at what came of it:

# %% id="get-all"
# !kubectl get deployment,replicaset,pod -o wide

# %% [markdown] id="owners"
# The **Deployment** made a **ReplicaSet**, and the ReplicaSet made three **Pods**. Each keeps the promise of the one above: the ReplicaSet
# promises *this many pods of exactly this template*, the Deployment promises *a way from one template to the next* (lab 06). A
# pod's `ownerReferences` name its owner:

# %% id="owner-of-a-pod" tags=["nbval-check-output"]
# !kubectl get pods -l app=nginx -o jsonpath='{{range .items[*]}}{{.metadata.ownerReferences[0].kind}}{{"\n"}}{{end}}'

# %% [markdown] id="answer-words"
# Three pods, three addresses, three answers. Until lab 03 there is no single address for all of them, so ask each:

# %% id="ask-each" tags=["nbval-check-output"]
pods = lab.scene.pods_of("deployments", "nginx-deployment")
for pod in pods:
    print(pod["metadata"]["name"], lab.get(f"pod/{pod['metadata']['name']}").status)

# %% id="check-three" role="check" points=2
lab.expect("three-answer")

# %% [markdown] id="predict-words"
# ## Kill one
#
# One of the three will be deleted in a moment. First, commit yourself:

# %% id="predict"
lab.predict(
    "delete-a-pod",
    "You delete one of the three pods. Ten seconds later, how many pods are there?",
    [
        "two: it is gone",
        "three: the same pod was started again",
        "three: a new pod with another name took its place",
    ],
    ### BEGIN SOLUTION
    answer=2,
    ### END SOLUTION
)

# %% [markdown] id="kill-words"
# First somebody has to notice: a meter sends twenty requests a second to *another* pod of the three, as users would.

# %% id="meter"
victim, other = pods[0]["metadata"]["name"], pods[1]["metadata"]["name"]
meter = lab.traffic(f"pod/{other}", rate=20)
meter

# %% [markdown] id="kill-now"
# Now delete the first one, with the map above in sight. (Later, do it once more by hand: select a pod in the map and press <kbd>Delete</kbd>.)

# %% id="kill"
# !kubectl delete pod {victim} --wait=false
now = lab.scene.wait_for_ready("deployments", "nginx-deployment", 3)
names = {pod["metadata"]["name"] for pod in now}

# %% id="explain" tags=["nbval-check-output"]
new = names - {pod["metadata"]["name"] for pod in pods}
lab.explain(
    "delete-a-pod",
    2,
    f"{len(names)} pods: {victim} is not among them, {', '.join(new)} is new",
)

# %% id="meter-stop"
meter.wait(2)
meter.stop()
print(meter.summary())

# %% [markdown] id="who-did-it"
# **Who did that?** The ReplicaSet's controller. It watches pods; when one with its label goes away, it compares (two are there, three are wanted) and
# creates one from the template. The events tell the story:

# %% id="events"
# !kubectl get events --field-selector involvedObject.kind=ReplicaSet -o custom-columns=REASON:.reason,MESSAGE:.message

# %% id="check-replaced" role="check" points=2
lab.expect("lost-pod-is-replaced")

# %% [markdown] id="crash-words"
# ## A program that dies is another matter
#
# You deleted a *pod*. Now only the *program* in a pod will die: its process number 1 is told to quit. (The shell that says so runs in the same container and often
# ends with it: then `kubectl exec` reports its exit code.)

# %% id="predict-crash"
lab.predict(
    "crash",
    "The program in one pod ends. What do you find a moment later?",
    [
        "a new pod with another name",
        "the same pod, with its container started again",
        "the same pod, ended; somebody has to start it",
    ],
    ### BEGIN SOLUTION
    answer=1,
    ### END SOLUTION
)

# %% id="crash"
crashing = lab.scene.pods_of("deployments", "nginx-deployment")[0]["metadata"]["name"]
before = lab.scene.restarts(crashing)
# !kubectl exec {crashing} -- sh -c 'kill -QUIT 1'
lab.scene.wait_for_restart(crashing, before)
# !kubectl get pods -l app=nginx
lab.explain(
    "crash",
    1,
    f"{crashing} is still there; the count of its restarts went from {before} to {lab.scene.restarts(crashing)}",
)

# %% [markdown] id="crash-why"
# The pod stays, with its name and address: the node's agent, the **kubelet**, starts the container again in it, and counts in the RESTARTS column. The ReplicaSet had nothing to do: three
# pods were there all the time.

# %% [markdown] id="timeline-words"
# ## What it looked like
#
# The record of this lab, second by second: drag the line back to the moment of the deletion. How long were there only two?

# %% id="timeline"
lab.timeline()

# %% [markdown] id="article-image"
# ## Another image, the same promise
#
# The Deployment does not care what it runs. The image `nginx:1.17.10` is a stock web server; try it (lab 06 looks closely at what happens in between).

# %% id="set-image" tags=["nbval-check-output"]
# !kubectl set image deployment/nginx-deployment nginx=nginx:1.17.10

# %% id="set-image-wait"
# !kubectl rollout status deployment/nginx-deployment --timeout=60s

# %% [markdown] id="recap"
# ## Remember
#
# **You do not start programs; you declare how many there should be, and a controller keeps it so.**
#
# Read on: [Deployments](https://kubernetes.io/docs/concepts/workloads/controllers/deployment/) ·
# [ReplicaSet](https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/) ·
# [Controllers](https://kubernetes.io/docs/concepts/architecture/controller/)
