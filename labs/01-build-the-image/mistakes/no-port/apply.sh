#!/bin/sh
set -eu
halab image build -t my-nginx:1.1 "$(dirname "$0")/../../solution/better"
halab image run -d --name web --restart always my-nginx:1.1
