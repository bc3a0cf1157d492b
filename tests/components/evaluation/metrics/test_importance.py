"""Which features matter to a model."""

import toys


def test_what_a_model_predicts_from_matters_and_what_it_lacks_is_not_said_of_it(tmp_path, models, evaluate):
    examples = toys.write_examples(tmp_path / "examples", toys.binary_columns())
    result = evaluate(examples, models["good"], models["fair"])
    by = {one["feature"]: one for one in result.content["importance"]}
    assert by["good"]["challenger"]["value"] > 0.1
    assert by["good"]["challenger"]["matters"]
    assert "challenger" not in by["fair"]
    assert by["fair"]["champion"]["value"] > 0
    assert "Features that matter" in result.report.read_text()
