"""The kinds of anomaly that policies name: TFDV's types, some of them under a plainer name, and ours."""

from __future__ import annotations

ERROR = "error"
WARNING = "warning"
IGNORE = "ignore"
SEVERITIES = (ERROR, WARNING, IGNORE)

PRESENCE = "presence"
"""One column's anomalies of this kind are one reason, however many of TFDV's rules they break."""

UNKNOWN_VALUES = "unknown_values"
DRIFT = "drift"
SKEW = "skew"
TOO_FEW_ROWS = "too_few_rows"
ROW_COUNT = "row_count_jump"
LABEL_CONSTANT = "label_constant"
LABEL_BALANCE = "label_balance"
DUPLICATES = "duplicate_rows"
KEY_OVERLAP = "key_in_train_and_eval"
GIVEAWAY = "label_giveaway"
TOO_OLD = "too_old"
NON_FINITE = "non_finite"

CANNOT_JUDGE = "cannot_be_judged"
"""Findings of this kind are always errors: what nobody could judge, no policy may pass."""

OURS = {
    PRESENCE: ERROR,
    UNKNOWN_VALUES: ERROR,
    DRIFT: ERROR,
    SKEW: ERROR,
    TOO_FEW_ROWS: ERROR,
    ROW_COUNT: ERROR,
    LABEL_CONSTANT: ERROR,
    LABEL_BALANCE: ERROR,
    # Rows of few columns repeat themselves by nature; only whoever owns the data knows whether they may.
    DUPLICATES: WARNING,
    KEY_OVERLAP: ERROR,
    GIVEAWAY: ERROR,
    TOO_OLD: ERROR,
    NON_FINITE: ERROR,
    "new_column": ERROR,
    "data_type": ERROR,
    "out_of_range": ERROR,
}
"""Severity by kind, where no policy says otherwise."""

_OF_TFDV = {
    "SCHEMA_MISSING_COLUMN": PRESENCE,
    "FEATURE_TYPE_NOT_PRESENT": PRESENCE,
    "FEATURE_TYPE_LOW_FRACTION_PRESENT": PRESENCE,
    "FEATURE_TYPE_LOW_NUMBER_PRESENT": PRESENCE,
    "FEATURE_TYPE_NO_VALUES": PRESENCE,
    "INVALID_FEATURE_SHAPE": PRESENCE,
    "COMPARATOR_TREATMENT_DATA_MISSING": PRESENCE,
    "ENUM_TYPE_UNEXPECTED_STRING_VALUES": UNKNOWN_VALUES,
    "BOOL_TYPE_UNEXPECTED_STRING": UNKNOWN_VALUES,
    "SCHEMA_NEW_COLUMN": "new_column",
    "UNEXPECTED_DATA_TYPE": "data_type",
    "OUT_OF_RANGE": "out_of_range",
    "INT_TYPE_OUT_OF_DOMAIN": "out_of_range",
    "FLOAT_TYPE_SMALL_FLOAT": "out_of_range",
    "FLOAT_TYPE_BIG_FLOAT": "out_of_range",
    "INT_TYPE_SMALL_INT": "out_of_range",
    "INT_TYPE_BIG_INT": "out_of_range",
    "BOOL_TYPE_UNEXPECTED_INT": "out_of_range",
    "BOOL_TYPE_SMALL_INT": "out_of_range",
    "BOOL_TYPE_BIG_INT": "out_of_range",
    "FLOAT_TYPE_HAS_NAN": NON_FINITE,
    "FLOAT_TYPE_HAS_INF": NON_FINITE,
}


def of_tfdv(name: str, comparison: str) -> str:
    """Returns the kind of one of TFDV's anomaly types.

    Args:
        name: The type's name in `AnomalyInfo.Type`.
        comparison: `drift` or `skew`: what the anomalies of comparators are.
    """
    if name.startswith("COMPARATOR_") and name.endswith("_HIGH"):
        return comparison
    return _OF_TFDV.get(name, name.lower())
