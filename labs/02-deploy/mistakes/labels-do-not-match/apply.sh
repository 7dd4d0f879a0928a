#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
# The API server refuses this one; the learner overlooks the message.
awk '/template:/ {inside = 1} inside && /app: nginx/ {sub(/app: nginx/, "app: web")} {print}' deployment.yaml | kubectl apply -f - || true
