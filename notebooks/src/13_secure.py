# %% [markdown] id="title"
# # 13 · Secure: allow what is needed, and see that the rest is refused
#
# An attacker rarely breaks the front door. They come in through one forgotten program and then walk: its token reads the Secrets, its network reaches the
# database, its privileges reach the node. High availability ends where somebody else can delete your Deployments. So each part gets what it needs and
# nothing more, and then a break-in is an incident instead of a catastrophe.
#
# A rule that was never tested is a hope. Every rule of this lab is tried both ways: *what must work, works; what must not, is refused*.

# %% id="connect"
import halab

lab = halab.lab("13-secure")
lab

# %% id="topology"
lab.topology()

# %% id="pods"
# !kubectl wait --for=condition=Available deployment --all --timeout=60s
# !kubectl get pods

# %% [markdown] id="rbac-words"
# ## Who may do what: RBAC
#
# Every request to the API server comes from somebody: a person, or a **service account** that a program uses. **RBAC** (role-based access control) only ever *adds* rights:
# a `Role` lists verbs on resources, a `RoleBinding` gives it to somebody. There is no rule that forbids; what no rule allows is refused with 403.
#
# A robot shall scale `web` at night. It has to look at pods, to get the Deployment `web`, and to change the *number of replicas* of `web`. That number is a **subresource**,
# `deployments/scale`: who may patch it cannot touch the image or the command.

# %% id="predict-rbac"
lab.predict(
    "rbac",
    "The robot may patch deployments (without /scale) 'because it is only for the replicas'. "
    "What could somebody with its token do?",
    [
        "only change the number of replicas",
        "run a program of their own in any Deployment's pods, with the Secrets that these mount",
        "nothing: a Deployment's template is immutable",
    ],
    ### BEGIN SOLUTION
    answer=1,
    ### END SOLUTION
)

# %% [markdown] id="rbac-turn"
# **Your turn.** A service account `robot`, a Role, a RoleBinding. `resourceNames` narrows a rule to objects by name.

# %% id="write-robot" role="answer"
# %%writefile robot.yaml
# apiVersion: v1
# kind: ServiceAccount
# metadata:
#   name: robot
# ### BEGIN SOLUTION
# ---
# apiVersion: rbac.authorization.k8s.io/v1
# kind: Role
# metadata:
#   name: scaler
# rules:
#   - apiGroups: [""]
#     resources: [pods]
#     verbs: [get, list]
#   - apiGroups: [apps]
#     resources: [deployments]
#     resourceNames: [web]
#     verbs: [get]
#   - apiGroups: [apps]
#     resources: [deployments/scale]
#     resourceNames: [web]
#     verbs: [get, patch]
# ---
# apiVersion: rbac.authorization.k8s.io/v1
# kind: RoleBinding
# metadata:
#   name: robot-scales
# roleRef:
#   apiGroup: rbac.authorization.k8s.io
#   kind: Role
#   name: scaler
# subjects:
#   - kind: ServiceAccount
#     name: robot
# ### END SOLUTION

# %% id="apply-robot" tags=["nbval-check-output"]
# !kubectl apply -f robot.yaml

# %% [markdown] id="ask-words"
# Ask the API server as the robot. (`--as` is *impersonation*: an administrator may try on somebody's rights.)

# %% id="ask-robot" tags=["nbval-check-output"]
space = lab.namespace
robot = f"system:serviceaccount:{space}:robot"
# !kubectl auth can-i patch deployments/web --subresource=scale --as={robot}
# !kubectl auth can-i patch deployments/web --as={robot}
# !kubectl auth can-i get secrets --as={robot}

# %% id="explain-rbac"
lab.explain(
    "rbac",
    1,
    "patch on a Deployment is the right to run any program with all that its pods are given; "
    "patch on deployments/scale is a number",
)

# %% id="check-robot" role="check" points=2
lab.expect("robot-scales-and-nothing-else")

# %% [markdown] id="secret-words"
# ## The key
#
# `web`'s key stands in its Deployment, in clear. Everybody who can read Deployments has it, and so has every copy of the manifest. A **Secret** is an object of its own,
# with rights of its own. Two honest words: base64 is an encoding, not encryption; and on disk a Secret is as readable as etcd is, unless
# [encryption at rest](https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/) is on. What a Secret does is to draw a line that RBAC can guard.
#
# How the program gets it matters on the day the key leaks. An environment variable is copied when the program starts and stays so; a mounted volume *follows* the
# Secret (on most clusters within a minute or so), so that a key can be changed without a restart, if the program reads the file again.
#
# One more thing: look at what every pod carries unless told otherwise.

# %% id="see-token"
# !kubectl exec deploy/web -- ls -l /var/run/secrets/kubernetes.io/serviceaccount

# %% [markdown] id="secret-turn"
# A token for the API server. `web` never talks to it.
#
# **Your turn.** In `web.yaml`: mount the Secret `pay-key` as a volume at `/etc/pay`, take the key out of the environment, and let no token be mounted. While you are there, make the
# pod fit for what comes next, the level **restricted**: no root (`runAsNonRoot`), no way to gain rights (`allowPrivilegeEscalation: false`), no capabilities
# (`drop: [ALL]`), the runtime's default filter of system calls (`seccompProfile`).

# %% id="write-web" role="answer"
# %%writefile web.yaml
# apiVersion: apps/v1
# kind: Deployment
# metadata:
#   name: web
# spec:
#   replicas: 1
#   selector:
#     matchLabels:
#       app: web
#   template:
#     metadata:
#       labels:
#         app: web
#     spec:
#       terminationGracePeriodSeconds: 2
#       ### BEGIN SOLUTION
#       automountServiceAccountToken: false
#       securityContext:
#         runAsNonRoot: true
#         seccompProfile:
#           type: RuntimeDefault
#       volumes:
#         - name: key
#           secret:
#             secretName: pay-key
#       ### END SOLUTION
#       containers:
#         - name: app
#           image: halab-app:1.0
#           env:
#             - name: PORT
#               value: "8080"
#           ### BEGIN SOLUTION
#           volumeMounts:
#             - name: key
#               mountPath: /etc/pay
#               readOnly: true
#           securityContext:
#             allowPrivilegeEscalation: false
#             capabilities:
#               drop: [ALL]
#           ### END SOLUTION
#           ports:
#             - name: http
#               containerPort: 8080
#           readinessProbe:
#             httpGet:
#               path: /readyz
#               port: http
#             periodSeconds: 1

# %% id="apply-web"
# !kubectl apply -f web.yaml
# !kubectl rollout status deployment/web --timeout=60s

# %% id="check-key" role="check" points=2
lab.expect("key-is-a-file-that-follows")

# %% [markdown] id="psa-words"
# ## What a pod may be: Pod Security
#
# A *privileged* container is root on its node, with a longer way to type it. **Pod Security admission** refuses pods by the namespace's label, at one of three levels:
# `privileged` (anything), `baseline` (nothing known to be dangerous), `restricted` (good manners). Three modes: `enforce` refuses, `warn` tells the user,
# `audit` writes it down. (A Deployment is never refused, only its pods: what is wrong then stands in its condition `ReplicaFailure` and in an event.)

# %% id="predict-psa"
lab.predict(
    "psa",
    "The namespace is labelled enforce=restricted while a Deployment whose pods do not conform is "
    "running. What happens at once?",
    [
        "its pods are evicted",
        "nothing: running pods stay, but the next one that the ReplicaSet makes is refused",
        "the label is refused, since pods violate it",
    ],
    ### BEGIN SOLUTION
    answer=1,
    ### END SOLUTION
)

# %% [markdown] id="psa-turn"
# **Your turn.** First ask what it would hit (`--dry-run=server`), then label the namespace.

# %% id="ask-psa"
level = "pod-security.kubernetes.io/enforce=restricted"
# !kubectl label --dry-run=server --overwrite namespace {space} {level}

# %% id="label" role="answer"
### BEGIN SOLUTION
# !kubectl label --overwrite namespace {space} {level}
### END SOLUTION

# %% id="intruder"
# !kubectl run intruder --image=halab-app:1.0 --privileged; true

# %% id="explain-psa"
from halab.course.scene import describe_pods

lab.explain("psa", 1, "after the label: " + describe_pods(lab.scene.pods()))

# %% id="check-psa" role="check" points=2
lab.expect("namespace-refuses-privilege")

# %% [markdown] id="np-words"
# ## Who may talk to whom: NetworkPolicy
#
# Until now every pod of the cluster could connect to every other. See for yourself: `visitor` has no business with the ledger.

# %% id="visitor-asks"
ask = "import urllib.request as r; print(r.urlopen('http://ledger/', timeout=2).read().decode())"
# !kubectl exec deploy/visitor -- python3 -c "{ask}"

# %% [markdown] id="np-rules"
# A **NetworkPolicy** selects pods. As soon as *one* policy selects a pod for a direction (`Ingress`: into it; `Egress`: out of it), everything in that direction is
# closed, except what some policy allows. Policies add up; none can take away. Three things to know, each of which has cost somebody an evening:
#
# - It speaks of **pods and their ports**. A Service's address and port do not appear: what arrives at the pod is what counts.
# - Entries of a list are **alternatives** (or); selectors *within one entry* must all fit (and). One dash too many opens the door to everybody.
# - It is enforced by the network plugin. A cluster whose plugin does not know it takes the object, says thank you, and does nothing. So test.

# %% id="predict-np"
lab.predict(
    "np",
    "ledger's Service listens at port 80 and leads to port 8080 of its pod. A policy lets web in "
    "at port 80. Does web reach http://ledger/?",
    ["yes: it dials port 80", "no: the policy counts at the pod, where the port is 8080"],
    ### BEGIN SOLUTION
    answer=1,
    ### END SOLUTION
)

# %% id="try-np"
policy = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "ledger", "namespace": space},
    "spec": {
        "podSelector": {"matchLabels": {"app": "ledger"}},
        "ingress": [
            {
                "from": [{"podSelector": {"matchLabels": {"app": "web"}}}],
                "ports": [{"port": 80}],
            }
        ],
    },
}
lab.scene.api.apply(policy)
result = lab.check("ledger-hears-web-only", timeout=0)
lab.explain("np", 1, result.why)

# %% [markdown] id="np-turn"
# **Your turn.** Only `web` may connect to `ledger`.

# %% id="write-ledger-policy" role="answer"
# %%writefile ledger-policy.yaml
# apiVersion: networking.k8s.io/v1
# kind: NetworkPolicy
# metadata:
#   name: ledger
# spec:
#   podSelector:
#     matchLabels:
#       app: ledger
#   ### BEGIN SOLUTION
#   policyTypes: [Ingress]
#   ingress:
#     - from:
#         - podSelector:
#             matchLabels:
#               app: web
#       ports:
#         - port: 8080
#   ### END SOLUTION

# %% id="apply-ledger-policy"
# !kubectl delete networkpolicy ledger --ignore-not-found
# !kubectl apply -f ledger-policy.yaml

# %% id="check-ledger" role="check" points=2
lab.expect("ledger-hears-web-only")

# %% [markdown] id="egress-words"
# ## The other way round
#
# Suppose that somebody takes over `web`. What can they reach from there? With egress closed: the ledger, and nothing else. But `web` dials *a name*, and to
# turn it into an address it has to ask somebody: the cluster's DNS, whose pods carry the label `k8s-app: kube-dns` in the namespace `kube-system`.

# %% id="predict-dns"
lab.predict(
    "dns",
    "A policy lets web connect to ledger's pods at 8080, and to nothing else. "
    "What happens to http://ledger/?",
    [
        "it works",
        "refused at once",
        "it hangs for many seconds and then says that the name cannot be resolved",
    ],
    ### BEGIN SOLUTION
    answer=2,
    ### END SOLUTION
)

# %% [markdown] id="egress-turn"
# **Your turn.** What `web` may call: `ledger` at 8080, and DNS at port 53 (UDP, and TCP for long answers). Leave the DNS out at first, if you like to see it hang.

# %% id="write-web-policy" role="answer"
# %%writefile web-policy.yaml
# apiVersion: networking.k8s.io/v1
# kind: NetworkPolicy
# metadata:
#   name: web
# spec:
#   podSelector:
#     matchLabels:
#       app: web
#   ### BEGIN SOLUTION
#   policyTypes: [Egress]
#   egress:
#     - to:
#         - podSelector:
#             matchLabels:
#               app: ledger
#       ports:
#         - port: 8080
#     - to:
#         - namespaceSelector:
#             matchLabels:
#               kubernetes.io/metadata.name: kube-system
#           podSelector:
#             matchLabels:
#               k8s-app: kube-dns
#       ports:
#         - port: 53
#           protocol: UDP
#         - port: 53
#           protocol: TCP
#   ### END SOLUTION

# %% id="without-dns"
import yaml

with open("web-policy.yaml") as file:
    whole = yaml.safe_load(file)
whole["metadata"]["namespace"] = space
without = {
    **whole,
    "spec": {**whole["spec"], "egress": whole["spec"].get("egress", [])[:1]},
}
lab.scene.api.apply(without)
result = lab.check("web-calls-ledger-only", timeout=0)
lab.scene.api.delete("networkpolicies", "web")
lab.explain("dns", 2, result.why)

# %% id="apply-web-policy" tags=["nbval-check-output"]
# !kubectl apply -f web-policy.yaml

# %% id="check-web" role="check" points=2
lab.expect("web-calls-ledger-only")

# %% id="badges"
lab.badges("NetworkPolicy", "securityContext")

# %% [markdown] id="fidelity"
# **What is real here, and what is not.** Rights, tokens, Secrets and Pod Security are the API server's, as on any cluster. NetworkPolicies are kept at the *caller's* side
# here, for programs that use the C library (Python, nginx, busybox ...); a real plugin filters packets in the kernel, and no program gets around it. There, too, what is
# forbidden is dropped in silence: the caller waits. And a cluster that is one machine's processes keeps accidents apart, not attackers: *do not run hostile code in it*.

# %% [markdown] id="recap"
# ## Remember
#
# **Start from nothing, allow what is needed by name, and test both sides: that it works, and that the rest is refused.**
#
# Read on: [RBAC good practices](https://kubernetes.io/docs/concepts/security/rbac-good-practices/) ·
# [Secrets](https://kubernetes.io/docs/concepts/configuration/secret/) ·
# [Pod Security Standards](https://kubernetes.io/docs/concepts/security/pod-security-standards/) ·
# [Network Policies](https://kubernetes.io/docs/concepts/services-networking/network-policies/)
