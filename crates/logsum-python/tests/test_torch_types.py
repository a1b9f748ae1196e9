import type_checks

import logsum.torch


def test_types_are_right(tmp_path):
    type_checks.check_calls("typed_torch.py")
    type_checks.check_stubs(logsum.torch, tmp_path)
