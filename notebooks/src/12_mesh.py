# %% [markdown] id="title"
# # 12 · Mesh: what the proxy between services can do for you
#
# Every team ends up writing the same code: try again, give up in time, stop asking the instance that keeps failing, send a few users to the new version,
# make sure that the other side is who it says it is. A **service mesh** takes that out of the programs and puts it into a proxy that stands between
# them, the same for all languages, changed by an API object instead of a release.
#
# In most meshes that proxy is [Envoy](https://www.envoyproxy.io/), and so it is here: it runs for real under the embedded cluster's Services. Routes are
# Gateway API objects, the same everywhere. For ejection, faults and mutual TLS there is no common API yet: here they are annotations of a Service, where Istio
# or Linkerd have objects of their own. The mechanisms, and the ways to hurt yourself with them, are the same.

# %% id="connect"
import halab

lab = halab.lab("12-mesh")
lab

# %% id="topology"
lab.topology()

# %% id="pods"
# !kubectl wait --for=condition=Available deployment --all --timeout=60s
# !kubectl get pods

# %% [markdown] id="canary-words"
# ## A canary: one in ten
#
# In lab 06 a rollout decided how many *pods* were new. A route decides how many *requests* go to the new version, whatever the number of pods, and a
# mistake costs one user in ten, for as long as it takes to change a number.
#
# **Your turn.** Split the requests for `shop.mesh.example` between the Services `shop-v1` and `shop-v2`, 90 to 10.

# %% id="write-shop" role="answer"
# %%writefile shop.yaml
# apiVersion: gateway.networking.k8s.io/v1
# kind: HTTPRoute
# metadata:
#   name: shop
# spec:
#   parentRefs:
#     - name: mesh
#   hostnames: [shop.mesh.example]
#   ### BEGIN SOLUTION
#   rules:
#     - backendRefs:
#         - name: shop-v1
#           port: 80
#           weight: 90
#         - name: shop-v2
#           port: 80
#           weight: 10
#   ### END SOLUTION

# %% id="apply-shop" tags=["nbval-check-output"]
# !kubectl apply -f shop.yaml

# %% id="count-versions"
from collections import Counter

lab.scene.wait_for_answer(200, "shop.mesh.example")
answers = lab.scene.ask_ingress("shop.mesh.example", count=200, together=4)
Counter(answer.headers.get("x-version") for answer in answers)

# %% [markdown] id="chance-words"
# Not exactly 180 and 20: each request is drawn by lot. Out of 200 you get 20 ± 4 most of the time. So a canary that shows *no* error in 20 requests has
# not shown much: with a fault in one of ten requests it would look just as clean every eighth time (0.9²⁰ = 0.12).

# %% id="check-shop" role="check" points=2
lab.expect("ninety-ten")

# %% [markdown] id="fault-words"
# ## Break it on purpose, for one in ten
#
# Fault injection is the other half of a canary: make the new version slow, *without touching it*, and see what the whole does. The annotation delays
# every request for `shop-v2` by 300 ms.

# %% id="predict-delay"
lab.predict(
    "delay",
    "Version 2.0, which gets one request in ten, becomes 300 ms slower. What happens to the median "
    "and to the 99th percentile of all requests?",
    [
        "both rise by about 30 ms, the average of the delay",
        "the median hardly moves, the 99th percentile rises by about 300 ms",
        "both rise by 300 ms",
    ],
    ### BEGIN SOLUTION
    answer=1,
    ### END SOLUTION
)


# %% id="inject-delay"
def percentiles(count=200):
    seconds = sorted(
        answer.seconds
        for answer in lab.scene.ask_ingress("shop.mesh.example", count=count, together=4)
    )
    return {
        "median ms": round(1000 * seconds[count // 2]),
        "99th ms": round(1000 * seconds[int(count * 0.99) - 1]),
    }


before = percentiles()
slow = '{"delay": 0.3}'
# !kubectl annotate service shop-v2 halab.dev/fault='{slow}'
lab.scene.api.wait(
    "services",
    lambda services: any(
        "halab.dev/fault" in (s["metadata"].get("annotations") or {}) for s in services
    ),
    5,
)
after = percentiles()
# !kubectl annotate service shop-v2 halab.dev/fault-

# %% id="explain-delay"
lab.explain(
    "delay",
    1,
    "; ".join(f"{name}: {before[name]}, with the fault {after[name]}" for name in before),
)

# %% [markdown] id="tail-words"
# The average hides it; the tail shows it. And a page that makes twenty such calls meets the slow one in most views (1 − 0.9²⁰ = 88 %): *the tail of a
# service is the everyday of whoever depends on it*.

# %% [markdown] id="retry-words"
# ## Try again, but not for ever
#
# Of the three pods behind `pay`, one answers 503 at `/healthz`. (Its readiness probe asks another path, so Kubernetes finds nothing wrong: probes see
# what they ask for.) Without any rule, the users meet it:

# %% id="see-sick"
Counter(
    answer.status
    for answer in lab.scene.ask_ingress("pay-plain.mesh.example", "/healthz", count=30)
)

# %% [markdown] id="retry-turn"
# **Your turn.** In the route for `pay.mesh.example`: a request that was answered 503 is tried again, up to three times; and the whole, tries included, takes
# at most one second. (`timeouts` belongs to the Gateway API's standard channel, `retry` to its experimental one: look before you rely on it elsewhere.)

# %% id="write-pay" role="answer"
# %%writefile pay.yaml
# apiVersion: gateway.networking.k8s.io/v1
# kind: HTTPRoute
# metadata:
#   name: pay
# spec:
#   parentRefs:
#     - name: mesh
#   hostnames: [pay.mesh.example]
#   rules:
#     - backendRefs:
#         - name: pay
#           port: 80
#       ### BEGIN SOLUTION
#       timeouts:
#         request: 1s
#       retry:
#         attempts: 3
#         codes: [503]
#       ### END SOLUTION

# %% id="apply-pay" tags=["nbval-check-output"]
# !kubectl apply -f pay.yaml

# %% id="check-retries" role="check" points=2
lab.expect("retries-hide-the-sick-pod")

# %% id="check-timeout" role="check" points=1
lab.expect("gives-up-in-time")

# %% [markdown] id="retry-storm"
# Retries are borrowed from the future. When *everything* behind a route fails, three retries turn each request into four, at the worst moment; with
# three layers of services that each retry three times, one user makes 64 requests at the bottom. Hence: retry at one layer, only what may safely be done
# twice (a payment needs an idempotency key), with a limit on time, and with a brake. The brake is next.

# %% [markdown] id="eject-words"
# ## Stop asking the sick one
#
# **Outlier ejection** is a circuit breaker for each endpoint: so many failures in a row, and it is left out for a while; then it gets another chance, and a
# longer time out if it fails again. Nobody restarts it: the pod is Ready as ever. `bank` is another Service of the same three pods, without retries.

# %% id="predict-eject"
lab.predict(
    "eject",
    "bank ejects a pod after 3 failures in a row, for 30 s. 60 users ask, one after the other; "
    "before, one in three failed. How many fail now?",
    [
        "none",
        "about three, then none",
        "about twenty, as before, but faster",
        "about three every second",
    ],
    ### BEGIN SOLUTION
    answer=1,
    ### END SOLUTION
)

# %% id="eject" role="answer"
### BEGIN SOLUTION
rule = '{"ejectAfter": 3, "ejectSeconds": 30}'
# !kubectl annotate service bank halab.dev/traffic='{rule}'
### END SOLUTION

# %% id="explain-eject"
answers = lab.scene.ask_ingress("bank.mesh.example", "/healthz", count=60)
lab.explain(
    "eject",
    1,
    f"{sum(not answer.ok for answer in answers)} of 60 failed; answers in order: "
    + "".join("." if a.ok else "x" for a in answers),
)

# %% id="check-eject" role="check" points=2
lab.expect("the-sick-pod-is-left-out")

# %% [markdown] id="mtls-words"
# ## Who is there?
#
# Inside a cluster every pod can reach every Service, and what they say crosses the network in the clear. **Mutual TLS** changes both: the connection is
# encrypted, and *both* sides show a certificate of an authority that they trust. A mesh makes and renews these certificates for every pod; here you do it once by
# hand, to see that there is no magic. The script makes an authority and two certificates, and stores them as Secrets:

# %% id="certificates"
# !cat certificates.sh
# !sh certificates.sh

# %% id="predict-mtls"
lab.predict(
    "mtls",
    "ledger now asks for certificates. Which of these clients gets an answer?",
    [
        "all of them; TLS is only an offer",
        "those that speak TLS, with any certificate or none",
        "only the one with a certificate of the same authority",
    ],
    ### BEGIN SOLUTION
    answer=2,
    ### END SOLUTION
)

# %% [markdown] id="mtls-turn"
# **Your turn.** Tell the proxy in front of `ledger`: annotate the Service with `halab.dev/mtls`, whose value is the name of its Secret.

# %% id="mtls" role="answer"
### BEGIN SOLUTION
# !kubectl annotate service ledger halab.dev/mtls=ledger-tls
### END SOLUTION

# %% id="check-mtls" role="check" points=2
lab.expect("only-with-a-certificate")

# %% id="ask-ledger"
import ssl
import urllib.request

address = lab.url("service/ledger").replace("http:", "https:")
context = ssl.create_default_context(cafile="ca.crt")
context.check_hostname = False  # we dial an address; a mesh compares the name or SPIFFE id in the certificate here
outcomes = {}
for who in ("nobody", "client"):
    if who == "client":
        context.load_cert_chain("client.crt", "client.key")
    try:
        outcomes[who] = urllib.request.urlopen(address, context=context, timeout=5).status
    except OSError as error:
        outcomes[who] = getattr(error, "reason", error)
outcomes["plaintext"] = lab.get("service/ledger")

# %% id="explain-mtls"
lab.explain("mtls", 2, "; ".join(f"{who}: {outcome}" for who, outcome in outcomes.items()))

# %% [markdown] id="fidelity"
# **What is real here, and what is not.** The TLS, the certificates and the refusal are Envoy's, in front of the Service's address. Two things a mesh has and this lab
# has not: a proxy at the *client's* side that brings the certificate, so that programs know nothing of it; and a proxy (or a NetworkPolicy, lab 13) at each *pod*,
# so that nobody gets around the Service by dialling the pod's own address. And a certificate says *who* it is, not what they may do: that is a rule of its own.

# %% [markdown] id="recap"
# ## Remember
#
# **A proxy can hide a failure from users, but every retry, time-out and ejection is a decision about load: choose the numbers, then break something to see
# whether they hold.**
#
# Read on: [HTTPRoute traffic splitting](https://gateway-api.sigs.k8s.io/guides/traffic-splitting/) ·
# [HTTPRoute timeouts](https://gateway-api.sigs.k8s.io/guides/http-timeouts/) ·
# [Envoy: outlier detection](https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier) ·
# [Gateway API for mesh](https://gateway-api.sigs.k8s.io/mesh/) ·
# [Kubernetes: Gateway API](https://kubernetes.io/docs/concepts/services-networking/gateway/)
