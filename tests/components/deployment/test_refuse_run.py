from __future__ import annotations

import pytest

from mainspring.components.common.errors import UserError
from mainspring.components.deployment.refuse_run import refuse_run


def test_it_fails_with_stage_and_reasons_in_one_line():
    with pytest.raises(UserError) as error:
        refuse_run("data", "late: unknown carrier\n\n  distance: drifted \n")
    assert str(error.value) == "the data was refused: late: unknown carrier; distance: drifted"


def test_skip_says_the_same_returns_it_and_writes_it_on_a_page(capsys, tmp_path):
    said = refuse_run("model", "auc is 0.5\n# loud", on_refusal="skip", page=str(tmp_path / "page.md"))
    assert said == "the model was refused: auc is 0.5; # loud"
    assert capsys.readouterr().out == f"{said}\n"
    page = (tmp_path / "page.md").read_text()
    assert page == "The model was refused. Nothing was deployed.\n\n    auc is 0.5\n    # loud\n"


def test_another_word_is_refused():
    with pytest.raises(UserError, match="on_refusal 'ignore'"):
        refuse_run("data", "x", on_refusal="ignore")
