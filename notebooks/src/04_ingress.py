# %% [markdown] id="title"
# # 04 · Ingress: one door, many sites
#
# Users type names: `nginx.example.com`, `/shop`, `https`. A Service knows only ports. Between the two stands a reverse proxy that reads each
# request's host and path and picks the Service. In Kubernetes you do not configure that proxy; you write an **Ingress**, and a controller turns it into
# the proxy's configuration.
#
# It is also one more place where a mistake cuts off *everybody* at once, so you will see what a user gets when a rule is wrong, and when
# a rule is right but nothing stands behind it.

# %% id="connect"
import halab

lab = halab.lab("04-ingress")
lab

# %% id="topology"
lab.topology()

# %% id="scene"
# !kubectl rollout status deployment/nginx-deployment deployment/shop --timeout=60s
# !kubectl get deployments,services

# %% [markdown] id="ingress-words"
# ## The rule
#
# Two apps run here: the site (`nginx-service`, port 80) and a shop (`shop-service`, port 8080).
#
# **Your turn.** Complete the Ingress: requests for host `nginx.example.com` with path `/` (pathType `Prefix`) go to `nginx-service`,
# those with path `/shop` to `shop-service`.

# %% id="write-ingress" role="answer"
# %%writefile ingress.yaml
# apiVersion: networking.k8s.io/v1
# kind: Ingress
# metadata:
#   name: nginx-ingress
# spec:
#   ### BEGIN SOLUTION
#   rules:
#     - host: nginx.example.com
#       http:
#         paths:
#           - path: /shop
#             pathType: Prefix
#             backend:
#               service:
#                 name: shop-service
#                 port:
#                   number: 8080
#           - path: /
#             pathType: Prefix
#             backend:
#               service:
#                 name: nginx-service
#                 port:
#                   number: 80
#   ### END SOLUTION

# %% id="apply" tags=["nbval-check-output"]
# !kubectl apply -f ingress.yaml

# %% id="wait-ingress"
# !kubectl wait --for=jsonpath='{{.status.loadBalancer.ingress}}' ingress/nginx-ingress --timeout=30s
# !kubectl describe ingress nginx-ingress

# %% [markdown] id="class-words"
# (One field is left out here: `spec.ingressClassName` says *which* controller is meant. Without it the cluster's default class is; where there is no default, nobody serves
# the rule. In production, write it.)

# %% id="badges"
lab.badges("Ingress")

# %% id="routes"
lab.routes()

# %% [markdown] id="ask-words"
# ## Be the user
#
# There is no DNS entry for `nginx.example.com`, so send the request to the proxy's address and say in the `Host` header whom you mean, as a browser would:

# %% id="ask-host" tags=["nbval-check-output"]
door = lab.url("ingress")
# !curl -s -o /dev/null -w "nginx.example.com/      %{{http_code}}\n" -H "Host: nginx.example.com" {door}/
# !curl -s -o /dev/null -w "nginx.example.com/shop/ %{{http_code}}\n" -H "Host: nginx.example.com" {door}/shop/
# !curl -s -o /dev/null -w "other.example.com/      %{{http_code}}\n" -H "Host: other.example.com" {door}/

# %% id="ask-shop" tags=["nbval-check-output"]
# !curl -s -H "Host: nginx.example.com" {door}/shop/

# %% id="check-host" role="check" points=2
lab.expect("host-reaches-the-app")

# %% id="check-path" role="check" points=1
lab.expect("path-reaches-the-shop")

# %% [markdown] id="predict-words"
# ## Nothing behind the door
#
# A wrong host gets 404: *I do not know this site.* Next, the shop is scaled to zero. The rule is still right.

# %% id="predict"
lab.predict(
    "nobody-home",
    "The shop has no pod any more. What does a user of /shop/ get?",
    [
        "404, as for an unknown site",
        "503, the site is known but nobody can answer",
        "the request waits until a pod is there",
    ],
    ### BEGIN SOLUTION
    answer=1,
    ### END SOLUTION
)

# %% [markdown] id="meter-words"
# Two meters show who is hurt: one user of the shop and one of the site, ten requests a second each.

# %% id="meter-shop"
shop = lab.traffic("ingress", host="nginx.example.com", path="/shop/", rate=10)
shop

# %% id="meter-site"
site = lab.traffic("ingress", host="nginx.example.com", rate=10)
site

# %% id="scale-down"
shop.wait(1)
# !kubectl scale deployment shop --replicas=0
gone = lab.scene.wait_for_ready("deployments", "shop", 0)
lab.scene.wait_for_answer(503, "nginx.example.com", "/shop/")
no_shop = lab.get("ingress", "/shop/", host="nginx.example.com")
no_path = lab.get("ingress", "/", host="nginx.example.com")

# %% id="explain" tags=["nbval-check-output"]
lab.explain(
    "nobody-home", 1, f"/shop/ gives {no_shop.status}, the site itself {no_path.status}"
)

# %% id="scale-up"
shop.wait(1)
# !kubectl scale deployment shop --replicas=1
# !kubectl rollout status deployment/shop --timeout=60s
shop.wait(1)
closed, open_all_day = shop.stop(), site.stop()
print(
    f"the shop lost {closed.sent - closed.ok} of {closed.sent} requests, for {closed.hurt:.1f} s"
)
print(f"the site lost {open_all_day.sent - open_all_day.ok} of {open_all_day.sent}")

# %% [markdown] id="timeline-words"
# One door, two sites, and only one of them was closed. Drag the line into the gap: which part of the way of a request is missing there?

# %% id="timeline"
lab.timeline()

# %% [markdown] id="tls-words"
# ## https
#
# TLS needs a certificate for the host. Real ones come from a certificate authority (in a cluster, usually through cert-manager); here you sign your own and
# put it into a **Secret** of type `kubernetes.io/tls`:

# %% id="certificate"
# !openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=nginx.example.com -addext subjectAltName=DNS:nginx.example.com -keyout tls.key -out tls.crt 2>/dev/null
# !kubectl create secret tls nginx-tls --cert=tls.crt --key=tls.key

# %% [markdown] id="tls-turn"
# **Your turn.** Tell the Ingress to use it: `spec.tls` is a list; its entry has `hosts: [nginx.example.com]` and `secretName: nginx-tls`. (Edit
# `ingress.yaml` and apply it again, or use `kubectl patch`.)

# %% id="add-tls" role="answer"
### BEGIN SOLUTION
# !kubectl patch ingress nginx-ingress -p '{{"spec": {{"tls": [{{"hosts": ["nginx.example.com"], "secretName": "nginx-tls"}}]}}}}'
### END SOLUTION

# %% id="check-tls" role="check" points=1
lab.expect("tls-is-served")

# %% [markdown] id="gateway-words"
# ## Why the Gateway API comes next
#
# An Ingress can say *host and path to Service*, and little else: no weights, no retries, no header matches, except in annotations that every controller spells
# differently. And it puts the door (an operator's matter) and the routes (an application team's) into one object. The
# **Gateway API** splits them: a `Gateway` is the door, an `HTTPRoute` a team's routes. It is what new clusters should use: `ingress-nginx`, for years the most used
# Ingress controller, was retired in March 2026.

# %% id="gateway"
# %%writefile route.yaml
# apiVersion: gateway.networking.k8s.io/v1
# kind: Gateway
# metadata:
#   name: door
# spec:
#   gatewayClassName: halab
#   listeners:
#     - name: http
#       protocol: HTTP
#       port: 80
# ---
# apiVersion: gateway.networking.k8s.io/v1
# kind: HTTPRoute
# metadata:
#   name: site
# spec:
#   parentRefs:
#     - name: door
#   hostnames: [gateway.example.com]
#   rules:
#     - matches:
#         - path: {type: PathPrefix, value: /}
#       backendRefs:
#         - name: nginx-service
#           port: 80

# %% id="apply-gateway" tags=["nbval-check-output"]
# !kubectl apply -f route.yaml

# %% id="ask-gateway" tags=["nbval-check-output"]
lab.scene.wait_for_answer(200, "gateway.example.com", "/")
print(lab.get("ingress", "/", host="gateway.example.com").status)

# %% [markdown] id="recap"
# ## Remember
#
# **404: nobody knows this site. 503: the site is known, nobody can answer.** The first is a wrong rule, the second an availability problem.
#
# Read on: [Ingress](https://kubernetes.io/docs/concepts/services-networking/ingress/) ·
# [Gateway API](https://kubernetes.io/docs/concepts/services-networking/gateway/) ·
# [TLS Secrets](https://kubernetes.io/docs/concepts/configuration/secret/#tls-secrets)
