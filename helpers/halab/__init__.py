"""halab: learn high availability with Docker and Kubernetes, by doing."""
