"""A trained network in the form in which it only predicts: fewer passes over its maps, weights made ready once.

`deployed` makes it of any network. BatchNorm goes into the weights of the layer before it (`fold_norms.py`), weights
are brought into the precision and, on CPUs, the form that they are multiplied in (`packed_layers.py`), and what
follows a layer is computed as it writes: an activation, a sum with a shortcut and its ReLU (`fuse_calls.py`). What may
be taken together is found by watching a forward pass (`reads.py`), and every step is held to the network's own numbers
on the images of that pass.
"""

from levelfield.models.deploy.deployed_network import Account, DeployedNetwork, deployed

__all__ = ["Account", "DeployedNetwork", "deployed"]
