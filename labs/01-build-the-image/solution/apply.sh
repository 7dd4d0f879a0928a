#!/bin/sh
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cp "$here/article/Dockerfile" article/Dockerfile
halab image build -t my-nginx:1.0 article
halab image build -t my-nginx:1.1 "$here/better"
halab image rm --force web 2>/dev/null || true
halab image run -d --name web --restart always -p 0:80 my-nginx:1.1
