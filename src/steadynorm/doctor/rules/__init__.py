"""The rules, a file each: the name is the rule's, the docstring its documentation, ``check`` yields findings.

``NEEDS`` names the parts of a :class:`steadynorm.doctor.rule.Case` without which a rule does not run. ``SUPERSEDES``
names the rules whose findings of a layer it explains. Rules are found by their files.
"""
