"""What is seen of an image: the boxes against their definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from steadynorm.lab.stream.boxes import ATTEMPTS, Centre, Multicrop, RandomResized, Whole

sides = st.integers(1, 3000)


def drawn(count, seed=0):
    return torch.rand(count, ATTEMPTS, 4, generator=torch.Generator().manual_seed(seed)).numpy()


def test_whole():
    assert Whole().of(3, 40, 30) == [(0, 0, 40, 30)]


def test_the_centre_is_that_of_the_resized_image():
    # 500×375 resized to 341.3×256, of which 224 are cut from the middle
    [(left, top, right, bottom)] = Centre(0.875).of(0, 500, 375)
    assert (right - left) * 256 / 375 == pytest.approx(224)
    assert (right - left, left + right, top + bottom) == pytest.approx((bottom - top, 500, 375))


@given(sides, sides, st.integers(0, 50))
def test_random_boxes_are_inside_and_of_an_allowed_shape(width, height, seed):
    boxes = RandomResized(drawn(4, seed))
    for number in range(4):
        [(left, top, right, bottom)] = boxes.of(number, width, height)
        near = 1e-9 * (width + height)
        assert -near <= left < right <= width + near
        assert -near <= top < bottom <= height + near
        assert 3 / 4 - 1e-9 <= (right - left) / (bottom - top) <= 4 / 3 + 1e-9
        if max(width, height) <= 4 / 3 * min(width, height):
            assert (right - left) * (bottom - top) >= 0.08 * width * height * (1 - 1e-9)


def test_random_boxes_are_spread_evenly():
    drawing = RandomResized(drawn(4000))
    boxes = [box for number in range(4000) for box in drawing.of(number, 1000, 1000)]
    left, top, right, bottom = np.array(boxes).T
    areas, shapes = (right - left) * (bottom - top) / 1e6, np.log((right - left) / (bottom - top))
    assert areas.min() == pytest.approx(0.08, abs=0.01)
    every_shape_fits = areas < 0.75
    assert np.mean(areas[every_shape_fits] < 0.3) == pytest.approx(0.22 / 0.67, abs=0.03)  # uniform there
    assert shapes.mean() == pytest.approx(0, abs=0.02)
    assert np.mean(left / (1000 - (right - left))) == pytest.approx(0.5, abs=0.02)
    assert np.mean(top / (1000 - (bottom - top))) == pytest.approx(0.5, abs=0.02)


def test_a_shape_that_cannot_be_gives_the_centre():
    [box] = RandomResized(drawn(1), scale=(1.0, 1.0)).of(0, 400, 100)
    assert box == pytest.approx((200 - 200 / 3, 0, 200 + 200 / 3, 100))


@pytest.mark.parametrize(("width", "height"), [(500, 375), (375, 500), (300, 300)])
def test_the_papers_crops(width, height):
    """In pixels of the resized image, as the paper tells them."""
    expected = []
    for side in (256, 288, 320, 352):
        scale = side / min(width, height)
        w, h = width * scale, height * scale
        for third in range(3):
            x, y = (w - side) * third / 2, (h - side) * third / 2
            corners = [(0, 0), (side - 224, 0), (0, side - 224), (side - 224, side - 224)]
            corners.append(((side - 224) / 2, (side - 224) / 2))
            expected += [np.array((x + a, y + b, x + a + 224, y + b + 224)) / scale for a, b in corners]
            expected.append(np.array((x, y, x + side, y + side)) / scale)
    found = Multicrop().of(0, width, height)
    assert len(found) * 2 == 144
    np.testing.assert_allclose(found, expected, atol=1e-9)
