import numpy as np

from cytomesh.report.confusion import confusion_order


def test_confused_areas_stand_side_by_side() -> None:
    counts = np.diag([50.0, 50, 50, 50])
    counts[0, 2] = counts[2, 0] = 30
    counts[1, 3] = counts[3, 1] = 30
    place = np.argsort(confusion_order(counts))
    assert abs(place[0] - place[2]) == 1
    assert abs(place[1] - place[3]) == 1


def test_areas_without_nodes_are_ordered_too() -> None:
    assert sorted(confusion_order(np.zeros((4, 4)))) == [0, 1, 2, 3]
    assert confusion_order(np.zeros((2, 2))).tolist() == [0, 1]
