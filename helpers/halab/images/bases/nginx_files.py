"""The files of the built-in nginx image: written here, laid out like the official image's."""

from __future__ import annotations

# One worker: thirty learners' clusters share one small machine. Temporary files go where any user may write.
NGINX_CONF = """\
user  nginx;
worker_processes  1;

error_log  /dev/stderr notice;
pid        /var/run/nginx.pid;

events {
    worker_connections  1024;
}

http {
    include       /etc/nginx/mime.types;
    default_type  application/octet-stream;

    log_format  main  '$remote_addr - $remote_user [$time_local] "$request" '
                      '$status $body_bytes_sent "$http_referer" '
                      '"$http_user_agent" "$http_x_forwarded_for"';

    access_log  /dev/stdout  main;

    client_body_temp_path  /var/cache/nginx/client_temp;
    proxy_temp_path        /var/cache/nginx/proxy_temp;
    fastcgi_temp_path      /var/cache/nginx/fastcgi_temp;
    uwsgi_temp_path        /var/cache/nginx/uwsgi_temp;
    scgi_temp_path         /var/cache/nginx/scgi_temp;

    sendfile           on;
    keepalive_timeout  65;

    include /etc/nginx/conf.d/*.conf;
}
"""

DEFAULT_CONF = """\
server {
    listen       80;
    listen  [::]:80;
    server_name  localhost;

    location / {
        root   /usr/share/nginx/html;
        index  index.html index.htm;
    }

    error_page   500 502 503 504  /50x.html;
    location = /50x.html {
        root   /usr/share/nginx/html;
    }
}
"""

_TYPES = {
    "text/html": "html htm shtml",
    "text/css": "css",
    "text/xml": "xml",
    "text/plain": "txt",
    "text/csv": "csv",
    "text/markdown": "md",
    "image/gif": "gif",
    "image/jpeg": "jpeg jpg",
    "image/png": "png",
    "image/svg+xml": "svg svgz",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/x-icon": "ico",
    "font/woff": "woff",
    "font/woff2": "woff2",
    "application/javascript": "js mjs",
    "application/json": "json",
    "application/pdf": "pdf",
    "application/wasm": "wasm",
    "application/zip": "zip",
    "application/gzip": "gz",
    "application/octet-stream": "bin exe dll deb dmg iso img",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "video/mp4": "mp4",
    "video/webm": "webm",
}
MIME_TYPES = "types {\n" + "".join(f"    {kind:<28} {ends};\n" for kind, ends in _TYPES.items()) + "}\n"

_FASTCGI = {
    "QUERY_STRING": "$query_string",
    "REQUEST_METHOD": "$request_method",
    "CONTENT_TYPE": "$content_type",
    "CONTENT_LENGTH": "$content_length",
    "SCRIPT_NAME": "$fastcgi_script_name",
    "REQUEST_URI": "$request_uri",
    "DOCUMENT_URI": "$document_uri",
    "DOCUMENT_ROOT": "$document_root",
    "SERVER_PROTOCOL": "$server_protocol",
    "GATEWAY_INTERFACE": "CGI/1.1",
    "REMOTE_ADDR": "$remote_addr",
    "SERVER_NAME": "$server_name",
}
FASTCGI_PARAMS = "".join(f"fastcgi_param  {name:<18} {value};\n" for name, value in _FASTCGI.items())

# What the official entrypoint does: run the scripts of /docker-entrypoint.d, fill in /etc/nginx/templates, become the command.
ENTRYPOINT = r"""#!/bin/sh
# Prepares nginx as the official image does, then becomes the command.
set -e

fill() {
    awk '{
        line = $0; out = ""
        while (match(line, /\$\{[A-Za-z_][A-Za-z0-9_]*\}/)) {
            name = substr(line, RSTART + 2, RLENGTH - 3)
            out = out substr(line, 1, RSTART - 1)
            out = out ((name in ENVIRON) ? ENVIRON[name] : substr(line, RSTART, RLENGTH))
            line = substr(line, RSTART + RLENGTH)
        }
        print out line
    }' "$1"
}

if [ "$1" = nginx ] || [ "$1" = nginx-debug ]; then
    for script in /docker-entrypoint.d/*; do
        [ -f "$script" ] || continue
        case "$script" in
            *.envsh) . "$script" ;;
            *.sh) if [ -x "$script" ]; then "$script"; else echo "$0: Ignoring $script, not executable" >&2; fi ;;
            *) echo "$0: Ignoring $script" >&2 ;;
        esac
    done
    for template in /etc/nginx/templates/*.template; do
        [ -f "$template" ] || continue
        name=${template##*/}
        fill "$template" > "/etc/nginx/conf.d/${name%.template}"
    done
fi
exec "$@"
"""


def index_page(image: str) -> str:
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Welcome to nginx!</title>
<style>
html {{ color-scheme: light dark; }}
body {{ width: 35em; margin: 0 auto; font-family: Tahoma, Verdana, Arial, sans-serif; }}
</style>
</head>
<body>
<h1>Welcome to nginx!</h1>
<p>This page comes from the image <code>{image}</code>: the web server is up and answers on its port.</p>
<p>To serve your own pages, put them in <code>/usr/share/nginx/html</code>: with <code>COPY</code> in a Dockerfile, or
with a volume from a ConfigMap.</p>
<p><em>Have a good time.</em></p>
</body>
</html>
"""


ERROR_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Error</title></head>
<body>
<h1>An error occurred.</h1>
<p>The page cannot be shown at the moment. The server's error log says why.</p>
</body>
</html>
"""
