"""``steadynorm train``."""

import json

from steadynorm.cli import main


def test_describe_shows_settings_sources_and_layers(capsys):
    assert main(["train", "imagenet/bn-x5", "--describe"]) == 0
    out = capsys.readouterr().out
    for words in ("0.0075", "ours, after Szegedy et al. 2015", "conv 7×7/2 depthwise", "11,295,240", "13.6 million"):
        assert words in out


def test_describe_in_json(capsys):
    assert main(["train", "imagenet/inception", "--describe", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["network"]["rows"][-1]["row"] == "total"
    assert {row["setting"]: row["value"] for row in told["recipe"]["rows"]}["dropout"] == "0.4"


def test_an_unknown_recipe_is_wrong_use(capsys):
    assert main(["train", "imagenet/bn-x7", "--describe"]) == 2
    assert "imagenet/bn-x5" in capsys.readouterr().err
