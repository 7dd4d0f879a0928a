"""The controllers: each brings what the cluster is closer to what its objects say it should be."""
