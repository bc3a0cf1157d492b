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

EMPTY_ROWS = "empty_rows"
CONSTANT = "constant_column"
CONSTANT_MOVED = "constant_moved"
UNIQUE = "unique_column"
MANY_VALUES = "many_values"
NEW_COLUMN = "new_column"
DATA_TYPE = "data_type"
OUT_OF_RANGE = "out_of_range"

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
    EMPTY_ROWS: ERROR,
    NEW_COLUMN: ERROR,
    DATA_TYPE: ERROR,
    OUT_OF_RANGE: ERROR,
    # What a column is by itself is no fault of the rows; whoever owns it may know better.
    CONSTANT: WARNING,
    CONSTANT_MOVED: WARNING,
    UNIQUE: WARNING,
    MANY_VALUES: WARNING,
}
"""Severity by kind, where no policy says otherwise."""

LEARNT = (PRESENCE, UNKNOWN_VALUES, DRIFT, SKEW, LABEL_BALANCE, NEW_COLUMN, DATA_TYPE, OUT_OF_RANGE, CONSTANT_MOVED)
"""What `accept` takes back: the schema learns the column anew from this run's rows."""

JUDGED_BESIDE = (DRIFT, SKEW, LABEL_BALANCE, CONSTANT_MOVED)
"""What an accepted column is not held to: there is nothing yet that it could be compared with."""

MEANINGS = {
    PRESENCE: "a column is missing, or misses more values than the schema allows",
    UNKNOWN_VALUES: "a column has values that the schema does not know",
    DRIFT: "a column's distribution is further from the baseline's than its threshold allows",
    SKEW: "a column is served otherwise than it is trained on",
    TOO_FEW_ROWS: "train has fewer rows than min_rows",
    ROW_COUNT: "the newest span has many more or fewer rows than the baseline's (max_row_factor)",
    LABEL_CONSTANT: "the label has one value only",
    LABEL_BALANCE: "a label's value is much more or less frequent than in the baseline (max_label_odds_factor)",
    DUPLICATES: "rows repeat earlier ones (max_duplicate_share)",
    KEY_OVERLAP: "what the key names lies in train and in eval",
    GIVEAWAY: "one feature predicts the label almost perfectly by itself (max_association)",
    TOO_OLD: "the newest row is older than max_age_days, or from the future",
    NON_FINITE: "a number is NaN or infinite",
    EMPTY_ROWS: "rows have no value in any column",
    NEW_COLUMN: "a column that the schema does not know",
    DATA_TYPE: "a column is of another type than the schema says",
    OUT_OF_RANGE: "a number is outside the range that the schema gives",
    CONSTANT: "a column has the same value in every row",
    CONSTANT_MOVED: "a column that had one value in every row of the baseline has another one, or several, now",
    UNIQUE: "a column has a different value in every row, as ids have",
    MANY_VALUES: "text with more than 1,000 different values",
}
"""What each kind is."""

CONSEQUENCES = {
    PRESENCE: "the model is trained with the values missing; a column that is gone altogether stops the training",
    UNKNOWN_VALUES: "the model learns the values as this run's rows show them; the schema goes on refusing them",
    DRIFT: "the model is trained on the rows as they are, and they become the next run's baseline",
    SKEW: "the model is trained on rows that are unlike what is served",
    TOO_FEW_ROWS: "the model is trained on the few rows",
    ROW_COUNT: "the model is trained on the rows that are there, and they become the next run's baseline",
    LABEL_CONSTANT: "a model that always says the same is trained, which evaluation refuses",
    LABEL_BALANCE: "the model learns the new balance, and it becomes the next run's baseline",
    DUPLICATES: "repeated rows weigh more, and some are judged that the model was trained on",
    KEY_OVERLAP: "the model is judged on what it was trained on: its metrics are too good",
    GIVEAWAY: "the model may know the label beforehand, and fail where it is served without it",
    TOO_OLD: "the model is trained on the old rows",
    NON_FINITE: "training takes NaN for missing and infinite numbers for the largest there are",
    EMPTY_ROWS: "rows without a label stay in the examples, and training may refuse them",
    NEW_COLUMN: "the column is no feature: the schema goes on without it",
    DATA_TYPE: "training reads the column as the schema says, or refuses it",
    OUT_OF_RANGE: "the model is trained with the values outside",
    CONSTANT: "the model has a feature that says nothing",
    CONSTANT_MOVED: "the model has hardly seen the new values",
    UNIQUE: "the model may learn single rows by heart",
    MANY_VALUES: "the model keeps the most frequent values only, and takes the others for one",
}
"""What follows from allowing each kind."""

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
    "SCHEMA_NEW_COLUMN": NEW_COLUMN,
    "UNEXPECTED_DATA_TYPE": DATA_TYPE,
    "OUT_OF_RANGE": OUT_OF_RANGE,
    "INT_TYPE_OUT_OF_DOMAIN": OUT_OF_RANGE,
    "FLOAT_TYPE_SMALL_FLOAT": OUT_OF_RANGE,
    "FLOAT_TYPE_BIG_FLOAT": OUT_OF_RANGE,
    "INT_TYPE_SMALL_INT": OUT_OF_RANGE,
    "INT_TYPE_BIG_INT": OUT_OF_RANGE,
    "BOOL_TYPE_UNEXPECTED_INT": OUT_OF_RANGE,
    "BOOL_TYPE_SMALL_INT": OUT_OF_RANGE,
    "BOOL_TYPE_BIG_INT": OUT_OF_RANGE,
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
