#!/bin/sh
set -eu
cd "$(dirname "$0")/../../solution"
sed 's|resources: \[pods\]|resources: [pods, pods/exec]|; s|verbs: \[get, list\]|verbs: [get, list, create]|' robot.yaml | kubectl apply -f -
