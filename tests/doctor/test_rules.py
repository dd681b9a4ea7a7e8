"""Every rule fires on its sick model, there and nowhere else, and is silent once the advised fix was applied."""

import pytest

import steadynorm as sn
from sick_models import SICK
from steadynorm.doctor import rule
from steadynorm.doctor.rules import ranks_differ
from steadynorm.surgery.layers import layers_of

RULES = rule.all_rules()
assert set(SICK) == set(RULES), f"every rule needs a sick model: {sorted(set(SICK) ^ set(RULES))}"


@pytest.fixture
def two_ranks(monkeypatch):
    """The process group of a test is the model of another rank."""

    def exchange(mine, other):
        theirs = {v.name: tuple(t.double() for t in v.statistics) for v in layers_of(other)}
        return [theirs, mine]

    monkeypatch.setattr(ranks_differ, "exchange", exchange)


def examine(patient):
    return sn.diagnose(patient.model, patient.batches, **patient.options)


@pytest.mark.parametrize("id", SICK)
def test_a_rule_fires_and_is_healed(id, two_ranks):
    patient = SICK[id]()
    diagnosis = examine(patient)
    assert {one.rule for one in diagnosis} == {id}, diagnosis
    assert patient.layer in {one.layer for one in diagnosis}, diagnosis
    if id != "weight-decay":
        assert len(diagnosis) == 1, diagnosis
    finding = next(one for one in diagnosis if one.layer == patient.layer)
    assert finding.severity == patient.severity, diagnosis
    assert patient.numbers(dict(finding.numbers)), finding
    patient.heal(patient)
    healed = examine(patient)
    assert not healed.findings, healed
