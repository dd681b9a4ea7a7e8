"""Pixels from bytes: against Pillow, in this process and in others, and what is corrupt."""

import io

import numpy as np
import pytest
from PIL import Image

from image_files import jpeg, noise
from steadynorm.lab.stream.boxes import Centre, Multicrop, Whole
from steadynorm.lab.stream.decoding import Decoder, decode


def test_a_box_is_cut_and_resized():
    with Image.open(io.BytesIO(noise(1))) as image:
        expected = np.asarray(image.crop((5, 0, 35, 30)).resize((10, 10), Image.Resampling.BILINEAR))
    pixels, failures = decode([noise(1)], Centre(1.0), 10)
    assert failures == {}
    # at the edges a box sees its neighbours
    np.testing.assert_allclose(pixels[0, 1:-1, 1:-1].astype(int), expected[1:-1, 1:-1].astype(int), atol=1)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_every_mode_becomes_rgb(mode):
    file = io.BytesIO()
    Image.new(mode, (8, 8)).save(file, "TIFF")
    pixels, failures = decode([file.getvalue()], Whole(), 4)
    assert failures == {}
    assert pixels.shape == (1, 4, 4, 3)


def test_the_boxes_of_an_image_stand_together():
    pixels, _ = decode([jpeg(1), jpeg(50)], Multicrop(), 4)
    assert pixels.shape == (144, 4, 4, 3)
    assert abs(pixels[:72].astype(int) - 3).max() <= 2
    assert abs(pixels[72:].astype(int) - 150).max() <= 2


@pytest.mark.parametrize("corrupt", [b"", b"no image", noise(1)[:600], noise(1)[:100]], ids=repr)
def test_what_is_corrupt_is_named(corrupt):
    pixels, failures = decode([jpeg(1), corrupt[:700], jpeg(2)], Whole(), 4)
    assert list(failures) == [1]
    assert failures[1]
    assert not pixels[1].any()
    assert pixels[2].any()


@pytest.mark.parametrize("corrupt", [[], [b"x"], [b"x", b"y"]], ids=len)
def test_nothing_but_corrupt_images(corrupt):
    pixels, failures = decode(corrupt, Whole(), 4)
    assert pixels.shape == (len(corrupt), 4, 4, 3)
    assert list(failures) == list(range(len(corrupt)))


def test_processes_decode_alike():
    here, there = Decoder(0), Decoder(2)
    try:
        images = [noise(seed) for seed in range(6)]
        one = here.submit(images, Centre(0.8), 16).result()
        for other in [there.submit([*images, b"x"], Centre(0.8), 16) for _ in range(4)]:
            pixels, failures = other.result()
            assert np.array_equal(pixels[:6], one.pixels)
            assert list(failures) == [6]
    finally:
        there.close()
