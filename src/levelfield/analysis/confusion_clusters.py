"""Which classes are confused with one another: a tree of classes by average linkage (SciPy)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

OFTEN: Final = 3
"""A group: joined while its classes are confused at least so many times as often as two classes on the average."""


def clusters(shares: NDArray[np.float64], classes: tuple[str, ...]) -> dict[str, Any]:
    """`order`: the classes so that those which are confused stand together; `groups` of classes that are confused
    OFTEN times as often as two classes on the average; `merges`: what was joined, first what is confused most.

    `shares` (C, C): percent of each label's images taken for each other class, 0 on the diagonal. Two classes are as
    alike as they are confused, the mean of both ways; two groups as the mean over their pairs, `share` of a merge.
    """
    from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(classes) < 2:
        return {"order": list(classes), "groups": [], "merges": []}
    alike = (shares + shares.T) / 2
    most = float(alike.max())
    apart = most - alike
    np.fill_diagonal(apart, 0.0)
    tree = linkage(squareform(apart, checks=False), "average", optimal_ordering=len(classes) <= 200)
    members: list[list[int]] = [[i] for i in range(len(classes))]
    merges = []
    for left, right, height, _ in tree:
        one, other = members[int(left)], members[int(right)]
        members.append(one + other)
        merges.append({
            "one": [classes[i] for i in one], "other": [classes[i] for i in other], "share": most - float(height),
        })  # fmt: skip
    usual = float(alike.sum()) / (len(classes) * (len(classes) - 1))
    of_class = fcluster(tree, most - OFTEN * usual, "distance") if usual else np.arange(len(classes))
    order = [int(i) for i in leaves_list(tree)]
    groups: dict[int, list[str]] = {}
    for i in order:
        groups.setdefault(int(of_class[i]), []).append(classes[i])
    return {
        "order": [classes[i] for i in order],
        "groups": [group for group in groups.values() if len(group) > 1],
        "merges": merges,
    }
