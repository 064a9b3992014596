"""Single test images: which are hardest for all networks of a study, and which labels may be wrong."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from levelfield.analysis.predicted_panels import PanelPredictions

MOST: Final = 24
"""So many images of each kind are named."""
MISSING: Final = "cleanlab is not installed: pip install 'levelfield[labels]'"


def hardest(found: PanelPredictions) -> dict[str, Any]:
    """`images`: those that most networks have wrong, each row weighing the same, of equals those whose label gets the
    least probability; `all_wrong`, `all_right`: how many images all networks have wrong or right."""
    wrong = np.stack([(own.predicted != found.label).mean(0) for own in found.rows])
    mean = wrong.mean(0)
    sure = np.take_along_axis(found.probabilities, found.label[:, None], 1)[:, 0]
    order = [int(i) for i in np.lexsort((sure, -mean))[:MOST] if mean[i] > 0]
    return {
        "all_wrong": int((mean == 1).sum()),
        "all_right": int((mean == 0).sum()),
        "images": [of_image(found, i) for i in order],
    }


def of_image(found: PanelPredictions, i: int) -> dict[str, Any]:
    """What all networks say of the image at place `i`: `votes` by class, most first, and the mean `probability` of its
    label."""
    votes = np.bincount(np.concatenate([own.predicted[:, i] for own in found.rows]), minlength=len(found.classes))
    ranked = [int(c) for c in np.argsort(-votes, kind="stable") if votes[c]]
    return {
        "index": int(found.index[i]),
        "label": found.classes[found.label[i]],
        "wrong": int(votes.sum() - votes[found.label[i]]),
        "networks": int(votes.sum()),
        "probability": float(found.probabilities[i, found.label[i]]),
        "votes": {found.classes[c]: int(votes[c]) for c in ranked},
    }


def label_candidates(found: PanelPredictions) -> dict[str, Any]:
    """Images whose label may be wrong, by cleanlab's confident learning (Northcutt et al. 2021) on the mean
    probabilities of all networks: `images`, first those whose label gets the least probability, each with what is
    `suggested`; `count` of all of them; `said`: on what it rests, or why there is none. What weak networks have wrong
    they take for wrong labels, so `said` has their accuracy."""
    try:
        from cleanlab import __version__ as version
        from cleanlab.filter import find_label_issues
    except ModuleNotFoundError:
        return {"said": MISSING, "count": None, "images": []}
    p: NDArray[np.float64] = found.probabilities / found.probabilities.sum(1, keepdims=True)
    try:
        places = find_label_issues(
            found.label, p, filter_by="confident_learning", return_indices_ranked_by="self_confidence", n_jobs=1
        )
    except ValueError as error:  # a test set of one image, say
        return {
            "said": f"cleanlab {version} finds none: {error}".splitlines()[0].rstrip("."),
            "count": None,
            "images": [],
        }
    right = 100 * float((p.argmax(1) == found.label).mean())
    said = (
        f"cleanlab {version} on the mean probabilities of {found.networks} networks (top-1 {right:.1f} %) for test "
        "images, which none was trained on: held out, not cross-validated"
    )
    images = [of_image(found, int(i)) | {"suggested": found.classes[int(p[i].argmax())]} for i in places[:MOST]]
    return {"said": said, "count": len(places), "images": images}
