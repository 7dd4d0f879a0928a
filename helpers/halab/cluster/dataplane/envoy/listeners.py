"""Listeners: plain connections for Services, HTTP and HTTPS for Ingress and Gateways."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from halab.cluster.dataplane.envoy import faults
from halab.cluster.dataplane.envoy.bootstrap import file_source
from halab.cluster.dataplane.envoy.routes import table
from halab.cluster.dataplane.envoy.types import LISTENER, extension, socket_address, typed
from halab.cluster.dataplane.model import Address, Certificate, Frontend, Listen, Mutual
from halab.cluster.kube.types import Obj

BUFFER_BYTES = 65536  # a connection's buffer; Envoy's 1 MB would let a few slow readers fill a small machine
STREAM_IDLE = "3600s"  # a request may be silent that long (watches, long polls) before it is given up
_HCM = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = extension("envoy.filters.http.router", "extensions.filters.http.router.v3.Router", suppress_envoy_headers=True)
_ACCESS_FORMAT = {
    "time": "%START_TIME(%s.%3f)%",
    "method": "%REQ(:METHOD)%",
    "host": "%REQ(:AUTHORITY)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "milliseconds": "%DURATION%",
    "client": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
    "endpoint": "%UPSTREAM_HOST%",
    "service": "%UPSTREAM_CLUSTER%",
}


def _listener(name: str, addresses: tuple[Address, ...], protocol: str = "TCP", **fields: object) -> Obj:
    found = typed(
        LISTENER,
        name=name,
        address=socket_address(addresses[0], protocol),
        enable_reuse_port=False,
        per_connection_buffer_limit_bytes=BUFFER_BYTES,
        **fields,
    )
    if len(addresses) > 1:
        found["additional_addresses"] = [{"address": socket_address(address, protocol)} for address in addresses[1:]]
    return found


# Services


def service(listen: Listen) -> Obj:
    if listen.protocol == "UDP":
        return _udp(listen)
    if not listen.local:
        return _listener(listen.name, listen.addresses, filter_chains=[_chain(listen, listen.cluster)])
    by_cluster: dict[str, list[str]] = {}
    for source, cluster in listen.local:
        by_cluster.setdefault(cluster, []).append(source)
    chains = [
        {
            "name": cluster,
            "filter_chain_match": {"source_prefix_ranges": [_range(source) for source in sources]},
            **_chain(listen, cluster),
        }
        for cluster, sources in by_cluster.items()
    ]
    others: Obj = {} if listen.strict else {"default_filter_chain": {"name": listen.cluster, **_chain(listen, listen.cluster)}}
    return _listener(listen.name, listen.addresses, filter_chains=chains, **others)


def _chain(listen: Listen, cluster: str) -> Obj:
    chain: Obj = {"filters": [_service_filter(listen, cluster)]}
    if listen.mutual is not None:
        chain["transport_socket"] = _mutual_tls(listen.mutual)
    return chain


def _mutual_tls(mutual: Mutual) -> Obj:
    """Both sides show a certificate. No ALPN: what is inside the connection is the pod's affair."""
    return extension(
        "envoy.transport_sockets.tls",
        "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        require_client_certificate=True,
        common_tls_context={
            "tls_certificates": [
                {"certificate_chain": {"inline_string": mutual.chain}, "private_key": {"inline_string": mutual.key}}
            ],
            "validation_context": {"trusted_ca": {"inline_string": mutual.authority}},
        },
    )


def _range(text: str) -> Obj:
    address, _, length = text.partition("/")
    return {"address_prefix": address, "prefix_len": int(length)}


def _service_filter(listen: Listen, cluster: str) -> Obj:
    fault = listen.fault
    if fault is not None and (fault.delay > 0 or fault.abort):
        routes = faults.on_route({"match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": "0s"}}, fault)
        hosts = [{"name": "service", "domains": ["*"], "routes": routes}]
        return _http_filter(listen.name, {"route_config": {"name": listen.name, "virtual_hosts": hosts}}, transparent=True)
    fields: Obj = {"stat_prefix": "s", "idle_timeout": "0s", **faults.shares(cluster, fault)}
    if listen.sticky:
        fields["hash_policy"] = [{"source_ip": {}}]
    return extension("envoy.filters.network.tcp_proxy", "extensions.filters.network.tcp_proxy.v3.TcpProxy", **fields)


def _udp(listen: Listen) -> Obj:
    route = extension("route", "extensions.filters.udp.udp_proxy.v3.Route", cluster=listen.cluster)
    fields: Obj = {"stat_prefix": "u", "matcher": {"on_no_match": {"action": route}}, "idle_timeout": "30s"}
    if listen.sticky:
        fields["hash_policies"] = [{"source_ip": True}]
    proxy = extension("envoy.filters.udp_listener.udp_proxy", "extensions.filters.udp.udp_proxy.v3.UdpProxyConfig", **fields)
    return _listener(listen.name, listen.addresses, "UDP", udp_listener_config={}, listener_filters=[proxy])


# Ingress and Gateways


def frontend(wanted: Frontend, address: Address, routes: Path, access_log: Path | None) -> Obj:
    """``routes`` is the file with this frontend's route table, followed by Envoy by itself, so that a change leaves connections alone.

    While there is no rule the (empty) table stands in the listener: every file that is followed costs one of the user's inotify instances,
    and a classroom of idle clusters has 128 of them together.
    """
    source: Obj = {"rds": {"config_source": file_source(routes), "route_config_name": wanted.name}}
    if not wanted.rules:
        source = {"route_config": {key: value for key, value in table(wanted).items() if key != "@type"}}
    http = _http_filter(wanted.name, source, access_log=access_log)
    if not wanted.tls:
        return _listener(wanted.name, (address,), filter_chains=[{"filters": [http]}])
    chains, default = [], None
    for certificate in wanted.certificates:
        chain: Obj = {"filters": [http], "transport_socket": _tls(certificate)}
        if certificate.hosts:
            chain["filter_chain_match"] = {"server_names": list(certificate.hosts)}
            chains.append(chain)
        else:
            default = chain
    inspector = extension("envoy.filters.listener.tls_inspector", "extensions.filters.listener.tls_inspector.v3.TlsInspector")
    fields: Obj = {"filter_chains": chains, "listener_filters": [inspector]}
    if default is not None:
        fields["default_filter_chain"] = default
    return _listener(wanted.name, (address,), **fields)


def _tls(certificate: Certificate) -> Obj:
    pair = {"certificate_chain": {"inline_string": certificate.chain}, "private_key": {"inline_string": certificate.key}}
    common = {"tls_certificates": [pair], "alpn_protocols": ["h2", "http/1.1"]}
    return extension(
        "envoy.transport_sockets.tls", "extensions.transport_sockets.tls.v3.DownstreamTlsContext", common_tls_context=common
    )


def _http_filter(name: str, routes: Obj, *, access_log: Path | None = None, transparent: bool = False) -> Obj:
    """``transparent`` leaves requests as they came: no forwarding headers, for Services under a fault."""
    fields: Obj = {
        "stat_prefix": "h",
        "codec_type": "AUTO",
        **routes,
        "http_filters": [faults.idle_filter(), _ROUTER],
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "use_remote_address": not transparent,
        "skip_xff_append": True,  # route tables add it: Envoy takes a loopback client for the machine itself
        "generate_request_id": not transparent,
        "server_header_transformation": "PASS_THROUGH",
        "stream_idle_timeout": STREAM_IDLE,
        "normalize_path": not transparent,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "localhost"},
        "local_reply_config": {"body_format": {"text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%\n"}}},
    }
    if access_log is not None:
        fields["access_log"] = [
            extension(
                "envoy.access_loggers.file",
                "extensions.access_loggers.file.v3.FileAccessLog",
                path=str(access_log),
                log_format={"json_format": _ACCESS_FORMAT},
            )
        ]
    return extension("envoy.filters.network.http_connection_manager", _HCM, **fields)


def listeners(services: Iterable[Listen], frontends: Iterable[Obj]) -> list[Obj]:
    return [*frontends, *(service(each) for each in sorted(services, key=lambda each: each.name))]
