"""The package ``nginx`` as Debian and Ubuntu lay it out: sites-enabled, /var/www/html, logs in files, user www-data.

The program is the machine's; the configuration is ours, not the machine's own (which an administrator may have changed).
"""

from __future__ import annotations

from halab.images.bases.nginx_files import FASTCGI_PARAMS, MIME_TYPES
from halab.images.layers import Entry, directory, link, text

_CONF = """\
user www-data;
worker_processes 1;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;

events {
    worker_connections 768;
}

http {
    sendfile on;
    tcp_nopush on;
    types_hash_max_size 2048;

    include /etc/nginx/mime.types;
    default_type application/octet-stream;

    client_body_temp_path /var/lib/nginx/body;
    proxy_temp_path /var/lib/nginx/proxy;
    fastcgi_temp_path /var/lib/nginx/fastcgi;
    uwsgi_temp_path /var/lib/nginx/uwsgi;
    scgi_temp_path /var/lib/nginx/scgi;

    access_log /var/log/nginx/access.log;
    gzip on;

    include /etc/nginx/conf.d/*.conf;
    include /etc/nginx/sites-enabled/*;
}
"""

_SITE = """\
server {
    listen 80 default_server;
    listen [::]:80 default_server;

    root /var/www/html;
    index index.html index.htm index.nginx-debian.html;
    server_name _;

    location / {
        try_files $uri $uri/ =404;
    }
}
"""

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Welcome to nginx!</title>
<style>
html { color-scheme: light dark; }
body { width: 35em; margin: 0 auto; font-family: Tahoma, Verdana, Arial, sans-serif; }
</style>
</head>
<body>
<h1>Welcome to nginx!</h1>
<p>The web server that your Dockerfile installed is up and answers. This page is
<code>/var/www/html/index.nginx-debian.html</code> in the image.</p>
<p><em>Have a good time.</em></p>
</body>
</html>
"""


def debian_nginx() -> list[Entry]:
    return [
        text("etc/nginx/nginx.conf", _CONF),
        text("etc/nginx/mime.types", MIME_TYPES),
        text("etc/nginx/fastcgi_params", FASTCGI_PARAMS),
        text("etc/nginx/sites-available/default", _SITE),
        link("etc/nginx/sites-enabled/default", "/etc/nginx/sites-available/default"),
        directory("etc/nginx/conf.d"),
        directory("etc/nginx/modules-enabled"),
        text("var/www/html/index.nginx-debian.html", _PAGE),
        directory("var/lib/nginx"),
        directory("var/log/nginx"),
        text("var/log/nginx/access.log", ""),
        text("var/log/nginx/error.log", ""),
        directory("usr/share/nginx/html"),
    ]
