#!/bin/sh
set -eu
for number in 1 2 3; do kubectl run "web-$number" --image=my-nginx:1.0 --labels=app=nginx --port=80; done
