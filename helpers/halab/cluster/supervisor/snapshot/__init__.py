"""A cluster's state in one file: saved while it runs, restored here or elsewhere.

The file is a tar of, in this order:

==================  ==================================================================================================================
``snapshot.json``   what this is, when and where it was made (``header``)
``state.db``        the API server's state at one moment, Secrets included
``sa.key``          the key that service account tokens are signed with: tokens in the state stay good
``volumes/``        the data of the volumes that the cluster provisioned, at the same moment (``freeze``)
``faults/``         the records of failures that were active: the next ``up`` heals what they did to objects
``images.tar``      the built, pulled or loaded images that pods and templates name; built-in bases are made anew where it is restored
``digests.json``    SHA-256 of every file before it: its presence says that the file is whole
==================  ==================================================================================================================

Left out: the certificate authority, the administrator's and the components' tokens (a snapshot gives nobody access; in place the present
ones are kept, elsewhere new ones are made, so a kubeconfig never goes stale by a restore), emptyDir volumes and containers' logs (they
belong to pods' lives), hostPath volumes outside, and whatever belongs to ``$HALAB_HOME`` as a whole: registries, ``halab image`` containers.
"""

from halab.cluster.supervisor.snapshot.header import Header
from halab.cluster.supervisor.snapshot.restoring import Restored, restore
from halab.cluster.supervisor.snapshot.saving import Saved, save

__all__ = ["Header", "Restored", "Saved", "restore", "save"]
