"""The node agent: this cluster's kubelet. It runs the pods of one node as processes and tells the API how they fare.

An ordinary API client (``main.run``). ``worker`` drives one pod; what to do next (``plan``) and what to report (``status``) are pure;
``runtime`` starts containers; ``server`` answers logs, exec, attach and port-forward like the kubelet's own HTTPS port.
"""
