#!/bin/sh
set -eu
cat > article/Dockerfile <<'EOF'
FROM ubuntu:18.04
RUN apt-get update && apt-get install -y nginx
EXPOSE 80
CMD ["nginx"]
EOF
halab image build -t my-nginx:1.0 article
